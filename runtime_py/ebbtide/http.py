"""A minimal HTTP/1.1 exchange over a byte stream: one request, one response, and that is all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

HEAD_MAX = 1 << 16


class Stream(Protocol):
    """What an exchange needs of a connection."""

    async def read(self, size: int = -1) -> bytes: ...

    async def write(self, data: bytes | str) -> None: ...

    async def close(self) -> None: ...


class Client(Protocol):
    """Who can connect to a guest's ports."""

    async def connect(self, port: int) -> Stream: ...

    async def fetch(
        self,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        """Ask a guest's HTTP server for something."""
        stream = await self.connect(port)
        try:
            return await exchange(stream, port, method, path, headers or {}, body)
        finally:
            await stream.close()


class HttpError(OSError):
    """The other side does not speak HTTP."""


@dataclass(frozen=True)
class Response:
    """A whole response; header names are lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class _Reader:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = bytearray()

    async def _more(self) -> bool:
        data = await self._stream.read(65536)
        self._data += data
        return bool(data)

    async def line(self) -> str:
        while (end := self._data.find(b"\n")) < 0:
            if len(self._data) > HEAD_MAX or not await self._more():
                raise HttpError("the response ends within its head")
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        return line.rstrip(b"\r").decode("latin-1")

    async def exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            if not await self._more():
                raise HttpError(f"the response ends {size - len(self._data)} bytes too early")
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    async def rest(self) -> bytes:
        while await self._more():
            pass
        return bytes(self._data)


async def exchange(
    stream: Stream, port: int, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Response:
    """Send a request, read the response to its end."""
    fields = {"Host": f"localhost:{port}", "Connection": "close", "Accept": "*/*", **headers}
    if body or method in ("POST", "PUT", "PATCH"):
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {path or '/'} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break within the head of a request")
    await stream.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    reader = _Reader(stream)
    status, reason, found = await _head(reader)
    while 100 <= status < 200:
        status, reason, found = await _head(reader)
    if method == "HEAD" or status in (204, 304):
        content = b""
    elif "chunked" in found.get("transfer-encoding", "").lower():
        content = b"".join([chunk async for chunk in _chunks(reader)])
    elif "content-length" in found:
        content = await reader.exactly(int(found["content-length"]))
    else:
        content = await reader.rest()
    return Response(status, reason, found, content)


async def _head(reader: _Reader) -> tuple[int, str, dict[str, str]]:
    version, _, rest = (await reader.line()).partition(" ")
    if not version.startswith("HTTP/1."):
        raise HttpError(f"not an HTTP/1 response: {version[:40]!r}")
    number, _, reason = rest.partition(" ")
    headers: dict[str, str] = {}
    while line := await reader.line():
        name, _, value = line.partition(":")
        key = name.strip().lower()
        value = value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return int(number), reason, headers


async def _chunks(reader: _Reader) -> AsyncIterator[bytes]:
    while size := int((await reader.line()).partition(";")[0], 16):
        yield await reader.exactly(size)
        await reader.line()
    while await reader.line():
        pass
