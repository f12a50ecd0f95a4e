"""An image over HTTP, as the kernel role reads it.

Fetching and verifying is JavaScript's (sdk/src/worker/image.ts); this side gives its failures our names.
"""

from __future__ import annotations

from typing import Any

from pyodide.ffi import JsException

from ..errors import BY_CODE, EbbError, FetchFailed, ImageCorrupt


class HttpImage:
    """One image: its index, and its chunks by hash."""

    def __init__(self, image: Any) -> None:
        self._image = image  # a JavaScript `Image`

    @classmethod
    async def open(cls, opening: Any) -> HttpImage:
        """Wait for a JavaScript promise of an `Image`."""
        try:
            return cls(await opening)
        except JsException as error:
            raise _named(error) from None

    def index(self) -> bytes:
        """Return the image's index."""
        data: bytes = self._image.index.to_bytes()
        return data

    async def chunk(self, hash: str, size: int) -> bytes:
        """Return the bytes whose SHA-256 is `hash`."""
        try:
            data: bytes = (await self._image.chunk(hash)).to_bytes()
        except JsException as error:
            raise _named(error) from None
        if len(data) != size:
            raise ImageCorrupt(
                f"The image is corrupt: chunk {hash} has {len(data)} bytes, not {size}."
            )
        return data


def _named(error: JsException) -> EbbError:
    return BY_CODE.get(getattr(error, "code", ""), FetchFailed)(str(error.message))
