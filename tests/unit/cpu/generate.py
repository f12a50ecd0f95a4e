"""Random riscv64 programs that show what every row of insn.tbl does to the registers.

A program is a sequence of chunks: load all registers, execute some random instructions, write registers, fcsr and a
piece of memory to standard output. It makes no other system call, so any riscv64 machine can run it.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "kernel" / "cpu"
CODE, DATA, WORK = 0x10000, 0x800000, 0x600000
BASE = 31  # x31 holds WORK + 2048 and is never written
SCRATCH = -2048  # loads and stores stay in [SCRATCH, SCRATCH + 1024)


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    id: str
    format: str
    match: int
    mask: int
    flags: str
    compressed: bool


def read_table() -> list[Row]:
    """Parse insn.tbl."""
    rows = []
    for kind, id_, format_, match, mask, rest in re.findall(
        r'^(INSN|COMPRESSED)\((\w+), "[^"]+", (\w+), (0x\w+), (0x\w+), (.*)\)$',
        (SOURCE / "insn.tbl").read_text(),
        re.M,
    ):
        rows.append(Row(id_, format_, int(match, 16), int(mask, 16), rest, kind == "COMPRESSED"))
    return rows


def read_pairs() -> list[tuple[str, str, bool]]:
    """List the op pairs that the interpreter runs as one: first, second, second reads what first computes."""
    text = (SOURCE / "block.h").read_text().replace("\\\n", "")
    pairs = []
    for name, chained in (("PAIR_TABLE", False), ("CHAIN_TABLE", True)):
        line = re.search(rf"#define {name}\(X\)(.*)", text)
        assert line
        pairs += [
            (first, second, chained) for first, second in re.findall(r"X\((\w+), (\w+)\)", line[1])
        ]
    return pairs


# ---- Encoding -------------------------------------------------------------------------------------


def u32(word: int) -> bytes:
    return struct.pack("<I", word & 0xFFFFFFFF)


def u16(word: int) -> bytes:
    return struct.pack("<H", word)


def i_type(match: int, rd: int, rs1: int, imm: int) -> bytes:
    return u32(match | rd << 7 | rs1 << 15 | (imm & 0xFFF) << 20)


def s_type(match: int, rs1: int, rs2: int, imm: int) -> bytes:
    return u32(match | rs1 << 15 | rs2 << 20 | (imm & 31) << 7 | (imm >> 5 & 127) << 25)


def b_type(match: int, rs1: int, rs2: int, imm: int) -> bytes:
    return u32(
        match
        | rs1 << 15
        | rs2 << 20
        | (imm >> 11 & 1) << 7
        | (imm >> 1 & 15) << 8
        | (imm >> 5 & 63) << 25
        | (imm >> 12 & 1) << 31
    )


def j(imm: int) -> bytes:
    return u32(
        0x6F
        | (imm >> 12 & 255) << 12
        | (imm >> 11 & 1) << 20
        | (imm >> 1 & 1023) << 21
        | (imm >> 20 & 1) << 31
    )


def addi(rd: int, rs1: int, imm: int) -> bytes:
    return i_type(0x13, rd, rs1, imm)


def ld(rd: int, rs1: int, imm: int) -> bytes:
    return i_type(0x3003, rd, rs1, imm)


def load_address(rd: int, value: int) -> bytes:
    return u32(0x37 | rd << 7 | ((value + 0x800) & 0xFFFFF000)) + addi(
        rd, rd, (value & 0xFFF) - ((value & 0x800) << 1)
    )


def elf(code: bytes, data: bytes) -> bytes:
    """Wrap code and data into a static executable."""
    segments = [(5, CODE, code, len(code)), (6, DATA, data, len(data)), (6, WORK, b"", 8192)]
    offset, body, headers = 4096, b"", b""
    for flags, va, content, size in segments:
        headers += struct.pack("<IIQQQQQQ", 1, flags, offset, va, va, len(content), size, 4096)
        body += content + b"\0" * (-len(content) % 4096)
        offset = 4096 + len(body)
    head = b"\x7fELF\2\1\1" + b"\0" * 9
    head += struct.pack("<HHIQQQIHHHHHH", 2, 243, 1, CODE, 64, 0, 5, 64, 56, len(segments), 0, 0, 0)
    return (head + headers).ljust(4096, b"\0") + body


# ---- Operands -------------------------------------------------------------------------------------

DOUBLES = [
    0, 1 << 63, 1, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x10000000000001, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000,
    0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FF4000000000000,
    0x3FF0000000000000, 0xBFF0000000000000, 0x3FE0000000000000, 0x3FDFFFFFFFFFFFFF, 0x3FF8000000000000,
    0x4000000000000000, 0x41DFFFFFFFC00000, 0x41E0000000000000, 0xC1E0000000000000, 0xC1E0000000200000,
    0x41EFFFFFFFE00000, 0x41F0000000000000, 0x43E0000000000000, 0xC3E0000000000000, 0x43F0000000000000,
    0x43DFFFFFFFFFFFFF, 0x43EFFFFFFFFFFFFF, 0x3810000000000000, 0x380FFFFFFFFFFFFF, 0x36A0000000000000,
    0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x3690000000000000, 0x0010000000000000, 0x8010000000000000, 0xBFE0000000000000,
    0xBFEFFFFFFFFFFFFF, 0x4330000000000001, 0x3CA0000000000000, 0x3CB0000000000000,
]  # fmt: skip
SINGLES = [
    0, 1 << 31, 1, 0x7FFFFF, 0x800000, 0x800001, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000,
    0x7F800001, 0x7FA00000, 0x3F800000, 0xBF800000, 0x3F000000, 0x3EFFFFFF, 0x3FC00000, 0x40000000, 0x4EFFFFFF,
    0x4F000000, 0xCF000000, 0xCF000001, 0x4F7FFFFF, 0x4F800000, 0x5F000000, 0xDF000000, 0x5F800000, 0x5EFFFFFF,
    0x33800000, 0x34000000, 0x807FFFFF, 0x80800000, 0xBF7FFFFF, 0xBF000000, 0x4B000001,
]  # fmt: skip
INTEGERS = [
    0,
    1,
    2**63,
    2**64 - 1,
    2**63 - 1,
    2**31,
    2**31 - 1,
    2**32 - 1,
    2**64 - 2**31,
    2**32,
    2**53 + 1,
    2**24 + 1,
]


class Generator:
    """Makes chunks; `seed` decides everything."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows = {row.id: row for row in read_table()}
        self.singles = False  # what this chunk's float registers mostly hold

    def integer(self) -> int:
        r = self.random
        value = r.choice(INTEGERS) if r.random() < 0.4 else r.getrandbits(64) >> r.randrange(64)
        return (
            value + r.randrange(-2, 3)
            if r.random() < 0.2
            else -value
            if r.random() < 0.3
            else value
        ) % 2**64

    def float_bits(self, exponent: int) -> int:
        """A register value; many exponents lie near `exponent`, so that sums interact."""
        r = self.random
        if self.singles:
            kind = r.random()
            if kind < 0.3:
                value = r.choice(SINGLES)
            elif kind < 0.7:
                e = max(0, min(254, (exponent % 256) + r.randrange(-26, 27)))
                value = r.getrandbits(1) << 31 | e << 23 | self.fraction(23)
            else:
                value = r.getrandbits(32)
            return value | (0xFFFFFFFF << 32 if r.random() < 0.96 else r.getrandbits(32) << 32)
        kind = r.random()
        if kind < 0.3:
            return r.choice(DOUBLES)
        if kind < 0.7:
            e = max(0, min(2046, (exponent % 2048) + r.randrange(-56, 57)))
            return r.getrandbits(1) << 63 | e << 52 | self.fraction(52)
        if kind < 0.85:  # around the range of singles
            return (
                r.getrandbits(1) << 63 | (1023 + r.randrange(-152, 130)) << 52 | self.fraction(52)
            )
        return r.getrandbits(64)

    def fraction(self, width: int) -> int:
        r = self.random
        kind = r.random()
        full = (1 << width) - 1
        if kind < 0.3:
            return r.getrandbits(width)
        if kind < 0.6:  # few bits, at the ends
            return full & (r.getrandbits(3) << (width - 3) | r.getrandbits(2))
        if kind < 0.8:
            return full & ~(r.getrandbits(width) & r.getrandbits(width) & r.getrandbits(width))
        return r.getrandbits(width) & (full << r.randrange(width)) & full

    def rd(self) -> int:
        return self.random.randrange(31)

    # ---- Instructions, by format. Each returns the bytes of a self-contained group.

    def word(self, row: Row) -> int:
        """The row with all free bits random, and a valid rounding mode."""
        word = row.match | self.random.getrandbits(32) & ~row.mask
        if "RM" in row.flags:
            word = word & ~0x7000 | self.random.choice([0, 1, 2, 3, 4, 7, 7, 7, 7]) << 12
        return word

    def plain(self) -> bytes:
        """Any instruction that may be jumped over."""
        name = self.random.choice(["ADD", "ADDI", "SUB", "XORI", "C_ADDI", "C_LI", "C_XOR"])
        return self.instruction(self.rows[name])

    def instruction(self, row: Row) -> bytes:
        return self.compressed(row) if row.compressed else self.full(row)

    def full(self, row: Row) -> bytes:
        r = self.random
        word = self.word(row)
        rd = self.rd()
        word_rd = word & ~0xF80 | rd << 7
        offset = SCRATCH + r.randrange(1016)
        if r.random() < 0.7:
            offset &= ~7
        match row.format:
            case "R" | "I" | "SH" | "U" | "XFF" | "XF":
                return u32(word_rd)
            case "FFF" | "FF" | "FMA" | "FX":
                return u32(word)
            case "LOAD" | "FLOAD":
                return i_type(
                    row.match, r.randrange(32) if row.format == "FLOAD" else rd, BASE, offset
                )
            case "STORE" | "FSTORE":
                return s_type(row.match, BASE, r.randrange(32), offset)
            case "B":
                skipped = self.plain()
                a = r.randrange(32)
                return (
                    b_type(row.match, a, r.choice([a, r.randrange(32)]), 4 + len(skipped)) + skipped
                )
            case "J":
                skipped = self.plain()
                return u32(row.match | rd << 7 | (4 + len(skipped)) << 20) + skipped
            case "JALR":
                skipped = self.plain()
                base = r.randrange(1, 31)
                delta = r.randrange(-64, 64)
                setup = u32(0x17 | base << 7) + addi(base, base, delta)
                imm = 12 + len(skipped) - delta + r.getrandbits(1)
                return setup + i_type(row.match, rd, base, imm) + skipped
            case "FENCE":
                return u32(0x0FF0000F)
            case "AMO" | "LR":
                base = r.randrange(1, 31)
                group = addi(base, BASE, SCRATCH + 8 * r.randrange(127))
                release = r.getrandbits(2) << 25
                if row.id.startswith("SC"):
                    other = base if r.random() < 0.7 else BASE
                    if other == BASE:  # fails: another address
                        group += addi(base, base, 8)
                        group += u32(
                            self.rows[row.id.replace("SC", "LR")].match | 30 << 7 | base << 15
                        )
                        base = 29 if base == 30 else base
                        group += addi(base, BASE, SCRATCH)
                    else:
                        into = r.choice([n for n in range(31) if n != base])
                        group += u32(
                            self.rows[row.id.replace("SC", "LR")].match | into << 7 | base << 15
                        )
                source = 0 if row.format == "LR" else r.randrange(32) << 20
                return group + u32(row.match | release | rd << 7 | base << 15 | source)
            case "CSR":
                # Flags may take any value; the rounding mode must stay a valid one.
                source = r.randrange(31)
                if row.id == "CSRRW" and r.random() < 0.5:
                    return addi(1, 0, r.randrange(0xA0)) + u32(
                        row.match | 3 << 20 | 1 << 15 | rd << 7
                    )
                return u32(
                    row.match
                    | r.choice([1, 2 if source == 0 and row.id != "CSRRW" else 1]) << 20
                    | source << 15
                    | rd << 7
                )
            case "CSRI":
                csr = r.choice([1, 2, 3])
                value = (
                    r.randrange(5)
                    if csr == 2 and row.id == "CSRRWI"
                    else 0
                    if csr == 2
                    else r.randrange(32)
                )
                return u32(row.match | csr << 20 | value << 15 | rd << 7)
            case "NONE":
                return u32(row.match) if row.id == "FENCE_I" else b""
        raise ValueError(row)

    def compressed(self, row: Row) -> bytes:
        r = self.random
        word = row.match | r.getrandbits(16) & ~row.mask
        rd = r.randrange(1, 31)
        word_rd = word & ~0xF80 | rd << 7
        near = 8 + (word >> 7 & 7)  # the base of c.lw and the like
        pointer = SCRATCH + 8 * r.randrange(64)
        match row.format:
            case "CIW":
                return u16(word | 0x20)
            case "CL_W" | "CL_D" | "CS_W" | "CS_D":
                return addi(near, BASE, pointer) + u16(word)
            case "CI" | "CI_NZ" | "CI_LI" | "CI_SH":
                return u16(word_rd)
            case "CI_16SP":
                return u16(word | 0x40)
            case "CI_LUI":
                return u16((word & ~0xF80 | r.choice([1, *range(3, 31)]) << 7) | 0x4)
            case "CI_WSP" | "CI_DSP":
                return addi(2, BASE, SCRATCH) + u16(word_rd if row.id != "C_FLDSP" else word)
            case "CSS_W" | "CSS_D":
                return addi(2, BASE, SCRATCH) + u16(word)
            case "CB_SH" | "CB_I" | "CA":
                return u16(word)
            case "CB":
                skipped = self.plain()
                offset = 2 + len(skipped)
                return (
                    u16(
                        row.match
                        | (near - 8) << 7
                        | (offset >> 1 & 3) << 3
                        | (offset >> 3 & 3) << 10
                    )
                    + skipped
                )
            case "CJ":
                skipped = self.plain()
                return u16(row.match | ((2 + len(skipped)) >> 1 & 7) << 3) + skipped
            case "CR" | "CR_MV":
                return u16(word & ~0xFFC | rd << 7 | r.randrange(1, 32) << 2)
            case "CR_JR" | "CR_JALR":
                skipped = self.plain()
                return (
                    u32(0x17 | rd << 7)
                    + addi(rd, rd, 10 + len(skipped))
                    + u16(row.match | rd << 7)
                    + skipped
                )
            case "NONE":
                return b""
        raise ValueError(row)

    # ---- Pairs

    def single(self, name: str, rd: int, base: int) -> bytes:
        """One instruction that writes rd and, if it reads registers, reads `base` first."""
        r = self.random
        if name == "OP_LI":
            return (
                addi(rd, 0, r.choice([0, 1, -1, 2047, 85]))
                if r.random() < 0.5
                else u32(0x37 | rd << 7 | r.getrandbits(20) << 12)
            )
        if name == "OP_MV":
            return (
                addi(rd, base, 0)
                if r.random() < 0.5 or not base or not rd
                else u16(0x8002 | rd << 7 | base << 2)
            )
        row = self.rows[name]
        word = row.match | r.getrandbits(32) & ~row.mask & ~0xFFF80 | rd << 7 | base << 15
        if row.format == "R" and r.random() < 0.3:  # the other way round, for those that commute
            word = word & ~0x1FF8000 | base << 20 | r.randrange(32) << 15
        return u32(word)

    def pair(self, first: str, second: str, chained: bool) -> bytes:
        """Two instructions in a row, with what they need before and after."""
        r = self.random
        rd, other = r.sample([*range(5, 30)], 2)
        slot = SCRATCH + 8 * r.randrange(127)
        forms = {
            name: self.rows[name].format if name in self.rows else "" for name in (first, second)
        }
        memory = ("LOAD", "FLOAD", "STORE", "FSTORE")
        # What the second needs as its base.
        base = rd if chained else other
        before, after = b"", self.plain()
        skip = 4 + len(after)
        if forms[second] in memory:
            imm = 0
            data = r.randrange(32)
            operation = (
                s_type(self.rows[second].match, base, data, imm)
                if "STORE" in forms[second]
                else i_type(self.rows[second].match, r.randrange(1, 30), base, imm)
            )
            before = addi(base, BASE, slot)
        elif forms[second] == "B":
            operation = b_type(
                self.rows[second].match, base, r.choice([0, base, r.randrange(32)]), skip
            )
        elif second == "JAL":
            operation = u32(0x6F | r.choice([0, 1, 5]) << 7 | 1 << 12) + bytes(
                4092
            )  # to another page
        elif second == "JALR":
            offset = r.randrange(-16, 16) * 2
            operation = i_type(0x67, r.choice([0, 1, 5]), base, offset)
            distance = 16 + skip - offset
            before = u32(0x17 | base << 7) + addi(
                base, base, distance - 4
            )  # first is at +8 or, with a slot, below
            if first == "AUIPC":
                operation, before = i_type(0x67, r.choice([0, 1]), base, 4 + skip), b""
            elif first == "LD":
                before = (
                    u32(0x17 | base << 7)
                    + addi(base, base, distance)
                    + s_type(0x3023, BASE, base, slot)
                )
        else:
            operation = self.single(second, r.randrange(1, 30), base)
        # The first, whose result is such a base if the second reads it.
        needs_base = chained and forms[second] in memory
        if first == "AUIPC":
            start = u32(0x17 | rd << 7)
        elif first == "LD" and chained and (needs_base or second == "JALR"):
            if needs_base:
                before = addi(rd, BASE, slot) + s_type(0x3023, BASE, rd, SCRATCH)
                start = ld(rd, BASE, SCRATCH)
            else:
                start = ld(rd, BASE, slot)
        elif needs_base:
            before = b""
            word = self.rows[first].match | rd << 7 | BASE << 15
            start = addi(rd, BASE, slot) if first == "ADDI" else u32(word)
        elif forms[first] in ("LOAD", "FLOAD"):
            start = i_type(self.rows[first].match, rd, BASE, slot)
        elif forms[first] in ("STORE", "FSTORE"):
            start = s_type(self.rows[first].match, BASE, r.randrange(32), slot)
        elif forms[first] == "B":
            start = b_type(
                self.rows[first].match, rd, r.choice([rd, 0, r.randrange(32)]), 4 + len(operation)
            )
        else:
            start = self.single(first, rd, r.randrange(31))
        if len(start) == 2 and second == "JALR":
            start = addi(rd, 0, 1)
        if forms[first] == "B":
            before += u32(0x2033)  # slt x0, x0, x0: pairs with nothing
        return before + start + operation + after

    # ---- Chunks

    def chunk(self, pool: int, body: Callable[[], bytes], count: int) -> tuple[bytes, bytes]:
        """Code of a chunk whose register values lie at `pool`, and those values."""
        r = self.random
        self.singles = r.random() < 0.5
        exponent = r.getrandbits(11)
        rounding = 0 if r.random() < 0.6 else r.randrange(5)
        flags = r.choice([0, 1, 1, r.getrandbits(5)])
        values = [rounding << 5 | flags]
        values += [self.integer() for _ in range(30)] + [
            self.float_bits(exponent) for _ in range(32)
        ]
        code = (
            load_address(BASE, WORK + 2048) + addi(1, 0, 3) + s_type(0x3023, BASE, 1, 1016)
        )  # rounds
        code += load_address(BASE, pool + 1024) + ld(1, BASE, -1024) + u32(0x00309073)  # fscsr
        code += b"".join(ld(i, BASE, -1024 + 8 * i) for i in range(1, 31))
        code += b"".join(i_type(0x3007, i, BASE, -1024 + 8 * (31 + i)) for i in range(32))
        code += load_address(BASE, WORK + 2048)
        loop = b"".join(body() for _ in range(count))
        loop += (
            ld(30, BASE, 1016)
            + addi(30, 30, -1)
            + s_type(0x3023, BASE, 30, 1016)
            + b_type(0x63, 30, 0, 8)
        )
        code += loop + j(-len(loop))
        code += b"".join(s_type(0x3023, BASE, i, 8 * i) for i in range(1, 31))
        code += b"".join(s_type(0x3027, BASE, i, 8 * (31 + i)) for i in range(32))
        code += u32(0x003020F3) + s_type(0x3023, BASE, 1, 0)  # csrr x1, fcsr
        code += (
            addi(10, 0, 1)
            + load_address(11, WORK)
            + load_address(12, 2048 + 8 * 63)
            + addi(17, 0, 64)
        )
        return code + u32(0x73), struct.pack("<63Q", *values)

    def program(self, names: list[str], chunks: int, count: int = 24) -> bytes:
        """An executable of random instructions out of `names`, or of pairs."""
        code, data = b"", b""
        pairs = read_pairs()
        queue: list[Callable[[], bytes]] = []

        def body() -> bytes:
            if not queue:  # every one as often as any other
                queue.extend(partial(self.instruction, self.rows[name]) for name in names)
                if not names:
                    queue.extend(partial(self.pair, *pair) for pair in pairs)
                self.random.shuffle(queue)
            return queue.pop()()

        for _ in range(chunks):
            chunk_code, chunk_data = self.chunk(DATA + len(data), body, count)
            code += chunk_code
            data += chunk_data
        code += addi(10, 0, 0) + addi(17, 0, 93) + u32(0x73)
        return elf(code, data)

    def kinds(self) -> dict[str, list[str]]:
        """The table in parts that are worth programs of their own."""
        everything = [row.id for row in self.rows.values()]
        floats = [row.id for row in self.rows.values() if "FP" in row.flags]
        return {
            "integer": [name for name in everything if name not in floats],
            "float": floats,
            "arithmetic": [
                name for name in floats if self.rows[name].format in ("FFF", "FF", "FMA")
            ],
            "everything": everything,
            "pairs": [],
        }
