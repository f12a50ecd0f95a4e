"""Numbers in as many bytes as they need, seven bits in each, the lowest first: as tapes, WebAssembly, DWARF and
protocol buffers have them.
"""

from __future__ import annotations


def written(value: int) -> bytes:
    """Write a number from 0 on."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read a number; returns it and the offset behind. Raises IndexError if it breaks off."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7


def signed(data: bytes, at: int) -> tuple[int, int]:
    """Read a number that has a sign."""
    begin = at
    value, at = unsigned(data, at)
    bits = 7 * (at - begin)
    return value - (value >> (bits - 1) << bits), at


class Reader:
    """Bytes, read one after the other, and such numbers among them."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def unsigned(self) -> int:
        value, self.at = unsigned(self.data, self.at)
        return value

    def signed(self) -> int:
        value, self.at = signed(self.data, self.at)
        return value
