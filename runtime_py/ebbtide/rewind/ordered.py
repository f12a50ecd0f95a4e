"""Several harts replayed by one, which follows the order that their tape has (docs/parallel-recording.md).

Its ticks are moments: places in what that hart does, one after the other. There are checkpoints of them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..abi import Status
from ..errors import EbbError, InternalError
from ..order import FOLLOW, RING
from ..recording import DIGEST, EVENT, ORDER, ReplayDiverged, ReplayDriver, Written
from .stage import Stage


class OrderedDriver(ReplayDriver):
    """Follows the order of a tape with one hart; a `ReplayDriver` for machines of several. `place` is where it
    begins, as it was once told by `place()`: what a machine has beside its pages.
    """

    def __init__(
        self,
        stage: Stage,
        entries: Sequence[Written],
        drain: Callable[[], None],
        budget: Callable[[], int],
        place: bytes | None = None,
    ) -> None:
        self._host = host = stage.host
        super().__init__(
            stage.port,
            entries,
            digest=host.digest,
            drain=drain,
            page_hashes=host.page_hashes,
            budget=budget,
        )
        self.until_ns = 0  # `advance` stops when it is so late
        self._layout = self.port.abi.structs["order_log"]
        if "place" not in self._layout.fields:
            raise EbbError(
                "this run's kernel is older than moments of several harts; record it again"
            )
        # Kernels that did not say how much of the order a step had seen: a piece may end behind its tick.
        exact = "order" in self.port.abi.structs["report"].fields
        self._exact = (ORDER, EVENT, DIGEST) if exact else (EVENT,)
        self._log = host.order(FOLLOW, 0)
        self._room = self._feed = self._at = 0
        self._fed = -1  # the entry that the kernel follows
        if place is not None:
            self._at = int.from_bytes(place[:4], "little")
            self._host.write(self._value("place"), place[4:])
        self.port.step(0)  # a report of where it is
        self.tick = self.port.report().moment

    def place(self) -> bytes:
        """Return what there is to know of this moment beside the machine's pages."""
        blob = self._host.read(self._value("place"), self._value("place_len"))
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
            if entry.kind == ORDER and not self._follow(entry.data, tick):
                continue
            if self.tick != entry.tick and entry.kind in self._exact:
                raise self._differs(f"expected at tick {entry.tick}")
            if entry.kind != ORDER:
                self.apply(entry)
            self._at = 0
            self.next += 1

    def _differs(self, what: str) -> ReplayDiverged:
        return ReplayDiverged(f"entry {self.next}, at tick {self.tick}: {what}")

    def _value(self, name: str) -> int:
        return self._layout.integer(self._host.read(self._log, self._layout.size), name)

    def _set(self, name: str, value: int) -> None:
        field = self._layout.fields[name]
        self._host.write(self._log + field.offset, value.to_bytes(field.width, "little"))

    def _follow(self, data: bytes, tick: int) -> bool:
        """Step once; whether all of this piece has been done."""
        if self._fed != self.next:
            if len(data) > self._room:
                self._room = max(RING, len(data))
                self._feed = self._host.private_alloc(self._room)
            self._host.write(self._feed, data)
            for name, value in (("feed", self._feed), ("len", len(data)), ("at", self._at)):
                self._set(name, value)
            self._fed = self.next
        self._set("until_ns", self.until_ns)
        status = self.port.step(min(self._budget(), tick - self.tick))
        report = self.port.report()
        self.tick, self._at = report.moment, self._value("at")
        self.drain()
        if status is Status.PANIC:
            text = self._host.read(report.detail, 256).partition(b"\0")[0].decode()
            raise self._differs(text)
        late = bool(self.until_ns) and report.now_ns >= self.until_ns
        self.stopped = late or (self.watches and status is Status.READY and bool(report.detail))
        if status is Status.JIT_READY:
            self.port.jit_install(report.detail)
        if self._value("event") and self._at < len(data):
            raise InternalError("the order has more events than the tape")
        return self._at == len(data)
