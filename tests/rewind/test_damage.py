"""A byte that has changed is found, and it is said which, of which entry."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable

import pytest

from ebbtide.recording import END, EVENT, META, Entry, Written
from ebbtide.rewind.bundle import Bundle, write_bundle
from ebbtide.rewind.damage import of_export, of_tape, one_byte
from ebbtide.rewind.tape import Header, TapeDamaged, TapeReader, TapeWriter

pytestmark = pytest.mark.native

ID = bytes(range(16))
KERNEL = b"kernel" * 40


class Kept(dict[bytes, bytes]):
    def put(self, data: bytes) -> bytes:
        import hashlib

        self[hash := hashlib.sha256(data).digest()] = data
        return hash


def made() -> tuple[bytes, Kept]:
    """A tape of three leaves, with an object."""
    import hashlib

    chance, file, objects = random.Random(5), io.BytesIO(), Kept()
    writer = TapeWriter(file, Header(ID, hashlib.sha256(KERNEL).digest()), objects, {})
    entries = [Entry(META, 0, b"{}")]
    entries += [Entry(EVENT, 10 * n, b"\x05\0\0\0" + chance.randbytes(20)) for n in range(1, 30)]
    entries += [Entry(EVENT, 300, chance.randbytes(5000)), Entry(END, 310, b"{}")]
    for number, entry in enumerate(entries):
        writer.append(entry)
        if number in (9, 19):
            writer.flush()
    writer.flush()
    return file.getvalue(), objects


def exported() -> bytes:
    tape, objects = made()
    file = io.BytesIO()
    info = {
        "id": "00010203-0405-0607-0809-0a0b0c0d0e0f", "started": 0.0, "ended": 0.0, "exit_code": 0,
        "about": {},
    }  # fmt: skip
    write_bundle(file, info, KERNEL, tape, objects.values())
    return file.getvalue()


def name(entry: Written) -> str:
    return f"KIND{entry.kind}"


def damaged(read: Callable[[bytes], object], data: bytes) -> TapeDamaged:
    with pytest.raises(TapeDamaged) as found:
        read(data)
    return found.value


def whole_tape(data: bytes) -> None:
    reader = TapeReader(data)
    reader.head()
    if reader.cut:
        raise TapeDamaged(reader.cut)


def changed(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes((data[at] ^ by,)) + data[at + 1 :]


def test_a_checksum_says_which_byte_has_changed_and_by_what() -> None:
    import zlib

    chance = random.Random(3)
    data = chance.randbytes(700)
    for at in range(0, 700, 7):
        by = chance.randrange(1, 256)
        assert one_byte(changed(data, at, by), zlib.crc32(data)) == (at, by)
    assert one_byte(changed(changed(data, 5, 1), 500, 1), zlib.crc32(data)) is None


def test_every_byte_of_a_tape_is_found_and_named() -> None:
    tape, _ = made()
    chance, named = random.Random(7), set[int]()
    for at in range(len(tape)):
        data = changed(tape, at, chance.randrange(1, 256))
        error = damaged(whole_tape, data)
        if at < 88:  # the header: what it says is checked against the store and by the chain
            continue
        said = of_tape(data, error, name)
        assert said.startswith(f"byte {at} was 0x{tape[at]:02x} and is 0x{data[at]:02x}: in "), said
        if found := re.search(r"in entry (\d+) at tick (\d+), KIND\d", said):
            named.add(int(found[1]))
        else:
            assert "in what frames leaf" in said
    assert named >= set(range(1, 30))


def test_every_byte_of_an_exported_run_is_found_and_named() -> None:
    whole = exported()
    Bundle(whole)
    chance, said = random.Random(9), []
    for at in range(8, len(whole), 3):
        data = changed(whole, at, chance.randrange(1, 256))
        said.append(of_export(data, damaged(Bundle, data), name))
        assert said[-1].startswith(f"byte {at} was 0x{whole[at]:02x}"), said[-1]
    for place in ("in the part INFO", "in the part KRNL", "in what belongs to entry 30 at tick 300, KIND1",
                  "in entry 12 at tick 120, KIND1, of leaf 1 (entries 10 to 19, ticks 100 to 190)",
                  "in what frames the tape", "at the end of the file"):  # fmt: skip
        assert any(place in one for one in said), place


def test_of_more_than_a_byte_it_is_said_what_is_touched() -> None:
    tape, _ = made()
    second = TapeReader(tape).leaves[1]
    data = changed(changed(tape, second.begin + 20, 1), second.begin + 90, 1)
    assert (
        "leaf 1 " in str(damaged(whole_tape, data)) and of_tape(data, TapeDamaged("x"), name) == ""
    )
    whole = exported()
    at = whole.index(b"TAPE") + 100
    data = changed(changed(whole, at, 1), at + 60, 1)
    assert "leaf " in of_export(data, damaged(Bundle, data), name)
