"""Files of a run as they were at a moment of its replay.

They are read by the machine's own file system: a copy of it goes on from that moment in another
memory and answers agent calls. What it does besides is seen by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..abi import Status
from ..agent import Agent
from ..errors import EbbError
from ..events import BlockWanted, CallEnded, Events, HostFs
from ..filesystem import FileSystem, Stat
from ..recording import EVENT, Program
from .mounted import Mounted, Programs, stat_of
from .replay import Replay
from .stage import Stage

if TYPE_CHECKING:
    from .debug_view import DebugView

T = TypeVar("T")
NOT_MOUNTED = Mounted()
PAGE = 4096
FIRST_ID = 0x40000000  # of our agent calls: no recording has got there
BUDGET = 1 << 22
STEPS = 1 << 14  # for one answer: a file system that has none by then has none at all


class _Futures:
    """As much of an event loop as it takes to make futures that nobody but `PastFiles` waits for."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=_FUTURES)

    def get_debug(self) -> bool:
        return False


_FUTURES: Any = _Futures()


def page_at(view: DebugView, files: PastFiles, pid: int, at: int) -> bytes:
    """Return a page of a process's memory; one of a file that nobody has touched yet, from the file;
    nothing if there is none.
    """
    data = view.memory(pid, at, PAGE)
    if data:
        return data
    mapping = view.mapping(pid, at)
    if mapping is None or mapping.start > at or not mapping.name.startswith("/"):
        return b""
    start = at - mapping.start + mapping.offset
    try:
        return files.read(mapping.name)[start : start + PAGE].ljust(PAGE, b"\0")
    except (OSError, EbbError):
        return b""


class PastFiles:
    """A replay's; `chunk` gets the image's chunks by hash, `mounted` knows the host's directories."""

    def __init__(
        self, replay: Replay, chunk: Callable[[str], bytes], mounted: Mounted = NOT_MOUNTED
    ) -> None:
        self._mounted = mounted
        self._replay = replay
        self._chunk = chunk
        self._events = Events(replay.abi)
        self._programs: Programs | None = None  # those on the tape
        self._blocks: dict[int, bytes] | None = None  # those on the tape
        self._stage: Stage | None = None
        self._tick = -1
        self._agent: Agent | None = None
        self._known: dict[tuple[str, int, int, int], bytes] = {}

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raises OSError."""
        if program := self._program(path):
            return program.data
        if there := self._mounted.find(path):
            return there.read_bytes()
        self._branch()
        stat = self.stat(path)
        key = path, stat.ino, stat.size, stat.mtime_ns
        if key not in self._known:
            self._known[key] = self._run(self._files().read_file(path))
        return self._known[key]

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Describe a file; raises OSError."""
        if program := self._program(path):
            return stat_of(program)
        if there := self._mounted.find(path):
            return self._mounted.stat(there)
        self._branch()
        return self._run(self._files().stat(path, follow=follow))

    def readlink(self, path: str) -> str:
        """Return where a symbolic link leads; raises OSError."""
        self._branch()
        return self._run(self._files().readlink(path))

    def _program(self, path: str) -> Program | None:
        if self._programs is None:
            self._programs = Programs(self._replay.entries)
        return self._programs.find(path, self._replay.next)

    def _files(self) -> FileSystem:
        assert self._agent is not None
        return FileSystem(self._agent)

    def _branch(self) -> None:
        if self._tick == self._replay.tick:
            return
        self.close()
        self._tick = self._replay.tick
        self._stage = self._replay.branch()
        self._agent = Agent(self._replay.abi, self._stage.port.deliver)
        self._agent._next_id = FIRST_ID

    def close(self) -> None:
        """Give the memory back."""
        if self._stage is not None:
            self._stage.close()
        self._stage, self._tick = None, -1

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Go on with the work each time the machine has answered: here nothing else waits, and in a
        page no event loop can run inside a call.
        """
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(_FUTURES)
        try:
            while True:
                self._answered(work.send(None))
        except StopIteration as done:
            found: T = done.value
            return found
        finally:
            work.close()
            asyncio._set_running_loop(before)

    def _answered(self, wanted: asyncio.Future[Any]) -> None:
        left = STEPS
        while not wanted.done():
            assert self._stage is not None
            port = self._stage.port
            status = port.step(BUDGET)
            if status is Status.JIT_READY:
                port.jit_install(port.report().detail)
            elif status is Status.PANIC or not (left := left - 1):
                raise EbbError("the files of that moment cannot be read")
            for record in self._stage.host.outbox():
                self._answer(record)

    def _answer(self, record: bytes) -> None:
        assert self._stage is not None and self._agent is not None
        if self._replay.abi.out_name(record) not in ("CALL", "BLOCK", "HOSTFS"):
            return
        match self._events.decode(record):
            case CallEnded() as ended:
                self._agent.ended(ended)
            case BlockWanted() as wanted:
                self._stage.port.deliver(self._block(wanted))
            case HostFs() as asked:  # the host's files are not of that moment
                error = -self._replay.abi.errno["EIO"]
                self._stage.port.deliver(self._events.hostfs(asked.id, error=error))

    def _block(self, wanted: BlockWanted) -> bytes:
        if self._blocks is None:
            layout = self._replay.abi.structs["event_block"]
            self._blocks = {}
            for entry in self._replay.entries:
                if entry.kind == EVENT and self._replay.abi.event_name(entry.data) == "BLOCK_IN":
                    data = entry.data
                    if not layout.integer(data, "error"):
                        self._blocks[layout.integer(data, "chunk")] = data
        known = self._blocks.get(wanted.chunk)
        if known is not None:
            return known
        try:
            return self._events.block(wanted.chunk, self._chunk(wanted.hash))
        except (EbbError, OSError):
            return self._events.block(wanted.chunk, error=-self._replay.abi.errno["EIO"])
