"""Measure the interpreter in node: `python -m tests.unit.cpu.bench.bench`. Not a test: speed depends on the machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from ..conftest import WASM, compile_host

HERE = Path(__file__).resolve().parent
KERNELS = ["sieve", "sha256", "quicksort", "calls", "matmul"]
GUEST = [
    "-target",
    "riscv64-freestanding",
    "-mcpu=baseline_rv64",
    "-O2",
    "-nostdlib",
    "-static",
    "-fno-builtin",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = []
        for kernel in KERNELS:
            programs.append(str(folder / kernel))
            source = [f"-DKERNEL={kernel}", str(HERE / "kernels.c"), "-o", programs[-1]]
            subprocess.run([sys.executable, "-m", "ziglang", "cc", *GUEST, *source], check=True)
        wasm = compile_host(folder / "host.wasm", WASM)
        subprocess.run(["node", str(HERE / "bench.mjs"), str(wasm), *programs], check=True)


if __name__ == "__main__":
    main()
