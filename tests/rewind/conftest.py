"""The command with a store of its own, and runs that were recorded with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ebb = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def ebb(tmp_path: Path, kernel_wasm: Path) -> Ebb:
    """Run the command with a store of its own."""
    env = {**os.environ, "EBB_RUNS": str(tmp_path / "runs"), "EBB_KERNEL": str(kernel_wasm)}

    def run(*args: str, input: bytes = b"", **options) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "ebbtide.cli", *args]
        return subprocess.run(
            command, env=env, input=input, capture_output=True, timeout=300, **options
        )

    return run
