"""The event loop of the kernel worker: Pyodide's, but callbacks that are due run together.

Pyodide schedules each callback as a task of the browser, which costs 0.2 ms a piece; a system call on behalf of the
page is a dozen of them. Here one microtask runs all that is ready, and what they make ready, up to a limit
after which messages and timers get their turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from pyodide.ffi import create_proxy
from pyodide.webloop import WebLoop

T = TypeVar("T")
CALLBACKS_MOST = 1000  # in one microtask


class BatchLoop(WebLoop):  # type: ignore[misc]
    """`soon` and `later` are JavaScript: call back in a microtask, in a task of its own."""

    def __init__(self, soon: Any, later: Any) -> None:
        super().__init__()  # also makes it the running loop
        self._soon = soon
        self._later = later
        self._ready: deque[asyncio.Handle] = deque()
        self._scheduled = False
        self._drain_proxy = create_proxy(self._drain)

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context=context)
        self._ready.append(handle)
        if not self._scheduled:
            self._scheduled = True
            self._soon(self._drain_proxy)
        return handle

    def create_task(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        # Pyodide's own reports an exception before those who await the task have seen it.
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if delay == 0:
            return self.call_soon(callback, *args, context=context)
        handle: asyncio.Handle = super().call_later(delay, callback, *args, context=context)
        return handle

    def _drain(self) -> None:
        self._install_running_loop()
        self._install_asyncgen_hooks()
        ready = self._ready
        for _ in range(CALLBACKS_MOST):
            if not ready:
                self._scheduled = False
                return
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
        self._later(self._drain_proxy)
