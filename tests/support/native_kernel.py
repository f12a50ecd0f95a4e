"""The kernel built natively with sanitizers, in place of kernel.wasm under wasmtime.

Same names and methods as `ebbtide.wasmtime_kernel`; `install()` puts them where the ports look. The
kernel runs in a process of its own (tests/unit/kernel/server.c) over a file that is its memory; each
`Instance` is a thread there. A memory error ends that process, and its report is in the exception.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from ebbtide import placement_native, wasmtime_port
from ebbtide.abi import Abi
from ebbtide.errors import InternalError
from ebbtide.wasmtime_kernel import WASM_PAGE, MemoryBytes

MEMORY_PAGES_MAX = 0x60000000 // WASM_PAGE  # above it stand the sanitizer's shadows
REQUEST = struct.Struct("<32s3I")
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=0:handle_segv=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class KernelModule:
    """The native kernel's program and its constants."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hash = "native"
        self.memory_min = 1024
        self.memory_max = MEMORY_PAGES_MAX
        memory = SharedMemory(self, 2 * self.memory_min)
        instance = Instance(self, memory, None)
        instance.call("k_attach", 1, 1)
        self.abi = Abi(memory.text(instance.call("k_abi"), 1 << 20))
        memory.close()


class SharedMemory(MemoryBytes):
    """One machine's memory, and the process that runs the kernel over it."""

    def __init__(self, kernel: KernelModule, pages: int) -> None:
        size = max(pages, kernel.memory_min) * WASM_PAGE
        file = os.memfd_create("ebb-memory")
        os.ftruncate(file, size)
        self._map = mmap.mmap(file, size)
        super().__init__(memoryview(self._map))
        self._errors = os.memfd_create("ebb-errors")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("")  # a name of the kernel's choice
            listener.listen(64)
            self._name: bytes = listener.getsockname()
            self._process = subprocess.Popen(
                [str(kernel.path), str(file), str(listener.fileno())],
                pass_fds=[file, listener.fileno()],
                stderr=self._errors,
                env={**os.environ, **SANITIZERS},
            )
        os.close(file)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._name)
        return connection

    def failure(self) -> InternalError:
        """Say why the process is gone."""
        try:
            code = self._process.wait(120)
        except subprocess.TimeoutExpired:
            code = None
        text = os.pread(self._errors, 12000, 0).decode(errors="replace")
        return InternalError(f"the native kernel ended with {code}:\n{text}")

    def close(self) -> None:
        """End the process; calls that are under way fail."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1

    def __del__(self) -> None:
        self.close()


class Instance:
    """One thread in the kernel's process; it brings its own stack."""

    def __init__(self, kernel: KernelModule, memory: SharedMemory, stack: int | None) -> None:
        self.memory = memory
        self._connection = memory.connect()
        self._lock = threading.Lock()

    def stack_set(self, stack: int) -> None:
        pass

    def call(self, name: str, *args: int) -> int:
        words = [arg & 0xFFFFFFFF for arg in (*args, 0, 0, 0)[:3]]
        with self._lock:
            try:
                self._connection.sendall(REQUEST.pack(name.encode(), *words))
                answer = self._connection.recv(4, socket.MSG_WAITALL)
            except OSError:
                answer = b""
        if len(answer) != 4:
            raise self.memory.failure()
        return int.from_bytes(answer, "little")

    def __del__(self) -> None:
        self._connection.close()


class Ringer:
    """Wakes waiters on any word of a machine's memory."""

    def __init__(self, kernel: KernelModule, memory: SharedMemory) -> None:
        self._instance = Instance(kernel, memory, None)

    def ring(self, address: int) -> None:
        self._instance.call("ring", address)


def install(monkeypatch: pytest.MonkeyPatch, program: Path) -> KernelModule:
    """Let machines run on the native kernel."""
    for name in ("SharedMemory", "Instance", "Ringer"):
        ours = globals()[name]
        for module in (wasmtime_port, placement_native):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, ours)
    return KernelModule(program)
