"""Host time and virtual time: which CLOCK event a hart owes the machine, and when.

`HostTime` is the host's monotonic clock with suspended time (sleeping host, frozen tab) taken out;
harts of one process share it. `Clock` belongs to one hart: it measures ns per tick and proposes
settings that never step back. `VirtualClock` is `--time=virtual`: time passes only by ticks and by
idling.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .port import NO_DEADLINE, Report

BUSY_INTERVAL_NS = 100_000_000  # while busy, at most one CLOCK in this time
DRIFT_NS = 5_000_000  # and only if virtual and host time are further apart than this
SUSPEND_NS = 2_000_000_000  # a gap longer than this, unasked for, is a suspend
AHEAD_NS = 100_000_000  # virtual time is never so far ahead of the host's by itself
SLICE_NS = 50_000_000  # a busy hart comes back to Python about this often; mail ends a step at once
BUDGET_MIN = 100_000
BUDGET_MAX = 1 << 31
NOMINAL_GUESS = 2.5  # ns per tick, for the first milliseconds
MUL_SHIFT = 24
MUL_MAX = (1 << 32) - 1
MUL_STEP = 1 << 14  # a rate is a multiple of this, 0.001 ns per tick, which is short on a tape


@dataclass(frozen=True)
class ClockSetting:
    """The fields of a CLOCK event."""

    base_ns: int
    mul: int
    suspend_ns: int = 0


class HostTime:
    """Host time since boot without suspended time."""

    def __init__(
        self, host_ns: Callable[[], int] = time.monotonic_ns, *, begin_ns: int = 0
    ) -> None:
        self._host_ns = host_ns
        self._lock = threading.Lock()
        self._last = host_ns()
        self._origin = self._last - begin_ns

    def now(self) -> int:
        """Return nanoseconds since boot."""
        return self._host_ns() - self._origin

    def observe(self, expected_ns: int | None) -> tuple[int, int]:
        """Return (now, suspended): a gap beyond `expected_ns` is a suspend; None expects any."""
        with self._lock:
            host = self._host_ns()
            gap = host - self._last - expected_ns if expected_ns is not None else 0
            self._last = host
            if gap <= SUSPEND_NS:
                gap = 0
            self._origin += gap
            return host - self._origin, gap


class Timekeeper(Protocol):
    """What the loop asks of a clock."""

    def step_begin(self) -> None:
        """Note that a step begins."""

    def busy(self, report: Report) -> ClockSetting | None:
        """Say which CLOCK is due after a step that ended busy."""

    def park_ns(self, report: Report, *, host_owes: bool) -> int | None:
        """Say how long to park: None is until woken, 0 not at all; the host may owe file data."""

    def leave_idle(
        self, report: Report, parked_ns: int | None, timed_out: bool
    ) -> ClockSetting | None:
        """Say which CLOCK is due after a park."""

    def budget(self) -> int:
        """Return the ticks of the next step."""


class Clock:
    """One hart's clock over host time."""

    def __init__(self, host: HostTime) -> None:
        self._host = host
        self._begin_ns = 0
        self._begin_tick: int | None = None
        self._measured = True  # what ran since `_begin_ns`
        self._nominal = 0.0  # measured ns per tick, 0 before the first measurement
        self._mul = 0  # in force, as far as this hart knows; 0 is the kernel's own
        self._sent_ns = 0

    def step_begin(self) -> None:
        if self._measured:  # else ticks of an earlier step, whose time this must be, still wait
            self._begin_ns = self._host.now()
            self._measured = False

    def busy(self, report: Report) -> ClockSetting | None:
        now, suspended = self._host.observe(0)
        self._measure(report, now)
        if suspended:
            return self._setting(report.now_ns, now, suspended)
        if now - self._sent_ns < BUSY_INTERVAL_NS:
            return None
        drift = now - report.now_ns
        rate = self._mul / (1 << MUL_SHIFT)
        coming = (rate / self._nominal - 1) * BUSY_INTERVAL_NS if self._nominal else 0.0
        if abs(drift) <= DRIFT_NS and abs(coming) <= DRIFT_NS:
            return None
        return self._setting(report.now_ns, now, 0)

    def park_ns(self, report: Report, *, host_owes: bool) -> int | None:
        now = self._host.now()
        self._measure(report, now)
        if report.deadline_ns == NO_DEADLINE:
            return None
        if report.now_ns - now > AHEAD_NS:
            now = report.now_ns  # chaos has set it ahead: it does not wait for the host to follow
        return max(0, report.deadline_ns - now)

    def leave_idle(
        self, report: Report, parked_ns: int | None, timed_out: bool
    ) -> ClockSetting | None:
        now, suspended = self._host.observe(parked_ns)
        self._begin_tick, self._measured = None, True
        base = max(report.now_ns, now)
        if timed_out:
            base = max(base, report.deadline_ns)
        return self._setting(base, now, suspended)

    def _measure(self, report: Report, now: int) -> None:
        ticks = report.tick - self._begin_tick if self._begin_tick is not None else 0
        spent = now - self._begin_ns
        self._begin_tick, self._measured = report.tick, True
        if ticks > 10_000 and 0 < spent < SUSPEND_NS:
            rate = spent / ticks
            self._nominal = rate if not self._nominal else 0.7 * self._nominal + 0.3 * rate

    def _setting(self, base: int, now: int, suspended: int) -> ClockSetting:
        nominal = self._nominal or NOMINAL_GUESS
        slew = 1 + (now - base) / BUSY_INTERVAL_NS
        rate = nominal * min(2.0, max(0.5, slew))
        steps = max(1, round(rate * (1 << MUL_SHIFT) / MUL_STEP))
        self._mul = min(MUL_MAX // MUL_STEP, steps) * MUL_STEP
        self._sent_ns = now
        return ClockSetting(base, self._mul, suspended)

    def budget(self) -> int:
        return min(BUDGET_MAX, max(BUDGET_MIN, int(SLICE_NS / (self._nominal or NOMINAL_GUESS))))


VIRTUAL_MUL = 4 << MUL_SHIFT  # 4 ns per tick: a machine of 250 million instructions per second


class VirtualClock:
    """Time that passes by ticks, and jumps to the next deadline when nothing can run."""

    def step_begin(self) -> None:
        pass

    def busy(self, report: Report) -> ClockSetting | None:
        return None

    def park_ns(self, report: Report, *, host_owes: bool) -> int | None:
        # No jump while file data is on its way: a timeout must not overtake it.
        return None if host_owes or report.deadline_ns == NO_DEADLINE else 0

    def budget(self) -> int:
        return BUDGET_MAX

    def leave_idle(
        self, report: Report, parked_ns: int | None, timed_out: bool
    ) -> ClockSetting | None:
        if not timed_out:
            return None
        return ClockSetting(max(report.now_ns, report.deadline_ns), VIRTUAL_MUL)
