"""kernel.wasm under wasmtime: finding it, compiling it once, instantiating it over one shared
memory.

Compiled code is kept in the user's cache directory, named by the hash of what it was made from.
Each OS thread has its own `Instance`; all of them share the memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import mmap
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import _bindings
from wasmtime import _ffi as ffi

from . import assets
from .abi import Abi
from .errors import InternalError, KernelMissing, MemoryRefused
from .port import signed32, unsigned32

WASM_PAGE = 65536
WASM = b"\0asm"
STACK_MAX = 2 << 20  # compiled guest code nests 200 calls deep
TABLE = "__indirect_function_table"
COMPILER_NICE = 5

# Stock wasmtime passes a pointer to a pointer here and cannot import a shared memory.
wasmtime.SharedMemory._as_extern = lambda self: ffi.wasmtime_extern_t(  # type: ignore[method-assign]
    ffi.WASMTIME_EXTERN_SHAREDMEMORY, ffi.wasmtime_extern_union(sharedmemory=self.ptr())
)

# Wakes whoever waits on a word: the kernel itself rings only for its own reasons.
RING_WAT = """(module
  (import "env" "memory" (memory 0 65536 shared))
  (func (export "ring") (param i32)
    (drop (i32.atomic.rmw.add (local.get 0) (i32.const 1)))
    (drop (memory.atomic.notify (local.get 0) (i32.const -1)))))"""


def kernel_path() -> Path:
    """Find kernel.wasm: $EBB_KERNEL, else where it was built or installed."""
    named = os.environ.get("EBB_KERNEL")
    path = Path(named) if named else assets.kernel_wasm()
    if not path.is_file():
        raise KernelMissing(f"there is no kernel at {path}; build it with: python3 build.py kernel")
    return path


def heed_branch_hints(config: wasmtime.Config) -> None:
    """Have what compiled code marks as unlikely put out of the way, where wasmtime can."""
    set_it = getattr(_bindings, "wasmtime_config_wasm_branch_hinting_set", None)
    if set_it:  # which the class Config does not know
        set_it(config.ptr(), True)


def new_engine() -> wasmtime.Engine:
    """Make an engine as a machine needs it."""
    config = wasmtime.Config()
    config.wasm_threads = True
    config.shared_memory = True
    config.wasm_tail_call = True
    config.wasm_relaxed_simd = True
    config.wasm_relaxed_simd_deterministic = False  # fused where the processor can
    config.cranelift_opt_level = "speed"
    heed_branch_hints(config)
    config.max_wasm_stack = STACK_MAX
    return wasmtime.Engine(config)


# What an engine must accept, and what it may: a module that uses each.
FEATURES = {
    "shared memory": "(memory 1 1 shared)",
    "atomics": "(memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0))))",
    "tail calls": "(func $f (return_call $f))",
    "simd": "(func (drop (v128.const i64x2 0 0)))",
    "relaxed simd": "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
}
REQUIRED = ("shared memory", "atomics")


def engine_features() -> dict[str, bool]:
    """Ask the engine which of them it accepts."""
    engine, found = new_engine(), {}
    for name, body in FEATURES.items():
        try:
            wasmtime.Module.validate(engine, wasmtime.wat2wasm(f"(module {body})"))
            found[name] = True
        except wasmtime.WasmtimeError:
            found[name] = False
    return found


_mmap = ctypes.CDLL(None).mmap
_mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t),
    *(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64),
)
_mmap.restype = ctypes.c_void_p
_MAP_FIXED = 0x10  # which the module mmap does not name
_MAP_FAILED = ctypes.c_void_p(-1).value


def step_back() -> None:
    """Let this thread have a processor only when no hart wants it, where a thread can be told so."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), COMPILER_NICE)


class KernelModule:
    """A compiled kernel.wasm, the engine it belongs to, and its constants."""

    def __init__(self, path: Path | None = None) -> None:
        self.engine = new_engine()
        self.path = path or kernel_path()
        code = self.path.read_bytes()
        self.hash = hashlib.sha256(code).hexdigest()
        self.ring = self._ring_first()
        self.module = self._load(code)
        memory = [
            item.type for item in self.module.imports if isinstance(item.type, wasmtime.MemoryType)
        ]
        if len(self.module.imports) != 1 or len(memory) != 1:
            names = ", ".join(f"{item.module}.{item.name}" for item in self.module.imports)
            raise InternalError(f"kernel.wasm must import its memory and nothing else, not {names}")
        self.memory_min = memory[0].limits.min
        self.memory_max = memory[0].limits.max or WASM_PAGE
        self.abi = self._read_abi()

    def _ring_first(self) -> wasmtime.Module:
        """Compile the least module: the engine's threads are made with the first one, and take over
        the priority of the thread that asks for it.
        """
        made: list[wasmtime.Module] = []

        def make() -> None:
            step_back()
            made.append(wasmtime.Module(self.engine, RING_WAT))

        thread = threading.Thread(target=make, name="ebb-first-module")
        thread.start()
        thread.join()
        return made[0]

    def _load(self, code: bytes) -> wasmtime.Module:
        version = importlib.metadata.version("wasmtime")
        name = f"{self.hash[:32]}-wasmtime-{version}-{os.uname().machine}.cwasm"
        cached = assets.cache_folder() / "compiled" / name
        with contextlib.suppress(wasmtime.WasmtimeError, OSError):
            if cached.is_file():
                return wasmtime.Module.deserialize_file(self.engine, str(cached))
        if not code.startswith(WASM):  # wasmtime would read it as text
            raise self._no_kernel()
        try:
            module = wasmtime.Module(self.engine, code)
        except wasmtime.WasmtimeError:
            raise self._no_kernel() from None
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
            cached.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                dir=cached.parent
            ) as folder:  # goes if the disk is full
                (made := Path(folder, name)).write_bytes(module.serialize())
                os.replace(made, cached)
        return module

    def _no_kernel(self) -> KernelMissing:
        return KernelMissing(f"{self.path} is no kernel; build one with: python3 build.py kernel")

    def _read_abi(self) -> Abi:
        memory = SharedMemory(self, self.memory_min)  # for this only: sizes stand in the text
        instance = Instance(self, memory, None)
        instance.call("k_attach", 1, 1)
        return Abi(memory.text(instance.call("k_abi"), 1 << 20))


class MemoryBytes:
    """A machine's linear memory as Python reads and writes it."""

    def __init__(self, view: memoryview) -> None:
        self.bytes = view

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out."""
        return bytes(self.bytes[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in."""
        self.bytes[address : address + len(data)] = data

    def word(self, address: int) -> int:
        """Read one 32-bit word."""
        return int.from_bytes(self.bytes[address : address + 4], "little")

    def text(self, address: int, longest: int) -> str:
        """Read NUL-terminated text."""
        return self.read(address, longest).partition(b"\0")[0].decode(errors="replace")


class SharedMemory(MemoryBytes):
    """One machine's linear memory, created at its full size."""

    def __init__(self, kernel: KernelModule, pages: int) -> None:
        limits = wasmtime.Limits(max(pages, kernel.memory_min), kernel.memory_max)
        if limits.min > kernel.memory_max:
            raise MemoryRefused(
                f"a machine of {limits.min * WASM_PAGE >> 20} MiB does not fit into "
                f"{kernel.memory_max * WASM_PAGE >> 20} MiB"
            )
        try:
            self.memory = wasmtime.SharedMemory(
                kernel.engine, wasmtime.MemoryType(limits, is_64=False, shared=True)
            )
        except wasmtime.WasmtimeError as error:
            raise MemoryRefused(f"{limits.min * WASM_PAGE >> 20} MiB: {error}") from error
        address = ctypes.addressof(self.memory.data_ptr().contents)
        view = memoryview((ctypes.c_ubyte * self.memory.data_len()).from_address(address))
        super().__init__(view.cast("B"))
        self._address = address

    def place(self, begin: int, length: int, file: int, offset: int) -> bool:
        """Have a part of a file here from now on, as whole pages that are read when they are wanted and copied
        when they are written; False: this system does not. Nobody may change that part of the file.
        """
        at = self._address + begin
        if sys.platform != "linux" or (at | length | offset) % mmap.PAGESIZE:
            return False
        access, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
        return bool(_mmap(at, length, access, kind, file, offset) != _MAP_FAILED)


class Instance:
    """kernel.wasm instantiated for one thread; calls its exports, i32 in and out."""

    def __init__(self, kernel: KernelModule, memory: SharedMemory, stack: int | None) -> None:
        self.memory = memory
        self._store = wasmtime.Store(kernel.engine)
        self._exports = wasmtime.Instance(self._store, kernel.module, [memory.memory]).exports(
            self._store
        )
        self._context = self._store._context()
        self._calls: dict[str, tuple[Any, Any, int]] = {}
        self._linker: wasmtime.Linker | None = None
        if stack is not None:
            self.stack_set(stack)

    def stack_set(self, stack: int) -> None:
        """Give this instance its own stack; until then it uses the linker's."""
        pointer = self._exports["__stack_pointer"]
        assert isinstance(pointer, wasmtime.Global)
        pointer.set_value(self._store, wasmtime.Val.i32(signed32(stack)))

    def table_grow(self, slots: int) -> int:
        """Add empty slots to this instance's function table; answers the first."""
        table = self._exports[TABLE]
        assert isinstance(table, wasmtime.Table)
        return table.grow(self._store, slots, None)

    def add(self, module: wasmtime.Module, slot: int) -> None:
        """Instantiate a module of compiled code beside this instance; it fills table slots."""
        linker = self._linker = self._linker or self._make_linker()
        kind = wasmtime.GlobalType(wasmtime.ValType.i32(), False)
        value = wasmtime.Global(self._store, kind, wasmtime.Val.i32(signed32(slot)))
        linker.define(self._store, "env", "slot", value)
        linker.instantiate(self._store, module)

    def _make_linker(self) -> wasmtime.Linker:
        linker = wasmtime.Linker(self._store.engine)
        linker.allow_shadowing = True  # each module has another `slot`
        linker.define(self._store, "env", "memory", self.memory.memory)
        linker.define(self._store, "env", "table", self._exports[TABLE])
        for name, item in self._exports.items():
            if name.startswith("j_"):
                linker.define(self._store, "env", name, item)
        return linker

    def has(self, name: str) -> bool:
        """Tell whether this kernel has an export, which an older one may lack."""
        return name in self._exports

    def call(self, name: str, *args: int) -> int:
        """Call an export. Arguments of any 32-bit sign; the result is unsigned."""
        prepared = self._calls.get(name)
        if prepared is None:
            prepared = self._prepare(name)
        function, values, count = prepared
        assert len(args) == count, name
        for at, arg in enumerate(args):
            values[at].i32 = signed32(arg)
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call_unchecked(
            self._context, function, values, len(values), ctypes.byref(trap)
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        if trap:
            raise wasmtime.Trap._from_ptr(trap)
        return unsigned32(values[0].i32)

    def _prepare(self, name: str) -> tuple[Any, Any, int]:
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        kind = function.type(self._store)
        for value in [*kind.params, *kind.results]:
            if str(value) != "i32":
                raise InternalError(f"the export {name} speaks {value}, not i32")
        count = len(kind.params)
        values = (ffi.wasmtime_val_raw_t * max(count, 1))()
        prepared = (ctypes.byref(function._func), values, count)
        self._calls[name] = prepared
        return prepared


class Ringer:
    """Wakes waiters on any word of a machine's memory."""

    def __init__(self, kernel: KernelModule, memory: SharedMemory) -> None:
        self._store = wasmtime.Store(kernel.engine)
        exports = wasmtime.Instance(self._store, kernel.ring, [memory.memory]).exports(self._store)
        self._ring = exports["ring"]

    def ring(self, address: int) -> None:
        """Add 1 to the word and wake all who wait on it."""
        assert isinstance(self._ring, wasmtime.Func)
        self._ring(self._store, signed32(address))
