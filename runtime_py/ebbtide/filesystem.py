"""Files of the guest, by agent calls: the kernel's own path lookup, permissions and page cache.

There is no second file API: each method is a few system calls of process 1, acting as root.
"""

from __future__ import annotations

import asyncio
import errno
import io
import posixpath
import stat as modes
import struct
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from . import linux
from .agent import Agent, Ended, Out, path_bytes

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 256 * 1024
TOGETHER = 16  # files of a bulk operation under way at once

_STATX = struct.Struct("<IIQIIIH2xQQQQ16s16s16s16sIIII")
_TIME = struct.Struct("<qI4x")
_KINDS = {
    modes.S_IFREG: "file",
    modes.S_IFDIR: "directory",
    modes.S_IFLNK: "symlink",
    modes.S_IFCHR: "char",
    modes.S_IFBLK: "block",
    modes.S_IFIFO: "fifo",
    modes.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class Stat:
    """What the guest knows about a file; times in nanoseconds since 1970."""

    mode: int
    size: int
    uid: int
    gid: int
    nlink: int
    ino: int
    dev: tuple[int, int]
    rdev: tuple[int, int]
    atime_ns: int
    mtime_ns: int
    ctime_ns: int

    @property
    def kind(self) -> str:
        """file, directory, symlink, char, block, fifo or socket."""
        return _KINDS[modes.S_IFMT(self.mode)]


def _time_ns(data: bytes) -> int:
    seconds, nanoseconds = _TIME.unpack(data)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


class FileSystem:
    """The guest's file system; paths are absolute or relative to /."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def read_file(self, path: str) -> bytes:
        """Return a file's bytes."""
        async with self._open(path, linux.O_RDONLY) as fd:
            chunks = []
            while data := (await self._call("read", fd, Out(CHUNK, by_result=True), CHUNK)).data:
                chunks.append(data)
        return b"".join(chunks)

    async def read_text(self, path: str) -> str:
        """Return a file's text, UTF-8."""
        return (await self.read_file(path)).decode()

    async def write_file(
        self, path: str, data: bytes | str, *, mode: int | None = None, append: bool = False
    ) -> None:
        """Write a whole file, made with `mode` (0o644) if it is new; given a mode, it gets it."""
        view = memoryview(data.encode() if isinstance(data, str) else data).cast("B")
        flags = linux.O_WRONLY | linux.O_CREAT | (linux.O_APPEND if append else linux.O_TRUNC)
        async with self._open(path, flags, 0o644 if mode is None else mode) as fd:
            while view:
                ended = await self._call("write", fd, view[:CHUNK], min(len(view), CHUNK))
                view = view[ended.result :]
            if mode is not None:
                await self._call("fchmod", fd, mode)

    async def mkdir(self, path: str, mode: int = 0o755, *, parents: bool = False) -> None:
        """Make a directory; with `parents`, its parents too, and one that exists is fine."""
        try:
            await self._call("mkdirat", linux.AT_FDCWD, path, mode)
        except FileExistsError:
            if not parents or (await self.stat(path)).kind != "directory":
                raise
        except FileNotFoundError:
            parent = posixpath.dirname(path.rstrip("/"))
            if not parents or parent in ("", "/"):
                raise
            await self.mkdir(parent, parents=True)
            await self.mkdir(path, mode, parents=True)

    async def readdir(self, path: str = "/") -> list[str]:
        """Return the names in a directory, sorted."""
        names: list[str] = []
        async with self._open(path, linux.O_RDONLY | linux.O_DIRECTORY) as fd:
            room = Out(CHUNK, by_result=True)
            while data := (await self._call("getdents64", fd, room, room.length)).data:
                at = 0
                while at < len(data):
                    length = int.from_bytes(data[at + 16 : at + 18], "little")
                    name = data[at + 19 : at + length].partition(b"\0")[0]
                    names.append(name.decode("utf-8", "surrogateescape"))
                    at += length
        return sorted(name for name in names if name not in (".", ".."))

    async def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Describe a file; without `follow`, a symbolic link itself."""
        flags = 0 if follow else linux.AT_SYMLINK_NOFOLLOW
        ended = await self._call(
            "statx", linux.AT_FDCWD, path, flags, linux.STATX_BASIC_STATS, Out(linux.STATX_SIZE)
        )
        (_, _, _, nlink, uid, gid, mode, ino, size, _, _, atime, _, ctime, mtime, rdev_major,
         rdev_minor, dev_major, dev_minor) = _STATX.unpack_from(ended.data)  # fmt: skip
        return Stat(
            mode, size, uid, gid, nlink, ino, (dev_major, dev_minor), (rdev_major, rdev_minor),
            _time_ns(atime), _time_ns(mtime), _time_ns(ctime),
        )  # fmt: skip

    async def exists(self, path: str) -> bool:
        """Say whether there is a file, following symbolic links."""
        try:
            await self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    async def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link at `path`."""
        await self._call("symlinkat", path_bytes(target), linux.AT_FDCWD, path)

    async def readlink(self, path: str) -> str:
        """Return a symbolic link's target."""
        ended = await self._call(
            "readlinkat", linux.AT_FDCWD, path, Out(4096, by_result=True), 4096
        )
        return ended.data.decode("utf-8", "surrogateescape")

    async def link(self, target: str, path: str) -> None:
        """Make a hard link at `path`."""
        with _of_both(target, path):
            await self._call("linkat", linux.AT_FDCWD, target, linux.AT_FDCWD, path, 0)

    async def unlink(self, path: str) -> None:
        """Remove a file."""
        await self._call("unlinkat", linux.AT_FDCWD, path, 0)

    async def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        await self._call("unlinkat", linux.AT_FDCWD, path, linux.AT_REMOVEDIR)

    async def remove_tree(self, path: str) -> None:
        """Remove a file, or a directory with all it holds."""
        if (await self.stat(path, follow=False)).kind != "directory":
            await self.unlink(path)
            return
        names = await self.readdir(path)
        await _together(self.remove_tree, [posixpath.join(path, name) for name in names])
        await self.rmdir(path)

    async def rename(self, path: str, to: str) -> None:
        """Rename a file, replacing `to`."""
        with _of_both(path, to):
            await self._call("renameat2", linux.AT_FDCWD, path, linux.AT_FDCWD, to, 0)

    async def chmod(self, path: str, mode: int) -> None:
        """Change a file's permissions."""
        await self._call("fchmodat", linux.AT_FDCWD, path, mode)

    async def chown(self, path: str, uid: int, gid: int, *, follow: bool = True) -> None:
        """Change a file's owner and group."""
        flags = 0 if follow else linux.AT_SYMLINK_NOFOLLOW
        await self._call("fchownat", linux.AT_FDCWD, path, uid, gid, flags)

    async def utime(self, path: str, mtime_ns: int, *, follow: bool = True) -> None:
        """Set the time of last modification."""
        seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
        times = struct.pack("<4q", 0, linux.UTIME_OMIT, seconds, nanoseconds)
        flags = 0 if follow else linux.AT_SYMLINK_NOFOLLOW
        await self._call("utimensat", linux.AT_FDCWD, path, times, flags)

    async def read_files(self, paths: Iterable[str]) -> list[bytes]:
        """Return the bytes of many files, in order."""
        return await _together(self.read_file, paths)

    async def write_files(self, files: Mapping[str, bytes | str]) -> None:
        """Write many files, making their directories."""
        parents = {posixpath.dirname(path) for path in files} - {"", "/"}
        for parent in sorted(parents):
            await self.mkdir(parent, parents=True)
        await _together(lambda item: self.write_file(item[0], item[1]), files.items())

    async def unpack(self, path: str, tar: bytes) -> None:
        """Unpack a tar archive (any compression Python reads) into a directory."""
        await self.mkdir(path, parents=True)
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            late: list[tuple[str, tarfile.TarInfo]] = []
            for member in archive:
                name = posixpath.normpath("/" + member.name).lstrip("/")
                at = posixpath.join(path, name) if name else path
                if name:
                    await self.mkdir(posixpath.dirname(at) or "/", parents=True)
                await self._unpack(archive, member, at, path)
                late.append((at, member))
            for at, member in reversed(late):
                if not member.issym():
                    await self.utime(at, int(member.mtime) * 1_000_000_000)

    async def _unpack(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, at: str, root: str
    ) -> None:
        if member.isdir():
            await self.mkdir(at, member.mode, parents=True)
        elif member.issym():
            await self._replace(at)
            await self.symlink(member.linkname, at)
        elif member.islnk():
            await self._replace(at)
            target = posixpath.normpath("/" + member.linkname).lstrip("/")
            await self.link(posixpath.join(root, target), at)
            return
        elif member.isreg():
            content = archive.extractfile(member)
            await self._replace(at)
            await self.write_file(at, content.read() if content else b"", mode=member.mode)
        else:
            kind = (
                modes.S_IFIFO
                if member.isfifo()
                else (modes.S_IFCHR if member.ischr() else modes.S_IFBLK)
            )
            device = (
                (member.devmajor << 8)
                | (member.devminor & 0xFF)
                | ((member.devminor & ~0xFF) << 12)
            )
            await self._replace(at)
            await self._call("mknodat", linux.AT_FDCWD, at, kind | member.mode, device)
        await self.chown(at, member.uid, member.gid, follow=False)
        if not member.issym():
            await self.chmod(at, member.mode)

    async def pack(self, path: str) -> bytes:
        """Pack a directory into a tar archive; names are relative to it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            seen: dict[int, str] = {}
            async for name, at, stat in self._walk("", path):
                await self._pack(archive, name, at, stat, seen)
        return buffer.getvalue()

    async def _pack(
        self, archive: tarfile.TarFile, name: str, at: str, stat: Stat, seen: dict[int, str]
    ) -> None:
        member = tarfile.TarInfo(name)
        member.mode = modes.S_IMODE(stat.mode)
        member.uid, member.gid = stat.uid, stat.gid
        member.mtime = stat.mtime_ns // 1_000_000_000
        content = None
        match stat.kind:
            case "directory":
                member.type = tarfile.DIRTYPE
            case "symlink":
                member.type = tarfile.SYMTYPE
                member.linkname = await self.readlink(at)
            case "fifo":
                member.type = tarfile.FIFOTYPE
            case "char" | "block":
                member.type = tarfile.CHRTYPE if stat.kind == "char" else tarfile.BLKTYPE
                member.devmajor, member.devminor = stat.rdev
            case "socket":
                return
            case _ if stat.nlink > 1 and stat.ino in seen:
                member.type = tarfile.LNKTYPE
                member.linkname = seen[stat.ino]
            case _:
                seen[stat.ino] = name
                data = await self.read_file(at)
                member.size = len(data)
                content = io.BytesIO(data)
        archive.addfile(member, content)

    async def _walk(self, name: str, path: str) -> AsyncIterator[tuple[str, str, Stat]]:
        for entry in await self.readdir(path):
            at = posixpath.join(path, entry)
            inner = posixpath.join(name, entry)
            stat = await self.stat(at, follow=False)
            yield inner, at, stat
            if stat.kind == "directory":
                async for found in self._walk(inner, at):
                    yield found

    async def _replace(self, path: str) -> None:
        try:
            await self.unlink(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EISDIR):
                raise

    async def _call(self, name: str, *args: int | str | bytes | memoryview | Out) -> Ended:
        return await self._agent.call(name, *args)

    @asynccontextmanager
    async def _open(self, path: str, flags: int, mode: int = 0) -> AsyncIterator[int]:
        ended = await self._agent.call(
            "openat",
            linux.AT_FDCWD,
            path,
            flags | linux.O_CLOEXEC,
            mode,
            late=lambda late: self._agent.close_later(late.result),
        )
        try:
            yield ended.result
        except OSError as error:
            error.filename = error.filename or path
            raise
        finally:
            self._agent.close_later(ended.result)


@contextmanager
def _of_both(path: str, to: str) -> Iterator[None]:
    """Have an error name both paths, as Python's own do."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = path, to
        raise


async def _together(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    gate = asyncio.Semaphore(TOGETHER)

    async def one(item: T) -> R:
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
