"""What a debugger sees of a machine between two steps, and what it wants the next steps to look for.

Reading changes nothing: no machine page differs for it, and nothing is brought in that was not there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..abi import Abi
from ..errors import EbbError
from ..port import split64
from ..wasmtime_port import WasmtimeHostPort

ROOM = 1 << 16  # bytes read at once
RING = 64  # notes that the kernel keeps


@dataclass(frozen=True)
class Task:
    """A guest thread."""

    pid: int
    tid: int
    ppid: int
    name: str
    state: int
    current: bool  # it is next
    call: int | None  # the system call it is in
    instret: int  # instructions it has retired


@dataclass(frozen=True)
class Status:
    """What else a core file says of a thread; times are in ns, a leader's those of all threads."""

    pgid: int = 0
    sid: int = 0
    uid: int = 0
    gid: int = 0
    nice: int = 0
    pending: int = 0  # bit n - 1: signal n
    blocked: int = 0
    utime: int = 0
    stime: int = 0
    child_utime: int = 0
    child_stime: int = 0


@dataclass(frozen=True)
class Registers:
    """A thread's registers."""

    x: tuple[int, ...]
    pc: int
    f: tuple[int, ...]
    fcsr: int
    instret: int


@dataclass(frozen=True)
class Mapping:
    """A range of an address space; `name` is the file's path, or [stack]."""

    start: int
    end: int
    offset: int
    prot: int
    flags: int
    main: bool
    name: str


@dataclass(frozen=True)
class Stop:
    """What to look for in a process: an instruction, or an access to some bytes."""

    kind: str  # BREAK, WRITE, READ, ACCESS
    pid: int
    va: int
    length: int


@dataclass(frozen=True)
class Note:
    """What was found: at `tick` it is about to happen, at `after` it has."""

    kind: str
    tick: int
    after: int
    va: int
    pc: int
    pid: int
    tid: int


class DebugView:
    """One stage's."""

    def __init__(self, abi: Abi, host: WasmtimeHostPort) -> None:
        self._call: Callable[..., int] = host.call
        self._read = host.read
        self._structs = abi.structs
        self._kind: dict[str, int] = abi.groups.get("debug", {})
        if not self._kind:
            raise EbbError("this run's kernel is older than the debugger; record it again")
        self._names = {number: name for name, number in self._kind.items()}
        self._room = host.private_alloc(ROOM)
        self._notes = self._call("k_debug_clear")

    # ---- What is there --------------------------------------------------------------------------

    def tasks(self, pid: int = 0) -> list[Task]:
        """List the threads of a process, or of all."""
        at = self._call("k_debug_tasks", pid)
        head, layout = self._structs["debug_tasks"], self._structs["debug_task"]
        count = head.integer(self._read(at, head.size), "count")
        data = self._read(at + head.size, count * layout.size)
        found = []
        for row in range(0, len(data), layout.size):
            raw = data[row : row + layout.size]
            words = layout.integers(raw)
            name = layout.raw(raw, "name").partition(b"\0")[0].decode(errors="replace")
            call = None if words["nr"] == 0xFFFFFFFF else words["nr"]
            found.append(
                Task(words["pid"], words["tid"], words["ppid"], name, words["state"],
                     bool(words["current"]), call, words["instret"])
            )  # fmt: skip
        return sorted(found, key=lambda task: task.tid)

    def registers(self, tid: int) -> Registers | None:
        """Read a thread's registers; None if there is no such thread."""
        at = self._call("k_debug_registers", tid)
        if not at:
            return None
        words = struct.unpack("<66QII", self._read(at, self._structs["debug_registers"].size))
        return Registers(words[:32], words[32], words[33:65], words[66], words[65])

    def status(self, tid: int) -> Status:
        """Read what a core file says of a thread; nothing but zeros from a kernel that cannot say."""
        layout = self._structs.get("debug_status")
        at = self._call("k_debug_status", tid) if layout else 0
        if not layout or not at:
            return Status()
        raw = self._read(at, layout.size)
        words = {name: layout.integer(raw, name) for name in Status.__match_args__}
        words["nice"] = layout.integer(raw, "nice", signed=True)
        return Status(**words)

    def memory(self, pid: int, va: int, length: int) -> bytes:
        """Read a process's memory, up to the first page that is not there."""
        out = b""
        while length > 0:
            want = min(length, ROOM)
            got = self._call("k_debug_read", pid, *split64(va), self._room, want)
            out += self._read(self._room, got)
            if got < want:
                break
            va, length = va + got, length - got
        return out

    def mapping(self, pid: int, va: int) -> Mapping | None:
        """Return the mapping at an address, or the next one."""
        at = self._call("k_debug_map", pid, *split64(va))
        if not at:
            return None
        layout = self._structs["debug_map"]
        words = layout.integers(self._read(at, layout.size))
        name = self._read(at + layout.size, words["name_len"]).decode(errors="surrogateescape")
        return Mapping(
            words["start"], words["end"], words["offset"], words["prot"], words["flags"],
            bool(words["main"]), name,
        )  # fmt: skip

    def mappings(self, pid: int) -> Iterable[Mapping]:
        """Walk an address space."""
        va = 0
        while found := self.mapping(pid, va):
            yield found
            va = found.end

    def auxv(self, pid: int) -> bytes:
        """Return the auxiliary vector."""
        return self._read(self._room, self._call("k_debug_auxv", pid, self._room))

    # ---- What to look for -----------------------------------------------------------------------

    def look_for(
        self,
        stops: Iterable[Stop] = (),
        *,
        kinds: Iterable[str] = (),
        halt: bool,
        here: bool = False,
    ) -> None:
        """Note `stops` and events of `kinds` from now on; `halt`: a step ends at the first.
        `here`: a breakpoint at the instruction that is next counts, too.
        """
        self._call("k_debug_clear")
        for stop in stops:
            kind = self._kind[stop.kind]
            if self._call("k_debug_add", stop.pid, kind, *split64(stop.va), stop.length):
                raise EbbError(f"cannot watch {stop.length} bytes at {stop.va:#x}")
        bits: int = sum(1 << self._kind[kind] for kind in kinds)
        self._call("k_debug_note", bits, int(halt), int(here))

    def until(self, tid: int, instret: int) -> None:
        """End a step when a thread, now or later there, has retired so many instructions, or is no more."""
        self._call("k_debug_until", tid, *split64(instret))

    def nothing(self) -> None:
        """Look for nothing any more."""
        self._call("k_debug_clear")

    def notes(self) -> list[Note]:
        """Return the last notes, oldest first."""
        head, layout = self._structs["debug_notes"], self._structs["debug_note"]
        count = head.integer(self._read(self._notes, head.size), "count")
        ring = RING
        found = []
        for number in range(max(0, count - ring), count):
            at = self._notes + head.size + number % ring * layout.size
            words = layout.integers(self._read(at, layout.size))
            found.append(
                Note(self._names[words["kind"]], words["tick"], words["after"], words["va"],
                     words["pc"], words["pid"], words["tid"])
            )  # fmt: skip
        return found
