"""Host operations: system calls that agent tasks of process 1 run for the host.

`await agent.call("openat", AT_FDCWD, "/etc/passwd", O_RDONLY, 0)`: an int is a scalar, a str
becomes a path in the agent's window, bytes are copied into it, `Out(n)` is room that comes back.
The kernel runs it as that very system call, so it may wait; errors are OSError.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from .abi import Abi
from .errors import EbbError
from .events import CallEnded, Events

Arg: TypeAlias = "int | str | bytes | bytearray | memoryview | Out"


@dataclass(frozen=True)
class Out:
    """Room in the window that comes back; with `by_result` only as much as the call returned."""

    length: int
    by_result: bool = False


@dataclass(frozen=True)
class Ended:
    """How a call ended: its result, and the bytes of its `Out` arguments."""

    result: int
    data: bytes


def path_bytes(path: str | bytes) -> bytes:
    """Encode a guest path; a NUL cannot be part of one."""
    data = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    if b"\0" in data:
        raise ValueError("embedded null byte")
    return data + b"\0"


_used_in: int | None = None  # the process that has machines


def refuse_forked() -> None:
    """A fork copies no threads, and without them nothing of ours would ever answer."""
    global _used_in
    _used_in = _used_in or os.getpid()
    if _used_in != os.getpid():
        raise RuntimeError(
            "this process was forked from one that has used ebbtide, and machines do not survive a "
            'fork; start it anew: multiprocessing.get_context("spawn")'
        )


class Living:
    """What is in this process alone."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a machine, and what belongs to it, can be neither pickled nor copied")


class Call:
    """An agent call under way."""

    def __init__(self, agent: Agent, id: int, path: str) -> None:
        self.future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.path = path
        self.late: Callable[[Ended], None] | None = None
        self._agent = agent
        self._id = id

    def interrupt(self) -> None:
        """End the call where it waits; the future still tells how it ended."""
        self._agent.cancel(self._id)


def _refuse(call: Call, error: Exception) -> None:
    call.future.set_exception(error)
    call.future.exception()  # seen: of a read that nobody waits for any more, nobody need be told


class Agent(Living):
    """The client of agent calls for one machine; belongs to one event loop."""

    def __init__(self, abi: Abi, post: Callable[[bytes], None]) -> None:
        self.abi = abi
        self.window = abi.const["CALL_WINDOW"]
        self._events = Events(abi)
        self._post = post
        self._pending: dict[int, Call] = {}
        self._next_id = 0
        self._failure: EbbError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first call

    def skip(self, id: int) -> None:
        """Use no id up to this one: calls of an earlier agent may still be answered."""
        self._next_id = id

    def begin(self, name: str, *args: Arg) -> Call:
        """Post a call."""
        if self._failure:
            raise self._failure
        refuse_forked()
        self._refuse_other_loop()
        self._next_id = self._next_id % 0x7FFFFFFF + 1
        path = next((arg for arg in args if isinstance(arg, str)), "")
        event = self._encode(self._next_id, name, args)
        call = self._pending[self._next_id] = Call(self, self._next_id, path)
        self._post(event)
        return call

    async def call(
        self, name: str, *args: Arg, late: Callable[[Ended], None] | None = None
    ) -> Ended:
        """Run a call. If it ends well after its caller was cancelled, `late` is told."""
        call = self.begin(name, *args)
        call.late = late
        try:
            return await call.future
        except asyncio.CancelledError:
            call.interrupt()
            raise

    def cancel(self, id: int) -> None:
        """Ask the kernel to end a call that waits."""
        if id in self._pending and self._failure is None:
            self._post(self._events.cancel(id))

    def ended(self, record: CallEnded) -> None:
        """Take the kernel's answer."""
        pending = self._pending.pop(record.id, None)
        if pending is None or pending.future.done():
            if pending and pending.late and record.result >= 0:
                pending.late(Ended(record.result, record.data))
        elif record.result < 0:
            paths = (pending.path,) if pending.path else ()
            _refuse(pending, self.abi.os_error(-record.result, *paths))
        else:
            pending.future.set_result(Ended(record.result, record.data))

    def waiting(self) -> tuple[int, tuple[int, ...]]:
        """Return the last id that was used, and those of calls that have not ended."""
        return self._next_id, tuple(self._pending)

    async def take_over(self, last_id: int, waiting: tuple[int, ...]) -> None:
        """Go on in a machine that another agent has left: end its calls, close its descriptors."""
        self._next_id = last_id
        for id in waiting:
            self._post(self._events.cancel(id))
        await self.call("close_range", 0, 0x7FFFFFFF, 0)

    def fail(self, failure: EbbError) -> None:
        """End all calls, and every later one, with `failure`: the machine is gone."""
        self._failure = self._failure or failure
        pending, self._pending = self._pending, {}
        if self._loop is None or self._loop.is_closed():
            return  # nobody can wait any more
        for call in pending.values():
            if not call.future.done():
                _refuse(call, failure)

    def close_later(self, fd: int) -> None:
        """Close a descriptor without waiting for it."""
        if self._failure is None:
            self._next_id = self._next_id % 0x7FFFFFFF + 1
            self._post(self._encode(self._next_id, "close", (fd,)))

    def _refuse_other_loop(self) -> None:
        """Answers come in one loop, and would wake nobody in another."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if loop is not self._loop:
            raise RuntimeError(
                "this machine belongs to another event loop; use it within the one asyncio.run() "
                "that booted it, or use ebbtide.blocking.Machine, which works from everywhere"
            )

    def _encode(self, id: int, name: str, args: tuple[Arg, ...]) -> bytes:
        if len(args) > 6:
            raise TypeError(f"{name}: {len(args)} arguments")
        data = bytearray()
        words: list[int] = []
        in_window = 0
        room: list[tuple[int, Out]] = []  # argument's place, and what it is
        for at, arg in enumerate(args):
            if isinstance(arg, int):
                words.append(arg)
                continue
            in_window |= 1 << at
            if isinstance(arg, Out):
                room.append((at, arg))
                words.append(0)
                continue
            data += bytes(-len(data) % 8)
            words.append(len(data))
            data += path_bytes(arg) if isinstance(arg, str) else arg
        out_off = end = len(data) + -len(data) % 8
        for at, out in room:
            words[at] = end
            end += out.length + -out.length % 8
        if end > self.window:
            raise ValueError(f"{name}: {end} bytes do not fit into a call's window")
        out_len = words[room[-1][0]] + room[-1][1].length - out_off if room else 0
        return self._events.call(
            id,
            self.abi.nr[name],
            tuple(words),
            window_args=in_window,
            data=data,
            out_off=out_off,
            out_len=out_len,
            out_by_result=any(out.by_result for _, out in room),
        )
