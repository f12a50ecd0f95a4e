"""Call frame information of an ELF file (.eh_frame): where a function has put what it must give back.

As much of it as compilers use for RISC-V: a frame address that is register plus offset, and registers
saved at offsets from it. What is more than that has no rule, and a stack ends there.
"""

from __future__ import annotations

import bisect
import contextlib
import struct
from dataclasses import dataclass, field

from ..leb128 import signed, unsigned
from .elf import Elf

RA, SP, FP = 1, 2, 8
_FORMATS = {0x00: "<q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}


@dataclass
class Row:
    """How to get from a frame to its caller's: the frame address, and saved registers by it."""

    register: int = SP
    offset: int = 0
    saved: dict[int, int] = field(default_factory=dict)  # register -> offset from the address

    def copy(self) -> Row:
        """Return one that may be changed."""
        return Row(self.register, self.offset, dict(self.saved))


@dataclass(frozen=True)
class _Common:
    code: int
    data: int
    encoding: int
    augmented: bool
    program: bytes


@dataclass(frozen=True, order=True)
class _Function:
    start: int
    end: int
    cie: int
    begin: int  # of its program, in the section
    stop: int


class Frames:
    """A file's; addresses are the file's own."""

    def __init__(self, elf: Elf) -> None:
        section = elf.section(".eh_frame")
        self._data, self._base = b"", 0
        if section is not None:
            self._data = elf.data[section.offset : section.offset + section.size]
            self._base = section.address
        self._common: dict[int, _Common] = {}
        self._all: list[_Function] = []
        with contextlib.suppress(struct.error, IndexError, ValueError):  # what was read holds
            self._read()
        self._all.sort()
        self._starts = [one.start for one in self._all]

    def span(self, address: int) -> tuple[int, int] | None:
        """Return where the function begins and ends that an address lies in."""
        found = self._find(address)
        return (found.start, found.end) if found else None

    def row(self, address: int) -> Row | None:
        """Return the rules at an address; None if there are none."""
        found = self._find(address)
        if found is None or found.cie not in self._common:
            return None
        common, row = self._common[found.cie], Row()
        try:
            self._run(common.program, common, row, Row(), 0, 1)
            program = self._data[found.begin : found.stop]
            self._run(program, common, row, row.copy(), found.start, address)
        except (struct.error, IndexError, ValueError):
            return None
        return row

    def _find(self, address: int) -> _Function | None:
        at = bisect.bisect_right(self._starts, address) - 1
        return self._all[at] if at >= 0 and address < self._all[at].end else None

    def _read(self) -> None:
        at = 0
        while at + 8 <= len(self._data):
            (length,) = struct.unpack_from("<I", self._data, at)
            if not length or length == 0xFFFFFFFF:
                return
            begin, stop = at + 4, at + 4 + length
            (cie,) = struct.unpack_from("<I", self._data, begin)
            if cie == 0:
                self._cie(at, begin + 4, stop)
            else:
                self._fde(begin - cie, begin + 4, stop)
            at = stop

    def _cie(self, number: int, at: int, stop: int) -> None:
        end = self._data.index(b"\0", at + 1)
        names = self._data[at + 1 : end].decode("ascii")
        code, at = unsigned(self._data, end + 1)
        data, at = signed(self._data, at)
        _, at = unsigned(self._data, at)  # the return address is ra
        encoding = 0
        if names.startswith("z"):
            size, at = unsigned(self._data, at)
            program = at + size
            for name in names[1:]:
                if name == "R":
                    encoding = self._data[at]
                    at += 1
                elif name == "L":
                    at += 1
                elif name == "P":
                    at += 1 + struct.calcsize(_FORMATS[self._data[at] & 15])
            at = program
        common = _Common(code, data, encoding, names.startswith("z"), self._data[at:stop])
        self._common[number] = common

    def _fde(self, cie: int, at: int, stop: int) -> None:
        common = self._common.get(cie)
        if common is None or common.encoding & 15 not in _FORMATS:
            return
        form = _FORMATS[common.encoding & 15]
        (start,) = struct.unpack_from(form, self._data, at)
        if common.encoding & 0x70 == 0x10:
            start += self._base + at
        at += struct.calcsize(form)
        (size,) = struct.unpack_from(form, self._data, at)
        at += struct.calcsize(form)
        if common.augmented:
            extra, at = unsigned(self._data, at)
            at += extra
        self._all.append(_Function(start, start + size, cie, at, stop))

    def _run(
        self, program: bytes, common: _Common, row: Row, first: Row, here: int, until: int
    ) -> None:
        at, stack = 0, []
        while at < len(program):
            code, low = program[at] & 0xC0, program[at] & 0x3F
            at += 1
            if code == 0x40:
                here += low * common.code
            elif code == 0x80:
                offset, at = unsigned(program, at)
                row.saved[low] = offset * common.data
            elif code == 0xC0:
                _restore(row, first, low)
            elif low in (0x02, 0x03, 0x04):  # advance_loc1, 2, 4
                form = {2: "<B", 3: "<H", 4: "<I"}[low]
                here += struct.unpack_from(form, program, at)[0] * common.code
                at += struct.calcsize(form)
            elif low == 0x0A:
                stack.append(row.copy())
            elif low == 0x0B:
                kept = stack.pop()
                row.register, row.offset, row.saved = kept.register, kept.offset, kept.saved
            elif low in (0x05, 0x11):  # offset_extended, _sf
                register, at = unsigned(program, at)
                offset, at = (unsigned if low == 0x05 else signed)(program, at)
                row.saved[register] = offset * common.data
            elif low in (0x06, 0x07, 0x08):  # restore_extended, undefined, same_value
                register, at = unsigned(program, at)
                if low == 0x06:
                    _restore(row, first, register)
                else:
                    row.saved.pop(register, None)
            elif low in (0x0C, 0x12):  # def_cfa, _sf
                row.register, at = unsigned(program, at)
                row.offset, at = (unsigned if low == 0x0C else signed)(program, at)
                row.offset *= common.data if low == 0x12 else 1
            elif low == 0x0D:
                row.register, at = unsigned(program, at)
            elif low in (0x0E, 0x13):  # def_cfa_offset, _sf
                row.offset, at = (unsigned if low == 0x0E else signed)(program, at)
                row.offset *= common.data if low == 0x13 else 1
            elif low == 0x2E:  # GNU_args_size
                _, at = unsigned(program, at)
            elif low:
                raise ValueError("a rule by an expression")
            if here > until:
                return


def _restore(row: Row, first: Row, register: int) -> None:
    if register in first.saved:
        row.saved[register] = first.saved[register]
    else:
        row.saved.pop(register, None)
