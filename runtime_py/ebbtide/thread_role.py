"""The thread role natively: an OS thread that takes a seat and turns its loop until stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .clock import Timekeeper
from .errors import EbbError, InternalError, MachinePanic
from .loop import Loop, Watcher
from .policy import Policy
from .port import Port, Report


class HartThread(threading.Thread, Watcher):
    """One hart. `on_end` is called in this thread, with what ended it or None."""

    def __init__(
        self,
        name: str,
        make_port: Callable[[], Port],
        clock: Timekeeper,
        policy: Policy,
        on_end: Callable[[EbbError | None], None],
        budget: int | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._make_port = make_port
        self._clock = clock
        self._policy = policy
        self._on_end = on_end
        self._budget = budget
        self._failure: EbbError | None = None
        self.refusals = 0

    def run(self) -> None:
        port: Port | None = None
        try:
            port = self._make_port()
            Loop(port, self._clock, self._policy, self, budget=self._budget).run()
        except EbbError as error:
            self._failure = error
        except Exception as error:  # the top of a worker: an exception becomes a message
            self._failure = InternalError(f"{self.name}: {type(error).__name__}: {error}")
            self._failure.__cause__ = error
        if self._failure is not None and port is not None:
            port.fail()
        self._on_end(self._failure)

    def exited(self, report: Report) -> None:
        """The owner role reaps by itself."""

    def refused(self, report: Report, error: str) -> None:
        self.refusals += 1

    def panicked(self, report: Report, message: str) -> None:
        fields = {"hart": self.name, **vars(report), "status": report.status.name}
        self._failure = MachinePanic(f"the kernel panicked: {message}", fields)
