"""A static server for the page: the headers that shared memory needs, and nothing else.

Two folders are served: the web root at / and the images at /images/. Every answer carries the
headers of cross-origin isolation. Files whose names contain a hash of their content are immutable
to caches; all others are asked for again by ETag.
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import errno
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .cli_output import trouble

PORT_FIRST = 8080
PORT_LAST = 8180

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Isolates this page inside another that knows nothing of it, where the browser has it.
    "Document-Isolation-Policy": "isolate-and-require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".zip": "application/zip",
    ".woff2": "font/woff2",
}
# A content hash in the name: "x.0123456789abcdef.wasm", or a blob named by its SHA-256 alone.
HASHED = re.compile(r"(?:^|[.-])[0-9a-f]{16,64}(?:\.[a-z0-9.]+)?$")
CHUNK = 1 << 20


@dataclass(frozen=True)
class Mount:
    """A folder and the path it is served under, which ends with a slash."""

    prefix: str
    folder: Path


class PortTaken(Exception):
    """The port that was asked for belongs to another program."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ebb"
    disable_nagle_algorithm = True
    timeout = 300  # of an idle connection
    mounts: Sequence[Mount] = ()
    quiet = True
    compress = False

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        if not self.quiet:
            super().log_message(format, *args)

    def _answer(self, body: bool) -> None:
        path = self._find(unquote(urlsplit(self.path).path))
        if path is None:
            self._error(HTTPStatus.NOT_FOUND)
            return
        chosen, encoding = self._encoded(path)
        try:
            file = chosen.open("rb")
        except OSError:
            self._error(HTTPStatus.NOT_FOUND)
            return
        with file:
            state = chosen.stat()
            etag = f'"{state.st_mtime_ns:x}-{state.st_size:x}{encoding or ""}"'
            immutable = HASHED.search(path.name) is not None
            same = etag in self.headers.get("If-None-Match", "")
            span = None if same else self._range(state.st_size)
            start, length = span or (0, state.st_size)
            if same:
                self.send_response(HTTPStatus.NOT_MODIFIED)
            elif span:
                self.send_response(HTTPStatus.PARTIAL_CONTENT)
                self.send_header(
                    "Content-Range", f"bytes {start}-{start + length - 1}/{state.st_size}"
                )
            else:
                self.send_response(HTTPStatus.OK)
            self.send_header("ETag", etag)
            self.send_header("Vary", "Accept-Encoding")
            self.send_header(
                "Cache-Control", "public, max-age=31536000, immutable" if immutable else "no-cache"
            )
            if not same:
                self.send_header("Content-Type", content_type(path))
                self.send_header("Content-Length", str(length))
                self.send_header(
                    "Last-Modified", email.utils.formatdate(state.st_mtime, usegmt=True)
                )
                if encoding:
                    self.send_header("Content-Encoding", encoding)
            self.end_headers()
            if body and not same:
                file.seek(start)
                self._send(file, length)

    def _send(self, file: Any, length: int) -> None:
        with contextlib.suppress(ConnectionError):
            if isinstance(self.connection, ssl.SSLSocket):
                while length > 0 and (part := file.read(min(CHUNK, length))):
                    self.wfile.write(part)
                    length -= len(part)
            elif length:
                self.wfile.flush()
                self.connection.sendfile(file, file.tell(), length)
            return
        self.close_connection = True

    def _find(self, path: str) -> Path | None:
        """Give the file of a path; nothing outside the mounted folders exists."""
        for mount in self.mounts:
            if not path.startswith(mount.prefix):
                continue
            rest = path[len(mount.prefix) :]
            if "\0" in rest or "\\" in rest or ".." in rest.split("/"):
                return None
            found = mount.folder / rest.lstrip("/")
            if found.is_dir():
                found = found / "index.html"
            return found if found.is_file() else None
        return None

    def _encoded(self, path: Path) -> tuple[Path, str | None]:
        """Choose the compressed twin for a client that takes it.

        A machine sends itself plain bytes, which it has sooner, unless it may be a tunnel.
        """
        if not self.compress and self.client_address[0] in ("127.0.0.1", "::1"):
            return path, None
        words = self.headers.get("Accept-Encoding", "").split(",")
        twin = path.with_name(path.name + ".br")
        if "Range" in self.headers or "br" not in {word.split(";")[0].strip() for word in words}:
            return path, None
        return (twin, "br") if _current(twin, path) else (path, None)

    def _range(self, size: int) -> tuple[int, int] | None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match or int(match[1]) >= size:
            return None
        start = int(match[1])
        end = min(int(match[2]) if match[2] else size - 1, size - 1)
        return (start, end - start + 1) if end >= start else None

    def _error(self, status: HTTPStatus) -> None:
        text = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def end_headers(self) -> None:
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        super().end_headers()


def _current(twin: Path, path: Path) -> bool:
    return twin.is_file() and twin.stat().st_mtime_ns >= path.stat().st_mtime_ns


def content_type(path: Path) -> str:
    return TYPES.get(path.suffix, "application/octet-stream")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, handler: type[Handler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Not HTTPServer's, which would ask the name service for this machine's name.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Browsers drop connections, and open some that never speak TLS; neither is news.
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError, ssl.SSLError)):
            super().handle_error(request, client_address)


class Server:
    """Listening sockets for one site, on one port, each with its threads."""

    def __init__(
        self,
        mounts: Sequence[Mount],
        *,
        host: str | None = None,
        port: int | None = None,
        tls: tuple[Path, Path] | None = None,
        compress: bool = False,
        quiet: bool = True,
    ) -> None:
        settings = {"mounts": tuple(mounts), "quiet": quiet, "compress": compress}
        handler = type("SiteHandler", (Handler,), settings)
        self._listeners = _listen(host, port, handler)
        self.port: int = self._listeners[0].server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            for listener in self._listeners:
                listener.socket = context.wrap_socket(
                    listener.socket, server_side=True, do_handshake_on_connect=False
                )
        name = "localhost" if host is None else f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}/"
        self._threads = [
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
            for listener in self._listeners
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        for listener, thread in zip(self._listeners, self._threads, strict=True):
            if thread.is_alive():
                listener.shutdown()
            listener.server_close()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(host: str | None, port: int | None, handler: type[Handler]) -> list[_Listener]:
    """Take one port on every address, or the first free one from 8080. Port 0: any free one."""
    hosts = ["127.0.0.1", "::1"] if host is None else [host]
    # Port 0 is another number on each address: several attempts to get one that is free on both.
    for candidate in range(PORT_FIRST, PORT_LAST) if port is None else [port] * (1 if port else 8):
        taken: list[_Listener] = []
        try:
            for one in hosts:
                number = taken[0].server_address[1] if taken else candidate
                with _without_ipv6(one):
                    taken.append(_Listener(one, int(number), handler))
        except OSError as error:
            for listener in taken:
                listener.server_close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            continue
        return taken
    if port is None:
        raise PortTaken(
            f"no port from {PORT_FIRST} to {PORT_LAST - 1} is free; choose one by --port"
        )
    raise PortTaken(f"port {port} is taken or not allowed; leave --port out to use a free one")


@contextlib.contextmanager
def _without_ipv6(host: str) -> Iterator[None]:
    """Machines without IPv6 do without ::1."""
    try:
        yield
    except OSError as error:
        if host != "::1" or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise


def site(web: Path, images: Path) -> list[Mount]:
    """Mounts of the page: images first, for they live below the root."""
    return [Mount("/images/", images), Mount("/", web)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", help="default: the first free one from 8080")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1 and ::1)")
    parser.add_argument(
        "--tls",
        nargs=2,
        type=Path,
        metavar=("CERT", "KEY"),
        help="serve https with these PEM files",
    )
    parser.add_argument(
        "--compress", action="store_true", help="compress for this machine too (it is a tunnel)"
    )
    parser.add_argument("--verbose", action="store_true", help="print every request")


def serve(options: argparse.Namespace, mounts: Sequence[Mount]) -> int:
    """Serve until interrupted; print the address."""
    port = int(options.port) if (options.port or "").isdecimal() else None
    if options.port is not None and (port is None or port >> 16):
        print(f"ebb serve: {options.port} is no port: it is 0 to 65535", file=sys.stderr)
        return 2
    if missing := [str(path) for path in options.tls or () if not path.is_file()]:
        print(f"ebb serve: {missing[0]}: there is no such file", file=sys.stderr)
        return 1
    try:
        server = Server(
            mounts,
            host=options.host,
            port=port,
            tls=tuple(options.tls) if options.tls else None,
            compress=options.compress,
            quiet=not options.verbose,
        )
    except (PortTaken, OSError) as error:
        where = f"{options.host}: " if options.host else ""
        print(f"ebb serve: {where}{trouble(error)}", file=sys.stderr)
        return 1
    with server:
        print(f"Ebb is at {server.url}   (Ctrl-C ends)", flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            print()
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of `ebb serve`."""
    from .cli import Parser

    made = Parser(prog="ebb serve", description="Serve the page with a shell.")
    add_arguments(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    from . import assets

    options = parser().parse_args(arguments)
    web = assets.web_folder()
    if not (web / "index.html").is_file():
        print(f"ebb serve: no page in {web}; mend: python3 build.py web", file=sys.stderr)
        return 1
    return serve(options, site(web, assets.images_folder()))


if __name__ == "__main__":
    sys.exit(main())
