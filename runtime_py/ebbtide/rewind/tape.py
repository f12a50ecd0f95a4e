"""A tape as a file: entries in leaves, each chained to the one before by its hash (docs/tape.md).

    header   "EBBT", version, hash, codec; run id; SHA-256 of kernel.wasm; head of the parent or 0
    leaf*    header with counts, first and last tick, hash and CRC; then the entries, compressed

A leaf is written whole or it does not count: what a crash left behind is the beginning of a tape and
reads up to its last whole leaf; bytes that no crash explains are TapeDamaged. Data of OBJECT_LEAST
bytes and more goes to an object store by its SHA-256; the fixed part of an event stays on the tape.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from .. import leb128
from ..abi import Abi
from ..errors import EbbError
from ..recording import EVENT, ORDER, PROGRAM, Entry, Program, Written

MAGIC, VERSION = b"EBBT", 1
SHA256 = 1
STORED, DEFLATE = 0, 1
OBJECT_LEAST = 4096
LEAF_MOST = 64 << 10  # bytes of entries; a leaf is closed when it has grown to this

_HEADER = struct.Struct("<4sHBB16s32s32s")
_LEAF = struct.Struct("<2sHIIIQQQ32s")  # then its CRC, the entries, and theirs
_LEAF_MAGIC = b"LF"
_CRC = struct.Struct("<I")
_BY_OBJECT = 1

# A CLOCK event that goes on where the one before it leads: only its rate stands on the tape.
_SHORT_CLOCK = 7
_CLOCK = struct.Struct("<IIQIIQ")  # kind, length, base_ns, mul, 0, suspend_ns
_CLOCK_HEAD = struct.pack("<II", 2, _CLOCK.size)
_MUL_STEP = 14  # bits; clock.py makes rates that are multiples of this


class TapeDamaged(EbbError):
    """A tape's bytes are not what was written, or an object it names is missing. `frame`: where bytes
    begin and end that do not have their checksum, and that; if this is what is wrong.
    """

    def __init__(self, message: str, frame: tuple[int, int, int] | None = None) -> None:
        super().__init__(message)
        self.frame = frame


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
        return self.begin + self.stored + _CRC.size

    @property
    def begin(self) -> int:
        """The offset of its entries."""
        return self.offset + _LEAF.size + _CRC.size


def _chain(head: bytes, leaf: Leaf, hash: bytes) -> bytes:
    fields = struct.pack(
        "<IIQQQ", leaf.raw, leaf.count, leaf.first_seq, leaf.first_tick, leaf.last_tick
    )
    return hashlib.sha256(b"ebb-leaf" + head + fields + hash).digest()


def event_heads(abi: Abi) -> dict[int, int]:
    """Return the bytes of each event's fixed part, which stay on the tape."""
    structs = {"BOOT": "boot", "CALL": "call", "BLOCK_IN": "block", "HOSTFS": "hostfs"}
    return {abi.event[name]: abi.structs[f"event_{one}"].size for name, one in structs.items()}


class _ClockLine:
    """Where virtual time is by the CLOCK events of one leaf; what follows from it is not written."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._tick = self._mul = 0

    def _now(self, tick: int) -> int:
        return (self._base or 0) + ((tick - self._tick) * self._mul >> 24)

    def short(self, tick: int, data: bytes) -> bytes | None:
        """Return a CLOCK event as it is written in short, if it can be; note it."""
        if len(data) != _CLOCK.size or data[:8] != _CLOCK_HEAD:
            return None
        _, _, base, mul, pad, suspend = _CLOCK.unpack(data)
        known, jump = self._base is not None, base - self._now(tick)
        self._set(tick, base, mul)
        if not known or jump < 0 or mul & ((1 << _MUL_STEP) - 1) or pad or suspend:
            return None
        return leb128.written(mul >> _MUL_STEP << 1 | bool(jump)) + (
            leb128.written(jump) if jump else b""
        )

    def long(self, tick: int, raw: bytes, at: int) -> tuple[bytes, int]:
        """Read what `short` wrote; returns the event and the offset behind."""
        coded, at = leb128.unsigned(raw, at)
        jump, at = leb128.unsigned(raw, at) if coded & 1 else (0, at)
        base, mul = self._now(tick) + jump, coded >> 1 << _MUL_STEP
        self._set(tick, base, mul)
        return _CLOCK.pack(2, _CLOCK.size, base, mul, 0, 0), at

    def _set(self, tick: int, base: int, mul: int) -> None:
        if self._base is not None:
            base = max(base, self._now(tick))  # never back, as in the kernel
        self._base, self._tick, self._mul = base, tick, mul


@dataclass(frozen=True)
class Named:
    """An entry all of whose data is an object that somebody has kept already."""

    kind: int
    tick: int
    hash: bytes
    length: int


class TapeWriter:
    """Makes a tape of entries; one thread's. `head` is the hash over all that is in the file.

    Nothing is written before `flush`: so the objects that entries name can be brought to safety
    between the two. Without objects all data lies in the tape itself.
    """

    def __init__(
        self, file: BinaryIO, header: Header, objects: Objects | None, heads: dict[int, int]
    ) -> None:
        self.head = header.genesis()
        self.bytes = 0
        self.count = 0
        self.leaves = 0
        self._file = file
        self._objects = objects
        self._heads = heads
        self._raw = bytearray()
        self._held = 0  # entries in `_raw`
        self._first_tick = self._tick = 0
        self._clock = _ClockLine()
        self._closed = bytearray()  # leaves that are not in the file yet
        self._write(header.pack())

    def append(self, entry: Entry | Named) -> None:
        """Take an entry."""
        if not self._held:
            self._first_tick = self._tick = entry.tick
            self._clock = _ClockLine()
        self._add(entry)
        self._tick = entry.tick
        self._held += 1
        if len(self._raw) >= LEAF_MOST:
            self._close()

    def _add(self, entry: Entry | Named) -> None:
        if isinstance(entry, Named):
            self._raw += leb128.written(entry.kind << 1 | _BY_OBJECT) + leb128.written(
                entry.tick - self._tick
            )
            self._raw += leb128.written(0) + leb128.written(entry.length) + entry.hash
            return
        data, tail = entry.data, b""
        if entry.kind == EVENT and (short := self._clock.short(entry.tick, data)) is not None:
            self._raw += (
                leb128.written(_SHORT_CLOCK << 1) + leb128.written(entry.tick - self._tick) + short
            )
            return
        if self._objects is not None and len(data) >= OBJECT_LEAST and entry.kind != ORDER:
            split = 0
            if entry.kind == EVENT:
                split = self._heads.get(int.from_bytes(data[:4], "little"), 0)
            elif entry.kind == PROGRAM:
                split = Program.size(data)
            data, tail = data[:split], data[split:]
        raw = self._raw
        raw += leb128.written(entry.kind << 1 | (_BY_OBJECT if tail else 0))
        raw += leb128.written(entry.tick - self._tick)
        raw += leb128.written(len(data)) + data
        if tail:
            assert self._objects is not None
            raw += leb128.written(len(tail)) + self._objects.put(tail)

    def flush(self) -> None:
        """Hand all leaves to the system, the one that is being filled among them."""
        if self._held:
            self._close()
        if self._closed:
            self._write(bytes(self._closed))
            self._closed.clear()
            self._file.flush()

    def _write(self, data: bytes) -> None:
        self.bytes += len(data)
        view = memoryview(data)
        while view:  # a disk that fills up takes a part, and then nothing
            view = view[self._file.write(view) :]

    def _close(self) -> None:
        raw = bytes(self._raw)
        stored = zlib.compress(raw, 1)
        leaf = Leaf(
            0, len(raw), len(stored), self._held, self.count, self._first_tick, self._tick, b""
        )
        self.head = _chain(self.head, leaf, hashlib.sha256(raw).digest())
        header = _LEAF.pack(
            _LEAF_MAGIC, 0, leaf.raw, leaf.stored, leaf.count, leaf.first_seq,
            leaf.first_tick, leaf.last_tick, self.head,
        )  # fmt: skip
        self._closed += header + _CRC.pack(zlib.crc32(header))
        self._closed += stored + _CRC.pack(zlib.crc32(stored))
        self.count += self._held
        self.leaves += 1
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
        return self.head + self.tail()

    def tail(self) -> bytes:
        """Fetch what is in the store."""
        return self._objects.get(self.hash)


class TapeReader:
    """Reads a tape from its bytes. `cut` says why it ends before its end, if it does.

    Raises TapeDamaged for bytes that are not what was written; it names the leaf.
    """

    def __init__(self, data: bytes, objects: Objects | None = None) -> None:
        self.header = Header(bytes(16), bytes(32))
        self.leaves: list[Leaf] = []
        self.cut: str | None = None
        self.data = data
        self._view = memoryview(data)  # whose parts are no copies
        self.objects = objects
        if len(data) < _HEADER.size and data[:4] == MAGIC[: len(data)]:
            self.cut = f"the tape breaks off at byte {len(data)}, before anything was recorded"
            return
        self.header = Header.unpack(data)
        at = _HEADER.size
        while at < len(data):
            leaf = self._leaf(at)
            if leaf is None:
                self.cut = f"the tape breaks off at byte {at} of {len(data)}"
                break
            self.leaves.append(leaf)
            at = leaf.end

    def _leaf(self, at: int) -> Leaf | None:
        """Return the leaf there, or None if the tape was cut inside it."""
        data = self.data
        frame = data[at : at + _LEAF.size + _CRC.size]
        if len(frame) < _LEAF.size + _CRC.size:
            if frame[:2] != _LEAF_MAGIC[: len(frame)] and frame.strip(b"\0"):
                raise self._damaged(at, "there is no leaf")
            return None
        leaf = Leaf(at, *_LEAF.unpack_from(frame)[2:])
        (crc,) = _CRC.unpack_from(frame, _LEAF.size)
        if zlib.crc32(frame[: _LEAF.size]) != crc or frame[:4] != _LEAF_MAGIC + bytes(2):
            if not data[at:].strip(b"\0"):
                return None  # room that the file system gave, and a crash kept from being filled
            framed = self._damaged(at, "the leaf's header does not have its checksum")
            framed.frame = at, at + _LEAF.size, crc
            raise framed
        if leaf.end > len(data):
            return None
        (crc,) = _CRC.unpack_from(data, leaf.end - _CRC.size)
        if zlib.crc32(self._view[leaf.begin : leaf.end - _CRC.size]) != crc:
            if not data[leaf.begin :].strip(b"\0"):
                return None
            framed = self._damaged(at, "the leaf's entries do not have their checksum", leaf)
            framed.frame = leaf.begin, leaf.end - _CRC.size, crc
            raise framed
        if leaf.first_seq != (
            self.leaves[-1].first_seq + self.leaves[-1].count if self.leaves else 0
        ):
            raise self._damaged(at, "the leaf does not continue the one before", leaf)
        return leaf

    def _damaged(self, at: int, what: str, leaf: Leaf | None = None) -> TapeDamaged:
        """Say where: the leaf, and which entries and ticks are affected as far as can be known."""
        number = sum(one.offset < at for one in self.leaves)
        if leaf is not None:
            last = leaf.first_seq + leaf.count - 1
            ticks = f"ticks {leaf.first_tick} to {leaf.last_tick}"
            return TapeDamaged(
                f"leaf {number} at byte {at} (entries {leaf.first_seq} to {last}, {ticks}): {what}"
            )
        before = self.leaves[-1] if self.leaves else None
        entry = before.first_seq + before.count if before else 0
        tick = before.last_tick if before else 0
        return TapeDamaged(
            f"leaf {number} at byte {at} (from entry {entry}, tick {tick} on): {what}"
        )

    def raw(self, leaf: Leaf) -> bytes:
        """Return a leaf's entries as bytes."""
        inflate = zlib.decompressobj()
        try:
            stored = self._view[leaf.begin : leaf.begin + leaf.stored]
            raw = inflate.decompress(stored, leaf.raw + 1)
        except zlib.error as error:
            raise self._damaged(leaf.offset, f"its entries do not unpack: {error}", leaf) from None
        if len(raw) != leaf.raw or not inflate.eof:
            raise self._damaged(leaf.offset, "its entries have another length", leaf)
        return raw

    def entries(self) -> Iterator[Written]:
        """Read all entries and check the chain; what objects hold is fetched when it is asked for."""
        head = self.header.genesis()
        for leaf in self.leaves:
            raw = self.raw(leaf)
            head = self.link(head, leaf, hashlib.sha256(raw).digest())
            yield from self._entries(leaf, raw)

    def last(self) -> Written | None:
        """Read the last entry alone."""
        every = (
            list(self._entries(self.leaves[-1], self.raw(self.leaves[-1]))) if self.leaves else []
        )
        return every[-1] if every else None

    def sizes(self) -> Iterator[tuple[Written, int, int]]:
        """Read all entries with their bytes on the tape, before packing, and beside it."""
        for leaf in self.leaves:
            yield from self._sized(leaf, self.raw(leaf))

    def _entries(self, leaf: Leaf, raw: bytes) -> Iterator[Written]:
        return (entry for entry, _, _ in self._sized(leaf, raw))

    def _sized(self, leaf: Leaf, raw: bytes) -> Iterator[tuple[Written, int, int]]:
        at, tick, count, clock = 0, leaf.first_tick, 0, _ClockLine()
        try:
            while at < len(raw):
                begin = at
                tag, at = leb128.unsigned(raw, at)
                delta, at = leb128.unsigned(raw, at)
                tick += delta
                count += 1
                if tag == _SHORT_CLOCK << 1:
                    data, at = clock.long(tick, raw, at)
                    yield Entry(EVENT, tick, data), at - begin, 0
                    continue
                length, at = leb128.unsigned(raw, at)
                data = raw[at : at + length]
                at += length
                if tag & _BY_OBJECT:
                    beside, at = leb128.unsigned(raw, at)
                    if self.objects is None:
                        raise TapeDamaged("the tape names objects, and there are none")
                    hash = raw[at : at + 32]
                    at += 32
                    stored = StoredEntry(tag >> 1, tick, data, hash, self.objects)
                    yield stored, at - begin, beside
                else:
                    if tag >> 1 == EVENT:
                        clock.short(tick, data)
                    yield Entry(tag >> 1, tick, data), at - begin, 0
        except IndexError:
            raise self._damaged(leaf.offset, "its entries break off", leaf) from None
        if at != len(raw) or count != leaf.count:
            raise self._damaged(leaf.offset, "it has another number of entries", leaf)

    def link(self, head: bytes, leaf: Leaf, hash: bytes) -> bytes:
        """Return the head behind a leaf whose entries have this hash; raises TapeDamaged if it does not fit."""
        if (head := _chain(head, leaf, hash)) != leaf.hash:
            header = " that the tape's header begins" if leaf.offset == _HEADER.size else ""
            raise self._damaged(
                leaf.offset, f"it does not continue the chain of hashes{header}", leaf
            )
        return head

    def head(self) -> bytes:
        """Return the hash over all leaves; raises TapeDamaged at the first that does not fit."""
        head = self.header.genesis()
        for leaf in self.leaves:
            head = self.link(head, leaf, hashlib.sha256(self.raw(leaf)).digest())
        return head
