"""A stage over wasmtime, in this process."""

from __future__ import annotations

from collections.abc import Iterator

from ..wasmtime_jit import Compiler
from ..wasmtime_kernel import WASM_PAGE, KernelModule, SharedMemory
from ..wasmtime_port import WasmtimeHostPort, WasmtimePort
from .stage import Pages, Stage


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
        self.host = WasmtimeHostPort(kernel, self.memory)
        self.host.attach(ram // self.page, 1)
        if pages is not None:
            self.memory.write(self.base, pages.heap)
            self.memory.write(self.base + pages.low * self.page, pages.frames)
        self.port: WasmtimePort = WasmtimePort(kernel, self.memory, self.host.seat(0), compiler)

    def outbox(self) -> Iterator[bytes]:
        return self.host.outbox()

    def digest(self) -> bytes:
        return self.host.digest()

    def pages(self) -> Pages:
        heap, low, end = self.host.span()
        at = self.base + low * self.page
        return Pages(
            self.memory.read(self.base, heap * self.page),
            low,
            self.memory.read(at, (end - low) * self.page),
        )

    def tap(self, mask: int) -> None:
        self.host.tap(mask)

    def sample(self) -> None:
        self.host.sample(0)

    def close(self) -> None:
        pass  # the memory goes with its last reference
