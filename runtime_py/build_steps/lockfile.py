"""Our wheel's entry in Pyodide's lock file, made by pyodide-build, which needs Python 3.12 or newer.

With it a page writes `packages: ["ebbtide"]` and needs no micropip. Where no such Python is at hand, or
pyodide-build cannot be had, the lock stays as it is, and a line says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .common import CACHE, Failure, run, say

# pyodide-lock, which does the work, asks for pkginfo without naming it.
PACKAGES = ("pyodide-build==0.39.0", "pyodide-lock==0.2.1", "pkginfo==2.0")
NEWEST, OLDEST = 15, 12
ABOUT = "the lock file names no ebbtide; pages install it by micropip"


def add(wheel: Path, lock: Path) -> bool:
    """Enter a wheel, named relative to the lock's folder; says whether it could be done."""
    try:
        tool = _tool()
    except Failure as failure:
        say("dist", f"{failure.what}: {ABOUT}")
        return False
    if tool is None:
        say("dist", f"no Python 3.{OLDEST} or newer is at hand: {ABOUT}")
        return False
    run(
        [tool, "lockfile", "add-wheels", wheel, "--input", lock, "--output", lock],
        mend="see above",
        cwd=lock.parent,
    )
    text = lock.read_text("utf-8")
    name = os.path.relpath(wheel, lock.parent)
    lock.write_text(text.replace(f'"{wheel.name}"', f'"{name}"'), "utf-8")
    return True


def _tool() -> Path | None:
    """Give pyodide-build's command, in a virtual environment of its own, made once."""
    home = CACHE / "-".join(package.replace("==", "-") for package in PACKAGES)
    tool = home / "bin" / "pyodide"
    if (home / "ready").is_file() and tool.exists():
        return tool
    python = next(_pythons(), None)
    if python is None:
        return None
    say("dist", f"pyodide-build, once, with {python} (about 50 MB)")
    shutil.rmtree(home, ignore_errors=True)
    mend = "see above"
    run([python, "-m", "venv", home], mend=mend, what="making a virtual environment")
    pip: list[str | Path] = [home / "bin" / "pip", "install", "--quiet"]
    run([*pip, "--disable-pip-version-check", *PACKAGES], mend=mend, what="getting pyodide-build")
    (home / "ready").touch()
    return tool


def _pythons() -> Iterator[Path]:
    """Give the Pythons that are new enough and start: on the PATH, or behind pyenv's shims."""
    if sys.version_info >= (3, OLDEST):
        yield Path(sys.executable)
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for folder in list(folders):
        if folder.name == "shims":
            folders += sorted(folder.parent.glob("versions/3.1*/bin"))
    for minor in range(NEWEST, OLDEST - 1, -1):
        for folder in folders:
            path = folder / f"python3.{minor}"
            if path.is_file() and _starts(path):
                yield path


def _starts(path: Path) -> bool:
    command = [str(path), "-c", "import venv, ensurepip"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
