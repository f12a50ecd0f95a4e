"""jit="verify": what ran with compiled code is run again by the interpreter alone, and every machine
page must come out the same.

A `VerifyPort` records the run and notes each page's hash every so many ticks; `verify` replays the
tape in a fresh memory and compares.
"""

from __future__ import annotations

from collections.abc import Callable

from .abi import Status
from .errors import InternalError, JitDiffers
from .recording import Recorder, RecordingPort, ReplayDiverged, ReplayDriver, Tape
from .wasmtime_kernel import WASM_PAGE, KernelModule, SharedMemory
from .wasmtime_port import WasmtimeHostPort, WasmtimePort

FIRST_TICKS = 1_000_000  # the first look; each next one comes later by a half, for looking costs
THRESHOLD = 32  # entries: much is compiled, for the sake of what may be wrong in it
TICKS_MOST = 100_000_000
SLICE = 1 << 24  # ticks between two words of how far the interpreter is


class VerifyPort(RecordingPort):
    """A recording port that also writes down, every so many ticks, what the machine is."""

    def __init__(self, port: WasmtimePort, recorder: Recorder) -> None:
        super().__init__(port, recorder)
        self._hart = port
        self._next = self._interval = FIRST_TICKS

    def step(self, budget: int) -> Status:
        status = super().step(min(budget, max(1, self._next - self._tick)))
        if self._tick >= self._next and status is not Status.PANIC:
            self.note()
            self._interval = min(TICKS_MOST, self._interval * 3 // 2)
            self._next = self._tick + self._interval
        return status

    def note(self) -> None:
        """Write down each page's hash at this tick."""
        self.digest(self._hart.page_hashes())

    def jit_install(self, module: int) -> None:
        super().jit_install(module)
        self._hart.jit_settle()  # much runs compiled, and the same code in each run of a tape


def verify(
    kernel: KernelModule,
    tape: Tape,
    ram: int,
    on_progress: Callable[[int, int], None] = lambda tick, end: None,
) -> int:
    """Replay a tape of VerifyPort with the interpreter; returns how often the pages were compared.

    Raises JitDiffers with the tick and the first page that differs.
    """
    base, size = kernel.abi.const["MACHINE_BASE"], kernel.abi.const["PAGE_SIZE"]
    memory = SharedMemory(kernel, (base + ram) // WASM_PAGE)
    host = WasmtimeHostPort(kernel, memory)
    host.attach(ram // size, 1)
    port = WasmtimePort(kernel, memory, host.seat(0))

    def drain() -> None:
        for _ in host.outbox():
            pass

    def budget() -> int:
        on_progress(driver.tick, tape.entries[-1].tick)
        return SLICE

    driver = ReplayDriver(
        port,
        tape.entries,
        digest=host.digest,
        page_hashes=port.page_hashes,
        drain=drain,
        budget=budget,
    )
    try:
        driver.run()
    except ReplayDiverged as difference:
        raise JitDiffers(f"compiled code and interpreter differ: {difference}") from difference
    except InternalError as error:
        raise JitDiffers(f"the interpreter did not get through at all: {error}") from error
    return driver.digests
