"""Where the built parts are: inside an installed package, or in build/ of a repository.

A package that was installed from a wheel holds them in ebbtide/_built; an editable one uses the
outputs of build.py. Images are never in a wheel: they are built into, or fetched to, $EBB_HOME;
$EBB_CACHE and $EBB_IMAGES name its two parts each for itself. Files appear there whole or not at
all, so several processes may share it.
"""

from __future__ import annotations

import os
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
    return _folder("EBB_CACHE") or _home("cache") or Path.home() / ".cache" / "ebb"


def images_folder() -> Path:
    """Images: $EBB_IMAGES, else $EBB_HOME, else a folder in the cache, shared by all clones."""
    return _folder("EBB_IMAGES") or _home("images") or cache_folder() / "images"


def _folder(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named).absolute() if named else None


def _home(part: str) -> Path | None:
    home = _folder("EBB_HOME")
    return home / part if home else None
