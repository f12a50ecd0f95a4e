"""The static server: the headers of isolation on every answer, caching by name, and its ports."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.serve import ISOLATION, Mount, PortTaken, Server, site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    web, images = tmp_path / "web", tmp_path / "images"
    (images / "blobs" / "ab").mkdir(parents=True)
    web.mkdir()
    (web / "index.html").write_text("<p>page")
    (web / "kernel.wasm").write_bytes(b"\0asm")
    (web / "x.0123456789abcdef.mjs").write_text("export {}")
    (web / "x.0123456789abcdef.mjs.br").write_bytes(b"br")
    (images / "blobs" / "ab" / ("ab" * 32)).write_bytes(b"blob")
    (tmp_path / "secret").write_text("no")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(site(folder / "web", folder / "images"), port=0) as running:
        yield running


def get(
    server: Server, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/kernel.wasm", "/missing", f"/images/blobs/ab/{'ab' * 32}"])
def test_every_answer_isolates(server: Server, path: str) -> None:
    response, _ = get(server, path)
    for name, value in ISOLATION.items():
        assert response.getheader(name) == value


def test_types_are_right(server: Server) -> None:
    assert get(server, "/")[0].getheader("Content-Type") == "text/html; charset=utf-8"
    assert get(server, "/kernel.wasm")[0].getheader("Content-Type") == "application/wasm"
    script = get(server, "/x.0123456789abcdef.mjs")[0]
    assert script.getheader("Content-Type") == "text/javascript; charset=utf-8"


def test_names_with_hashes_are_kept_and_others_asked_again(server: Server) -> None:
    hashed = get(server, "/x.0123456789abcdef.mjs")[0].getheader("Cache-Control", "")
    blob = get(server, f"/images/blobs/ab/{'ab' * 32}")[0].getheader("Cache-Control", "")
    plain = get(server, "/kernel.wasm")[0]
    assert "immutable" in hashed and "immutable" in blob
    assert plain.getheader("Cache-Control") == "no-cache"
    again, body = get(server, "/kernel.wasm", {"If-None-Match": plain.getheader("ETag", "")})
    assert (again.status, body) == (304, b"")


def test_a_changed_file_has_another_tag(server: Server, folder: Path) -> None:
    before = get(server, "/kernel.wasm")[0].getheader("ETag")
    (folder / "web" / "kernel.wasm").write_bytes(b"\0asm2")
    assert get(server, "/kernel.wasm")[0].getheader("ETag") != before


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/images/../../secret", "/a\\b"])
def test_nothing_outside_the_folders_exists(server: Server, path: str) -> None:
    assert get(server, path)[0].status == 404


def test_head_and_ranges(server: Server) -> None:
    response, body = get(server, "/kernel.wasm", method="HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "4", b"")
    response, body = get(server, "/kernel.wasm", {"Range": "bytes=1-2"})
    assert (response.status, body) == (206, b"as")


def test_a_connection_serves_many_requests(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    for _ in range(3):
        connection.request("GET", "/missing")
        assert connection.getresponse().read() == b"404 Not Found\n"
        connection.request("GET", "/kernel.wasm")
        assert connection.getresponse().read() == b"\0asm"
    connection.close()


def test_this_machine_gets_plain_bytes(server: Server) -> None:
    response, body = get(server, "/x.0123456789abcdef.mjs", {"Accept-Encoding": "br, gzip"})
    assert (response.getheader("Content-Encoding"), body) == (None, b"export {}")


def test_a_tunnel_gets_compressed_bytes(folder: Path) -> None:
    with Server(site(folder / "web", folder / "images"), port=0, compress=True) as server:
        response, body = get(server, "/x.0123456789abcdef.mjs", {"Accept-Encoding": "gzip, br"})
        assert (response.getheader("Content-Encoding"), body) == ("br", b"br")
        assert response.getheader("Content-Type") == "text/javascript; charset=utf-8"
        response, body = get(server, "/x.0123456789abcdef.mjs", {"Accept-Encoding": "gzip"})
        assert (response.getheader("Content-Encoding"), body) == (None, b"export {}")


def test_a_taken_port_is_named(server: Server, folder: Path) -> None:
    with pytest.raises(PortTaken, match=str(server.port)):
        Server([Mount("/", folder)], port=server.port)


def test_without_a_port_the_first_free_one_is_used(folder: Path) -> None:
    with Server([Mount("/", folder)]) as first, Server([Mount("/", folder)]) as second:
        assert 8080 <= first.port < second.port


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_both_loopback_addresses_answer(server: Server) -> None:
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, server.port), timeout=120):
            pass
