"""A stage over wasmtime, in this process."""

from __future__ import annotations

import ctypes

from ..wasmtime_jit import Compiler
from ..wasmtime_kernel import WASM_PAGE, KernelModule, SharedMemory
from ..wasmtime_port import WasmtimeHostPort, WasmtimePort
from .debug_view import DebugView
from .stage import Pages, Stage

PIECE = 1 << 16
_ZERO = bytes(PIECE)
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t


def pages_of(host: WasmtimeHostPort, like: Pages | None = None) -> Pages:
    """Copy all machine pages in use; pieces that are as in `like` are shared with it."""
    memory, base, page = host.memory, host.abi.const["MACHINE_BASE"], host.abi.const["PAGE_SIZE"]
    before = like.pieces if like else {}
    span = host.span()
    if not span[2]:  # not booted yet
        return Pages({})
    heap, low, end = (base + page * number for number in span)
    first = ctypes.addressof(memory.memory.data_ptr().contents)
    pieces: dict[int, bytes] = {}
    for at in (*range(base, heap, PIECE), *range(low // PIECE * PIECE, end, PIECE)):
        known = before.get(at, _ZERO)
        size = min(PIECE, end - at)
        if _memcmp(first + at, known, size):
            known = memory.read(at, size)
        if known is not _ZERO:
            pieces[at] = known
    return Pages(pieces)


class WasmtimeStage(Stage):
    """One; `pages` make it continue from a moment instead of from nothing."""

    def __init__(
        self,
        kernel: KernelModule,
        ram: int,
        compiler: Compiler | None = None,
        pages: Pages | None = None,
    ) -> None:
        self.abi = kernel.abi
        self.base, self.page = self.abi.const["MACHINE_BASE"], self.abi.const["PAGE_SIZE"]
        self.memory = SharedMemory(kernel, (self.base + ram) // WASM_PAGE)
        self.host: WasmtimeHostPort = WasmtimeHostPort(kernel, self.memory)
        self.host.attach(ram // self.page, 1)
        for at, piece in pages.pieces.items() if pages else ():
            self.memory.write(at, piece)
        self.port: WasmtimePort = WasmtimePort(kernel, self.memory, self.host.seat(0), compiler)
        self._debug: DebugView | None = None

    def pages(self, like: Pages | None = None) -> Pages:
        return pages_of(self.host, like)

    def debug(self) -> DebugView:
        if self._debug is None:
            self._debug = DebugView(self.abi, self.host)
        return self._debug

    def close(self) -> None:
        pass  # the memory goes with its last reference
