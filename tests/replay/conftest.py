"""Machines without threads: harts, mostly one, stepped by the test, so that every tick is its choice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.events import CallEnded, Events
from ebbtide.image_store import ImageStore
from ebbtide.wasmtime_kernel import WASM_PAGE, KernelModule, SharedMemory
from ebbtide.wasmtime_port import WasmtimeHostPort, WasmtimePort

RAM = 128 << 20


class SteppedMachine:
    """Memory, the kernel role's port and one hart's port; all calls come from the test."""

    def __init__(self, kernel: KernelModule, salt: int = 0, harts: int = 1) -> None:
        self.kernel = kernel
        self.abi = kernel.abi
        self.base = self.abi.const["MACHINE_BASE"]
        self.memory = SharedMemory(kernel, (self.base + RAM) // WASM_PAGE)
        self.host = WasmtimeHostPort(kernel, self.memory)
        self.host.attach(RAM // self.abi.const["PAGE_SIZE"], harts)
        chance = random.Random(salt)
        for _ in range(chance.randrange(8) if salt else 0):  # private addresses must not matter
            self.host.private_alloc(chance.randrange(1, 100_000))
        self.port = WasmtimePort(kernel, self.memory, self.host.seat(0))
        self.events = Events(self.abi)
        self.ended: list[CallEnded] = []

    def drain(self) -> None:
        """Take all records out; agent calls' answers are kept."""
        for record in self.host.outbox():
            decoded = self.events.decode(record)
            if isinstance(decoded, CallEnded):
                self.ended.append(decoded)

    def digest(self) -> bytes:
        """Return the SHA-256 over all machine pages."""
        return self.host.digest()

    def moved(self, salt: int = 0) -> SteppedMachine:
        """Return this machine in a new memory: machine pages copied, private ones made anew."""
        other = SteppedMachine(self.kernel, salt)
        end = self.base + RAM
        other.memory.bytes[self.base : end] = self.memory.bytes[self.base : end]
        return other


@pytest.fixture(scope="session")
def kernel(kernel_wasm: Path) -> KernelModule:
    """The kernel, compiled once."""
    return KernelModule(kernel_wasm)


@pytest.fixture
def stepped(kernel: KernelModule) -> Callable[..., SteppedMachine]:
    """Make stepped machines."""
    return lambda salt=0: SteppedMachine(kernel, salt)


@pytest.fixture(scope="session")
def base_store() -> ImageStore:
    """The store that holds the image `base`."""
    from ebbtide.assets import images_folder

    store = ImageStore(images_folder())
    if "base" not in store.names():
        pytest.skip("image base is not built; build it with: ebb image build base")
    return store
