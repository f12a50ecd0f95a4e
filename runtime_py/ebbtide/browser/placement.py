"""A machine in a browser: kernel and owner roles in this worker, one worker for each hart.

The page makes memory and workers and compiles kernel.wasm, which JavaScript attaches; what is left to do here is to
hand out the seats, deliver BOOT and serve the outbox, whose doorbell is awaited without blocking.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from typing import Any

from ..clock import VIRTUAL_MUL
from ..errors import InternalError
from ..events import Events
from ..kernel_role import KernelRole, Listener
from ..order import RECORD, RING, SETTLE, OrderLog
from ..placement import Options, about_chaos
from ..policy import asked_kinds
from ..port import Control, Seat
from ..recording import DIGEST
from ..stats import Stats, read_stats
from .images import HttpImage
from .page_recording import PageRecording
from .pyodide_port import PyodideHostPort

PATIENCE_S = 60.0  # with a hart that is to leave its step; when all ends anyway:
CLOSE_PATIENCE_S = 2.0
FREEZE_LOOK_S = 0.001

Send = Callable[[dict[str, Any]], None]


class BrowserPlacement:
    """Runs the roles of one machine across the workers of a page."""

    def __init__(self, host: Any, send: Send, branch: dict[str, Any] | None = None) -> None:
        self._host = host
        self.branch = branch
        self._send = send
        self._port = PyodideHostPort(host.kernel)
        self.abi = self._port.abi
        self._role: KernelRole | None = None
        self._seats: list[Seat] = []
        self.recorder: PageRecording | None = None
        self._resting = asyncio.Lock()
        self._closing = False
        self._held: contextlib.AsyncExitStack | None = None
        self._log: OrderLog | None = None  # if several harts are recorded
        self._image_name: str | None = None

    async def start(self, options: Options, listener: Listener) -> None:
        """Let the harts take their seats, deliver BOOT."""
        harts = int(self._host.harts)
        ram_bytes = int(self._host.ramBytes)
        self._image_name = options.image
        order = 0
        image = await HttpImage.open(self._host.image)
        if self.branch and harts > 1:
            self._port.order(SETTLE, 0)
        if self._host.tape:
            about: dict[str, Any] = {
                "image": options.image,
                "started": time.time(),
                "platform": "browser",
                "args": [],
                **about_chaos(options),
            }
            if self.branch:
                about["start"] = {k: v for k, v in self.branch.items() if k != "blocks"}
            self.recorder = PageRecording(self.abi, self._host, about, self._send)
            self._port.on_post = self.recorder.posted
            if harts > 1:
                order = self._port.order(RECORD, RING)
                self._log = OrderLog(self.abi, self._port, order, self.recorder)
            if self.branch:
                await self._host.runs.copy(*self._port.span())
        seen = self.recorder.output if self.recorder else lambda record: None
        self._role = KernelRole(self._port, listener, image, seen=seen)
        if self.branch is None:
            self._post_boot(options, harts, ram_bytes, image.index())
        else:
            self._post_branch(self.branch, self._role, options)
        seats = (self._port.seat(hart) for hart in range(harts))
        self._seats = [replace(seat, order=order) for seat in seats]
        self._port.serve(self._role.drain)
        self._send({"type": "attached", "seats": [asdict(seat) for seat in self._seats]})

    def _post_branch(self, branch: dict[str, Any], role: KernelRole, options: Options) -> None:
        """Continue a machine from a moment: end what its host had asked for, bring what it had asked."""
        events = Events(self.abi)
        if "snapshot" in branch:  # its clock jumps to now
            slept = max(0, time.time_ns() - branch["realtime_ns"])
            self.post(events.clock(branch["now_ns"], VIRTUAL_MUL, slept))
            clone, exec = asked_kinds(options.policy)
            self.post(events.limits(options.limits, clone=clone, exec=exec))
        self.post(events.reseed(os.urandom(32)))
        for id in branch["calls"]:
            self.post(events.cancel(id))
        for data in branch["blocks"]:
            self.post(base64.b64decode(data))
        for record in branch["owed"]:
            role.serve(bytes.fromhex(record))

    def _post_boot(self, options: Options, harts: int, ram_bytes: int, index: bytes) -> None:
        events = Events(self.abi)
        boot = events.boot(
            ram_bytes=ram_bytes,
            realtime_ns=time.time_ns() - int(self._host.time.now()),  # when the harts' clock began
            cpus=options.cpus or harts,
            harts=harts,
            seed=options.seed or os.urandom(32),
            hostname=options.hostname,
            index=index,
            strace=options.strace,
            ordered=self._log is not None,
        )
        self.post(boot)
        clone, exec = asked_kinds(options.policy)
        self.post(events.limits(options.limits, clone=clone, exec=exec))
        if options.chaos:
            self.post(events.chaos(*options.chaos.event(self.abi)))

    def post(self, event: bytes) -> None:
        """Append an event to the inbox."""
        self._port.post(event)

    async def hint(self, command: str) -> str | None:
        """Name another image that has a command, if the page's folder lists what images have."""
        lists: dict[str, list[str]] = json.loads(await self._host.fetchCommands())
        return next((image for image, names in lists.items() if command in names), None)

    def counters(self) -> dict[str, Any]:
        """Return what the harts have done: their reports, and the kernel's own counters."""
        layout = self.abi.structs["report"]
        reports = [  # plain numbers: a hart that has not come yet has no status
            layout.integers(self._port.read(seat.report, layout.size)) for seat in self._seats
        ]
        inside = self._port.counters()
        return {
            "steps": [report["steps"] for report in reports],
            "retired": [report["retired"] for report in reports],
            "hartsInsideMax": inside["harts_inside_max"],
            "guestInsideMax": inside["guest_inside_max"],
        }

    @contextlib.asynccontextmanager
    async def _at_rest(self) -> AsyncIterator[None]:
        """Hold all harts outside their steps."""
        async with self._resting:
            self._control(Control.FREEZE)  # a hart that wakes delivers nothing
            held = False
            try:
                if not await self._freeze(PATIENCE_S):
                    raise InternalError("a hart does not leave its step")
                held = await self._hold(PATIENCE_S)
                yield
            finally:
                if held and self.recorder:
                    self.recorder.ring.release()
                if not self._closing:
                    self._port.freeze(False)
                    self._control(Control.RUN)

    async def _hold(self, patience_s: float) -> bool:
        """Wait until no event is on the tape and not yet delivered; then all of the order is there."""
        end = time.monotonic() + patience_s
        while self.recorder and time.monotonic() < end:
            if self.recorder.ring.try_hold():
                if self._log:
                    self.recorder.drain()
                    self._log.rest(self._moment())
                return True
            await asyncio.sleep(FREEZE_LOOK_S)
        return False

    async def stats(self) -> Stats:
        """Freeze, read what the harts have done, thaw: a hart's report is that of its last step."""
        async with self._at_rest():
            return read_stats(self._port, self._seats)

    async def digest(self) -> bytes:
        """Freeze, hash all machine pages, thaw."""
        async with self._at_rest():
            digest = self._port.digest()
            if self.recorder:
                self.recorder.note(DIGEST, self._moment(), digest)
            return digest

    # ---- Snapshots -------------------------------------------------------------------------------------------

    async def snapshot_begin(
        self, ping: Callable[[], Awaitable[tuple[int, tuple[int, ...]]]]
    ) -> dict[str, Any]:
        """Hold the machine still, with nothing on its way to it, until `snapshot_end`; say what is not
        in its pages.
        """
        assert self._role
        while True:
            await self._role.idle()
            asked = self._role.answered
            last, waiting = await ping()
            held = contextlib.AsyncExitStack()
            await held.enter_async_context(self._at_rest())
            self._role.drain()
            if self._role.answered == asked:  # else an answer may lie in the inbox
                break
            await held.aclose()
        self._held = held
        heap, low, pages = self._port.span()
        about = {
            "ram": int(self._host.ramBytes),
            "harts": len(self._seats),
            "now_ns": self._furthest("now_ns"),
            "realtime_ns": time.time_ns(),
            "image": self._image_name,
            "last_call": last,
            "calls": waiting,
            "owed": (),
            "run": self.recorder.id if self.recorder else None,
        }
        tick = self._furthest("tick")
        return {"heap": heap, "low": low, "pages": pages, "tick": tick, "about": about}

    async def snapshot_end(self) -> None:
        """Let the machine go on."""
        held, self._held = self._held, None
        if held:
            await held.aclose()

    # ---- Recording -------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Begin to keep what is recorded: the machine has booted."""
        if self.recorder:
            self.recorder.start()

    async def save_run(self) -> None:
        """Keep all of the run up to now."""
        if self.recorder and self._role:
            async with self._at_rest():
                self._role.drain()
                self.recorder.mark(self._moment())
            await self.recorder.flush()

    def started(self, args: list[str]) -> None:
        """Tell of a program that the page has started."""
        if self.recorder:
            self.recorder.started(args)

    def end_recording(self) -> None:
        """Record no more; the machine goes on."""
        if self.recorder:
            self.recorder.stop("it was turned off")

    def _furthest(self, name: str) -> int:
        """Return a field of the hart that is furthest; a hart's report is that of its last step."""
        layout = self.abi.structs["report"]
        raw = (self._port.read(seat.report, layout.size) for seat in self._seats)
        return max(layout.integer(one, name) for one in raw)

    def _moment(self) -> int:
        """Where the run is."""
        return self._furthest("moment")

    async def close(self) -> None:
        """Bring all harts out of the kernel and end their loops; then no worker minds being ended."""
        self._closing = True
        if self._role is not None:
            self._role.close()
        self._control(Control.STOP)
        at_rest = await self._freeze(CLOSE_PATIENCE_S)
        if self.recorder and at_rest and self._seats:
            for record in self._port.outbox():
                self.recorder.output(record)
            await self._hold(CLOSE_PATIENCE_S)
            self.recorder.mark(self._moment())
            await self.recorder.close({"reason": "closed"})

    async def _freeze(self, patience_s: float) -> bool:
        end = time.monotonic() + patience_s
        while self._port.freeze(True):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(FREEZE_LOOK_S)
        return True

    def _control(self, control: Control) -> None:
        for seat in self._seats:
            self._port.control_set(seat, control)
