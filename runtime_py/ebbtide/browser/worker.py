"""Entry of a browser worker: the two functions that sdk/src/worker/main.ts calls.

A thread worker takes its seat and turns its loop until it is stopped; it sends messages and never waits for
one. The kernel worker hosts the Machine and serves the page.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from typing import Any

from pyodide.ffi import create_proxy, to_js

from ..clock import Clock
from ..loop import Loop
from ..policy import policy_from
from ..port import Report, Seat
from .host_time import SharedTime
from .pyodide_port import PyodidePort


def post(host: Any, **message: Any) -> None:
    """Send a message to the page."""
    host.post(to_js(message, dict_converter=_object))


def _object(pairs: Any) -> Any:
    from js import Object

    return Object.fromEntries(pairs)


class _Watcher:
    """Tells the page of a panic; how processes end reaches the owner through the outbox."""

    def __init__(self, host: Any, hart: int) -> None:
        self._host = host
        self._hart = hart

    def exited(self, report: Report) -> None:
        pass

    def refused(self, report: Report, error: str) -> None:
        pass

    def panicked(self, report: Report, message: str) -> None:
        post(self._host, type="panic", hart=self._hart, report=f"{message}\n\n{report}")


def thread_main(host: Any) -> None:
    """Step one hart until it is stopped. Blocks this worker."""
    random.seed()  # a restored interpreter would repeat another worker's numbers
    seat = Seat(host.seat.hart, host.seat.stack, host.seat.report, host.seat.control)
    watcher = _Watcher(host, seat.hart)
    try:
        port = PyodidePort(host.kernel, seat)
        Loop(port, Clock(SharedTime(host.time)), policy_from(None), watcher).run()
    except BaseException:
        post(host, type="panic", hart=seat.hart, report=traceback.format_exc())


async def kernel_main(host: Any) -> Callable[[Any], None]:
    """Boot the machine; returns what takes the page's messages from now on."""
    random.seed()
    from .page_protocol import serve

    return create_proxy(await serve(host))
