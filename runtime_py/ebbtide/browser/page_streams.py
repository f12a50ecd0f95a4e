"""Byte streams of the guest for Python in a page: the SDK's web streams under the names of `stream.py`.

Back-pressure is the SDK's: little is read ahead of the reader, and a write returns when the guest has taken it.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any

from ..stream import Chunked
from .page_sdk import asked, js_value


class Reader(Chunked):
    """The reading end of a stream."""

    def __init__(self, stream: Any) -> None:
        self._reader = stream.getReader()
        self._kept = bytearray()  # more than a read asked for
        self._reading: asyncio.Future[Any] | None = None
        self._lock = asyncio.Lock()

    async def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, b"" at the end; without a size, everything up to the end."""
        if size < 0:
            return b"".join([chunk async for chunk in self])
        async with self._lock:
            if not self._kept and size > 0:
                self._kept += await self._next()
            data = bytes(self._kept[:size])
            del self._kept[:size]
            return data

    async def _next(self) -> bytes:
        # A read whose caller is cancelled goes on; the next one takes what it brings.
        if self._reading is None:
            self._reading = asyncio.ensure_future(asked(self._reader.read()))
        await asyncio.wait([self._reading])
        reading, self._reading = self._reading, None
        part = reading.result()
        return b"" if part.done else bytes(part.value.to_bytes())

    async def close(self) -> None:
        """Close this end; a read that waits, and later ones, find the end."""
        await asked(self._reader.cancel())


class Writer:
    """The writing end of a stream."""

    def __init__(self, stream: Any) -> None:
        self._writer = stream.getWriter()
        self._closed = False

    async def write(self, data: bytes | bytearray | memoryview | str) -> None:
        """Write all of `data`; text is UTF-8. Raises BrokenPipeError when nobody can read it."""
        if self._closed:
            raise BrokenPipeError(errno.EPIPE, "the stream is closed")
        try:
            await asked(
                self._writer.write(js_value(data.encode() if isinstance(data, str) else data))
            )
        except OSError:
            self._closed = True  # a web stream that has failed takes nothing more
            raise

    async def close(self) -> None:
        """Close this end: the reader sees the end of the stream. Closing again does nothing."""
        if not self._closed:
            self._closed = True
            await asked(self._writer.close())


class Duplex(Reader):
    """A connection: both directions of one stream."""

    def __init__(self, readable: Any, writable: Any) -> None:
        super().__init__(readable)
        self._writing = Writer(writable)

    async def write(self, data: bytes | str) -> None:
        """Write all of `data`."""
        await self._writing.write(data)

    async def end(self) -> None:
        """Close the sending side only: the other side sees the end of the stream."""
        await self._writing.close()

    async def close(self) -> None:
        """Close both sides."""
        await super().close()
        await self._writing.close()
