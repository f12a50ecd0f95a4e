"""Numbers of seven bits a byte; the examples are those of the WebAssembly and DWARF specifications."""

from __future__ import annotations

import pytest

from ebbtide import leb128

UNSIGNED = {0: "00", 2: "02", 127: "7f", 128: "8001", 129: "8101", 12857: "b964", 624485: "e58e26"}
SIGNED = {
    2: "02",
    -2: "7e",
    127: "ff00",
    -127: "817f",
    128: "8001",
    -128: "807f",
    -123456: "c0bb78",
}


@pytest.mark.parametrize(("value", "bytes_"), UNSIGNED.items())
def test_numbers_are_written_and_read(value: int, bytes_: str) -> None:
    data = bytes.fromhex(bytes_)
    assert leb128.written(value) == data
    assert leb128.unsigned(b"x" + data + b"y", 1) == (value, 1 + len(data))


@pytest.mark.parametrize(("value", "bytes_"), SIGNED.items())
def test_a_sign_is_that_of_the_last_byte(value: int, bytes_: str) -> None:
    data = bytes.fromhex(bytes_)
    assert leb128.signed(data, 0) == (value, len(data))


def test_a_reader_goes_on_behind_each() -> None:
    reader = leb128.Reader(bytes.fromhex("07 e58e26 c0bb78"))
    assert (reader.byte(), reader.unsigned(), reader.signed()) == (7, 624485, -123456)
    with pytest.raises(IndexError):
        reader.byte()


def test_a_number_that_breaks_off_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        leb128.unsigned(b"\x80\x80", 0)
