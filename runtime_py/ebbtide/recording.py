"""Tapes: every event with the tick at which it was delivered, and digests to compare.

`RecordingPort` wraps any Port and writes; `ReplayDriver` stands in place of a scheduler and reads.
A tape holds what came in, and nothing else but whole programs for debuggers: all the rest comes out
again by itself. How a tape lies in a file is rewind/tape.py's business.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

from .abi import Abi, Status
from .errors import EbbError, InternalError
from .machine_pages import PAGE_S, difference
from .port import Control, Port, Report, Wake

EVENT = 1  # an event delivered at this tick
DIGEST = 2  # what the machine's pages were at this tick
WHOLE = 32  # bytes of a DIGEST of all pages; else it is a hash of each
OUTPUT = 3  # how many records had come out, and the hash of them; says nothing of the tick
META = 4  # JSON: whose run this is; the first entry
END = 5  # JSON: how it ended; the last entry
PAGES = 6  # of a machine that was there before: u32 number of the first, and the pages' bytes
ORDER = 8  # what several harts did, one after the other (order.py); 7 is tape.py's
PROGRAM = 9  # a Program: it says nothing of the tick


@dataclass(frozen=True)
class Entry:
    """Something that stands on a tape at a tick."""

    kind: int
    tick: int
    data: bytes

    @property
    def head(self) -> bytes:
        """What can be had of the data without fetching it: at least an event's fixed part."""
        return self.data


class Written(Protocol):
    """An entry as it is read; its data may have to be fetched."""

    @property
    def kind(self) -> int: ...
    @property
    def tick(self) -> int: ...
    @property
    def head(self) -> bytes: ...
    @property
    def data(self) -> bytes: ...


class Recorder(Protocol):
    """Where a recording goes; called by the hart's thread, and must not make it wait."""

    def append(self, entry: Entry) -> None:
        """Take the next entry; ticks never go back."""


@dataclass(frozen=True)
class Program:
    """A program's file as the guest found it in a directory of the host; the data of a PROGRAM entry."""

    path: str  # the guest's
    mtime_ns: int
    data: bytes = b""

    _HEAD: ClassVar = struct.Struct("<QI")  # then the path, then the file

    def pack(self) -> bytes:
        """Return it as an entry's data."""
        path = self.path.encode(errors="surrogateescape")
        return self._HEAD.pack(self.mtime_ns, len(path)) + path + self.data

    @classmethod
    def size(cls, data: bytes) -> int:
        """Return how many bytes of an entry's data come before the file's own."""
        return cls._HEAD.size + int(cls._HEAD.unpack_from(data)[1])

    @classmethod
    def read(cls, data: bytes) -> Program:
        """Read an entry's data, or its head."""
        mtime_ns, _ = cls._HEAD.unpack_from(data)
        begin = cls.size(data)
        path = data[cls._HEAD.size : begin].decode(errors="surrogateescape")
        return cls(path, mtime_ns, data[begin:])


Order: TypeAlias = AbstractContextManager[object]


def without_drawn(about: dict[str, Any]) -> dict[str, Any]:
    """Return what META says without what terminals showed before the tape began."""
    start = about.get("start")
    if not start:
        return about
    terminals = [{**one, "drawn": ""} for one in start.get("terminals", ())]
    return {**about, "start": {**start, "terminals": terminals}}


class ReplayDiverged(EbbError):
    """A replay did not do what the tape says."""


@dataclass
class Tape:
    """A recording in memory; `kernel` is the hash of the kernel.wasm that made it."""

    kernel: str = ""
    entries: list[Entry] = field(default_factory=list)

    def append(self, entry: Entry) -> None:
        """Take the next entry."""
        self.entries.append(entry)


class Paged(Protocol):
    """What can hash a machine's pages, between its steps."""

    def page_hashes(self) -> bytes:
        """Hash each page in use."""

    def pages_used(self) -> int:
        """Return how many that would be."""


class Landmarks:
    """When a recording notes each page's hash: seldom enough to cost next to nothing."""

    FIRST_S, GROWTH, SHARE = 10.0, 1.5, 200  # the share is of the time that one takes

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._interval = self.FIRST_S

    def due(self, port: Paged, *, last: bool = False) -> bool:
        """Whether it is time; at the end, whether it is worth it."""
        passed = self._clock() - self._last
        if not last and passed < self._interval:
            return False
        takes = port.pages_used() * PAGE_S
        return takes < 0.05 + passed / 20 if last else takes * self.SHARE < passed

    def noted(self) -> None:
        """Tell that one has been noted: the next one comes later, for they take room, too."""
        self._interval *= self.GROWTH
        self._last = self._clock()


class RecordingPort(Port):
    """A Port that writes each event it delivers to a tape.

    `order` is held meanwhile: whoever puts something else on the tape, from another thread, takes it
    first, so that what is delivered and what is written have the same order.
    """

    def __init__(
        self,
        port: Port,
        recorder: Recorder,
        order: Order | None = None,
        *,
        tick: int = 0,
        paged: Paged | None = None,
    ) -> None:
        self.abi = port.abi
        self.hart = port.hart
        self.recorder = recorder
        self._port = port
        self._order = order or contextlib.nullcontext()
        self._tick = tick  # where the machine begins
        self._paged = paged
        self._landmarks = Landmarks()

    def step(self, budget: int) -> Status:
        status = self._port.step(budget)
        self._tick = self._port.report().tick
        if self._paged and self._landmarks.due(self._paged):
            with self._order:
                self.digest(self._paged.page_hashes())
            self._landmarks.noted()
        return status

    def report(self) -> Report:
        return self._port.report()

    def deliver(self, event: bytes) -> None:
        with self._order:
            self.recorder.append(Entry(EVENT, self._tick, event))
            self._port.deliver(event)

    def digest(self, digest: bytes) -> None:
        """Note the machine's digest at this tick."""
        self.recorder.append(Entry(DIGEST, self._tick, digest))

    def mail_take(self) -> bytes | None:
        return self._port.mail_take()

    def park(self, seen: int, timeout_ns: int | None) -> Wake:
        return self._port.park(seen, timeout_ns)

    def control(self) -> Control:
        return self._port.control()

    def fail(self) -> None:
        self._port.fail()

    def read(self, address: int, length: int) -> bytes:
        return self._port.read(address, length)

    def jit_install(self, module: int) -> None:
        self._port.jit_install(module)  # no input of the machine: not on the tape


def differs(
    abi: Abi,
    recorded: bytes,
    digest: Callable[[], bytes],
    page_hashes: Callable[[], bytes] | None,
) -> str:
    """Compare a machine with the data of a DIGEST entry; says what is not the same, if anything."""
    paged = page_hashes if len(recorded) > WHOLE else None
    if (ours := (paged or digest)()) == recorded:
        return ""
    if paged:
        return difference(abi, ours, recorded)
    return f"expected the machine {recorded.hex()}, got {ours.hex()}"


class ReplayDriver:
    """Steps a machine to each tick of a tape and delivers what was delivered there.

    `port`, `digest` and `drain` may be replaced between entries: by those of the same machine in
    another memory.
    """

    def __init__(
        self,
        port: Port,
        entries: Sequence[Written],
        *,
        digest: Callable[[], bytes],
        drain: Callable[[], None],
        page_hashes: Callable[[], bytes] | None = None,
        budget: Callable[[], int] = lambda: 1 << 31,
    ) -> None:
        self.port = port
        self.digest = digest
        self.page_hashes = page_hashes
        self.drain = drain
        self.tick = 0
        self.next = 0  # entry
        self.digests = 0
        self.watches = False  # a debugger may end a step
        self.stopped = False  # and has: `advance` did not get where it was told to
        self._entries = entries
        self._budget = budget

    def run(self, stop: int | None = None) -> None:
        """Replay the tape, or up to entry `stop`; raises ReplayDiverged."""
        end = len(self._entries) if stop is None else stop
        while self.next < end:
            entry = self._entries[self.next]
            self.advance(entry.tick)
            if self.tick != entry.tick:
                raise ReplayDiverged(
                    f"entry {self.next}: expected at tick {entry.tick}, and a step went on to "
                    f"tick {self.tick}"
                )
            self.apply(entry)
            self.next += 1

    def apply(self, entry: Written) -> None:
        """Do what stands at this tick."""
        if entry.kind == EVENT:
            self.port.deliver(entry.data)
        elif entry.kind == DIGEST:
            if what := differs(self.port.abi, entry.data, self.digest, self.page_hashes):
                raise ReplayDiverged(f"entry {self.next}, at tick {entry.tick}: {what}")
            self.digests += 1

    def ticks_left(self) -> int:
        """Return how many ticks lie before the next entry."""
        if self.next == len(self._entries):
            return 0
        return self._entries[self.next].tick - self.tick

    def advance(self, tick: int) -> None:
        """Step to a tick, at most that of the next entry, or to the end of the pass it falls in."""
        self.stopped = False
        while self.tick < tick and not self.stopped:
            before, status = self.tick, self.port.step(min(self._budget(), tick - self.tick))
            report = self.port.report()
            self.tick = report.tick
            self.drain()
            if status is Status.PANIC:
                raise InternalError(f"the kernel panicked at tick {report.tick}")
            self.stopped = self.watches and status is Status.READY and bool(report.detail)
            if status is Status.JIT_READY:
                self.port.jit_install(report.detail)
            elif self.stopped:
                pass
            elif report.tick == before and status not in (Status.READY, Status.EXITED):
                raise ReplayDiverged(
                    f"entry {self.next}: expected at tick {tick}, and the machine waits "
                    f"({status.name}) at tick {self.tick}"
                )
