"""What a profile needs of a 64-bit ELF file: which function an address belongs to.

Addresses are offsets in the file, so that it does not matter where it is mapped. A file that is no
ELF, or is damaged, has no functions.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB, _DYNSYM, _LOAD, _FUNC, _IFUNC, _NOTYPE = 2, 11, 1, 2, 10, 0


@dataclass(frozen=True, order=True)
class Function:
    """A function; addresses are those of the file's own."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class Section:
    """A section of the file."""

    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int


class Elf:
    """One file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sections: list[Section] = []
        self._loads: list[tuple[int, int, int]] = []  # offset, end, address
        try:
            self._read()
            self.functions = self._functions()
        except (struct.error, IndexError, ValueError):
            self.functions = []
        self._starts = [one.start for one in self.functions]

    def _read(self) -> None:
        head = _HEADER.unpack_from(self.data)
        if head[0][:6] != b"\x7fELF\x02\x01":
            raise IndexError
        segments, sections, segment_count, section_count, names = (
            head[5], head[6], head[10], head[12], head[13],
        )  # fmt: skip
        for number in range(segment_count):
            kind, _, offset, address, _, size, _, _ = _SEGMENT.unpack_from(
                self.data, segments + number * _SEGMENT.size
            )
            if kind == _LOAD:
                self._loads.append((offset, offset + size, address))
        rows = [
            _SECTION.unpack_from(self.data, sections + number * _SECTION.size)
            for number in range(section_count)
        ]
        for row in rows:
            name = self._string(rows[names][4] + row[0])
            self.sections.append(Section(name, row[1], row[3], row[4], row[5], row[6]))

    def section(self, name: str) -> Section | None:
        """Find a section."""
        return next((one for one in self.sections if one.name == name), None)

    def address(self, offset: int) -> int | None:
        """Return the file's own address of an offset in it."""
        for begin, end, address in self._loads:
            if begin <= offset < end:
                return address + offset - begin
        return None

    def function(self, address: int) -> Function | None:
        """Return the function that an address of the file's own lies in."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0 or address >= self.functions[at].end:
            return None
        return self.functions[at]

    def _string(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode("utf-8", "replace")

    def _functions(self) -> list[Function]:
        found = {one.start: one for one in sorted(self._symbols(), key=_worse, reverse=True)}
        order = sorted(found.values())
        ends = [*[one.start for one in order], 1 << 64][1:]
        return [  # one without a size reaches to the next
            Function(one.start, min(one.end, end) if one.end > one.start else end, one.name)
            for one, end in zip(order, ends, strict=True)
        ]

    def _symbols(self) -> Iterator[Function]:
        kinds = {section.kind for section in self.sections}
        wanted = _SYMTAB if _SYMTAB in kinds else _DYNSYM
        code = [s for s in self.sections if s.name.startswith(".text")]
        for section in self.sections:
            if section.kind != wanted:
                continue
            strings = self.sections[section.link].offset
            for at in range(section.offset, section.offset + section.size, _SYMBOL.size):
                name, info, _, index, value, size = _SYMBOL.unpack_from(self.data, at)
                kind = info & 15
                labels = kind == _NOTYPE and any(
                    s.address <= value < s.address + s.size for s in code
                )
                if index and name and value and (kind in (_FUNC, _IFUNC) or labels):
                    text = self._string(strings + name)
                    if text[0] not in "$.":  # not of the assembler's own
                        yield Function(value, value + size, text)


def _worse(one: Function) -> tuple[bool, int, str]:
    """Among several names of a function the first without underscores is its own."""
    return one.end == one.start, len(one.name) - len(one.name.lstrip("_")), one.name
