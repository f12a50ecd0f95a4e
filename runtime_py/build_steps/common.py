"""What all steps share: places, messages, running tools, and stamps.

The rule of stamps: a step's output is valid exactly when its stamp file holds the digest of its
inputs. The stamp is removed before the work begins and written after it ends, so an interrupted
step is done again and a finished one never.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ebbtide.assets import cache_folder

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
STAMPS = BUILD / "stamps"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
CACHE = cache_folder()
ME = "python3 build.py"


class Failure(Exception):
    """A step cannot go on; `mend` is the one command (or sentence) that helps."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


def say(step: str, text: str) -> None:
    print(f"{step:>8}  {text}", flush=True)


def done(step: str, text: str, start: float, *paths: Path) -> None:
    """Close a step with its time and the size of what it made."""
    size = f", {megabytes(sum(tree_size(path) for path in paths))}" if paths else ""
    say(step, f"{text} ({time.monotonic() - start:.1f} s{size})")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def tree_size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def run(
    command: Sequence[str | Path],
    *,
    mend: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    show: bool = False,
    what: str = "",
) -> str:
    """Run a tool; give its output, or show the end of it and fail. With `show` it may talk.

    `what` names it in messages; by default its command line does.
    """
    try:
        result = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise Failure(f"{command[0]} is missing", mend) from None
    if result.returncode == 0:
        return result.stdout or ""
    lines = (result.stdout or "").splitlines()[-60:]
    sys.stdout.flush()
    for line in lines:
        print("        | " + line[:300], file=sys.stderr)
    if not what:
        words = [Path(str(command[0])).name, *(str(word) for word in command[1:])]
        what = f"`{' '.join(words)[:200]}`"
    raise Failure(f"{what} ended with {result.returncode}", mend)


_file_digests: dict[Path, bytes] = {}


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, read once per run."""
    found = _file_digests.get(path)
    if found is None:
        found = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"missing"
        _file_digests[path] = found
    return found


def digest(*parts: str | Path | Iterable[Path]) -> str:
    """Name a set of inputs: strings as they are, files by path and content."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(b"s" + part.encode() + b"\0")
            continue
        for path in [part] if isinstance(part, Path) else sorted(part):
            total.update(b"f" + os.path.relpath(path, ROOT).encode() + b"\0" + file_digest(path))
    return total.hexdigest()


def files(folder: Path, *patterns: str) -> list[Path]:
    """All files below a folder that match, sorted, without caches."""
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return sorted(path for path in found if not {"__pycache__", "node_modules"} & set(path.parts))


def fresh(name: str, inputs: str, *outputs: Path) -> bool:
    """Say whether a stamp still holds and its outputs exist; if not, drop the stamp."""
    stamp = STAMPS / name
    if stamp.is_file() and stamp.read_text() == inputs and all(path.exists() for path in outputs):
        return True
    stamp.unlink(missing_ok=True)
    return False


def stamp(name: str, inputs: str) -> None:
    STAMPS.mkdir(parents=True, exist_ok=True)
    write(STAMPS / name, inputs)


def write(path: Path, data: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + f".part{os.getpid()}")
    part.write_bytes(data.encode() if isinstance(data, str) else data)
    part.replace(path)


def disk_check(where: Path, need: int, what: str) -> None:
    """Fail early when a disk is too full for what is to come."""
    place = where
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need:
        raise Failure(
            f"{what} needs {need / 1e9:.1f} GB in {place}, {free / 1e9:.1f} GB are free",
            "free some space, or set EBB_HOME to a folder on another disk",
        )


def is_root() -> bool:
    return os.geteuid() == 0


def is_debian() -> bool:
    return shutil.which("apt-get") is not None and Path("/etc/debian_version").exists()


def apt_install(packages: Sequence[str], why: str) -> None:
    """Install Debian packages, as root on Debian only; never asks, never calls sudo."""
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if not (is_root() and is_debian()):
        raise Failure(f"{why} needs the Debian package {' '.join(packages)}", f"as root: {command}")
    start = time.monotonic()
    say("setup", f"{command} ({why})")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        run(["apt-get", "update"], mend="apt-get update", env=env)
    try:
        run(command.split(), mend=command, env=env)
    except Failure:  # lists grow old: refresh them once
        run(["apt-get", "update"], mend="apt-get update", env=env)
        run(command.split(), mend=f"apt-get update && {command}", env=env)
    done("setup", f"installed {' '.join(packages)}", start)


def step_table(steps: Mapping[str, Callable[[], None]]) -> list[str]:
    """Run steps in order; keep going after a failure and give the names of those that failed."""
    failed = []
    for name, step in steps.items():
        try:
            step()
        except Failure as failure:
            report(failure)
            failed.append(name)
    return failed


def report(failure: Failure) -> None:
    sys.stdout.flush()
    print(f"\n  failed: {failure.what}", file=sys.stderr)
    if failure.mend:
        print(f"    mend: {failure.mend}", file=sys.stderr)
    sys.stderr.flush()
