"""HTTP over a byte stream: bodies of each framing, and what is no HTTP."""

from __future__ import annotations

import asyncio

import pytest

from ebbtide.http import HttpError, Response, exchange


class Canned:
    """A stream that answers with given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent = b""

    async def read(self, size: int = -1) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes | str) -> None:
        self.sent += data if isinstance(data, bytes) else data.encode()


def ask(stream: Canned, method: str = "GET", body: bytes = b"") -> Response:
    return asyncio.run(exchange(stream, 80, method, "/x", {"A": "b"}, body))


def test_length_chunks_and_end_of_stream_frame_a_body() -> None:
    for head, body in (
        (b"Content-Length: 5\r\n", b"helloX"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\nT: 1\r\n\r\n"),
        (b"", b"hello"),
    ):
        whole = b"HTTP/1.1 200 OK\r\n" + head + b"X: 1\r\nX: 2\r\n\r\n" + body
        for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))]):
            answer = ask(Canned(*pieces))
            assert (answer.status, answer.body, answer.headers["x"]) == (200, b"hello", "1, 2")


def test_request_has_a_head_and_a_body() -> None:
    stream = Canned(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert ask(stream, "POST", b"data").status == 204
    assert stream.sent.startswith(b"POST /x HTTP/1.1\r\nHost: localhost:80\r\n")
    assert b"A: b\r\n" in stream.sent
    assert stream.sent.endswith(b"Content-Length: 4\r\n\r\ndata")


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
def test_what_is_no_response_is_an_error(answer):
    with pytest.raises(HttpError):
        ask(Canned(answer))
