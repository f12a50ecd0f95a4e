"""The step-and-status loop of a thread role: step, act on the status, park.

One exhaustive `match` over Status decides everything. There is no I/O and no event loop in it: it
talks to a Port, asks a Timekeeper and a Policy, and tells a Watcher. It runs unchanged in Pyodide
and in CPython, and in unit tests against a scripted port.
"""

from __future__ import annotations

import enum
from typing import Protocol, assert_never

from .abi import Status
from .clock import ClockSetting, Timekeeper
from .events import Events
from .policy import Policy
from .port import Control, Port, Report, Wake

PANIC_TEXT_MAX = 4096


class Turn(enum.Enum):
    """How a turn of the loop ended."""

    AGAIN = enum.auto()
    STOPPED = enum.auto()  # the control word said so
    PANICKED = enum.auto()  # the kernel did


class Watcher(Protocol):
    """Who is told what a hart saw; never answers."""

    def exited(self, report: Report) -> None:
        """A process that the host started ended."""

    def refused(self, report: Report, error: str) -> None:
        """The policy refused a clone or an exec."""

    def panicked(self, report: Report, message: str) -> None:
        """The kernel stopped on a bug of ours; memory is kept."""


class Loop:
    """One hart's loop; `run` returns when it is stopped or the kernel panics."""

    def __init__(
        self,
        port: Port,
        clock: Timekeeper,
        policy: Policy,
        watcher: Watcher,
        *,
        budget: int | None = None,
    ) -> None:
        self.port = port
        self.clock = clock
        self.policy = policy
        self.watcher = watcher
        self.events = Events(port.abi)
        self._budget = budget
        self.turns = 0

    def run(self) -> Turn:
        """Turn until there is a reason not to."""
        while (turn := self.turn()) is Turn.AGAIN:
            pass
        return turn

    def turn(self) -> Turn:
        """Deliver mail, step once, act on the status."""
        self.turns += 1
        control = self.port.control()
        if control is Control.STOP:
            return Turn.STOPPED
        if control is Control.RUN:
            while (event := self.port.mail_take()) is not None:
                self.port.deliver(event)
        self.clock.step_begin()
        status = self.port.step(self._budget or self.clock.budget())
        report = self.port.report()
        match status:
            case Status.READY:
                self._ready(report)
            case (
                Status.FUTEX_WAIT
                | Status.PIPE_WAIT
                | Status.EPOLL_WAIT
                | Status.SOCKET_WAIT
                | Status.TTY_WAIT
                | Status.CHILD_WAIT
                | Status.VFORK_WAIT
                | Status.SLEEP
            ):
                self._idle(report, self.clock.park_ns(report, host_owes=False))
            case Status.FS_WAIT:  # the request stands in the outbox, whose bell has rung
                self._idle(report, self.clock.park_ns(report, host_owes=True))
            case Status.CLONE_SPAWN:
                self._admit(report, self.policy.clone(report))
            case Status.EXECVE_SPAWN:
                self._admit(report, self.policy.exec(report))
            case Status.JIT_READY:
                self.port.jit_install(report.detail)
            case Status.EXITED:
                self.watcher.exited(report)
            case Status.PANIC:
                self.watcher.panicked(report, self._panic_text(report))
                return Turn.PANICKED
            case _:
                assert_never(status)
        return Turn.AGAIN

    def _ready(self, report: Report) -> None:
        # Read again: a thaw between the first look and the step would ring before `seen` was taken.
        match self.port.control():
            case Control.RUN if not report.tick:
                pass  # another hart is still booting the machine: there is no clock to set
            case Control.RUN:
                self._deliver_clock(self.clock.busy(report))
            case Control.FREEZE:
                self.port.park(report.seen, None)
            case Control.STOP:
                pass

    def _idle(self, report: Report, timeout_ns: int | None) -> None:
        if self.port.control() is not Control.RUN:
            return  # set before the step took `seen`: its ring would not end the park
        at_once = timeout_ns == 0
        wake = Wake.TIMED_OUT if at_once else self.port.park(report.seen, timeout_ns)
        if self.port.control() is Control.RUN:  # a frozen machine's memory does not change
            timed_out = wake is Wake.TIMED_OUT
            self._deliver_clock(self.clock.leave_idle(report, timeout_ns, timed_out))

    def _admit(self, report: Report, error: str | None) -> None:
        number = -self.port.abi.errno[error] if error else 0
        self.port.deliver(self.events.admit(report.tid, report.call_seq, number))
        if error:
            self.watcher.refused(report, error)

    def _deliver_clock(self, setting: ClockSetting | None) -> None:
        if setting is not None:
            self.port.deliver(self.events.clock(setting.base_ns, setting.mul, setting.suspend_ns))

    def _panic_text(self, report: Report) -> str:
        if not report.detail:
            return "no message"
        text = self.port.read(report.detail, PANIC_TEXT_MAX)
        return text.partition(b"\0")[0].decode(errors="replace")
