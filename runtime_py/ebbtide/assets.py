"""Where the built parts are: inside an installed package, or in build/ of a repository.

A package that was installed from a wheel holds them in ebbtide/_built; an editable one uses the
outputs of build.py. Images are never in a wheel: they are built into, or fetched to, $EBB_HOME, else
the user's folders for data and caches; $EBB_CACHE, $EBB_IMAGES and $EBB_RUNS name the parts each for itself.
Files appear there whole or not at all, so several processes may share it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parents[1]


def _built() -> Path:
    inside = _PACKAGE / "_built"
    return inside if inside.is_dir() else _REPOSITORY / "build"


def kernel_wasm() -> Path:
    """The compiled kernel."""
    return _built() / "kernel.wasm"


def web_folder() -> Path:
    """What `ebb serve` serves at /."""
    return _built() / "web"


def cache_folder() -> Path:
    """Downloads and other things that can be made again."""
    return _folder("EBB_CACHE") or _home("cache") or _user("XDG_CACHE_HOME", ".cache", "Caches")


def images_folder() -> Path:
    """Images; beside the cache where only that is named."""
    named = _folder("EBB_IMAGES") or _home("images")
    if not named and (cache := _folder("EBB_CACHE")):
        named = cache / "images"
    return named or _user("XDG_DATA_HOME", ".local/share", "Application Support") / "images"


def runs_folder() -> Path:
    """Recorded runs."""
    named = _folder("EBB_RUNS") or _home("runs")
    return named or _user("XDG_DATA_HOME", ".local/share", "Application Support") / "runs"


def snapshots_folder() -> Path:
    """The store whose snapshots machines go on from: that of the runs, but for who keeps runs elsewhere."""
    return _folder("EBB_SNAPSHOTS") or runs_folder()


def _folder(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named).absolute() if named else None


def _user(variable: str, linux: str, macos: str) -> Path:
    """Give our folder among the user's, by the rules of the system."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / macos / "ebb"
    named = os.environ.get(variable, "")
    return (Path(named) if os.path.isabs(named) else Path.home() / linux) / "ebb"


def _home(part: str) -> Path | None:
    home = _folder("EBB_HOME")
    return home / part if home else None
