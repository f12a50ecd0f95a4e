"""Two machines in lock-step over one tape: the reference interprets, the other runs compiled code.

Both get the same events at the same ticks and the same budgets; after each step every machine page in
use must be equal. `record` makes the tape by running programs in a machine that only interprets.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import wasmtime

from ebbtide import Machine
from ebbtide.abi import Status
from ebbtide.recording import EVENT, Tape
from ebbtide.wasmtime_jit import Compiled, Compiler, Job, features
from ebbtide.wasmtime_kernel import WASM_PAGE, Instance, KernelModule, SharedMemory
from ebbtide.wasmtime_port import WasmtimeHostPort, WasmtimePort

RAM = 128 << 20
SEED = bytes(range(32))
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t]


class AtOnce(Compiler):
    """Compiles a module when it is asked to, and equal bytes only once. `warm` is what an earlier
    run has kept, `keeps` what this one does: modules by record. `for_later`: more is compiled for that.
    """

    for_later = False

    def __init__(
        self,
        kernel: KernelModule,
        threshold: int,
        warm: dict[bytes, wasmtime.Module] | None = None,
        for_later: bool = False,
    ) -> None:
        self.kernel = kernel
        self.for_later = for_later  # type: ignore[misc]
        self.keeps: dict[bytes, wasmtime.Module] = {}
        self._warm = list((warm or {}).items())
        self.live: list[tuple[int, int]] = []
        self.known: dict[bytes, wasmtime.Module] = kernel.__dict__.setdefault("known", {})
        self.dump = None
        self.features = features(kernel)
        self.threshold = threshold
        self.refused: list[str] = []
        self.on_refused = self.refused.append

    def submit(self, job: Job) -> None:
        module, error = self.known.get(job.code), ""
        if module is None:
            try:
                module = self.known[job.code] = wasmtime.Module(self.kernel.engine, job.code)
            except wasmtime.WasmtimeError as failure:
                error = str(failure)
        job.reply.put(Compiled(job, module, error, 0))
        if module is not None and job.record:
            self.keeps[job.record] = module

    def used(self, module: wasmtime.Module) -> None:
        pass

    def kept(self, number: int) -> wasmtime.Module | None:
        return self._warm[number][1]

    def records(self, instance: Instance) -> tuple[int, int]:
        """Half of them at first, the others one by one, as if another hart had just compiled them."""

        def put(data: bytes) -> tuple[int, int]:
            at = instance.call("k_mail_alloc", len(data))
            instance.memory.write(at, data)
            return at, len(data)

        half = (len(self._warm) + 1) // 2
        self.live += [put(record) for record, _ in self._warm[half:]]
        return put(b"".join(record for record, _ in self._warm[:half])) if half else (0, 0)

    def share(self, instance: Instance, record: bytes, module: wasmtime.Module) -> None:
        pass

    def close(self) -> None:
        pass


class Differs(AssertionError):
    """Compiled code and the interpreter made different machines."""


@dataclass
class Recorded:
    """A tape, and at which of its entries each named part begins."""

    tape: Tape
    ram: int
    parts: list[tuple[int, str]] = field(default_factory=list)

    def part(self, entry: int) -> str:
        """Name the part that is under way at an entry."""
        return next((name for at, name in reversed(self.parts) if at <= entry), "boot")


def record(
    body: Callable[[Machine, Callable[[str], None]], Awaitable[None]],
    *,
    image: str | None = None,
    ram: int = RAM,
) -> Recorded:
    """Run `body(machine, mark)` in a machine that interprets; mark(name) begins a part."""

    async def run() -> Recorded:
        tape = Tape()
        options: dict[str, Any] = {"memory": ram, "seed": SEED, "record": tape, "time": "virtual"}
        async with await Machine.boot(image, jit="off", **options) as machine:
            done = Recorded(tape, ram)
            await body(machine, lambda name: done.parts.append((len(tape.entries), name)))
            await machine.digest()  # the tape goes on to here
            return done

    return asyncio.run(run())


class Side:
    """One of the two machines."""

    def __init__(self, kernel: KernelModule, ram: int, compiler: Compiler | None) -> None:
        base = kernel.abi.const["MACHINE_BASE"]
        self.memory = SharedMemory(kernel, (base + ram) // WASM_PAGE)
        self.host = WasmtimeHostPort(kernel, self.memory)
        self.host.attach(ram // kernel.abi.const["PAGE_SIZE"], 1)
        self.port = WasmtimePort(kernel, self.memory, self.host.seat(0), compiler)
        self.address = ctypes.addressof(self.memory.memory.data_ptr().contents)
        self.page, self.base = kernel.abi.const["PAGE_SIZE"], base
        self.modules: list[bytes] = []
        self._layout = kernel.abi.structs["jit_module"]
        self._instance = self.host._instance
        self.tick = 0
        self.rested = 0  # modules made while nothing ran

    def advance(self, tick: int) -> None:
        """Step to a tick, or to the end of the pass it falls in; modules are installed at once."""
        while (before := self.tick) < tick:
            status = self.port.step(tick - before)
            after = self.port.report()
            self.tick = after.tick
            for _ in self.host.outbox():
                pass
            if status is Status.PANIC:
                raise Differs(f"the kernel panicked at tick {after.tick}")
            if status is Status.JIT_READY:
                module = self._layout.integers(self.memory.read(after.detail, self._layout.size))
                if not module["kept"]:
                    self.modules.append(self.memory.read(module["bytes"], module["len"]))
                self.port.jit_install(after.detail)
                self.port._code.install_all()
            elif after.tick == before and status not in (Status.READY, Status.EXITED):
                raise Differs(f"{status.name} at tick {before}, where the tape runs on to {tick}")
        code = self.port._code
        while code is not None and code.rest():
            code.install_all()
            self.rested += 1

    def span(self) -> list[tuple[int, int]]:
        """Give the address ranges of the machine pages in use."""
        heap, low, end = (self._instance.call("k_span", which) * self.page for which in range(3))
        return [(self.base, self.base + heap), (self.base + low, self.base + end)]

    def counters(self) -> dict[str, int]:
        """Read what compiled code has done."""
        return self.host.jit_counters(0)


def differences(one: Side, other: Side) -> Iterator[tuple[int, int, int]]:
    """Give each word of the machine that differs: address, and both values."""
    for start, end in one.span():
        for at in range(start, end, one.page):
            a, b = one.memory.read(at, one.page), other.memory.read(at, one.page)
            if a == b:
                continue
            for word in range(0, one.page, 8):
                if a[word : word + 8] != b[word : word + 8]:
                    left, right = (int.from_bytes(x[word : word + 8], "little") for x in (a, b))
                    yield at + word, left, right


def same(one: Side, other: Side) -> bool:
    """Compare all machine pages in use, byte by byte."""
    spans = one.span()
    return spans == other.span() and all(
        not _memcmp(one.address + start, other.address + start, end - start) for start, end in spans
    )


@dataclass
class Outcome:
    """What a lock-step run did."""

    steps: int
    ticks: int
    counters: dict[str, int]
    modules: list[bytes]
    keeps: dict[bytes, wasmtime.Module]  # for a later run to be warm
    rested: int  # of the modules, those made while nothing ran


def lockstep(
    kernel: KernelModule,
    recorded: Recorded,
    budget: Callable[[], int],
    *,
    threshold: int = 1,
    every: int = 1,
    start: int = 0,
    warm: dict[bytes, wasmtime.Module] | None = None,
    for_later: bool = False,
    feature: str = "",
) -> Outcome:
    """Run a tape on both machines; every so many steps, and before each event, all pages are compared.

    Whenever a machine rests, what is left in its queue is compiled. Entries before `start` are run with no budget at all.
    The engine is taken to have the feature, too.
    """
    compiler = AtOnce(kernel, threshold, warm, for_later)
    compiler.features |= kernel.abi.const.get(feature, 0)
    try:
        pure = Side(kernel, recorded.ram, None)
        compiled = Side(kernel, recorded.ram, compiler)
        steps = 0

        def compare(entry: int) -> None:
            if not same(pure, compiled):
                words = list(differences(pure, compiled))
                page = (words[0][0] - pure.base) // pure.page if words else -1
                text = "".join(f"\n  {at:#10x} {a:#018x} {b:#018x}" for at, a, b in words[:60])
                raise Differs(
                    f"{recorded.part(entry)}: by tick {pure.tick} (from {before}) "
                    f"page {page} differs; address, interpreted, compiled:{text}"
                )

        for number, entry in enumerate(recorded.tape.entries):
            while (before := pure.tick) < entry.tick:
                asked = budget() if number >= start else 1 << 31
                target = min(before + asked, entry.tick)
                sides = (pure, compiled)
                for side in sides:
                    try:
                        side.advance(target)
                    except Exception as error:
                        kind = "interpreted" if side is pure else "compiled"
                        raise Differs(f"{recorded.part(number)}: {kind}: {error}") from error
                steps += 1
                ticks = [side.tick for side in sides]
                if ticks[0] != ticks[1]:
                    raise Differs(f"{recorded.part(number)}: from tick {before} to ticks {ticks}")
                if steps % every == 0:
                    compare(number)
            if number:  # before the first, BOOT, there is no machine
                compare(number)
            if entry.kind == EVENT:
                pure.port.deliver(entry.data)
                compiled.port.deliver(entry.data)
        if compiler.refused:
            raise Differs(f"{len(compiler.refused)} modules were refused: {compiler.refused[0]}")
        return Outcome(
            steps,
            pure.tick,
            compiled.counters(),
            compiled.modules,
            compiler.keeps,
            compiled.rested,
        )
    finally:
        pure = compiled = None  # type: ignore[assignment]
        gc.collect()
