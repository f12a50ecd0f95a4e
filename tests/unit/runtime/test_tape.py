"""A tape's file: it reads as it was written, a cut one up to its last whole leaf, a changed one not."""

from __future__ import annotations

import hashlib
import io
import random

import pytest

from ebbtide.recording import DIGEST, EVENT, Entry
from ebbtide.rewind.tape import Header, TapeDamaged, TapeReader, TapeWriter

HEADER = Header(bytes(range(16)), bytes(32))
BIG = bytes(range(256)) * 64


class Objects(dict):
    """Objects in memory."""

    def put(self, data: bytes) -> bytes:
        self[hash := hashlib.sha256(data).digest()] = data
        return hash

    get = dict.__getitem__


@pytest.fixture
def written() -> tuple[bytes, list[Entry], Objects]:
    chance, file, objects = random.Random(3), io.BytesIO(), Objects()
    writer, tick, entries = TapeWriter(file, HEADER, objects, {7: 24}), 0, []
    for _ in range(700):
        tick += chance.choice((0, 1, 1 << 40))
        data = chance.choice((b"", b"\7\0\0\0" + chance.randbytes(400), b"\7\0\0\0" + BIG))
        entries.append(Entry(chance.choice((EVENT, DIGEST)), tick, data))
        writer.append(entries[-1])
    writer.flush()
    assert writer.bytes == len(file.getvalue())
    return file.getvalue(), entries, objects


def plain(reader: TapeReader) -> list[Entry]:
    return [Entry(one.kind, one.tick, one.data) for one in reader.entries()]


def test_reads_as_it_was_written(written):
    data, entries, objects = written
    reader = TapeReader(data, objects)
    assert plain(reader) == entries and reader.cut is None and len(reader.leaves) > 1
    assert reader.header == HEADER and reader.head() == reader.leaves[-1].hash
    assert len(objects) == 2  # an event's fixed part stays on the tape


def test_a_cut_tape_reads_up_to_its_last_whole_leaf(written):
    data, entries, objects = written
    ends = [leaf.end for leaf in TapeReader(data, objects).leaves]
    for length in [*range(len(data) - 40, len(data)), *range(100, len(data), 997)]:
        reader = TapeReader(data[:length], objects)
        assert len(reader.leaves) == sum(end <= length for end in ends)
        assert plain(reader) == entries[: len(plain(reader))]
        assert bool(reader.cut) == (length not in (88, *ends))


def test_a_changed_byte_is_found(written):
    data, _, objects = written
    for at in range(0, len(data), 211):
        changed = bytearray(data)
        changed[at] ^= 4
        try:
            reader = TapeReader(bytes(changed), objects)
            found = reader.head() != TapeReader(data, objects).head() or reader.cut
        except TapeDamaged:
            found = True
        assert found or reader.header != HEADER, at
