"""The order of what several harts did, in a recording and in a replay (docs/parallel-recording.md).

While recording the kernel writes it to a ring, a byte or so for each of its passes; whoever delivers
an event, or ends a step, moves it to the tape. A tape then has pieces of the order between its events,
each up to where the next event goes. A replay needs one hart, and its moments are the ticks of a tape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .abi import Abi, Status
from .errors import EbbError, InternalError
from .port import Port
from .recording import (
    EVENT,
    ORDER,
    Entry,
    Order,
    Recorder,
    RecordingPort,
    ReplayDiverged,
    ReplayDriver,
    Written,
)

RING = 1 << 18  # bytes; a hart whose step finds it nearly full comes back
RECORD, FOLLOW, SETTLE = 1, 2, 3  # k_order


class Memory(Protocol):
    """What is shared with the kernel."""

    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...


class OrderLog:
    """The ring that the kernel writes; `move` is called by who holds the order of the tape."""

    def __init__(self, abi: Abi, memory: Memory, address: int, recorder: Recorder) -> None:
        self._layout = abi.structs["order_log"]
        self._memory = memory
        self._address = address
        self._recorder = recorder
        self._moment = 0
        self.bytes = 0

    def _values(self) -> dict[str, int]:
        return self._layout.integers(self._memory.read(self._address, self._layout.size))

    def _append(self, kind: int, moment: int, data: bytes) -> None:
        self._moment = max(self._moment, moment)  # harts see theirs at different times
        self._recorder.append(Entry(kind, self._moment, data))

    def move(self, moment: int) -> None:
        """Bring to the tape what there is."""
        values = self._values()
        self._move(values, values["head"], moment)

    def delivered(self, event: bytes) -> None:
        """Put an event on the tape, behind the order up to it: it has just been delivered."""
        values = self._values()
        self._move(values, values["delivered"], values["delivered_moment"])
        self._append(EVENT, values["delivered_moment"], event)

    def _move(self, values: dict[str, int], head: int, moment: int) -> None:
        memory, tail, size, data = self._memory, values["tail"], values["size"], values["data"]
        if not (length := (head - tail) & 0xFFFFFFFF):
            return
        begin = tail % size
        first = memory.read(data + begin, min(length, size - begin))
        taken = first + memory.read(data, length - len(first))
        at = self._address + self._layout.fields["tail"].offset
        memory.write(at, head.to_bytes(4, "little"))
        self.bytes += length
        self._append(ORDER, moment, taken)


class OrderedRecordingPort(RecordingPort):
    """A port of one of several harts: the tape has the order of their passes, too."""

    def __init__(self, port: Port, recorder: Recorder, order: Order, log: OrderLog) -> None:
        super().__init__(port, recorder, order)
        self._log = log

    def step(self, budget: int) -> Status:
        status = self._port.step(budget)
        with self._order:
            self._log.move(self._port.report().moment)
        return status

    def deliver(self, event: bytes) -> None:
        with self._order:
            self._port.deliver(event)
            self._log.delivered(event)


class OrderedDriver(ReplayDriver):
    """Follows the order of a tape with one hart; a `ReplayDriver` for machines of several. `place` is where it
    begins, as it was once told by `place()`: what a machine has beside its pages.
    """

    def __init__(
        self,
        port: Port,
        entries: Sequence[Written],
        memory: Memory,
        log: int,
        *,
        alloc: Callable[[int], int],
        digest: Callable[[], bytes],
        page_hashes: Callable[[], bytes],
        drain: Callable[[], None],
        budget: Callable[[], int],
        place: bytes | None = None,
    ) -> None:
        super().__init__(
            port, entries, digest=digest, drain=drain, page_hashes=page_hashes, budget=budget
        )
        self.until_ns = 0  # `advance` stops when it is so late
        self._memory = memory
        self._layout = port.abi.structs["order_log"]
        if "place" not in self._layout.fields:
            raise EbbError(
                "this run's kernel is older than moments of several harts; record it again"
            )
        self._log = log
        self._alloc = alloc
        self._room = self._feed = self._at = 0
        self._fed = -1  # the entry that the kernel follows
        if place is not None:
            self._at = int.from_bytes(place[:4], "little")
            self._memory.write(self._value("place"), place[4:])
        self.port.step(0)  # a report of where it is
        self.tick = self.port.report().moment

    def place(self) -> bytes:
        """Return what there is to know of this moment beside the machine's pages."""
        blob = self._memory.read(self._value("place"), self._value("place_len"))
        return self._at.to_bytes(4, "little") + blob

    def run(self, stop: int | None = None) -> None:
        self._go(1 << 63, len(self._entries) if stop is None else stop)

    def advance(self, tick: int) -> None:
        """Go on to a moment, past the entries before it, or to the end of the pass it falls in."""
        self._go(tick, len(self._entries))

    def _go(self, tick: int, stop: int) -> None:
        self.stopped = False
        while self.next < stop and self.tick < tick and not self.stopped:
            entry = self._entries[self.next]
            if entry.kind == ORDER:
                if not self._follow(entry.data, tick):
                    continue
            elif entry.kind == EVENT and self.tick != entry.tick:
                raise self._differs(f"expected at tick {entry.tick}")
            else:
                self.apply(entry)
            self._at = 0
            self.next += 1

    def _differs(self, what: str) -> ReplayDiverged:
        return ReplayDiverged(f"entry {self.next}, at tick {self.tick}: {what}")

    def _value(self, name: str) -> int:
        return self._layout.integer(self._memory.read(self._log, self._layout.size), name)

    def _set(self, name: str, value: int) -> None:
        field = self._layout.fields[name]
        self._memory.write(self._log + field.offset, value.to_bytes(field.width, "little"))

    def _follow(self, data: bytes, tick: int) -> bool:
        """Step once; whether all of this piece has been done."""
        if self._fed != self.next:
            if len(data) > self._room:
                self._room = max(RING, len(data))
                self._feed = self._alloc(self._room)
            self._memory.write(self._feed, data)
            for name, value in (("feed", self._feed), ("len", len(data)), ("at", self._at)):
                self._set(name, value)
            self._fed = self.next
        self._set("until_ns", self.until_ns)
        status = self.port.step(min(self._budget(), tick - self.tick))
        report = self.port.report()
        self.tick, self._at = report.moment, self._value("at")
        self.drain()
        if status is Status.PANIC:
            text = self._memory.read(report.detail, 256).partition(b"\0")[0].decode()
            raise self._differs(text)
        late = bool(self.until_ns) and report.now_ns >= self.until_ns
        self.stopped = late or (self.watches and status is Status.READY and bool(report.detail))
        if status is Status.JIT_READY:
            self.port.jit_install(report.detail)
        if self._value("event") and self._at < len(data):
            raise InternalError("the order has more events than the tape")
        return self._at == len(data)
