"""Where the built parts are: inside an installed package, or in build/ of a repository.

A package that was installed from a wheel holds them in ebbtide/_built; an editable one uses the
outputs of build.py. Images are never in a wheel: they are built into, or fetched to, a cache.
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
    return Path(os.environ.get("EBB_CACHE") or Path.home() / ".cache" / "ebb").absolute()


def images_folder() -> Path:
    """Images: $EBB_IMAGES, else a folder in the cache, shared by all clones."""
    asked = os.environ.get("EBB_IMAGES")
    return Path(asked).absolute() if asked else cache_folder() / "images"
