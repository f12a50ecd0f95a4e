"""A tape as a file: entries in leaves, each chained to the one before by its hash (docs/tape.md).

    header   "EBBT", version, hash, codec; run id; SHA-256 of kernel.wasm; head of the parent or 0
    leaf*    header with counts, first and last tick, hash and CRC; then the entries, compressed

A leaf is written whole or it does not count: what a crash left behind reads up to its last whole
leaf. Data of OBJECT_LEAST bytes and more goes to an object store by its SHA-256; the fixed part of
an event stays on the tape.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ..abi import Abi
from ..errors import EbbError
from ..recording import EVENT, Entry, Written

MAGIC, VERSION = b"EBBT", 1
SHA256 = 1
STORED, DEFLATE = 0, 1
OBJECT_LEAST = 4096
LEAF_MOST = 64 << 10  # bytes of entries; a leaf is closed when it has grown to this

_HEADER = struct.Struct("<4sHBB16s32s32s")
_LEAF = struct.Struct("<2sHIIIQQQ32s")
_LEAF_MAGIC = b"LF"
_CRC = struct.Struct("<I")
_BY_OBJECT = 1


class TapeDamaged(EbbError):
    """A tape's bytes are not what was written, or an object it names is missing."""


class Objects(Protocol):
    """Bytes by their SHA-256."""

    def put(self, data: bytes) -> bytes:
        """Keep them; returns the hash."""

    def get(self, hash: bytes) -> bytes:
        """Return them, verified, or raise TapeDamaged."""


@dataclass(frozen=True)
class Header:
    """Whose tape it is."""

    run_id: bytes
    kernel: bytes
    parent: bytes = bytes(32)

    def pack(self) -> bytes:
        """Return it as it lies in the file."""
        return _HEADER.pack(MAGIC, VERSION, SHA256, DEFLATE, self.run_id, self.kernel, self.parent)

    @staticmethod
    def unpack(data: bytes) -> Header:
        """Read it; raises TapeDamaged if this is no tape of ours."""
        if len(data) < _HEADER.size or data[:4] != MAGIC:
            raise TapeDamaged("this is no tape: it does not begin with EBBT")
        _, version, hash, codec, run_id, kernel, parent = _HEADER.unpack_from(data)
        if (version, hash, codec) != (VERSION, SHA256, DEFLATE):
            raise TapeDamaged(f"the tape has version {version}, this reads {VERSION}")
        return Header(run_id, kernel, parent)

    def genesis(self) -> bytes:
        """Return the hash that the first leaf continues."""
        return hashlib.sha256(b"ebb-tape" + self.pack()).digest()


@dataclass(frozen=True)
class Leaf:
    """One leaf's header, and where it lies."""

    offset: int  # of the header in the file
    raw: int
    stored: int
    count: int
    first_seq: int
    first_tick: int
    last_tick: int
    hash: bytes

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + _LEAF.size + self.stored + _CRC.size


def _chain(head: bytes, leaf: Leaf, raw: bytes) -> bytes:
    fields = struct.pack(
        "<IIQQQ", leaf.raw, leaf.count, leaf.first_seq, leaf.first_tick, leaf.last_tick
    )
    return hashlib.sha256(b"ebb-leaf" + head + fields + hashlib.sha256(raw).digest()).digest()


def event_heads(abi: Abi) -> dict[int, int]:
    """Return the bytes of each event's fixed part, which stay on the tape."""
    structs = {"BOOT": "boot", "CALL": "call", "BLOCK_IN": "block", "HOSTFS": "hostfs"}
    return {abi.event[name]: abi.structs[f"event_{one}"].size for name, one in structs.items()}


class TapeWriter:
    """Appends entries to a tape; one thread's. `head` is the hash over all that is written.

    Without objects all data lies in the tape itself.
    """

    def __init__(
        self, file: BinaryIO, header: Header, objects: Objects | None, heads: dict[int, int]
    ) -> None:
        self.head = header.genesis()
        self.bytes = file.write(header.pack())
        self.count = 0
        self._file = file
        self._objects = objects
        self._heads = heads
        self._raw = bytearray()
        self._held = 0  # entries in `_raw`
        self._first_tick = self._tick = 0

    def append(self, entry: Entry) -> None:
        """Write an entry; at the latest `flush` brings it to the file."""
        if not self._held:
            self._first_tick = self._tick = entry.tick
        data, tail = entry.data, b""
        if self._objects is not None and len(data) >= OBJECT_LEAST:
            split = 0
            if entry.kind == EVENT:
                split = self._heads.get(int.from_bytes(data[:4], "little"), 0)
            data, tail = data[:split], data[split:]
        raw = self._raw
        raw += _varint(entry.kind << 1 | (_BY_OBJECT if tail else 0))
        raw += _varint(entry.tick - self._tick)
        raw += _varint(len(data)) + data
        if tail:
            assert self._objects is not None
            raw += _varint(len(tail)) + self._objects.put(tail)
        self._tick = entry.tick
        self._held += 1
        if len(raw) >= LEAF_MOST:
            self.flush()

    def flush(self) -> None:
        """Close the leaf that is being filled and hand it to the system."""
        if not self._held:
            return
        raw = bytes(self._raw)
        stored = zlib.compress(raw, 1)
        leaf = Leaf(
            0, len(raw), len(stored), self._held, self.count, self._first_tick, self._tick, b""
        )
        self.head = _chain(self.head, leaf, raw)
        header = _LEAF.pack(
            _LEAF_MAGIC, 0, leaf.raw, leaf.stored, leaf.count, leaf.first_seq,
            leaf.first_tick, leaf.last_tick, self.head,
        )  # fmt: skip
        whole = header + stored
        self.bytes += self._file.write(whole + _CRC.pack(zlib.crc32(whole)))
        self._file.flush()
        self.count += self._held
        self._raw.clear()
        self._held = 0


class StoredEntry:
    """An entry whose data lies, in part, in the object store."""

    def __init__(self, kind: int, tick: int, head: bytes, hash: bytes, objects: Objects) -> None:
        self.kind = kind
        self.tick = tick
        self.head = head
        self.hash = hash
        self._objects = objects

    @property
    def data(self) -> bytes:
        """Fetch it."""
        return self.head + self._objects.get(self.hash)


class TapeReader:
    """Reads a tape from its bytes. `cut` says why it ends before its end, if it does."""

    def __init__(self, data: bytes, objects: Objects | None = None) -> None:
        self.header = Header.unpack(data)
        self.leaves: list[Leaf] = []
        self.cut: str | None = None
        self._data = data
        self._objects = objects
        at = _HEADER.size
        while at < len(data):
            leaf = self._leaf(at)
            if leaf is None:
                self.cut = f"the tape breaks off at byte {at} of {len(data)}"
                break
            self.leaves.append(leaf)
            at = leaf.end

    def _leaf(self, at: int) -> Leaf | None:
        data = self._data
        if at + _LEAF.size > len(data) or data[at : at + 2] != _LEAF_MAGIC:
            return None
        leaf = Leaf(at, *_LEAF.unpack_from(data, at)[2:])
        if leaf.end > len(data):
            return None
        (crc,) = _CRC.unpack_from(data, leaf.end - _CRC.size)
        return leaf if zlib.crc32(data[at : leaf.end - _CRC.size]) == crc else None

    def raw(self, leaf: Leaf) -> bytes:
        """Return a leaf's entries as bytes."""
        begin = leaf.offset + _LEAF.size
        return zlib.decompress(self._data[begin : begin + leaf.stored])

    def entries(self) -> Iterator[Written]:
        """Read all entries; the objects they name are fetched when their data is asked for."""
        for leaf in self.leaves:
            yield from self._entries(leaf)

    def _entries(self, leaf: Leaf) -> Iterator[Written]:
        raw, at, tick = self.raw(leaf), 0, leaf.first_tick
        while at < len(raw):
            tag, at = _read_varint(raw, at)
            delta, at = _read_varint(raw, at)
            length, at = _read_varint(raw, at)
            tick += delta
            data = raw[at : at + length]
            at += length
            if tag & _BY_OBJECT:
                _, at = _read_varint(raw, at)
                if self._objects is None:
                    raise TapeDamaged("the tape names objects, and there are none")
                yield StoredEntry(tag >> 1, tick, data, raw[at : at + 32], self._objects)
                at += 32
            else:
                yield Entry(tag >> 1, tick, data)

    def head(self) -> bytes:
        """Return the hash over all leaves; raises TapeDamaged at the first that does not fit."""
        head = self.header.genesis()
        for number, leaf in enumerate(self.leaves):
            head = _chain(head, leaf, self.raw(leaf))
            if head != leaf.hash:
                raise TapeDamaged(f"leaf {number} at byte {leaf.offset} is not what was written")
        return head


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
