"""A stage in a worker of a page: one memory for all stages of a replay, because a browser gives
reservations of address space back late. The pages of a moment stay with JavaScript.
"""

from __future__ import annotations

from typing import Any

from ..port import JIT_THRESHOLD_TIERED
from ..rewind.stage import Pages, Stage
from .pyodide_port import PyodideHostPort, PyodidePort


class PageStage(Stage):
    """The one that is open; `pages` make it continue from a moment instead of from nothing."""

    def __init__(self, memory: Any, pages: Any = None) -> None:
        begun = pages if isinstance(pages, Pages) else None  # from a tape, and not from JavaScript
        made = memory.open(None if begun else pages)
        self._memory = memory
        self.host: PyodideHostPort = PyodideHostPort(made.host)
        for at, piece in begun.pieces.items() if begun else ():
            self.host.write(at, piece)
        seat = self.host.seat(0)
        self.port: PyodidePort = PyodidePort(made.hart(seat.stack), seat, JIT_THRESHOLD_TIERED)

    def pages(self, like: Any = None) -> Any:
        return self._memory.take(*self.span(), like)

    def debug(self) -> Any:
        raise NotImplementedError("a page has no debugger yet")

    def close(self) -> None:
        self._memory.close(*self.span())

    def span(self) -> list[int]:
        """End of the heap, first frame, end of the frames, in pages."""
        span = list(self.host.span())
        return span if span[2] else [0, 0, 0]  # not booted yet
