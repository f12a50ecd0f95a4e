"""Debian binary packages: an ar archive with two tar archives inside.

Rule: nothing is executed and nothing lands outside the tree; what a package's scripts would do is
the business of settle.py.
"""

from __future__ import annotations

import io
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path

from .errors import ImageError

KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def ar_members(data: bytes, name: str) -> dict[str, bytes]:
    """Split an ar archive."""
    if data[:8] != b"!<arch>\n":
        raise ImageError(f"{name} is not a Debian package")
    members: dict[str, bytes] = {}
    at = 8
    while at + 60 <= len(data):
        head = data[at : at + 60]
        size = int(head[48:58])
        members[head[:16].decode("ascii").strip().rstrip("/")] = data[at + 60 : at + 60 + size]
        at += 60 + size + (size & 1)
    return members


def open_tar(data: bytes, member: str, name: str) -> tarfile.TarFile:
    """Open a tar archive whose compression is one the standard library knows."""
    try:
        return tarfile.open(fileobj=io.BytesIO(data), mode="r:*")
    except tarfile.TarError as error:
        raise ImageError(f"{name}: {member} cannot be read: {error}") from None


@dataclass(frozen=True)
class Deb:
    """An opened package: control files by name, and the archive of its files."""

    control: dict[str, bytes]
    data: tarfile.TarFile

    @property
    def fields(self) -> bytes:
        """Return the control stanza."""
        return self.control.get("control", b"")


def open_deb(path: Path) -> Deb:
    """Open a package file."""
    members = ar_members(path.read_bytes(), path.name)
    parts: dict[str, tarfile.TarFile] = {}
    for member, data in members.items():
        stem = member.partition(".")[0]
        if stem in ("control", "data"):
            parts[stem] = open_tar(data, member, path.name)
    if set(parts) != {"control", "data"}:
        raise ImageError(f"{path.name} lacks its control or data archive")
    control: dict[str, bytes] = {}
    with parts["control"] as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isfile() else None
            if file is not None:
                control[info.name.removeprefix("./")] = file.read()
    return Deb(control, parts["data"])
