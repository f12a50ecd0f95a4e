"""Directories of the host that the guest sees: answers what the kernel's host mounts ask.

The protocol stands in the kernel's `abi.h` (HOSTFS). Every path is walked from the mount's own
directory, which was opened once and stays the same wherever it is moved to, one component at a time
and never through a symbolic link, so the guest cannot leave it: links are the guest's to follow,
inside its own tree. Only regular files are opened, and none becomes set-id. Besides the open
directories and the sum of what was added, nothing is kept between two questions.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TypeAlias

from .abi import Abi
from .events import HostFs
from .placement import Mount
from .recording import Program

Answer: TypeAlias = tuple[int, bytes]
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To walk through: needs no right to list, where the host can tell the two apart.
THROUGH = DIRECTORY | getattr(os, "O_PATH", 0)
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
READ_MOST = 1 << 20
SET_ID = stat.S_ISUID | stat.S_ISGID
NAME_COST = 4096  # what a new name counts against the limit
PROGRAM_MOST = 256 << 20  # larger programs are not kept
_PROGRAMS = (2, 3)  # of an ELF header's types: what can be run, and libraries


class Place:
    """An open directory and a name in it; "." when the mount itself is meant."""

    def __init__(self, root: int, path: bytes) -> None:
        parts = path.split(b"/") if path else []
        if any(part in (b"", b".", b"..") for part in parts):
            raise OSError(errno.EINVAL, "not a path of a mount")
        self.name = parts.pop() if parts else b"."
        self.dir = os.open(".", THROUGH, dir_fd=root)
        for part in parts:
            outer = self.dir
            try:
                self.dir = os.open(part, THROUGH, dir_fd=outer)
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
        """Open a regular file: never a link, a device, a FIFO."""
        if not stat.S_ISREG(self.stat().st_mode):
            raise OSError(errno.ENXIO, "not a regular file")
        fd = os.open(self.name, flags | FILE, dir_fd=self.dir)
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # it was replaced meanwhile
            os.close(fd)
            raise OSError(errno.ENXIO, "not a regular file")
        return fd

    def chmod(self, mode: int) -> None:
        """Set the permissions, never of what a link leads to."""
        if os.chmod in os.supports_follow_symlinks:
            os.chmod(self.name, mode, dir_fd=self.dir, follow_symlinks=False)
            return
        fd = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.dir)
        try:
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.EOPNOTSUPP, "a link has no permissions")
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)

    def stat(self) -> os.stat_result:
        """Return what lstat says."""
        return os.stat(self.name, dir_fd=self.dir, follow_symlinks=False)


class HostDirectories:
    """Serves the mounts of one machine; a mount's number is its place in the list."""

    def __init__(self, abi: Abi, mounts: Sequence[Mount], disk: int = 0) -> None:
        self._abi = abi
        self._attr = abi.structs["hostfs_attr"]
        self._mounts = mounts
        self._disk = disk  # bytes that may be added to all mounts together; 0: any
        self._added = 0
        self.on_full: Callable[[], None] | None = None
        # Gets each program that the guest begins to read, whole: debuggers want more of it than it reads.
        self.on_program: Callable[[Program], None] | None = None
        self._programs: set[tuple[int, ...]] = set()  # that it has got
        with ExitStack() as opened:
            self._roots: list[int] = []
            for mount in mounts:
                root = os.open(mount.host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, root)
                self._roots.append(root)
            self._opened = opened.pop_all()
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
            with Place(self._roots[request.mount], path) as place:
                value, data = work(request, place, rest)
        except OSError as error:
            symbol = errno.errorcode.get(error.errno or errno.EIO, "EIO")
            return self._abi.errno.get(symbol, self._abi.errno["EIO"]), 0, b""
        except (LookupError, ValueError, OverflowError):  # no kernel of ours asks so
            return self._abi.errno["EINVAL"], 0, b""
        return 0, value, data

    def close(self) -> None:
        """Give the directories back; nothing is served any more."""
        self._roots.clear()
        self._opened.close()

    def _add(self, size: int) -> None:
        """Count bytes that a mount is to grow by, or, below 0, has lost."""
        if self._disk and size > 0 and self._added + size > self._disk:
            if self.on_full:
                self.on_full()
            raise OSError(errno.ENOSPC, "the limit of what may be added")
        self._added = max(0, self._added + size)

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
        offset, length = request.args[0], min(request.args[1], READ_MOST)
        fd = place.open(os.O_RDONLY)
        try:
            data = b""
            while len(data) < length and (
                more := os.pread(fd, length - len(data), offset + len(data))
            ):
                data += more
            if self.on_program and offset == 0 and data[:4] == b"\x7fELF":
                self._program(self.on_program, fd, request)
        finally:
            os.close(fd)
        return 0, data

    def _program(self, keep: Callable[[Program], None], fd: int, request: HostFs) -> None:
        st = os.fstat(fd)
        key = request.mount, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns
        kind = int.from_bytes(os.pread(fd, 2, 16), "little")
        if key in self._programs or kind not in _PROGRAMS or st.st_size > PROGRAM_MOST:
            return
        self._programs.add(key)
        with open(fd, "rb", closefd=False) as file:
            whole = file.read()
        path = os.fsdecode(request.data[: request.args[3]])
        guest = f"{self._mounts[request.mount].guest.rstrip('/')}/{path}"
        keep(Program(guest, st.st_mtime_ns, whole))

    def _write(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        offset = request.args[0]
        append = offset == APPEND
        fd = place.open(os.O_WRONLY | (os.O_APPEND if append else 0))
        try:
            size = os.fstat(fd).st_size
            self._add(max(0, (size if append else offset) + len(rest) - size))
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
            self._add(request.args[0] - os.fstat(fd).st_size)
            os.ftruncate(fd, request.args[0])
        finally:
            os.close(fd)
        return 0, b""

    def _create(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE
        if request.args[0] & SET_ID:
            raise OSError(errno.EPERM, "no set-id files")
        self._add(NAME_COST)
        fd = os.open(place.name, flags, request.args[0], dir_fd=place.dir)
        try:
            os.fchmod(fd, request.args[0])
        finally:
            os.close(fd)
        return 0, self._describe(place)

    def _mkdir(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        self._add(NAME_COST)
        os.mkdir(place.name, request.args[0], dir_fd=place.dir)
        place.chmod(request.args[0])
        return 0, self._describe(place)

    def _symlink(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        self._add(NAME_COST)
        os.symlink(rest, place.name, dir_fd=place.dir)
        return 0, self._describe(place)

    def _readlink(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        return 0, os.readlink(place.name, dir_fd=place.dir)

    def _link(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        self._add(NAME_COST)
        with Place(self._roots[request.mount], rest) as old:
            os.link(
                old.name, place.name, src_dir_fd=old.dir, dst_dir_fd=place.dir,
                follow_symlinks=False,
            )  # fmt: skip
        return 0, b""

    def _unlink(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        st = place.stat()
        os.unlink(place.name, dir_fd=place.dir)
        last = stat.S_ISREG(st.st_mode) and st.st_nlink == 1
        self._add(-NAME_COST - (st.st_size if last else 0))
        return 0, b""

    def _rmdir(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        os.rmdir(place.name, dir_fd=place.dir)
        self._add(-NAME_COST)
        return 0, b""

    def _rename(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        flags = request.args[0]
        if flags & EXCHANGE:
            raise OSError(errno.EINVAL, "no exchange on the host")
        with Place(self._roots[request.mount], rest) as to:
            if flags & NO_REPLACE:
                with suppress(FileNotFoundError):
                    to.stat()
                    raise FileExistsError(errno.EEXIST, "taken")
            os.rename(place.name, to.name, src_dir_fd=place.dir, dst_dir_fd=to.dir)
        return 0, b""

    def _setattr(self, request: HostFs, place: Place, rest: bytes) -> Answer:
        if len(rest) < self._attr.size:
            raise ValueError("attributes that end early")
        wanted = self._attr.integers(rest)
        now = self._attr.integers(self._describe(place))
        mode = wanted["mode"] & 0o7777
        if mode != now["mode"] & 0o7777 and not stat.S_ISLNK(now["mode"]):
            if mode & ~now["mode"] & SET_ID and not stat.S_ISDIR(now["mode"]):
                raise OSError(errno.EPERM, "no set-id files")
            place.chmod(mode)
        if (wanted["uid"], wanted["gid"]) != (now["uid"], now["gid"]):
            uid, gid = wanted["uid"] or os.getuid(), wanted["gid"] or os.getgid()
            os.chown(place.name, uid, gid, dir_fd=place.dir, follow_symlinks=False)
        os.utime(
            place.name, ns=(wanted["atime_ns"], wanted["mtime_ns"]), dir_fd=place.dir,
            follow_symlinks=False,
        )  # fmt: skip
        return 0, b""
