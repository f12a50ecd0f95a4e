"""Directories of the host that the guest sees: answers what the kernel's host mounts ask.

The protocol stands in the kernel's `abi.h` (HOSTFS). Every path is walked from the mount's own
directory, one component at a time and never through a symbolic link, so the guest cannot leave it:
links are the guest's to follow, inside its own tree. Nothing is kept between two questions.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from .abi import Abi
from .events import HostFs
from .placement import Mount

Answer: TypeAlias = tuple[int, bytes]
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
WRITES = frozenset(
    [
        "WRITE",
        "TRUNCATE",
        "CREATE",
        "MKDIR",
        "SYMLINK",
        "LINK",
        "UNLINK",
        "RMDIR",
        "RENAME",
        "SETATTR",
    ]
)
EXCHANGE, NO_REPLACE = 2, 1
APPEND = (1 << 64) - 1


class Place:
    """An open directory and a name in it; "." when the mount itself is meant."""

    def __init__(self, root: str, path: bytes) -> None:
        parts = path.split(b"/") if path else []
        if any(part in (b"", b".", b"..") for part in parts):
            raise OSError(errno.EINVAL, "not a path of a mount")
        self.name = parts.pop() if parts else b"."
        self.dir = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            outer = self.dir
            try:
                self.dir = os.open(part, DIRECTORY, dir_fd=outer)
            except OSError as error:
                os.close(outer)
                self.dir = -1
                if error.errno == errno.ELOOP:
                    raise OSError(errno.ENOTDIR, "a link on the way") from error
                raise
            os.close(outer)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.dir)

    def open(self, flags: int) -> int:
        """Open the file, never a link, never waiting."""
        return os.open(self.name, flags | FILE, dir_fd=self.dir)

    def stat(self) -> os.stat_result:
        """Return what lstat says."""
        return os.stat(self.name, dir_fd=self.dir, follow_symlinks=False)


class HostDirectories:
    """Serves the mounts of one machine; a mount's number is its place in the list."""

    def __init__(self, abi: Abi, mounts: Sequence[Mount]) -> None:
        self._abi = abi
        self._attr = abi.structs["hostfs_attr"]
        self._mounts = mounts
        self._ops: dict[int, tuple[str, Callable[[HostFs, Place, bytes], Answer]]] = {
            number: (name, getattr(self, f"_{name.lower()}"))
            for name, number in abi.groups["hostfs"].items()
        }

    async def serve(self, request: HostFs) -> tuple[int, int, bytes]:
        """Answer one question: (errno, value, data)."""
        try:
            mount = self._mounts[request.mount]
            name, work = self._ops[request.op]
            if mount.read_only and name in WRITES:
                raise OSError(errno.EROFS, "mounted read-only")
            length = request.args[3]
            path, rest = request.data[:length], request.data[length:]
            with Place(mount.host, path) as place:
                value, data = work(request, place, rest)
        except OSError as error:
            symbol = errno.errorcode.get(error.errno or errno.EIO, "EIO")
            return self._abi.errno.get(symbol, self._abi.errno["EIO"]), 0, b""
        return 0, value, data

    def _describe(self, place: Place) -> bytes:
        st = place.stat()
        # Whoever runs the machine is root in it.
        uid = 0 if st.st_uid == os.getuid() else st.st_uid
        gid = 0 if st.st_gid == os.getgid() else st.st_gid
        return bytes(
            self._attr.pack(
                mode=st.st_mode, nlink=st.st_nlink, uid=uid, gid=gid, ino=st.st_ino,
                size=st.st_size, atime_ns=st.st_atime_ns, mtime_ns=st.st_mtime_ns,
                ctime_ns=st.st_ctime_ns,
            )
        )  # fmt: skip

    def _getattr(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        return 0, self._describe(place)

    def _readdir(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        data = bytearray()
        fd = os.open(place.name, DIRECTORY, dir_fd=place.dir)
        try:
            for name in sorted(os.listdir(fd)):
                raw = os.fsencode(name)
                with suppress(FileNotFoundError):
                    st = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    kind = stat.S_IFMT(st.st_mode) >> 12
                    data += st.st_ino.to_bytes(8, "little") + bytes((kind, len(raw))) + raw
        finally:
            os.close(fd)
        return 0, bytes(data)

    def _read(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        offset, length = request.args[0], request.args[1]
        fd = place.open(os.O_RDONLY)
        try:
            data = b""
            while len(data) < length and (
                more := os.pread(fd, length - len(data), offset + len(data))
            ):
                data += more
        finally:
            os.close(fd)
        return 0, data

    def _write(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        offset = request.args[0]
        append = offset == APPEND
        fd = place.open(os.O_WRONLY | (os.O_APPEND if append else 0))
        try:
            view = memoryview(rest)
            while view:
                n = os.write(fd, view) if append else os.pwrite(fd, view, offset)
                view = view[n:]
                offset += n
            return (os.fstat(fd).st_size if append else offset), b""
        finally:
            os.close(fd)

    def _truncate(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        fd = place.open(os.O_WRONLY)
        try:
            os.ftruncate(fd, request.args[0])
        finally:
            os.close(fd)
        return 0, b""

    def _create(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE
        fd = os.open(place.name, flags, request.args[0], dir_fd=place.dir)
        try:
            os.fchmod(fd, request.args[0])
        finally:
            os.close(fd)
        return 0, self._describe(place)

    def _mkdir(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        os.mkdir(place.name, request.args[0], dir_fd=place.dir)
        os.chmod(place.name, request.args[0], dir_fd=place.dir)
        return 0, self._describe(place)

    def _symlink(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        os.symlink(rest, place.name, dir_fd=place.dir)
        return 0, self._describe(place)

    def _readlink(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        return 0, os.readlink(place.name, dir_fd=place.dir)

    def _link(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        with Place(self._mounts[request.mount].host, rest) as old:
            os.link(
                old.name, place.name, src_dir_fd=old.dir, dst_dir_fd=place.dir,
                follow_symlinks=False,
            )  # fmt: skip
        return 0, b""

    def _unlink(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        os.unlink(place.name, dir_fd=place.dir)
        return 0, b""

    def _rmdir(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        os.rmdir(place.name, dir_fd=place.dir)
        return 0, b""

    def _rename(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        flags = request.args[0]
        if flags & EXCHANGE:
            raise OSError(errno.EINVAL, "no exchange on the host")
        with Place(self._mounts[request.mount].host, rest) as to:
            if flags & NO_REPLACE:
                with suppress(FileNotFoundError):
                    to.stat()
                    raise FileExistsError(errno.EEXIST, "taken")
            os.rename(place.name, to.name, src_dir_fd=place.dir, dst_dir_fd=to.dir)
        return 0, b""

    def _setattr(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        wanted = self._attr.integers(rest)
        now = self._attr.integers(self._describe(place))
        if wanted["mode"] & 0o7777 != now["mode"] & 0o7777 and not stat.S_ISLNK(now["mode"]):
            os.chmod(place.name, wanted["mode"] & 0o7777, dir_fd=place.dir)
        if (wanted["uid"], wanted["gid"]) != (now["uid"], now["gid"]):
            uid, gid = wanted["uid"] or os.getuid(), wanted["gid"] or os.getgid()
            os.chown(place.name, uid, gid, dir_fd=place.dir, follow_symlinks=False)
        os.utime(
            place.name, ns=(wanted["atime_ns"], wanted["mtime_ns"]), dir_fd=place.dir,
            follow_symlinks=False,
        )  # fmt: skip
        return 0, b""
