"""Builds the processor's test machine: a sanitized program, a library for ctypes, and a wasm module."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from build_steps import kernel, setup
from ebbtide import wasmtime_jit

HERE = Path(__file__).resolve().parent
SOURCES = [
    str(HERE / "host.c"),
    *map(str, sorted((HERE.parents[2] / "kernel" / "cpu").glob("*.c"))),
]
FLAGS = ["-std=c23", "-Wall", "-Wextra", "-Werror"]
WASM = [
    "-target", "wasm32-freestanding", "-nostdlib", "-O2",
    "-mcpu=generic+atomics+bulk_memory+simd128+mutable_globals+sign_ext+nontrapping_fptoint",
    "-Wl,--no-entry", "-Wl,--export-memory",
    *(f"-Wl,--export=host_{name}" for name in ("load", "run", "buffer", "retired", "smp")),
]  # fmt: skip


def sanitized() -> list[str]:
    """Flags of the sanitized program: as the native kernel's, at addresses of 32 bits."""
    asan = setup.libasan(install=False)
    return [
        *kernel.native_target(), *kernel.NATIVE_LINK, "-O1", "-fno-omit-frame-pointer", "-fno-pie",
        # Given together, as "address,undefined", zig drops the first.
        *(["-fsanitize=address", str(asan)] if asan else []),
        "-fsanitize=undefined", "-fno-sanitize-recover=all",
    ]  # fmt: skip


def compile_host(out: Path, flags: list[str]) -> Path:
    """Compile the machine to `out`."""
    subprocess.run(
        [setup.zig(), "cc", *FLAGS, *flags, "-o", str(out), *SOURCES],
        env={**os.environ, **setup.zig_env()},
        check=True,
    )
    return out


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the path of one build of the machine, made on first use."""
    folder = tmp_path_factory.mktemp("cpu")
    kinds = {"host": sanitized(), "host.so": ["-O1", "-shared", "-fPIC"], "host.wasm": WASM}

    def get(name: str) -> Path:
        out = folder / name
        return out if out.exists() else compile_host(out, kinds[name])

    return get


@pytest.fixture
def compiled_at_once(kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a machine wait for each module that it has asked for."""
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    code = wasmtime_jit.CompiledCode
    monkeypatch.setattr(code, "install_ready", code.install_all)
