"""Compiled guest code under wasmtime: modules are compiled in a thread of their own and installed
by the hart that asked for them.

Cranelift takes milliseconds for what an interpreter has done meanwhile, so a hart never waits: it
goes on, and takes what is ready before its next step. Nothing here is an event, and no machine page
depends on it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from . import assets, wasmtime_text
from .code_store import CodeStore
from .port import JIT_EARLY, JIT_SLOTS
from .wasmtime_kernel import Instance, KernelModule, step_back
from .wasmtime_pages import LargePages, make

LIVE_MOST = 1000  # modules of one hart that the others are told of: records lie in private memory
AHEAD = 8  # kept modules that are loaded beside one that was asked for: they were made one after the other
SAVE_MODULES = 64  # so many new ones are written away before the machine ends
SETTLED_S = 0.5  # after which large pages are made: a short program ends before

TAIL_CALL_WAT = """(module (type $t (func)) (table 1 funcref)
  (func (type $t) (return_call_indirect (type $t) (i32.const 0))))"""

MADD_WAT = """(module (func (export "madd") (param f64 f64 f64) (result f64)
  (f64x2.extract_lane 0 (f64x2.relaxed_madd (f64x2.splat (local.get 0))
    (f64x2.splat (local.get 1)) (f64x2.splat (local.get 2))))))"""
# 1 + 2^-27 squared is 1 + 2^-26 + 2^-54, of which an unfused product loses the last.
MADD_ARGS = (1 + 2.0**-27, 1 + 2.0**-27, -(1 + 2.0**-26))
MADD_FUSED = 2.0**-54


def features(kernel: KernelModule) -> int:
    """Ask the engine what compiled code may use: JIT_* of the border."""
    const, found = kernel.abi.const, 0
    try:
        wasmtime.Module.validate(kernel.engine, wasmtime.wat2wasm(TAIL_CALL_WAT))
        found |= const["JIT_TAIL_CALLS"]
    except wasmtime.WasmtimeError:
        pass
    try:
        store = wasmtime.Store(kernel.engine)
        module = wasmtime.Module(kernel.engine, MADD_WAT)
        madd = wasmtime.Instance(store, module, []).exports(store)["madd"]
        assert isinstance(madd, wasmtime.Func)
        if madd(store, *MADD_ARGS) == MADD_FUSED:
            found |= const["JIT_RELAXED_MADD"]
    except wasmtime.WasmtimeError:
        pass
    return found


def store_folder(kernel: KernelModule, harts: int) -> Path:
    """Name the folder of compiled code for this kernel, engine and number of harts."""
    version = importlib.metadata.version("wasmtime")
    name = f"{kernel.hash[:32]}-wasmtime-{version}-{os.uname().machine}-{features(kernel)}"
    return assets.cache_folder() / "code" / f"{name}-{'one' if harts == 1 else 'many'}"


@dataclass(frozen=True)
class Job:
    """One module on its way; `reply` belongs to the hart that asked."""

    id: int
    slot: int
    code: bytes
    reply: queue.SimpleQueue[Compiled]
    record: bytes = b""  # to keep it with; none: it is not kept
    arrived: Callable[[], None] = lambda: None  # ends the hart's step


@dataclass(frozen=True)
class Compiled:
    """A job that came back: a module, or why there is none."""

    job: Job
    module: wasmtime.Module | None
    error: str
    spent_ns: int


class Compiler:
    """The thread that compiles for all harts of a machine. `on_refused` is told what the engine
    says of a module that it does not take: a bug of ours.
    """

    def __init__(
        self,
        kernel: KernelModule,
        *,
        threshold: int,
        store: CodeStore | None = None,
        dump: Path | None = None,
        on_refused: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.kernel = kernel
        self.store = store
        self.dump = dump  # where what is compiled is written as text
        self.features = features(kernel) | (kernel.abi.const["JIT_LISTING"] if dump else 0)
        self.threshold = threshold
        self.on_refused = on_refused
        self._jobs: queue.SimpleQueue[Job | int | None] = queue.SimpleQueue()
        self._pages = LargePages()
        self._full: list[int] = []  # large pages to be made
        self._closed = False
        self._lock = threading.Lock()
        self._new: dict[bytes, bytes] = {}  # modules by record, to be kept
        self._loaded: dict[int, wasmtime.Module | None] = {}
        self._records_at: int | None = None
        self._harts = 0
        self.live: list[tuple[int, int]] = []  # records of new modules, for other harts to take
        self._asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="ebb-compiler", daemon=True).start()
        if store is not None and store.modules:
            threading.Thread(target=self._run_ahead, name="ebb-loader", daemon=True).start()

    def write_text(self, name: str, code: bytes, listing: str) -> None:
        """Write a module into the folder of --jit-dump; if that fails, no more of them."""
        if self.dump is None:
            return
        try:
            wasmtime_text.write(self.dump, name, code, listing)
        except OSError as error:
            self.on_refused(
                f"--jit-dump: {self.dump} cannot be written: {error.strerror}; "
                "what is compiled from now on is not in it"
            )
            self.dump = None

    def submit(self, job: Job) -> None:
        """Compile a module; the answer comes into the job's queue."""
        self._jobs.put(job)

    def used(self, module: wasmtime.Module) -> None:
        """A hart runs this module from now on."""
        with self._lock:
            full = self._pages.add(module)
        for place in full:
            self._jobs.put(place)

    def close(self) -> None:
        """Let the thread end after what it is compiling now; nobody waits for that."""
        self._closed = True
        self._jobs.put(None)
        self._asked.put(None)
        self._save()

    def _save(self) -> None:
        with self._lock:
            new, self._new = self._new, {}
            if self.store is not None:
                self.store.save(new)

    def kept(self, number: int) -> wasmtime.Module | None:
        """Load a module that was kept; None if that cannot be."""
        self._asked.put(number)
        return self._load(number)

    def _load(self, number: int) -> wasmtime.Module | None:
        if number not in self._loaded and self.store is not None:
            module, code = None, self.store.code(number)
            with contextlib.suppress(wasmtime.WasmtimeError):
                module = wasmtime.Module.deserialize(self.kernel.engine, code) if code else None
            with self._lock:
                self._loaded.setdefault(number, module)
        return self._loaded.get(number)

    def _run_ahead(self) -> None:
        step_back()
        assert self.store is not None
        while (number := self._asked.get()) is not None and not self._closed:
            for one in range(number + 1, min(number + AHEAD, len(self.store.modules))):
                self._load(one)

    def share(self, instance: Instance, record: bytes, module: wasmtime.Module) -> None:
        """Let the other harts have a module that one has asked for."""
        with self._lock:
            if self._harts < 2 or len(self.live) == LIVE_MOST:
                return
            if at := instance.call("k_mail_alloc", len(record)):
                instance.memory.write(at, record)
                self._loaded[self._first_live + len(self.live)] = module
                self.live.append((at, len(record)))

    @property
    def for_later(self) -> bool:
        """Tell whether later runs profit from what is compiled in this one."""
        return self.store is not None

    @property
    def _first_live(self) -> int:
        return len(self.store.modules) if self._records_at and self.store else 0

    def records(self, instance: Instance) -> tuple[int, int]:
        """Put the records of what is kept into private memory, once; where, and how long."""
        self._harts += 1
        if self.store is None or not (records := self.store.records()):
            return 0, 0
        with self._lock:
            if self._records_at is None:
                self._records_at = instance.call("k_mail_alloc", len(records))
                if self._records_at:
                    instance.memory.write(self._records_at, records)
            return self._records_at, len(records)

    def _run(self) -> None:
        step_back()
        due = 0.0
        while True:
            try:
                left = max(due - time.monotonic(), 0) if self._full else None
                job = self._jobs.get(timeout=left)
            except queue.Empty:
                self._make_pages()
                continue
            if job is None or self._closed:
                return
            if isinstance(job, int):
                due = due if self._full else time.monotonic() + SETTLED_S
                self._full.append(job)
            else:
                self._compile(job)

    def _make_pages(self) -> None:
        full, self._full = self._full, []
        for place in full:
            if not self._closed:
                make(place)

    def _compile(self, job: Job) -> None:
        begin, module, text = time.perf_counter_ns(), None, ""
        try:
            module = wasmtime.Module(self.kernel.engine, job.code)
        except wasmtime.WasmtimeError as error:
            text = str(error)
        spent = time.perf_counter_ns() - begin
        job.reply.put(Compiled(job, module, text, spent))
        job.arrived()
        if module is not None and job.record and self.store is not None:
            with self._lock:
                self._new[job.record] = bytes(module.serialize())
            if len(self._new) >= SAVE_MODULES:
                self._save()


class CompiledCode:
    """One hart's compiled code: its slots of the function table and what is on its way into them."""

    def __init__(self, instance: Instance, hart: int, compiler: Compiler) -> None:
        self._instance = instance
        self._hart = hart
        self._compiler = compiler
        self._layout = compiler.kernel.abi.structs["jit_module"]
        self._counters = compiler.kernel.abi.structs["jit_counters"]
        self._ready: queue.SimpleQueue[Compiled] = queue.SimpleQueue()
        self._heard = 0  # of compiler.live
        self._rests = instance.has("k_jit_rest")
        self.pending = 0

    def start(self) -> bool:
        """Give the kernel slots of the table; if it takes none, the hart interprets."""
        try:
            slot = self._instance.table_grow(JIT_SLOTS)
        except wasmtime.WasmtimeError:
            return False
        compiler = self._compiler
        answer = self._instance.call(
            "k_jit_start", self._hart, slot, JIT_SLOTS, compiler.threshold, compiler.features
        )
        at, length = compiler.records(self._instance)
        if compiler.for_later or at:
            self._instance.call("k_jit_keep", self._hart, at, length, JIT_EARLY, 0)
        return answer == 0

    def submit(self, address: int) -> None:
        """Send the module that a struct jit_module names to the compiler, or load it."""
        memory = self._instance.memory
        module = self._layout.integers(memory.read(address, self._layout.size))
        if module["kept"]:
            self._load(module)
            return
        code = memory.read(module["bytes"], module["len"])
        record = memory.read(module["record"], module["record_len"])
        if self._compiler.dump:
            listing = memory.read(module["listing"], module["listing_len"]).decode()
            self._compiler.write_text(f"{self._hart}-{module['id']}", code, listing)
        self.pending += 1
        ready, id = (
            address + self._layout.fields["ready"].offset,
            module["id"].to_bytes(4, "little"),
        )
        job = Job(
            module["id"], module["slot"], code, self._ready, record, lambda: memory.write(ready, id)
        )
        self._compiler.submit(job)

    def _load(self, module: dict[str, int]) -> None:
        begin = time.perf_counter_ns()
        code = self._compiler.kept(module["kept"] - 1)
        if code is not None:
            try:
                self._instance.add(code, module["slot"])
                self._compiler.used(code)
            except (wasmtime.WasmtimeError, wasmtime.Trap, KeyError):
                code = None
        self._instance.call("k_jit_done", self._hart, module["id"], int(code is not None))
        self._spent(time.perf_counter_ns() - begin)

    def install_ready(self) -> None:
        """Install what the compiler has finished."""
        while not self._ready.empty():
            self._install(self._ready.get())
            self.pending -= 1

    def hear(self) -> None:
        """Tell the kernel what has been compiled for other harts meanwhile."""
        live = self._compiler.live
        while self._heard < len(live):
            at, length = live[self._heard]
            if self._instance.call("k_jit_keep", self._hart, at, length, JIT_EARLY, 0):
                self._heard = LIVE_MOST  # there is no more room
            self._heard += 1

    def rest(self) -> bool:
        """While no guest code runs: install what is there, send what waits. False: there is nothing to do."""
        self.install_ready()
        waits = self._rests and not self.pending and self._instance.call("k_jit_rest", self._hart)
        if waits:
            self.submit(waits)
        return self.pending > 0

    def install_all(self) -> None:
        """Wait for the compiler and install all that it was given."""
        while self.pending:
            self._install(self._ready.get())
            self.pending -= 1

    def _install(self, done: Compiled) -> None:
        begin, error = time.perf_counter_ns(), done.error
        if done.module is not None:
            try:
                self._instance.add(done.module, done.job.slot)
                self._compiler.used(done.module)
            except (wasmtime.WasmtimeError, wasmtime.Trap, KeyError) as failure:
                error = str(failure)
        self._instance.call("k_jit_done", self._hart, done.job.id, int(not error))
        if done.module is not None and done.job.record and not error:
            self._compiler.share(self._instance, done.job.record, done.module)
        self._spent(done.spent_ns + time.perf_counter_ns() - begin)
        if error:
            self._compiler.on_refused(f"module {done.job.id} of compiled code: {error}")

    def _spent(self, ns: int) -> None:
        at = self._instance.call("k_jit_counters", self._hart)
        if not at:
            return
        field, memory = self._counters.fields["compile_ns"], self._instance.memory
        sum = int.from_bytes(memory.read(at + field.offset, 8), "little") + ns
        memory.write(at + field.offset, sum.to_bytes(8, "little"))
