"""Modules that the translator makes of random code are valid; it runs natively, with sanitizers.

EBB_JIT_CODES=count translates so many random codes instead of a few.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

wasmtime = pytest.importorskip("wasmtime")

from ebbtide.wasmtime_kernel import KernelModule  # noqa: E402

COUNT = int(os.environ.get("EBB_JIT_CODES", "12"))


def run_test_jit(build_folder: Path, *arguments: str | Path) -> None:
    program = build_folder / "native" / "test_jit"
    if not program.exists():
        pytest.fail(f"{program} is missing; mend: python3 build.py kernel --native")
    done = subprocess.run(
        [program, *arguments],
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]


def modules(file: Path) -> Iterator[bytes]:
    data, at = file.read_bytes(), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


@pytest.mark.parametrize("seed", range(2, 4))
def test_modules_of_random_code_are_valid(seed, build_folder, kernel_wasm, tmp_path):
    file = tmp_path / "modules"
    run_test_jit(build_folder, file, str(seed), str(COUNT))
    engine, count = KernelModule(kernel_wasm).engine, 0
    for module in modules(file):
        wasmtime.Module.validate(engine, module)  # raises, and says where
        count += 1
    assert count > COUNT


def test_what_is_kept_of_random_code_is_found_by_its_bytes_alone(build_folder):
    run_test_jit(build_folder)
