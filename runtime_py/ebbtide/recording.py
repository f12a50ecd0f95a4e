"""Tapes: every event with the tick at which it was delivered, and digests to compare.

`RecordingPort` wraps any Port and writes; `ReplayDriver` stands in place of a scheduler and reads.
A tape holds what came in and nothing else: all the rest comes out again by itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .abi import Status
from .errors import EbbError, InternalError
from .port import Control, Port, Report, Wake

FORMAT = 1
EVENT, DIGEST = 1, 2
_ENTRY = struct.Struct("<BQI")


@dataclass(frozen=True)
class Entry:
    """An event delivered, or a digest taken, at a tick."""

    kind: int
    tick: int
    data: bytes


class ReplayDiverged(EbbError):
    """A replay did not do what the tape says."""


@dataclass
class Tape:
    """A recording; `kernel` is the hash of the kernel.wasm that made it."""

    kernel: str = ""
    entries: list[Entry] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the tape: one line of JSON, then the entries."""
        with path.open("wb") as file:
            file.write(json.dumps({"format": FORMAT, "kernel": self.kernel}).encode() + b"\n")
            for entry in self.entries:
                file.write(_ENTRY.pack(entry.kind, entry.tick, len(entry.data)) + entry.data)

    @staticmethod
    def load(path: Path) -> Tape:
        """Read a tape."""
        head, _, data = path.read_bytes().partition(b"\n")
        header = json.loads(head)
        if header["format"] != FORMAT:
            raise EbbError(f"{path} has tape format {header['format']}, this reads {FORMAT}")
        return Tape(header["kernel"], list(_entries(data)))


def _entries(data: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        kind, tick, length = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        yield Entry(kind, tick, data[at : at + length])
        at += length


class RecordingPort(Port):
    """A Port that writes each event it delivers to a tape."""

    def __init__(self, port: Port, tape: Tape) -> None:
        self.abi = port.abi
        self.hart = port.hart
        self.tape = tape
        self._port = port
        self._tick = 0

    def step(self, budget: int) -> Status:
        status = self._port.step(budget)
        self._tick = self._port.report().tick
        return status

    def report(self) -> Report:
        return self._port.report()

    def deliver(self, event: bytes) -> None:
        self.tape.entries.append(Entry(EVENT, self._tick, event))
        self._port.deliver(event)

    def digest(self, digest: bytes) -> None:
        """Note the machine's digest at this tick."""
        self.tape.entries.append(Entry(DIGEST, self._tick, digest))

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


class ReplayDriver:
    """Steps a machine to each tick of a tape and delivers what was delivered there.

    `port`, `digest` and `drain` may be replaced between entries: by those of the same machine in
    another memory.
    """

    def __init__(
        self,
        port: Port,
        tape: Tape,
        *,
        digest: Callable[[], bytes],
        drain: Callable[[], None],
        budget: Callable[[], int] = lambda: 1 << 31,
        describe: Callable[[bytes, bytes], str] = lambda ours, recorded: "the machine differs",
    ) -> None:
        self.port = port
        self.digest = digest
        self.drain = drain
        self.tick = 0
        self.digests = 0
        self._tape = tape
        self._budget = budget
        self._describe = describe
        self._next = 0

    def run(self, stop: int | None = None) -> None:
        """Replay the tape, or up to entry `stop`; raises ReplayDiverged."""
        end = len(self._tape.entries) if stop is None else stop
        while self._next < end:
            entry = self._tape.entries[self._next]
            self.advance(entry.tick)
            if self.tick != entry.tick:
                raise ReplayDiverged(f"a step went on to {self.tick}, beyond tick {entry.tick}")
            if entry.kind == EVENT:
                self.port.deliver(entry.data)
            elif (digest := self.digest()) == entry.data:
                self.digests += 1
            else:
                what = self._describe(digest, entry.data)
                raise ReplayDiverged(f"at tick {entry.tick} {what}")
            self._next += 1

    def ticks_left(self) -> int:
        """Return how many ticks lie before the next entry."""
        if self._next == len(self._tape.entries):
            return 0
        return self._tape.entries[self._next].tick - self.tick

    def advance(self, tick: int) -> None:
        """Step to a tick, at most that of the next entry, or to the end of the pass it falls in."""
        while self.tick < tick:
            status = self.port.step(min(self._budget(), tick - self.tick))
            report = self.port.report()
            self.drain()
            if status is Status.PANIC:
                raise InternalError(f"the kernel panicked at tick {report.tick}")
            if status is Status.JIT_READY:
                self.port.jit_install(report.detail)
            elif report.tick == self.tick and status not in (Status.READY, Status.EXITED):
                raise ReplayDiverged(
                    f"{status.name} at tick {self.tick}, where the tape runs on to {tick}"
                )
            self.tick = report.tick
