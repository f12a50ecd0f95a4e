"""Images over HTTP: the manifest, the index and chunks by hash, fetched and verified by JavaScript.

Fetching and hashing is the browser's (sdk/src/worker/blobs.ts); this side only gives its failures our names.
"""

from __future__ import annotations

import json
from typing import Any

from pyodide.ffi import JsException

from ..errors import ImageCorrupt, ImageError, ImageMissing

_ERRORS: dict[str, type[ImageError]] = {
    "image-missing": ImageMissing,
    "image-corrupt": ImageCorrupt,
}


class FetchFailed(ImageError):
    """A part of an image could not be fetched."""


class HttpImage:
    """One image, as the kernel role reads it."""

    def __init__(self, host: Any, name: str) -> None:
        self._host = host
        self.name = name

    async def manifest(self) -> dict[str, Any]:
        """Return the image's manifest."""
        try:
            text = await self._host.fetchManifest(self.name)
        except JsException as error:
            raise _named(error) from None
        manifest: dict[str, Any] = json.loads(text)
        return manifest

    async def chunk(self, hash: str, size: int) -> bytes:
        """Return the bytes whose SHA-256 is `hash`."""
        try:
            data: bytes = (await self._host.fetchBlob(hash)).to_bytes()
        except JsException as error:
            raise _named(error) from None
        if len(data) != size:
            raise ImageCorrupt(f"The image is corrupt: blob {hash} has {len(data)} bytes, not {size}.")
        return data


def _named(error: JsException) -> ImageError:
    return _ERRORS.get(getattr(error, "code", ""), FetchFailed)(str(error.message))
