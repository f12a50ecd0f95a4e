"""Builds the processor's test machine: a sanitized program, a library for ctypes, and a wasm module."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def compile_host(out: Path, flags: list[str]) -> Path:
    """Compile the machine to `out`."""
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *FLAGS, *flags, "-o", str(out), *SOURCES],
        check=True,
    )
    return out


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the path of one build of the machine, made on first use."""
    pytest.importorskip("ziglang")
    folder = tmp_path_factory.mktemp("cpu")
    kinds = {"host": SANITIZED, "host.so": ["-O1", "-shared", "-fPIC"], "host.wasm": WASM}

    def get(name: str) -> Path:
        out = folder / name
        return out if out.exists() else compile_host(out, kinds[name])

    return get
