"""HTTP/1.1 exchanges (RFC 9110, 9112) in the two streams of a connection.

Nothing is guessed: a message that its stream does not hold to the end is an exchange with an `error`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .network import Connection, Mark, Stream

_REQUEST = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) (HTTP/1\.[01])\r?\n")
_RESPONSE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_MAX = 1 << 20

Headers = list[tuple[str, str]]


@dataclass
class Message:
    """A request or a response; first and last are of its first and last byte."""

    first: Mark
    last: Mark
    headers: Headers
    body: bytes
    trailers: Headers
    size: int  # bytes in the stream, all told
    pids: list[int]  # that sent it

    def header(self, name: str) -> str | None:
        """Return a header's value, several joined by commas."""
        found = [value for key, value in self.headers if key.lower() == name]
        return ", ".join(found) if found else None


@dataclass
class Request(Message):
    """A request."""

    method: str
    target: str
    version: str


@dataclass
class Response(Message):
    """A response."""

    status: int
    reason: str
    version: str


@dataclass
class Exchange:
    """A request with what was answered."""

    connection: Connection
    request: Request
    response: Response | None = None
    interim: list[Response] = field(default_factory=list)  # 1xx
    error: str | None = None
    upgrade: str | None = None  # what the connection became: websocket, tunnel …
    after: tuple[bytes, bytes] = b"", b""  # bytes after the upgrade, of client and server
    number: int = 0  # among all of the run


class _Incomplete(Exception):
    """The stream ends within a message."""


class _Foreign(Exception):
    """This is not HTTP/1."""


def protocol(connection: Connection) -> str:
    """Name what a connection speaks: http, h2, tls or raw."""
    begin = bytes(connection.streams[0].data[:HEAD_MAX])
    if _REQUEST.match(begin):
        return "http"
    if begin.startswith(_HTTP2):
        return "h2"
    return "tls" if begin[:2] == b"\x16\x03" else "raw"


def numbered(connections: Iterable[Connection]) -> list[Exchange]:
    """Return all exchanges of a run in the order in which they began, numbered from 1 on."""
    found = [one for connection in connections for one in exchanges(connection)]
    found.sort(key=lambda one: one.request.first.tick)
    for number, one in enumerate(found, 1):
        one.number = number
    return found


def exchanges(connection: Connection) -> list[Exchange]:
    """Return all exchanges of a connection, in order of the requests; none if it is not HTTP/1."""
    client, server = (_Reader(stream) for stream in connection.streams)
    found: list[Exchange] = []
    if protocol(connection) != "http":
        return found
    while not client.at_end():
        begin = client.at
        try:
            exchange = Exchange(connection, client.request())
        except _Foreign:
            break
        except _Incomplete:
            cut = client.cut_request(begin)
            if cut is None:
                break
            exchange = Exchange(connection, cut, error=_why(connection.streams[0]))
        found.append(exchange)
        _answer(exchange, server)
        if exchange.upgrade:
            exchange.after = client.rest(), server.rest()
            break
        if exchange.error and client.lost:
            break
    return found


def _answer(exchange: Exchange, server: _Reader) -> None:
    request, stream = exchange.request, exchange.connection.streams[1]
    while exchange.response is None:
        begin = server.at
        try:
            response = server.response(request.method)
        except _Foreign:
            server.at = begin
            exchange.error = exchange.error or "the answer is not HTTP"
            return
        except _Incomplete:
            exchange.response = server.cut_response(begin)
            exchange.error = exchange.error or _why(stream)
            return
        if 100 <= response.status < 200 and response.status != 101:
            exchange.interim.append(response)
            continue
        exchange.response = response
    status = exchange.response.status
    if status == 101:
        exchange.upgrade = (exchange.response.header("upgrade") or "unknown").lower()
    elif request.method == "CONNECT" and 200 <= status < 300:
        exchange.upgrade = "tunnel"


def _why(stream: Stream) -> str:
    if stream.ended is None:
        return "the run ends before the message does"
    return "connection reset" if stream.ended == "reset" else "unexpected EOF"


class _Reader:
    """Reads messages off a stream; `at` is behind the last one, `lost` if that one was cut."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.at = 0
        self.lost = False
        self._data = bytes(stream.data)
        self._head: tuple[Headers, int] = [], 0

    def at_end(self) -> bool:
        while self._data[self.at : self.at + 2] == b"\r\n":  # RFC 9112, 2.2
            self.at += 2
        return self.at >= len(self._data)

    def rest(self) -> bytes:
        begin, self.at = self.at, len(self._data)
        return self._data[begin:]

    def request(self) -> Request:
        self.at_end()
        begin, line = self.at, self._line(_REQUEST)
        headers = self._headers()
        body, trailers = self._body(headers, to_the_end=False)
        method, target, version = (text.decode("latin-1") for text in line.groups())
        return Request(*self._span(begin, headers, body, trailers), method, target, version)

    def response(self, method: str) -> Response:
        begin, line = self.at, self._line(_RESPONSE)
        headers, status = self._headers(), int(line[2])
        bodiless = method == "HEAD" or status < 200 or status in (204, 304)
        if bodiless or (method == "CONNECT" and status < 300):
            body: bytes = b""
            trailers: Headers = []
        else:
            body, trailers = self._body(headers, to_the_end=True)
        reason, version = (line[3] or b"").decode("latin-1"), line[1].decode()
        return Response(*self._span(begin, headers, body, trailers), status, reason, version)

    # What there is of a message that was cut; None without a whole head.

    def cut_request(self, begin: int) -> Request | None:
        line = self._cut(begin, _REQUEST)
        if line is None:
            return None
        method, target, version = (text.decode("latin-1") for text in line.groups())
        return Request(*self._cut_span(begin), method, target, version)

    def cut_response(self, begin: int) -> Response | None:
        line = self._cut(begin, _RESPONSE)
        if line is None:
            return None
        reason, version = (line[3] or b"").decode("latin-1"), line[1].decode()
        return Response(*self._cut_span(begin), int(line[2]), reason, version)

    def _cut(self, begin: int, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        self.at, self.lost = begin, True
        try:
            line = self._line(pattern)
            self._head = self._headers(), self.at
        except (_Incomplete, _Foreign):
            self.at = len(self._data)
            return None
        return line

    def _cut_span(self, begin: int) -> tuple[Mark, Mark, Headers, bytes, Headers, int, list[int]]:
        headers, at = self._head
        self.at = len(self._data)
        return self._span(begin, headers, self._data[at:], [])

    def _span(
        self, begin: int, headers: Headers, body: bytes, trailers: Headers
    ) -> tuple[Mark, Mark, Headers, bytes, Headers, int, list[int]]:
        stream, end = self.stream, self.at
        marks = stream.at(begin), stream.at(max(begin, end - 1))
        return *marks, headers, body, trailers, end - begin, stream.senders(begin, end)

    def _line(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        match = pattern.match(self._data, self.at)
        if match is None:
            whole = self._data.find(b"\n", self.at) >= 0 or len(self._data) - self.at > HEAD_MAX
            raise _Foreign if whole else _Incomplete
        self.at = match.end()
        return match

    def _headers(self) -> Headers:
        headers: Headers = []
        while True:
            end = self._data.find(b"\n", self.at)
            if end < 0:
                raise _Incomplete
            line = self._data[self.at : end].rstrip(b"\r").decode("latin-1")
            self.at = end + 1
            if not line:
                return headers
            if line[0] in " \t" and headers:  # obs-fold
                name, value = headers[-1]
                headers[-1] = name, f"{value} {line.strip()}"
                continue
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise _Foreign
            headers.append((name, value.strip()))

    def _body(self, headers: Headers, *, to_the_end: bool) -> tuple[bytes, Headers]:
        named = {name.lower(): value for name, value in headers}
        coding = named.get("transfer-encoding", "").lower()
        if coding.split(",")[-1].strip() == "chunked":
            return self._chunks()
        length = named.get("content-length", "").split(",")[0].strip()
        if length and not coding:
            if not length.isdecimal():
                raise _Foreign
            return self._take(int(length)), []
        if not to_the_end:
            return b"", []
        if self.stream.ended != "fin":
            raise _Incomplete
        return self.rest(), []

    def _chunks(self) -> tuple[bytes, Headers]:
        body = []
        while size := int(self._line(_CHUNK)[1], 16):
            body.append(self._take(size))
            self._line(_NEWLINE)
        return b"".join(body), self._headers()

    def _take(self, size: int) -> bytes:
        begin, self.at = self.at, self.at + size
        if self.at > len(self._data):
            raise _Incomplete
        return self._data[begin : self.at]


_NEWLINE = re.compile(rb"\r?\n")
