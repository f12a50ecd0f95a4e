"""Compiled code that outlives its machine: packs of modules in the user's cache directory.

A module comes with a record, which only the kernel reads: the guest bytes that it was made from. A
folder belongs to one kernel, engine and set of features. Packs are written whole and never changed;
whatever is damaged, missing or of another making is as if it had never been kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"ebb code 1\n"
BYTES_MOST = 600 << 20  # of a folder's packs; what was not used for longest goes first
RECORDS_MOST = 16 << 20  # that a machine is told of, in its private memory
MODULES_MOST = 4096
PACKS_MOST = 16  # more small ones become one
SMALL = 16 << 20
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
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            file.write(MAGIC + hashlib.sha256(head).digest() + len(head).to_bytes(4, "little"))
            file.write(head)
            for code in codes:
                file.write(code)
            file.flush()
        except OSError:
            os.unlink(file.name)
            raise
    os.replace(file.name, file.name + ".pack")


class CodeStore:
    """The packs of one folder, as a machine sees them when it starts."""

    def __init__(self, folder: Path, most: int = BYTES_MOST) -> None:
        self.folder = folder
        self._most = most
        self._used: set[Path] = set()
        self.modules = self._read()

    def _packs(self) -> list[Path]:
        """List the packs, the one used last first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*.pack"):
                with contextlib.suppress(OSError):
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]

    def _read(self) -> list[Kept]:
        packs: list[list[Kept]] = []
        room, places, seen = RECORDS_MOST, MODULES_MOST, set()
        for path in self._packs():
            pack = []
            with contextlib.suppress(OSError, struct.error):
                for kept in _read_head(path):
                    if kept.record in seen or len(kept.record) > room or not places:
                        continue
                    seen.add(kept.record)
                    room -= len(kept.record)
                    places -= 1
                    pack.append(kept)
            packs.append(pack)
        return [kept for pack in reversed(packs) for kept in pack]  # of two, the last one counts

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
        with contextlib.suppress(OSError):
            for path in tuple(self._used):  # harts still take modules
                os.utime(path)
            if modules:
                _write(self.folder, self._merged(modules))
            self._shrink()

    def _merged(self, modules: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Give the modules, and those of the small packs if there are many, which then go."""
        packs = [path for path in self._packs() if path.stat().st_size < SMALL]
        if len(packs) < PACKS_MOST:
            packs = []
        old: dict[bytes, Kept] = {}
        for path in packs:
            for kept in _read_head(path):
                old.setdefault(kept.record, kept)
        for record, kept in old.items():
            if record not in modules and (code := kept.code()) is not None:
                yield record, code
        yield from modules.items()
        for path in packs:
            path.unlink(missing_ok=True)

    def _shrink(self) -> None:
        room = self._most
        for path in self._packs():
            room -= path.stat().st_size
            if room < 0:
                path.unlink(missing_ok=True)
