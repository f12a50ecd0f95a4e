"""Every tests/unit/kernel/test_*.c, built with sanitizers, is one test here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parent / "kernel").glob("test_*.c"))
# Leaks are not errors: the kernel's memory is one region that lives as long as the program.
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:detect_stack_use_after_return=0"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_kernel_unit(source: Path, build_folder: Path) -> None:
    program = build_folder / "native" / source.stem
    if not program.exists():
        pytest.fail(f"{program} is missing; mend: python3 build.py kernel --native")
    result = subprocess.run(
        [program],
        env={**os.environ, **SANITIZERS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=300,
    )
    if result.returncode != 0:
        pytest.fail(f"exit {result.returncode}\n{result.stdout[-8000:]}", pytrace=False)
