"""gdb's host I/O: the files of the run, read-only, as they were at the moment it stands at.

Of /proc there is what gdb asks for by itself: a process's mappings.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import EbbError
from .debug_view import Mapping
from .past_files import PastFiles

_STAT = struct.Struct(">IIIIIIIQQQIII")  # the protocol's own, big-endian
ENOENT, EBADF, EROFS, EINVAL, EIO = 2, 9, 30, 22, 9999  # the protocol's numbers
WRITES = 0x3
SHARED = 1  # of a mapping's flags
_MAPS = re.compile(r"/proc/(\d+)/(?:task/\d+/)?maps")


def _maps(mappings: Iterable[Mapping]) -> bytes:
    """Return mappings as proc(5) has them; devices and inodes are not known."""
    lines = []
    for one in mappings:
        rights = "".join(letter if one.prot & 1 << bit else "-" for bit, letter in enumerate("rwx"))
        rights += "s" if one.flags & SHARED else "p"
        lines.append(
            f"{one.start:08x}-{one.end:08x} {rights} {one.offset:08x} 00:00 0 {one.name}\n"
        )
    return "".join(lines).encode(errors="surrogateescape")


@dataclass
class _Open:
    path: str
    data: bytes


class GdbFiles:
    """Answers vFile packets."""

    def __init__(self, files: PastFiles, mappings: Callable[[int], Iterable[Mapping]]) -> None:
        self._files = files
        self._mappings = mappings
        self._open: dict[int, _Open] = {}

    def answer(self, packet: bytes) -> bytes:
        """Answer one packet, without its vFile:."""
        name, _, rest = packet.partition(b":")
        works: dict[bytes, Callable[..., bytes]] = {
            b"setfs": self._setfs,
            b"open": self._opened,
            b"pread": self._pread,
            b"fstat": self._fstat,
            b"close": self._close,
            b"readlink": self._readlink,
        }
        if name not in works:
            return b""
        try:
            return works[name](*rest.split(b","))
        except KeyError:
            return b"F-1,%x" % EBADF
        except OSError as error:
            return b"F-1,%x" % (error.errno if error.errno in (ENOENT, EINVAL) else ENOENT)
        except EbbError:
            return b"F-1,%x" % EIO

    def _setfs(self, pid: bytes) -> bytes:
        return b"F0"

    def _opened(self, path: bytes, flags: bytes, mode: bytes) -> bytes:
        if int(flags, 16) & WRITES:
            return b"F-1,%x" % EROFS
        name = bytes.fromhex(path.decode()).decode(errors="surrogateescape")
        number = max(self._open, default=2) + 1
        maps = _MAPS.fullmatch(name)
        data = _maps(self._mappings(int(maps[1]))) if maps else self._files.read(name)
        self._open[number] = _Open(name, data)
        return b"F%x" % number

    def _pread(self, number: bytes, count: bytes, offset: bytes) -> bytes:
        file = self._open[int(number, 16)]
        at = int(offset, 16)
        data = file.data[at : at + int(count, 16)]
        return b"F%x;%s" % (len(data), data)

    def _fstat(self, number: bytes) -> bytes:
        file = self._open[int(number, 16)]
        stat = self._files.stat(file.path)
        seconds = [value // 10**9 for value in (stat.atime_ns, stat.mtime_ns, stat.ctime_ns)]
        data = _STAT.pack(
            0, stat.ino & 0xFFFFFFFF, stat.mode, stat.nlink, stat.uid, stat.gid, 0,
            stat.size, 4096, -(-stat.size // 512), *seconds,
        )  # fmt: skip
        return b"F%x;%s" % (len(data), data)

    def _close(self, number: bytes) -> bytes:
        del self._open[int(number, 16)]
        return b"F0"

    def _readlink(self, path: bytes) -> bytes:
        name = bytes.fromhex(path.decode()).decode(errors="surrogateescape")
        data = self._files.readlink(name).encode(errors="surrogateescape")
        return b"F%x;%s" % (len(data), data)
