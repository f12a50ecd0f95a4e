"""Host time for the harts of a browser machine, which live in workers with clocks of their own.

The state that `HostTime` keeps in an object stands in shared memory here (sdk/src/worker/clock.ts).
"""

from __future__ import annotations

from typing import Any

from ..clock import HostTime


class SharedTime(HostTime):
    """Host time since boot without suspended time, the same in all workers of a machine."""

    def __init__(self, time: Any) -> None:
        super().__init__(lambda: int(time.now()))
        self._now = time.now
        self._observe = time.observe

    def now(self) -> int:
        return int(self._now())

    def observe(self, expected_ns: int | None) -> tuple[int, int]:
        suspended = int(self._observe(-1 if expected_ns is None else expected_ns))
        return self.now(), suspended
