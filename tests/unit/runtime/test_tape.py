"""A tape's file: it reads as it was written, a cut one up to its last whole leaf, a changed one not."""

from __future__ import annotations

import hashlib
import io
import random
import struct

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


def test_every_prefix_reads_up_to_its_last_whole_leaf(written):
    data, entries, objects = written
    ends = [leaf.end for leaf in TapeReader(data, objects).leaves]
    edges = {at for end in (88, *ends) for at in range(end - 90, end + 90)}
    for length in sorted(at for at in {*range(100), *edges, *range(0, len(data), 997)} if at >= 0):
        reader = TapeReader(data[:length], objects)
        assert len(reader.leaves) == sum(end <= length for end in ends)
        assert plain(reader) == entries[: len(plain(reader))]
        assert bool(reader.cut) == (length not in (88, *ends) and length < len(data))


def test_room_that_was_never_filled_is_no_damage(written):
    data, _, objects = written
    last = TapeReader(data, objects).leaves[-1]
    for kept in (last.offset, last.begin):
        reader = TapeReader(data[:kept] + bytes(5000), objects)
        assert reader.cut and reader.leaves[-1].end == last.offset


def test_a_changed_byte_is_found_and_its_leaf_named(written):
    data, _, objects = written
    leaves = TapeReader(data, objects).leaves
    for at in [*range(300), *range(0, len(data), 211), *range(len(data) - 200, len(data))]:
        changed = bytearray(data)
        changed[at] ^= 4
        number = next((n for n, leaf in enumerate(leaves) if leaf.offset <= at < leaf.end), 0)
        named = rf"^leaf {number} " if at >= leaves[0].offset else None
        with pytest.raises(TapeDamaged, match=named):
            TapeReader(bytes(changed), objects).head()


def test_leaves_that_were_taken_out_or_put_elsewhere_are_found(written):
    data, _, objects = written
    first, second, *_ = TapeReader(data, objects).leaves
    one, two = data[first.offset : first.end], data[second.offset : second.end]
    for wrong in (two + one, one + one, two):
        with pytest.raises(TapeDamaged):
            TapeReader(data[: first.offset] + wrong + data[second.end :], objects).head()


def clock(base: int, mul: int, suspend: int = 0) -> bytes:
    return struct.pack("<IIQIIQ", 2, 32, base, mul, 0, suspend)


def test_a_clock_that_goes_on_as_foretold_takes_few_bytes():
    chance, file = random.Random(5), io.BytesIO()
    writer, entries = TapeWriter(file, HEADER, None, {}), []
    tick, base, mul = 1000, 5, 4 << 24
    for number in range(300):
        later = tick + chance.randrange(1 << 27)
        now = base + ((later - tick) * mul >> 24)
        tick, mul = later, chance.randrange(300, 8000) << 14
        base = now + (0 if number % 2 else chance.choice((0, 12345, -7, 1 << 40)))
        entries.append(Entry(EVENT, tick, clock(base, mul, chance.choice((0, 0, 0, 9)))))
        base = max(now, base)
        writer.append(entries[-1])
    writer.flush()
    reader = TapeReader(file.getvalue())
    assert plain(reader) == entries
    sizes = [size for number, (_, size, _) in enumerate(reader.sizes()) if number % 2]
    assert sorted(sizes)[len(sizes) // 2] <= 8
