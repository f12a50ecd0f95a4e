"""Images on the host's disk: manifest, index and chunks by hash (docs/image.md), all verified.

`ChunkSource` (kernel_role) is the protocol; a browser has its own over HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ImageCorrupt, ImageError, ImageMissing
from .image.index import CHUNK_SIZE, ENTRY, HEADER, MAGIC, VERSION
from .meant import meant

FORMAT = 1
ARCH = "riscv64"
ID = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Image:
    """One image, ready to boot."""

    name: str
    hash: str
    index: bytes
    manifest: dict[str, Any]


def empty_index() -> bytes:
    """Return the index of an image that holds an empty root directory."""
    end = HEADER.size + ENTRY.size
    header = HEADER.pack(MAGIC, VERSION, 1, 0, 0, CHUNK_SIZE, HEADER.size, end, end)
    return header + ENTRY.pack(0, 0, stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, 0, 0, 0)


class ImageStore:
    """A directory of images."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names of the images that are here."""
        return sorted(path.parent.name for path in self.root.glob("*/manifest.json"))

    def load(self, name: str) -> Image:
        """Load an image's manifest and index; the beginning of its id names it, too."""
        name = self._named(name)
        path = self.root / name / "manifest.json"
        try:
            manifest = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ImageMissing(self._missing(name)) from None
        except ValueError as error:
            raise ImageCorrupt(f"image {name}: {path} is no manifest: {error}") from None
        if manifest.get("format") != FORMAT:
            raise ImageError(
                f"image {name} has format {manifest.get('format')}, this is for {FORMAT}; "
                f"build it again with: ebb image build {name}"
            )
        if manifest.get("arch") != ARCH:
            raise ImageError(f"image {name} is for {manifest.get('arch')}, this machine is {ARCH}")
        index = self.blob(manifest["index"])
        return Image(name, manifest["index"], index, manifest)

    def _named(self, word: str) -> str:
        if not ID.fullmatch(word) or (self.root / word / "manifest.json").is_file():
            return word
        found = []
        for name in self.names():
            with suppress(OSError, ValueError, KeyError):
                manifest = json.loads((self.root / name / "manifest.json").read_bytes())
                if manifest["index"].startswith(word):
                    found.append(name)
        if len(found) > 1:
            raise ImageMissing(f"{word} begins the ids of {', '.join(found)}; give more of it")
        return found[0] if found else word

    def blob(self, hash: str) -> bytes:
        """Return the bytes of a blob, verified."""
        path = self.root / "blobs" / hash[:2] / hash
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ImageCorrupt(f"blob {hash} is missing from {self.root}") from None
        if hashlib.sha256(data).hexdigest() != hash:
            raise ImageCorrupt(f"blob {hash} is corrupt: its bytes have another hash ({path})")
        return data

    async def chunk(self, hash: str, size: int) -> bytes:
        """Return a chunk's bytes, verified; off the event loop, for a disk may be slow."""
        return await asyncio.to_thread(self.blob, hash)

    def _missing(self, name: str) -> str:
        from .image.lock import known_images

        known = known_images()
        if name in known:
            return f"image {name} is not built; build it with: ebb image build {name}"
        names = sorted({*known, *self.names()})
        return f"there is no image {name}; " + (
            meant(name, names) or f"these can be had: {', '.join(names)}"
        )
