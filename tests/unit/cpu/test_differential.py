"""Every row of insn.tbl does to the registers what it does in qemu-riscv64, whatever the budget."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .generate import Generator

QEMU = shutil.which("qemu-riscv64") or shutil.which("qemu-riscv64-static")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="qemu-riscv64 is not installed")
KINDS = ["integer", "float", "arithmetic", "everything", "pairs"]
CHUNK = 2048 + 8 * 63


def run(command: list[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def first_difference(expected: bytes, actual: bytes) -> str | None:
    """Name the first 8 bytes that differ; None if all are equal."""
    for at in range(0, max(len(expected), len(actual)), 8):
        if expected[at : at + 8] != actual[at : at + 8]:
            word = (at % CHUNK - 2048) // 8
            return f"chunk {at // CHUNK} word {word}: {expected[at : at + 8].hex()} {actual[at : at + 8].hex()}"
    return None


def program(folder: Path, kind: str, seed: int) -> Path:
    generator = Generator(seed)
    path = folder / f"{kind}{seed}"
    path.write_bytes(generator.program(generator.kinds()[kind], 400))
    path.chmod(0o755)
    return path


@needs_qemu
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_registers_and_memory_are_qemus(
    build: Callable[[str], Path], tmp_path: Path, kind: str, seed: int
) -> None:
    path = program(tmp_path, kind, seed)
    expected = run([str(QEMU), "-cpu", "rv64", str(path)])
    assert len(expected) == 400 * CHUNK
    assert first_difference(expected, run([str(build("host")), str(path)])) is None


@pytest.mark.parametrize("options", [["-b", "1"], ["-b", "13"], ["-b", "1000", "-s"]])
@pytest.mark.parametrize("kind", KINDS)
def test_budget_and_number_of_harts_change_nothing(
    build: Callable[[str], Path], tmp_path: Path, kind: str, options: list[str]
) -> None:
    path = program(tmp_path, kind, 10)
    host = str(build("host"))
    assert first_difference(run([host, str(path)]), run([host, *options, str(path)])) is None


@pytest.mark.parametrize("kind", KINDS)
def test_wasm_build_agrees_with_native_build(
    build: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    wasmtime = pytest.importorskip("wasmtime")
    path = program(tmp_path, kind, 20)
    output = bytearray()
    store = wasmtime.Store()
    module = wasmtime.Module.from_file(store.engine, str(build("host.wasm")))
    i32 = wasmtime.ValType.i32()

    def write(address: int, size: int) -> None:
        output.extend(memory.read(store, address, address + size))

    callback = wasmtime.Func(store, wasmtime.FuncType([i32, i32], []), write)
    exports = wasmtime.Instance(store, module, [callback]).exports(store)
    memory = exports["memory"]
    image = path.read_bytes()
    buffer = exports["host_buffer"](store, len(image))
    memory.write(store, image, buffer)
    assert exports["host_load"](store, buffer, 0) == 0
    assert exports["host_run"](store, 1 << 30) == 100
    assert first_difference(run([str(build("host")), str(path)]), bytes(output)) is None
