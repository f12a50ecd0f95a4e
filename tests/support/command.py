"""The command `ebb` with text in and out, over the store of runs that all tests of a session share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def ebb(*args: str) -> subprocess.CompletedProcess[str]:
    """Run it; nothing comes from its standard input."""
    command = [sys.executable, "-m", "ebbtide.cli", *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )


def recorded(folder: Path, *args: str, code: int = 0) -> str:
    """Run `ebb run ARGS`, which must end with `code`; returns the run's id."""
    file = folder / "id"
    ran = ebb("run", "--id-file", str(file), *args)
    assert ran.returncode == code, ran.stderr
    return file.read_text().strip()
