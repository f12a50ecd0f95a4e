"""All roles of a machine under CPython: kernel and owner roles in the caller's event loop, one
thread per hart.

A further thread waits for the outbox and calls into the loop. Harts are never the main thread, and
whatever waits in C has let go of the GIL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from . import assets, verify
from .abi import Abi
from .clock import VIRTUAL_MUL, Clock, HostTime, Timekeeper, VirtualClock
from .code_store import CodeStore
from .errors import EbbError, ImageError, ImageMissing, InternalError, MemoryRefused
from .events import Log
from .host_directories import HostDirectories
from .image import images_with
from .image_store import Image, ImageStore, empty_index
from .kernel_role import KernelRole, Listener
from .order import RECORD, RING, SETTLE, OrderedRecordingPort, OrderLog
from .placement import IMAGE, MEMORY_LEAST, Options, Placement, about_chaos
from .policy import Rules, asked_kinds
from .port import JIT_THRESHOLD, JIT_THRESHOLD_KEPT, Control, Port, Seat
from .recording import DIGEST, META, PAGES, Entry, Landmarks, Recorder, RecordingPort, Tape
from .rewind.recorder import RunRecorder
from .rewind.resume import Beside, Snapshots
from .rewind.snapshots import Snapshot
from .stats import Stats, read_stats
from .thread_role import HartThread
from .wasmtime_jit import Compiler, store_folder
from .wasmtime_kernel import WASM_PAGE, KernelModule, SharedMemory
from .wasmtime_port import OutboxWatcher, WasmtimeHostPort, WasmtimePort

SWITCH_INTERVAL_S = 1e-4  # with the default, a hart's 40 us call takes 5 ms while other Python runs
PATIENCE_S = 60.0  # with a hart that is to leave its step, or to end
FREEZE_LOOK_S = 0.0005


def _build_known(name: str, store: ImageStore, options: Options) -> bool:
    """Build an image that has a list and was not built yet; False if it is not known."""
    from .image import ImageError as BuildError
    from .image import ensure_image
    from .image.lock import known_images

    if name not in known_images():
        return False
    try:
        ensure_image(name, store.root, options.on_progress or (lambda what, done, total: None))
    except BuildError as error:
        raise ImageError(str(error)) from error
    return True


def _unseen(record: bytes) -> None:
    """Nobody counts the records of a run that is not recorded."""


class NativePlacement(Placement):
    """One machine in this process."""

    abi: Abi

    def __init__(self, kernel: KernelModule | None = None, images: Path | None = None) -> None:
        self.kernel = kernel or KernelModule()
        self._images = images
        self.abi = self.kernel.abi
        self.recorder: Recorder | None = None
        self.memory_bytes = 0
        self._role: KernelRole | None = None
        self._mounts: HostDirectories | None = None
        self._harts: list[HartThread] = []
        self._seats: list[Seat] = []
        self._compiler: Compiler | None = None
        self._resting = asyncio.Lock()
        self._landmarks = Landmarks()  # for the last one: since when the machine runs
        self._order = threading.Lock()  # of deliveries and of what else is recorded
        self._verify = False
        self.on_verify: Callable[[int, int], None] = lambda tick, end: None
        self.verified: tuple[int, int] | None = None  # ticks, and how often all pages were compared
        self._panicked = False
        self._watcher: threading.Thread | None = None
        self._closing = False
        self._store: ImageStore | None = None
        self._image_name: str | None = None
        self._snapshots: Snapshots | None = None
        self._begun: Snapshot | None = None
        self._log: OrderLog | None = None  # if several harts are recorded

    @classmethod
    def beginning(cls, snapshot: str | None) -> Self:
        """Make one for a machine that is booted, or that goes on from a snapshot: by its kernel."""
        if snapshot is None:
            return cls()
        snapshots = Snapshots()
        found = snapshots.find(snapshot)
        placement = cls(snapshots.kernel(found))
        placement._snapshots, placement._begun = snapshots, found
        return placement

    def refuse_other(self, image: str) -> None:
        """Raise ValueError if the snapshot that is gone on from is of another image than this one."""
        if self._begun is None:
            return
        own = Beside.of(self._begun).image
        store = ImageStore(self._images or assets.images_folder())
        if image != own and (own is None or store.load(image).hash != store.load(own).hash):
            raise ValueError(f"the snapshot is of image {own}, not of {image}; leave the image out")

    def _image_begun(self, asked: str | None, beside: Beside) -> str | None:
        if asked not in (None, IMAGE):  # which is what is given if none is
            self.refuse_other(asked)
        return beside.image

    def left_over(self) -> tuple[int, tuple[int, ...]]:
        assert self._begun
        beside = Beside.of(self._begun)
        return beside.last_call, beside.calls

    async def start(self, options: Options, listener: Listener) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        beside = self._beside(options)
        if beside:
            options = replace(options, image=self._image_begun(options.image, beside))
        image = await self._image(options)
        cores = beside.harts if beside else os.cpu_count() or 1
        harts = options.harts_wanted(cores)
        self.memory, ram = self._memory(beside.ram if beside else options.memory)
        if beside and ram != beside.ram:
            raise MemoryRefused(f"the snapshot's machine has {beside.ram >> 20} MiB")
        self.memory_bytes = ram
        self.port = WasmtimeHostPort(self.kernel, self.memory)
        self.port.attach(ram // self.abi.const["PAGE_SIZE"], harts)
        if options.mounts:
            self._mounts = HostDirectories(self.abi, options.mounts, options.limits.disk)
            self._mounts.on_full = partial(listener.limit, "disk")
        self._verify = options.jit == "verify"
        self.recorder = self._recorder(options, image, harts)
        if self._mounts and isinstance(self.recorder, RunRecorder):
            self._mounts.on_program = self.recorder.program
        self._role = KernelRole(self.port, listener, self._store, self._mounts, self._seen())
        self._seats = [self.port.seat(hart) for hart in range(harts)]
        host = HostTime(begin_ns=beside.now_ns if beside else 0)
        if beside:
            self._resume(options, beside, harts)
        else:
            self._ordered(harts)
            self._boot(options, image, ram, harts)
        self._watch()
        if options.jit != "off":
            store, threshold = None, JIT_THRESHOLD
            if self._verify:
                threshold = verify.THRESHOLD
            elif options.keep_code and not options.jit_dump:
                store = CodeStore(store_folder(self.kernel, harts))
                threshold = JIT_THRESHOLD_KEPT
            threshold = options.jit_threshold or threshold
            self._compiler = Compiler(
                self.kernel,
                threshold=threshold,
                store=store,
                dump=Path(options.jit_dump) if options.jit_dump else None,
                on_refused=self._refused,
            )
        for seat in self._seats:
            clock: Timekeeper = Clock(host) if options.time == "host" else VirtualClock()
            self._hart(seat, clock, options)

    def _recorder(self, options: Options, image: Image | None, harts: int) -> Recorder | None:
        if self._verify:
            if options.record:
                raise ValueError('jit="verify" keeps a recording of its own; ask for one of them')
            return Tape(self.kernel.hash)
        if options.record is not True:
            return options.record or None
        about = {
            "image": image.name if image else None,
            "image_hash": image.hash if image else None,
            "started": time.time(),
            "platform": "native",
            "harts": harts,
            **self._started(),
            **about_chaos(options),
            **options.about,
        }
        kernel = self.kernel.hash, self.kernel.path
        mounts = [(one.guest, os.path.abspath(one.host)) for one in options.mounts]
        return RunRecorder(
            assets.runs_folder(), self.abi, kernel, about, self._refused, {"mounts": mounts}
        )

    def _seen(self) -> Callable[[bytes], None]:
        return self.recorder.output if isinstance(self.recorder, RunRecorder) else _unseen

    def _beside(self, options: Options) -> Beside | None:
        if self._begun is None:
            return None
        beside = Beside.of(self._begun)
        if options.jit == "verify":
            raise ValueError('jit="verify" begins with the boot, and not with a snapshot')
        return beside

    def _ordered(self, harts: int) -> None:
        """Have the order of what several harts do written down, if they are recorded."""
        if self.recorder is not None and harts > 1:
            log = self.port.order(RECORD, RING)
            self._log = OrderLog(self.abi, self.memory, log, self.recorder)

    def _resume(self, options: Options, beside: Beside, harts: int) -> None:
        """Go on from a snapshot: another machine than any before, and later."""
        assert self._role and self._begun and self._snapshots
        base, page = self.abi.const["MACHINE_BASE"], self.abi.const["PAGE_SIZE"]
        self._snapshots.restore(self._begun, self.memory, base, page)
        if max(harts, beside.harts) > 1:
            self.port.order(SETTLE, 0)  # other harts than before
            self._ordered(harts)
        if self.recorder is not None:
            self._record_pages(self.recorder, base, page)
        events, slept = self._role.events, 0
        if options.time == "host":
            slept = max(0, time.time_ns() - beside.realtime_ns)
        self.post(events.clock(beside.now_ns, VIRTUAL_MUL, slept))
        if options.reseed:
            self.post(events.reseed(options.seed or secrets.token_bytes(32)))
        self._rules(options)
        for record in beside.owed:
            self._role.serve(bytes.fromhex(record))

    def _record_pages(self, recorder: Recorder, base: int, page: int) -> None:
        """Write down the machine that this one goes on from."""
        from .rewind.wasmtime_stage import pages_of

        if not isinstance(recorder, RunRecorder):  # which has said so already
            recorder.append(Entry(META, 0, json.dumps(self._started()).encode()))
        for at, piece in pages_of(self.port).pieces.items():
            number = ((at - base) // page).to_bytes(4, "little")
            recorder.append(Entry(PAGES, self._begin_tick, number + piece))

    def _started(self) -> dict[str, object]:
        """Return what a tape says of the machine that this one goes on from."""
        if self._begun is None:
            return {}
        about, tick = self._begun.about, self._begun.tick
        return {"start": {**about, "snapshot": self._begun.id, "tick": tick}}

    @property
    def _begin_tick(self) -> int:
        return self._begun.tick if self._begun else 0

    async def snapshot(
        self, ping: Callable[[], Awaitable[tuple[int, tuple[int, ...]]]], options: Options
    ) -> str:
        assert self._role
        while True:
            await self._role.idle()
            asked = self._role.answered
            last, waiting = await ping()
            async with self._at_rest():
                self._role.drain()
                if self._role.answered == asked:  # else an answer may lie in the inbox
                    return self._take(options, last, waiting)

    def _take(self, options: Options, last: int, waiting: tuple[int, ...]) -> str:
        self._snapshots = self._snapshots or Snapshots()
        layout, at = self.abi.structs["report"], self._seats[0].report
        now = layout.integer(self.port.read(at, layout.size), "now_ns")
        beside = Beside(
            ram=self.memory_bytes,
            harts=len(self._seats),
            now_ns=now,
            realtime_ns=time.time_ns() if options.time == "host" else now,
            image=self._image_name,
            last_call=last,
            calls=waiting,
            run=getattr(self.recorder, "id", None),
        )
        taken = self._snapshots.take(self.kernel, self.memory, self.port, self._tick(), beside)
        return taken.id

    def _boot(self, options: Options, image: Image | None, ram: int, harts: int) -> None:
        assert self._role
        events = self._role.events
        self.post(
            events.boot(
                ram_bytes=ram,
                realtime_ns=time.time_ns() if options.time == "host" else 0,
                cpus=options.cpus or harts,
                harts=harts,
                seed=options.seed or secrets.token_bytes(32),
                hostname=options.hostname,
                index=image.index if image else empty_index(),
                strace=options.strace,
                ordered=self._log is not None,
            )
        )
        self.post(events.clock(0, VIRTUAL_MUL))  # a guess, until a hart has measured
        self._rules(options)

    def _rules(self, options: Options) -> None:
        """Say what the guest may do, and what is to go wrong."""
        assert self._role
        events = self._role.events
        clone, exec = asked_kinds(options.policy)
        self.post(events.limits(options.limits, clone=clone, exec=exec))
        if options.chaos:
            self.post(events.chaos(*options.chaos.event(self.abi)))

    def _hart(self, seat: Seat, clock: Timekeeper, options: Options) -> None:
        recorder, kernel = self.recorder, self.kernel
        memory, compiler = self.memory, self._compiler

        def make_port() -> Port:
            port = WasmtimePort(kernel, memory, seat, compiler)
            if recorder is None:
                return port
            if self._verify:
                return verify.VerifyPort(port, recorder)
            if self._log is not None:
                return OrderedRecordingPort(port, recorder, self._order, self._log)
            paged = port if isinstance(recorder, RunRecorder) else None
            return RecordingPort(port, recorder, self._order, tick=self._begin_tick, paged=paged)

        thread = HartThread(
            f"ebb-hart-{seat.hart}",
            make_port,
            clock,
            options.policy or Rules(),
            self._hart_ended,
            options.budget,
        )
        self._harts.append(thread)
        thread.start()

    async def _image(self, options: Options) -> Image | None:
        if options.image is None:
            return None
        self._store = ImageStore(self._images or assets.images_folder())
        try:
            image = self._store.load(options.image)
        except ImageMissing:
            if not await asyncio.to_thread(_build_known, options.image, self._store, options):
                raise
            image = self._store.load(options.image)
        self._image_name = image.name
        return image

    def _memory(self, wanted: int) -> tuple[SharedMemory, int]:
        base = self.abi.const["MACHINE_BASE"]
        most = self.kernel.memory_max * WASM_PAGE - base
        ram = min(wanted, most) // WASM_PAGE * WASM_PAGE
        while True:
            try:
                return SharedMemory(self.kernel, (base + ram) // WASM_PAGE), ram
            except MemoryRefused:
                if ram // 2 < MEMORY_LEAST:
                    raise
                ram = ram // 2 // WASM_PAGE * WASM_PAGE

    # ---- The outbox ------------------------------------------------------------------------------

    def _watch(self) -> None:
        watcher = OutboxWatcher(self.kernel, self.memory)

        def watch() -> None:
            seen = 0
            while not self._closing:
                bell = watcher.bell()
                if bell != seen:
                    seen = bell
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        self._loop.call_soon_threadsafe(self._drain)
                watcher.wait(seen)

        self._watcher = threading.Thread(target=watch, name="ebb-outbox", daemon=True)
        self._watcher.start()

    def _drain(self) -> None:
        if self._role and not self._closing:
            self._role.drain()

    def post(self, event: bytes) -> None:
        if self._role and not self._closing:
            self._role.post(event)

    # ---- Stopping --------------------------------------------------------------------------------

    def _hart_ended(self, failure: EbbError | None) -> None:
        if failure is not None:
            self._panicked = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._failed, failure)

    def _refused(self, text: str) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._listener.log, Log("ERROR", text))

    def _failed(self, failure: EbbError) -> None:
        with contextlib.suppress(EbbError):  # what the kernel said before it stopped, if it can
            self._drain()
        self._listener.panicked(failure)

    async def hint(self, command: str) -> str | None:
        others = [name for name in images_with(command) if name != self._image_name]
        return others[0] if others else None

    @contextlib.asynccontextmanager
    async def _at_rest(self) -> AsyncIterator[None]:
        """Hold all harts outside their steps, with no event on the tape and not yet delivered."""
        async with self._resting:
            with self._order:  # harts take it for a moment, and never wait while they have it
                async with self._frozen():
                    yield

    @contextlib.asynccontextmanager
    async def _frozen(self) -> AsyncIterator[None]:
        for seat in self._seats:
            self.port.control_set(seat, Control.FREEZE)
        try:
            await self._freeze()
            yield
        finally:
            if not self._closing:
                self.port.freeze(False)
                for seat in self._seats:
                    self.port.control_set(seat, Control.RUN)

    async def _freeze(self) -> None:
        """Wait until no hart is inside a step: here, for no other thread may be in our instance."""
        end = time.monotonic() + PATIENCE_S
        while self.port.freeze(True):
            if time.monotonic() > end:
                raise InternalError("a hart does not leave its step")
            await asyncio.sleep(FREEZE_LOOK_S)

    async def stats(self) -> Stats:
        async with self._at_rest():  # a hart's report is that of its last step
            return read_stats(self.port, self._seats)

    async def digest(self) -> bytes:
        async with self._at_rest():
            digest = self.port.digest()
            if self.recorder is not None:
                self._note(self.recorder, digest)
        return digest

    def _tick(self, name: str = "tick") -> int:
        layout = self.abi.structs["report"]
        raw = (self.port.read(seat.report, layout.size) for seat in self._seats)
        return max(layout.integer(one, name) for one in raw)

    def _moment(self) -> int:
        return self._tick("moment")

    def _note(self, recorder: Recorder, digest: bytes) -> None:
        noted = self.port.page_hashes() if self._verify else digest
        if self._log is not None:
            self._log.rest(self._moment())
        recorder.append(Entry(DIGEST, self._moment(), noted))

    async def close(self) -> None:
        if self._closing or self._role is None:
            self._closing = True
            return
        self._closing = True
        self._role.close()
        for seat in self._seats:
            self.port.control_set(seat, Control.STOP)
        self.port.freeze(True)
        self.port.bell_ring()
        threads = [*self._harts, *([self._watcher] if self._watcher else [])]
        for thread in threads:
            await asyncio.to_thread(thread.join, PATIENCE_S)
        if self._mounts:
            self._mounts.close()
        if self._snapshots:
            self._snapshots.close()
        if any(thread.is_alive() for thread in threads):
            raise InternalError("a hart did not stop")
        if self._compiler is not None:
            self._compiler.close()
        if self._log is not None:
            self._log.rest(self._moment())
        if isinstance(self.recorder, RunRecorder):
            for record in self.port.outbox():
                self.recorder.output(record)
            if not self._panicked and self._landmarks.due(self.port, last=True):
                self.recorder.append(Entry(DIGEST, self._moment(), self.port.page_hashes()))
            end: dict[str, object] = {"reason": "panic" if self._panicked else "closed"}
            if injected := self.port.injected():
                end["injected"] = injected
            await asyncio.to_thread(self.recorder.close, self._moment(), end)
        if self._verify and isinstance(self.recorder, Tape) and not self._panicked:
            self._note(self.recorder, b"")
            times = await asyncio.to_thread(
                verify.verify, self.kernel, self.recorder, self.memory_bytes, self.on_verify
            )
            self.verified = self.recorder.entries[-1].tick, times
