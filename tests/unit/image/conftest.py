"""A tiny Debian archive made by the tests, and a server for it on this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import lzma
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ebbtide.image.fetch import Cache
from ebbtide.image.lock import Lock, lock_packages
from ebbtide.image.release import parse_packages

DATE = 1_700_000_000
Content = bytes | str | tuple[str, str]
"""A file's bytes, or `-> target` for a symbolic link, or ("hard", path)."""


def tar_of(files: dict[str, Content], modes: dict[str, int] | None = None) -> bytes:
    """Make a tar archive the way packages have them: ./ first, parents before children."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        made: set[str] = set()

        def add(info: tarfile.TarInfo, data: bytes = b"") -> None:
            info.mtime = DATE
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        for path, content in files.items():
            parts = path.strip("/").split("/")
            for depth in range(len(parts)):
                name = "/".join([".", *parts[:depth]])
                if name not in made:
                    made.add(name)
                    info = tarfile.TarInfo(name)
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    add(info)
            info = tarfile.TarInfo("./" + path.strip("/"))
            info.mode = (modes or {}).get(path, 0o755 if "/bin/" in path else 0o644)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content.removeprefix("-> ")
                add(info)
            elif isinstance(content, tuple):
                info.type, info.linkname = tarfile.LNKTYPE, "./" + content[1].strip("/")
                add(info)
            else:
                add(info, content)
    return out.getvalue()


def deb_of(control: dict[str, str], files: dict[str, Content], scripts: dict[str, str]) -> bytes:
    """Make a binary package."""
    stanza = "".join(f"{key}: {value}\n" for key, value in control.items()).encode()
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(
            tar_of({"control": stanza, **{k: v.encode() for k, v in scripts.items()}})
        ),
        "data.tar.xz": lzma.compress(tar_of(files)),
    }
    out = b"!<arch>\n"
    for name, data in members.items():
        head = f"{name:<16}{DATE:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        out += head.encode() + data + b"\n" * (len(data) & 1)
    return out


@dataclass
class FakeArchive:
    """An archive below a directory: add packages, then publish."""

    root: Path
    origin: str = "Debian"
    architectures: str = "amd64 riscv64"
    arch: str = "riscv64"  # the one it lists
    stanzas: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        files: dict[str, Content] | None = None,
        version: str = "1.0-1",
        arch: str | None = None,
        scripts: dict[str, str] | None = None,
        **fields: str,
    ) -> None:
        arch = arch or self.arch
        more = {key.replace("_", "-"): value for key, value in fields.items()}
        control = {"Package": name, "Version": version, "Architecture": arch, **more}
        control["Description"] = f"the package {name}"
        data = deb_of(control, files or {f"/usr/share/{name}": name.encode()}, scripts or {})
        filename = f"pool/main/{name[0]}/{name}/{name}_{version}_{arch}.deb"
        path = self.root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        more = {
            **control,
            "Filename": filename,
            "Size": str(len(data)),
            "SHA256": hashlib.sha256(data).hexdigest(),
        }
        self.stanzas.append("".join(f"{key}: {value}\n" for key, value in more.items()))

    def packages_text(self) -> str:
        return "\n".join(self.stanzas)

    def release(self) -> bytes:
        """Write the package list; return the Release that vouches for it."""
        top = self.root / "dists" / "trixie"
        listing = top / "main" / f"binary-{self.arch}" / "Packages.xz"
        listing.parent.mkdir(parents=True, exist_ok=True)
        data = lzma.compress(self.packages_text().encode())
        listing.write_bytes(data)
        sha = hashlib.sha256(data).hexdigest()
        return (
            f"Origin: {self.origin}\nSuite: stable\nVersion: 13.0\nCodename: trixie\n"
            f"Date: Tue, 14 Nov 2023 22:13:20 UTC\nArchitectures: {self.architectures}\n"
            f"Components: main contrib\n"
            f"SHA256:\n {sha} {len(data)} main/binary-{self.arch}/Packages.xz\n"
        ).encode()

    def publish(self, inrelease: bytes | None = None) -> None:
        text = self.release() if inrelease is None else inrelease
        (self.root / "dists" / "trixie" / "InRelease").write_bytes(text)

    def lock(self, name: str = "tiny") -> Lock:
        """Lock everything there is."""
        return lock_packages(name, DATE, "13.0", parse_packages(self.packages_text()).values())


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory; counts requests, and can break answers off."""

    root: Path
    requests: list[tuple[str, str | None]]
    cut_after: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        path = self.server.root / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.cut_after is not None:
            body, self.server.cut_after = body[: self.server.cut_after], None
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    return FakeArchive(tmp_path / "archive")


@pytest.fixture
def server(archive: FakeArchive, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "EBB_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    archive.root.mkdir(parents=True, exist_ok=True)
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.root, server.requests = archive.root, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")
