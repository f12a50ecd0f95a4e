"""Compiled code that outlives its machine: packs of modules in the user's cache directory.

A module comes with a record, which only the kernel reads: the guest bytes that it was made from. A
folder belongs to one kernel, engine and set of features; all of them lie side by side and have one
limit. Packs are written whole and never changed; whatever is damaged, missing or of another making
is as if it had never been kept, so any number of processes may write and remove them at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAGIC = b"ebb code 1\n"
BYTES_MOST = 1200 << 20  # of all packs: three programs as large as gcc, on one hart and on several
RECORDS_MOST = 16 << 20  # that a machine is told of, in its private memory
MODULES_MOST = 4096
PACKS_MOST = 16  # more small ones become one
SMALL = 16 << 20
PACK, PART = ".pack", ".part"  # how names end, of packs and of what becomes one
TRIES = 3  # to write where another process removes an empty folder
ENTRY = struct.Struct("<II32s")  # of a pack's head: lengths of record and code, the code's hash


@dataclass(frozen=True)
class Kept:
    """One module in a pack."""

    record: bytes
    pack: Path
    offset: int
    length: int
    hash: bytes

    def code(self) -> bytes | None:
        """Read the module; None if it is not what was written."""
        with contextlib.suppress(OSError), self.pack.open("rb") as file:
            file.seek(self.offset)
            code = file.read(self.length)
            if hashlib.sha256(code).digest() == self.hash:
                return code
        return None


def _read_head(path: Path) -> Iterator[Kept]:
    """Give what a pack holds, without the modules themselves; nothing if it is damaged."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + 36)
        if len(start) < len(MAGIC) + 36 or not start.startswith(MAGIC):
            return
        length = int.from_bytes(start[-4:], "little")
        if length > path.stat().st_size:
            return
        head = file.read(length)
    if hashlib.sha256(head).digest() != start[len(MAGIC) : -4]:
        return
    count = int.from_bytes(head[:4], "little")
    at, offset = 4 + count * ENTRY.size, len(start) + length
    for number in range(count):
        record, code, digest = ENTRY.unpack_from(head, 4 + number * ENTRY.size)
        yield Kept(head[at : at + record], path, offset, code, digest)
        at += record
        offset += code


def _write(folder: Path, modules: Iterable[tuple[bytes, bytes]]) -> None:
    entries, records, codes = [], [], []
    for record, code in modules:
        entries.append(ENTRY.pack(len(record), len(code), hashlib.sha256(code).digest()))
        records.append(record)
        codes.append(code)
    head = b"".join([len(entries).to_bytes(4, "little"), *entries, *records])
    with _begin(folder) as file:
        try:
            file.write(MAGIC + hashlib.sha256(head).digest() + len(head).to_bytes(4, "little"))
            file.write(head)
            for code in codes:
                file.write(code)
            file.flush()
            name = f"{time.time_ns():020}-{Path(file.name).stem}{PACK}"  # in the order of time
            os.replace(file.name, folder / name)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _begin(folder: Path) -> IO[bytes]:
    for left in reversed(range(TRIES)):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return tempfile.NamedTemporaryFile(dir=folder, suffix=PART, delete=False)
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError


def _found(folder: Path, pattern: str) -> list[tuple[int, int, Path]]:
    """List files by when they were used, the last first, with their sizes."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_size, path))
    return sorted(found, reverse=True)


class CodeStore:
    """The packs of one folder, as a machine sees them when it starts."""

    def __init__(self, folder: Path, most: int = BYTES_MOST) -> None:
        self.folder = folder
        self._most = most
        self._used: set[Path] = set()
        self.modules = self._read()

    def _read(self) -> list[Kept]:
        packs: dict[str, list[Kept]] = {}
        room, places, seen = RECORDS_MOST, MODULES_MOST, set()
        for _, _, path in _found(self.folder, "*" + PACK):
            pack = packs[path.name] = []
            with contextlib.suppress(OSError, struct.error):
                for kept in _read_head(path):
                    if kept.record in seen or len(kept.record) > room or not places:
                        continue
                    seen.add(kept.record)
                    room -= len(kept.record)
                    places -= 1
                    pack.append(kept)
        # By when they were written: of two of one place the kernel asks the last one first.
        return [kept for name in sorted(packs) for kept in packs[name]]

    def records(self) -> bytes:
        """Return what the kernel is told: one record behind the other."""
        return b"".join(kept.record for kept in self.modules)

    def code(self, number: int) -> bytes | None:
        """Read the module with this number."""
        if not 0 <= number < len(self.modules):
            return None
        self._used.add(self.modules[number].pack)
        return self.modules[number].code()

    def save(self, modules: dict[bytes, bytes]) -> None:
        """Keep modules, by record. A folder that cannot be written only costs time."""
        for path in tuple(self._used):  # harts still take modules
            with contextlib.suppress(OSError):
                os.utime(path)
        small = [path for _, size, path in _found(self.folder, "*" + PACK) if size < SMALL]
        if len(small) < PACKS_MOST:
            small = []
        with contextlib.suppress(OSError):
            if modules:
                _write(self.folder, _merged(small, modules))
                for path in small:
                    path.unlink(missing_ok=True)
        self._shrink()

    def _shrink(self) -> None:
        """Remove what was not used for longest, whosever it is: older kernels' goes by itself."""
        room = self._most
        kinds = (_found(self.folder.parent, "*/*" + kind) for kind in (PACK, PART))
        for _, size, path in sorted(itertools.chain(*kinds), reverse=True):
            room -= size
            if room < 0:
                with contextlib.suppress(OSError):
                    path.unlink()
                    path.parent.rmdir()  # if it was the last


def _merged(packs: list[Path], modules: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give what is in the packs, then the modules; of two with one record, the last."""
    old: dict[bytes, Kept] = {}
    for path in sorted(packs, key=lambda path: path.name):
        with contextlib.suppress(OSError, struct.error):
            for kept in _read_head(path):
                old.pop(kept.record, None)
                old[kept.record] = kept
    for record, kept in old.items():
        if record not in modules and (code := kept.code()) is not None:
            yield record, code
    yield from modules.items()
