"""The order of what several harts did, in a recording and in a replay (docs/parallel-recording.md).

While recording the kernel writes it to a ring, a byte or so for each of its passes; whoever delivers
an event, or ends a step, moves it to the tape. A tape then has entries of two kinds that belong
together: events, and pieces of the order, which say where the next event goes. A replay needs one hart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from .abi import Abi, Status
from .errors import InternalError
from .port import Port
from .recording import (
    DIGEST,
    EVENT,
    ORDER,
    Entry,
    Order,
    Recorder,
    RecordingPort,
    ReplayDiverged,
    Written,
    differs,
)

RING = 1 << 18  # bytes; a hart whose step finds it nearly full comes back
RECORD, FOLLOW = 1, 2
BUDGET = 1 << 31


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
        self._tick = 0
        self.bytes = 0

    def append(self, kind: int, tick: int, data: bytes) -> None:
        """Put an entry on the tape; harts see their ticks at different times."""
        self._tick = max(self._tick, tick)
        self._recorder.append(Entry(kind, self._tick, data))

    def move(self, tick: int, least: int = 1) -> None:
        """Bring to the tape what there is, if it is so many bytes."""
        layout, memory = self._layout, self._memory
        values = layout.integers(memory.read(self._address, layout.size))
        head, tail, size, data = (values[name] for name in ("head", "tail", "size", "data"))
        length = (head - tail) & 0xFFFFFFFF
        if length < least:
            return
        begin = tail % size
        first = memory.read(data + begin, min(length, size - begin))
        taken = first + memory.read(data, length - len(first))
        at = self._address + layout.fields["tail"].offset
        memory.write(at, head.to_bytes(4, "little"))
        self.bytes += length
        self.append(ORDER, tick, taken)


class OrderedRecordingPort(RecordingPort):
    """A port of one of several harts: the tape has the order of their passes, too."""

    def __init__(self, port: Port, recorder: Recorder, order: Order, log: OrderLog) -> None:
        super().__init__(port, recorder, order)
        self._log = log

    def step(self, budget: int) -> Status:
        status = super().step(budget)
        with self._order:
            self._log.move(self._tick)
        return status

    def deliver(self, event: bytes) -> None:
        with self._order:
            self._log.append(EVENT, self._tick, event)
            self._port.deliver(event)
            self._log.move(self._tick, RING // 4)  # many may come without a step between


class OrderedDriver:
    """Follows the order of a tape with one hart; a `ReplayDriver` for machines of several."""

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
    ) -> None:
        self.port = port
        self.tick = 0
        self.next = 0
        self.digests = 0
        self.watches = self.stopped = False
        self._entries = entries
        self._memory = memory
        self._layout = port.abi.structs["order_log"]
        self._log = log
        self._alloc = alloc
        self._digest = digest
        self._page_hashes = page_hashes
        self._drain = drain
        self._events: deque[Written] = deque()
        self._room = self._feed = 0

    def run(self, stop: int | None = None) -> None:
        """Replay the tape, or up to entry `stop`; raises ReplayDiverged."""
        end = len(self._entries) if stop is None else stop
        while self.next < end:
            entry = self._entries[self.next]
            if entry.kind == EVENT:
                self._events.append(entry)
            elif entry.kind == ORDER:
                self._follow(entry.data)
                if self.tick < entry.tick:
                    raise self._differs(f"expected tick {entry.tick}, got {self.tick}")
            elif entry.kind == DIGEST:
                abi = self.port.abi
                if what := differs(abi, entry.data, self._digest, self._page_hashes):
                    raise self._differs(what)
                self.digests += 1
            self.next += 1

    def _differs(self, what: str) -> ReplayDiverged:
        return ReplayDiverged(f"entry {self.next}, at tick {self.tick}: {what}")

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            at = self._log + self._layout.fields[name].offset
            self._memory.write(at, value.to_bytes(4, "little"))

    def _follow(self, data: bytes) -> None:
        if len(data) > self._room:
            self._room = max(RING, len(data))
            self._feed = self._alloc(self._room)
        self._memory.write(self._feed, data)
        self._set(feed=self._feed, len=len(data), at=0)
        at = 0
        while at < len(data):
            status = self.port.step(BUDGET)
            report = self.port.report()
            self.tick = report.tick
            self._drain()
            if status is Status.PANIC:
                text = self._memory.read(report.detail, 256).partition(b"\0")[0].decode()
                raise self._differs(text)
            if status is Status.JIT_READY:
                self.port.jit_install(report.detail)
            raw = self._memory.read(self._log, self._layout.size)
            at = self._layout.integer(raw, "at")
            if self._layout.integer(raw, "event"):
                if not self._events:
                    raise InternalError("the order has more events than the tape")
                self.port.deliver(self._events.popleft().data)
