"""Where a run is damaged: which byte, of which entry, and what it was.

A checksum says more than that something is wrong: if one byte has changed, which one and by what. So the
file is put right in memory, and read, to learn what stands there; only what then has all its hashes is
believed. Where more has changed, what is left is read as far as it goes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from ..recording import Written
from .bundle import MAGIC, OBJECT, TAPE, Bundle, Part, parts_of
from .tape import Objects, StoredEntry, TapeDamaged, TapeReader

PIECE = 64  # bytes that are unpacked at once where they may be wrong
Name = Callable[[Written], str]


class _Unread(Objects):
    """Objects of which only the names are wanted."""

    def put(self, data: bytes) -> bytes:
        raise NotImplementedError

    def get(self, hash: bytes) -> bytes:
        raise NotImplementedError


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xEDB88320 if byte & 1 else 0)
        table.append(byte)
    return table


def one_byte(data: bytes, crc: int) -> tuple[int, int] | None:
    """Return which byte of data must be changed, by what, for it to have this CRC; None if no one does it."""
    table = _table()
    changes = {value: byte for byte, value in enumerate(table) if byte}
    back = {value >> 24: index for index, value in enumerate(table)}
    state = zlib.crc32(data) ^ crc  # what the change has become, at the end
    for at in range(len(data) - 1, -1, -1):
        if state in changes:
            return at, changes[state]
        index = back[state >> 24]
        state = (state ^ table[index]) << 8 & 0xFFFFFFFF | index
    return None


@dataclass(frozen=True)
class Change:
    """A byte of a file that is not what it was, and the file as it was."""

    at: int
    before: int
    after: int
    file: bytes

    def __str__(self) -> str:
        return f"byte {self.at} was 0x{self.before:02x} and is 0x{self.after:02x}"


def change(data: bytes, error: TapeDamaged) -> Change | None:
    """Return what has changed in a file, if it is one byte of what lacks its checksum."""
    if error.frame is None:
        return None
    begin, end, crc = error.frame
    wrong = zlib.crc32(data[begin:end]) ^ crc
    own = [at for at in range(4) if wrong >> 8 * at & 0xFF]
    if len(own) == 1 and data[end : end + 4] == crc.to_bytes(4, "little"):  # the checksum itself
        at, by = end + own[0], wrong >> 8 * own[0]
    elif found := one_byte(data[begin:end], crc):
        at, by = begin + found[0], found[1]
    else:
        return None
    return Change(at, data[at] ^ by, data[at], data[:at] + bytes((data[at] ^ by,)) + data[at + 1 :])


def of_tape(data: bytes, error: TapeDamaged, name: Name) -> str:
    """Say where a tape is damaged, beyond what the error says; "" if that is all."""
    found = change(data, error)
    if found is None:
        return ""
    try:
        reader = TapeReader(found.file, _Unread())
        reader.head()
    except TapeDamaged:
        return ""
    return f"{found}: {_in_tape(reader, found.at, name)}"


def of_export(data: bytes, error: TapeDamaged, name: Name) -> str:
    """Say where an exported run is damaged."""
    found = change(data, error)
    if found is not None:
        try:
            bundle = Bundle(found.file)
            return f"{found}: {_in_export(found, bundle, name)}"
        except TapeDamaged:
            pass
    return _roughly(data, name)


def _in_tape(reader: TapeReader, at: int, name: Name) -> str:
    """Name what stands at a byte of a tape that is whole."""
    found = [each for each in enumerate(reader.leaves) if each[1].offset <= at < each[1].end]
    if not found:
        return "in the header of the tape"
    ((number, leaf),) = found
    last = leaf.first_seq + leaf.count - 1
    where = f"leaf {number} (entries {leaf.first_seq} to {last}, ticks {leaf.first_tick} to {leaf.last_tick})"
    if not leaf.begin <= at < leaf.begin + leaf.stored:
        return f"in what frames {where}"
    raw = len(_unpacked(reader.data[leaf.begin : at]))
    for seq, (entry, size, _) in enumerate(reader.sizes()):
        if seq < leaf.first_seq:
            continue
        raw -= size
        if raw < 0 or seq == last:
            return f"in entry {seq} at tick {entry.tick}, {name(entry)}, of {where}"
    return where


def _in_export(found: Change, bundle: Bundle, name: Name) -> str:
    """Name what stands at a byte of an exported run; `bundle` is as it was."""
    for kind, part in parts_of(found.file, MAGIC, "run"):
        if found.at >= part.end:
            continue
        if kind == TAPE:
            if found.at < part.begin:
                return "in what frames the tape"
            at = len(_unpacked(found.file[part.begin : found.at]))
            return _in_tape(TapeReader(bundle.tape, bundle), at, name)
        if kind == OBJECT:
            return _object(bundle.tape, part, name)
        return f"in the part {kind.decode('ascii').strip()}"
    return "at the end of the file"


def _object(tape: bytes, part: Part, name: Name) -> str:
    number = 0
    for number, (entry, _, _) in enumerate(TapeReader(tape, _Unread()).sizes()):
        if isinstance(entry, StoredEntry) and entry.hash == part.hash:
            return f"in what belongs to entry {number} at tick {entry.tick}, {name(entry)}"
    return "in an object that no entry has"


def _roughly(data: bytes, name: Name) -> str:
    """Read what there is, as far as it goes: the entries of the tape, or whose object is wrong."""
    wrong: Part | None = None
    tape = b""
    try:
        for kind, part in parts_of(data, MAGIC, "run", trusting=True):
            stored = data[part.begin : part.end]
            if kind == TAPE:
                tape = _unpacked(stored)
            elif kind == OBJECT and wrong is None and part.crc != zlib.crc32(stored):
                wrong = part
    except TapeDamaged:
        pass
    if not tape:
        return ""
    try:
        if wrong:
            return _object(tape, wrong, name)
        reader = TapeReader(tape, _Unread())
        reader.head()
        last = reader.leaves[-1] if reader.leaves else None
        entry, tick = (last.first_seq + last.count, last.last_tick) if last else (0, 0)
        return f"in leaf {len(reader.leaves)}, from entry {entry} at tick {tick} on"
    except TapeDamaged as error:
        return f"in its tape, {error}"


def _unpacked(stored: bytes) -> bytes:
    """Return as much of packed data as comes out."""
    inflate, out = zlib.decompressobj(), b""
    try:
        for at in range(0, len(stored), PIECE):
            out += inflate.decompress(stored[at : at + PIECE])
    except zlib.error:
        pass
    return out
