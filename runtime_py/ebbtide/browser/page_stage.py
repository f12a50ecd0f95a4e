"""A stage in a worker of a page: one memory for all stages of a replay, because a browser gives
reservations of address space back late. The pages of a moment stay with JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..machine_pages import page_hashes
from ..order import FOLLOW, SETTLE
from ..port import JIT_THRESHOLD_TIERED, unsigned32
from ..recording import Written
from ..rewind.ordered import OrderedDriver
from ..rewind.stage import Pages, Stage
from .pyodide_port import PyodideHostPort, PyodidePort


class PageStage(Stage):
    """The one that is open; `pages` make it continue from a moment instead of from nothing."""

    def __init__(self, memory: Any, pages: Any = None) -> None:
        begun = pages if isinstance(pages, Pages) else None  # from a tape, and not from JavaScript
        made = memory.open(None if begun else pages)
        self._memory = memory
        self._exports = made.host.exports
        self._host = PyodideHostPort(made.host)
        self._const = self._host.abi.const
        for at, piece in begun.pieces.items() if begun else ():
            self._host.write(at, piece)
        seat = self._host.seat(0)
        self.port = PyodidePort(made.hart(seat.stack), seat, JIT_THRESHOLD_TIERED)

    def outbox(self) -> Iterator[bytes]:
        return self._host.outbox()

    def digest(self) -> bytes:
        return self._host.digest()

    def page_hashes(self) -> bytes:
        heap, low, end = self.span()
        return page_hashes(self._host.abi, (heap, low, end), self._host.read)

    def pages(self, like: Any = None) -> Any:
        return self._memory.take(*self.span(), like)

    def debug(self) -> Any:
        raise NotImplementedError("a page has no debugger yet")

    def ordered(
        self,
        entries: Sequence[Written],
        drain: Callable[[], None],
        budget: Callable[[], int],
        place: bytes | None,
    ) -> OrderedDriver:
        return OrderedDriver(
            self.port,
            entries,
            self._host,
            self._host.order(FOLLOW, 0),
            alloc=self._host.alloc,
            digest=self.digest,
            page_hashes=self.page_hashes,
            drain=drain,
            budget=budget,
            place=place,
        )

    def settle(self) -> None:
        self._host.order(SETTLE, 0)
        self.port.step(0)  # a report of it

    def tap(self, mask: int) -> None:
        self._exports.k_tap(mask)

    def sample(self) -> None:
        self._exports.k_sample(0)

    def close(self) -> None:
        self._memory.close(*self.span())

    def span(self) -> list[int]:
        """End of the heap, first frame, end of the frames, in pages."""
        span = [unsigned32(self._exports.k_span(which)) for which in range(3)]
        return span if span[2] else [0, 0, 0]  # not booted yet
