"""HTTP exchanges out of the bytes of connections: what servers and clients do on real wires."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, field

import pytest

from ebbtide.rewind.http1 import Exchange, exchanges, protocol
from ebbtide.rewind.http_show import Style, as_json, decoded, har, line, text, websocket_frames
from ebbtide.rewind.network import Connection, Connections
from ebbtide.rewind.taps import Tap

CLIENT, SERVER = 0x100, 0x200
ENDS = bytes.fromhex("00000000000000000000ffff7f000001") * 2


@dataclass
class Wire:
    """One connection as the kernel tells it; each thing takes a tick."""

    view: Connections = field(default_factory=Connections)
    tick: int = 0

    def __post_init__(self) -> None:
        self.tap("CONNECT", 10, (CLIENT, SERVER, 3, 2, 40000, 80), ENDS)

    def tap(self, what: str, pid: int, args: tuple[int, ...], data: bytes = b"") -> None:
        self.tick += 1
        padded = (*args, *[0] * (6 - len(args)))
        self.view.see(
            Tap(what, self.tick, self.tick * 1000, self.tick * 1000, pid, pid, padded, data)
        )

    def ask(self, data: bytes, pid: int = 10, piece: int = 1 << 15) -> None:
        for at in range(0, len(data), piece):
            self.tap("SEND", pid, (CLIENT, SERVER, 3), data[at : at + piece])

    def answer(self, data: bytes, pid: int = 20, piece: int = 1 << 15) -> None:
        for at in range(0, len(data), piece):
            self.tap("SEND", pid, (SERVER, CLIENT, 5), data[at : at + piece])

    def end(self, socket: int, how: int) -> None:
        self.tap("END", 0, (socket, CLIENT + SERVER - socket, how, -1))

    def fin(self, socket: int) -> None:
        self.end(socket, 1)

    def reset(self, socket: int) -> None:
        self.end(socket, 2)

    @property
    def connection(self) -> Connection:
        return self.view.all[0]

    @property
    def found(self) -> list[Exchange]:
        return exchanges(self.connection)

    @property
    def only(self) -> Exchange:
        (one,) = self.found
        return one


@pytest.fixture
def wire() -> Wire:
    return Wire()


GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(one + b"\r\n" for one in headers)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), lines, body)


@pytest.mark.parametrize("piece", [1, 7, 1 << 15])
def test_a_hundred_requests_on_one_connection(wire: Wire, piece: int) -> None:
    for number in range(100):
        wire.ask(GET % number, piece=piece)
        wire.answer(ok(b"n%d" % number), piece=piece)
    found = wire.found
    assert [one.request.target for one in found] == [f"/{number}" for number in range(100)]
    assert [one.response.body for one in found] == [b"n%d" % number for number in range(100)]
    assert not any(one.error for one in found)
    assert all(one.request.last.tick < one.response.first.tick for one in found)


def test_ten_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    wire.ask(b"".join(GET % number for number in range(10)))
    wire.answer(b"".join(ok(b"%d" % number) for number in range(10)), piece=11)
    assert [(one.request.target, one.response.body) for one in wire.found] == [
        (f"/{number}", b"%d" % number) for number in range(10)
    ]


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_chunks_in_both_directions_with_trailers(wire: Wire, piece: int) -> None:
    chunked = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nChecksum: 1\r\nSeen: yes\r\n\r\n"
    head = b"Transfer-Encoding: chunked\r\nTrailer: Checksum\r\n\r\n"
    wire.ask(b"POST / HTTP/1.1\r\n" + head + chunked + GET % 2, piece=piece)
    wire.answer(b"HTTP/1.1 200 OK\r\n" + head + chunked + ok(b""), piece=piece)
    first, second = wire.found
    for message in (first.request, first.response):
        assert message.body == b"hello world"
        assert message.trailers == [("Checksum", "1"), ("Seen", "yes")]
    assert second.request.target == "/2" and second.response.body == b""


def test_a_body_waits_for_100_continue(wire: Wire) -> None:
    wire.ask(b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    wire.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.ask(b"abc")
    wire.answer(ok(b"done"))
    one = wire.only
    assert [interim.status for interim in one.interim] == [100]
    assert (one.request.body, one.response.status, one.response.body) == (b"abc", 200, b"done")


def test_the_answer_to_head_has_no_body(wire: Wire) -> None:
    wire.ask(b"HEAD /a HTTP/1.1\r\n\r\n" + GET % 1)
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + ok(b"x"))
    head, get = wire.found
    assert (head.response.body, get.response.body, head.error) == (b"", b"x", None)


def test_204_and_304_have_no_body(wire: Wire) -> None:
    wire.ask(GET % 0 + GET % 1 + GET % 2)
    wire.answer(
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
    )
    wire.answer(ok(b"x"))
    assert [(one.response.status, one.response.body) for one in wire.found] == [
        (204, b""), (304, b""), (200, b"x"),
    ]  # fmt: skip


def test_gzip_is_undone_for_display_only(wire: Wire) -> None:
    packed = gzip.compress(b"readable " * 50)
    wire.ask(GET % 0)
    wire.answer(ok(packed, b"Content-Encoding: gzip"))
    one = wire.only
    assert one.response.body == packed and decoded(one.response) == b"readable " * 50
    assert "< readable readable" in text(one, Style())
    assert as_json(one, Style())["response"]["body"]["size"] == 450


def test_ten_megabytes(wire: Wire) -> None:
    body = os.urandom(10_000_000)
    wire.ask(GET % 0)
    wire.answer(ok(body))
    assert wire.only.response.body == body
    assert "(binary, 10000000 B)" in text(wire.only, Style())


def test_a_body_that_ends_with_the_connection(wire: Wire) -> None:
    wire.ask(GET % 0)
    wire.answer(b"HTTP/1.0 200 OK\r\n\r\nall ")
    wire.answer(b"of it")
    assert wire.only.error == "the run ends before the message does"
    wire.fin(SERVER)
    assert (wire.only.response.body, wire.only.error) == (b"all of it", None)


def test_a_client_that_has_closed_its_half_is_answered(wire: Wire) -> None:
    wire.ask(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
    wire.fin(CLIENT)
    wire.answer(ok(b"heard"))
    assert (wire.only.response.body, wire.only.error) == (b"heard", None)


def test_a_reset_within_a_body(wire: Wire) -> None:
    wire.ask(GET % 0)
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    wire.reset(SERVER)
    one = wire.only
    assert (one.response.status, one.response.body, one.error) == (200, b"part", "connection reset")
    assert "connection reset" in line(one)


def test_no_answer_before_the_end(wire: Wire) -> None:
    wire.ask(GET % 0)
    wire.fin(SERVER)
    assert (wire.only.response, wire.only.error) == (None, "unexpected EOF")


def test_a_websocket_takes_the_connection_over(wire: Wire) -> None:
    wire.ask(b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    wire.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi")
    wire.ask(b"\x81\x82\x00\x00\x00\x00ho\x89\x80\x00\x00\x00\x00")
    one = wire.only
    assert (one.upgrade, one.after[1], one.error) == ("websocket", b"\x81\x02hi", None)
    assert websocket_frames(one.after[0]) == ["text", "ping"]
    assert "> (websocket: 1 text, 1 ping)" in text(one, Style())


def test_connect_makes_a_tunnel(wire: Wire) -> None:
    wire.ask(b"CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03")
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nraw")
    assert (wire.only.upgrade, wire.only.after) == ("tunnel", (b"\x16\x03", b"raw"))


def test_two_processes_answer_on_one_descriptor(wire: Wire) -> None:
    wire.ask(GET % 0)
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", pid=20)
    wire.answer(b"body", pid=21)
    assert wire.only.response.pids == [20, 21] and "[10 > 20+21]" in line(wire.only)


def test_what_is_no_http_on_port_80(wire: Wire) -> None:
    wire.ask(b"SSH-2.0-OpenSSH_9.2\r\nmore HTTP/1.1\r\n")
    wire.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert protocol(wire.connection) == "raw" and wire.found == []


@pytest.mark.parametrize(
    ("begin", "name"),
    [(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2"), (b"\x16\x03\x01\x02", "tls"), (b"GET /", "raw")],
)
def test_other_protocols_are_named(wire: Wire, begin: bytes, name: str) -> None:
    wire.ask(begin)
    assert protocol(wire.connection) == name


def test_secrets_are_hidden_unless_asked_for(wire: Wire) -> None:
    wire.ask(b"GET / HTTP/1.1\r\nCookie: id=5\r\nAuthorization: Bearer x\r\n\r\n")
    wire.answer(ok(b"", b"Set-Cookie: id=6"))
    shown = [text(wire.only, Style(secrets)) for secrets in (False, True)]
    assert "id=" not in shown[0] and "Bearer" not in shown[0]
    assert "Cookie: id=5" in shown[1] and "Set-Cookie: id=6" in shown[1]
    archive = json.dumps(har([wire.only], Style(), "1"))
    assert "id=5" not in archive and "id=6" not in archive


def test_an_archive_has_times_and_bodies(wire: Wire) -> None:
    wire.ask(b"POST /a?x=1&y= HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
    wire.answer(ok(b"\xff\x00", b"Content-Type: image/png"), piece=20)
    (entry,) = har([wire.only], Style(), "1")["log"]["entries"]
    assert entry["request"]["url"] == "http://h/a?x=1&y="
    assert entry["request"]["queryString"] == [
        {"name": "x", "value": "1"}, {"name": "y", "value": ""},
    ]  # fmt: skip
    assert entry["request"]["postData"]["text"] == "hi"
    content = entry["response"]["content"]
    assert (content["text"], content["encoding"]) == ("/wA=", "base64")
    assert entry["time"] == pytest.approx(sum(entry["timings"].values()))


def test_bodies_are_shown_up_to_a_limit(wire: Wire) -> None:
    wire.ask(GET % 0)
    wire.answer(ok("äöü".encode() * 100))
    assert "(+595 B)" in text(wire.only, Style(body_max=5))
