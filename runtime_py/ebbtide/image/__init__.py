"""Images: how a root file system is made, stored and read back.

Rule: reading (index, store) needs the standard library only and runs in Pyodide; building is
imported when asked for.
"""

from __future__ import annotations

from typing import Any

from .commands import images_with
from .errors import CorruptBlob, ImageError, MissingBlob
from .index import Chunk, Entry, Index, read_index
from .store import BlobStore

_BUILDING = (
    "build_from",
    "build_image",
    "check_image",
    "ensure_image",
    "extract",
    "open_index",
    "prune",
    "read_manifest",
)
__all__ = [
    "BlobStore",
    "Chunk",
    "CorruptBlob",
    "Entry",
    "ImageError",
    "Index",
    "MissingBlob",
    "images_with",
    "read_index",
    *_BUILDING,
]


def __getattr__(name: str) -> Any:
    if name in _BUILDING:
        from . import build

        return getattr(build, name)
    raise AttributeError(name)
