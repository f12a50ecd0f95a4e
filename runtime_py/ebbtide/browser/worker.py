"""Entry of a browser worker: the two functions that sdk/src/worker/main.ts calls.

A thread worker takes its seat and turns its loop until it is stopped; it sends messages and never waits for
one. The kernel worker boots the Machine and serves the page.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

from pyodide.ffi import create_proxy, to_js

from ..chaos import chosen
from ..clock import Clock
from ..events import Log
from ..loop import Loop
from ..machine import Machine
from ..placement import JIT
from ..policy import Rules, limits_from, policy_from
from ..port import JIT_THRESHOLD_TIERED, Port, Report, Seat
from .event_loop import BatchLoop
from .host_time import SharedTime
from .page_protocol import PageProtocol, arguments, error_shape
from .placement import BrowserPlacement
from .pyodide_port import PyodidePort
from .tape_ring import OrderedRingPort, RingPort

Send = Callable[[dict[str, Any]], None]


def sender(host: Any) -> Send:
    """Return what sends a message to the page."""
    from js import Object  # not at import: a snapshot of this interpreter cannot hold it

    post, pairs = host.post, Object.fromEntries

    def send(message: dict[str, Any]) -> None:
        post(to_js(message, dict_converter=pairs))

    return send


# ---- Thread worker -----------------------------------------------------------------------------------------


class _Watcher:
    """Tells the page of a panic; how processes end reaches the owner through the outbox."""

    def __init__(self, send: Send, hart: int) -> None:
        self._send = send
        self._hart = hart

    def exited(self, report: Report) -> None:
        pass

    def refused(self, report: Report, error: str) -> None:
        pass

    def panicked(self, report: Report, message: str) -> None:
        self._send({"type": "panic", "hart": self._hart, "report": f"{message}\n\n{report}"})


def thread_main(host: Any) -> None:
    """Step one hart until it is stopped. Blocks this worker."""
    send = sender(host)
    seat = Seat(host.seat.hart, host.seat.stack, host.seat.report, host.seat.control)
    threshold = JIT_THRESHOLD_TIERED if (host.jit or JIT) == "on" else None
    port = PyodidePort(host.kernel, seat, threshold)
    try:
        clock = Clock(SharedTime(host.time))
        policy = policy_from(json.loads(host.policyJson)) or Rules()
        stepped: Port = port
        if host.tape:
            order = host.seat.order
            stepped = (
                OrderedRingPort(port, host.tape, order) if order else RingPort(port, host.tape)
            )
        Loop(stepped, clock, policy, _Watcher(send, seat.hart)).run()
    except BaseException:  # the top of a worker: becomes a message
        port.fail()
        send({"type": "panic", "hart": seat.hart, "report": traceback.format_exc()})


# ---- Kernel worker -----------------------------------------------------------------------------------------


def kernel_main(host: Any) -> Callable[[Any], None]:
    """Begin to boot the machine; returns what takes the page's messages once it is booted."""
    loop = BatchLoop(host.soon, host.later)
    service = loop.create_task(_boot(host, sender(host)))

    def take(message: Any) -> None:
        protocol = service.result()
        if protocol is not None:
            protocol.take(message.to_py())

    handler: Callable[[Any], None] = create_proxy(take)
    return handler


async def _boot(host: Any, send: Send) -> PageProtocol | None:
    config = json.loads(host.configJson)

    def log(record: Log) -> None:
        send({"type": "log", "level": record.level.lower(), "text": record.text})

    branch = json.loads(config["branch"]) if config["branch"] else None
    placement = BrowserPlacement(host, send, branch)
    send({"type": "progress", "stage": "boot", "done": 0, "total": 1, "unit": "steps"})
    try:
        with arguments():
            limits = limits_from(config["limits"])
            policy = policy_from(config["policy"], placement.abi.errno)
            drawn = chosen(config["chaos"], config["seed"])
        machine = await Machine.boot(
            config["image"],
            placement=placement,
            on_log=log,
            cpus=config["cpus"],
            env=config["env"],
            user=config["user"],
            limits=limits,
            policy=policy,
            record=config["record"],
            **drawn,
            jit=config["jit"] or JIT,
        )
    except Exception as error:  # the top of a worker: becomes a message
        send({"type": "failed", "error": error_shape(error)})
        return None
    send({"type": "progress", "stage": "boot", "done": 1, "total": 1, "unit": "steps"})
    send({"type": "booted"})
    placement.record()
    return PageProtocol(machine, placement, send)
