"""Compiled loops of one block leave the registers and memory that the interpreter leaves.

Such loops go round without a look at pages or fuel for as long as they can, unite stores and put off what they do not
read. So random ones walk through some pages with every step, aligned and not, forwards and backwards; they take words
apart, as copies do, and nearly so; registers are written down after each, memory at the end.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from .generate import BASE, DATA, WORK, addi, b_type, elf, i_type, j, ld, load_address, s_type, u32
from .test_compiled import run  # noqa: F401  a fixture

pytestmark = pytest.mark.native

LOOPS, SETS, PAGES = 24, 12, 8
OTHERS = "none", "JIT_COLD_CALLS"
BUFFER = PAGES * 4096
VALUES = range(10, 20)  # registers that loops compute with
POINTERS, STRIDE, COUNT, LIMIT = (8, 9), 29, 30, 28
POOL, LEFT, RETURN = 1016, 1008, 992  # words behind BASE
LOADS = {0x0003: 1, 0x1003: 2, 0x2003: 4, 0x3003: 8, 0x4003: 1, 0x5003: 2, 0x6003: 4}
STORES = {0x0023: 1, 0x1023: 2, 0x2023: 4, 0x3023: 8}
PARTS = {1: 0x0023, 2: 0x1023, 4: 0x2023}
THREE = [
    0x33, 0x40000033, 0x1033, 0x2033, 0x3033, 0x4033, 0x5033, 0x40005033, 0x6033, 0x7033, 0x2000033,
    0x2001033, 0x2003033, 0x2004033, 0x2005033, 0x2006033, 0x2007033,
    0x3B, 0x4000003B, 0x103B, 0x503B, 0x4000503B, 0x200003B, 0x200403B, 0x200503B, 0x200603B, 0x200703B,
]  # fmt: skip
IMMEDIATE = [0x13, 0x2013, 0x3013, 0x4013, 0x6013, 0x7013, 0x1B]
# How a loop goes on that counts up to LIMIT, and down: function of the branch, operands; whether by sign.
UP = [
    (0x1063, COUNT, LIMIT, False), (0x1063, LIMIT, COUNT, False), (0x4063, COUNT, LIMIT, True),
    (0x6063, COUNT, LIMIT, False), (0x5063, LIMIT, COUNT, True), (0x7063, LIMIT, COUNT, False),
]  # fmt: skip
DOWN = [(match, b, a, sign) for match, a, b, sign in UP]
SHIFTS = {0x1013: 64, 0x5013: 64, 0x40005013: 64, 0x101B: 32, 0x501B: 32, 0x4000501B: 32}


class Loops:
    """Makes programs of tight loops; `seed` decides everything."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.step, self.meets = -1, True  # of the loop under way
        self.sign: bool | None = None

    def offset(self, size: int) -> int:
        offset = self.random.randrange(-48, 48)
        return offset if self.random.random() < 0.3 else offset & -size

    def plain(self) -> bytes:
        """One instruction, or two that belong together."""
        r = self.random
        rd, a, b = (r.choice(VALUES) for _ in range(3))
        kind = r.randrange(8)
        if kind < 3:
            return u32(r.choice(THREE) | rd << 7 | r.choice([0, a, a, a]) << 15 | b << 20)
        if kind == 3:
            return i_type(
                r.choice(IMMEDIATE), rd, a, r.choice([0, 1, -1, r.randrange(-2048, 2048)])
            )
        if kind == 4:
            match, bits = r.choice(list(SHIFTS.items()))
            return u32(match | rd << 7 | a << 15 | r.randrange(bits) << 20)
        if kind == 5:  # a field
            up = r.choice([32, 48, 56, r.randrange(64)])
            down = r.choice([up, r.randrange(up + 1)])
            shift = r.choice([0x5013, 0x40005013])
            first = u32(0x1013 | rd << 7 | a << 15 | up << 20)
            return first + u32(shift | rd << 7 | rd << 15 | down << 20)
        pointer = r.choice(POINTERS)
        if kind == 6:
            match, size = r.choice(list(LOADS.items()))
            return i_type(match, rd, pointer, self.offset(size))
        match, size = r.choice(list(STORES.items()))
        return s_type(match, pointer, a, self.offset(size))

    def apart(self) -> bytes:
        """Stores of all parts of a register, or nearly."""
        r = self.random
        size = r.choice([1, 1, 1, 2, 4])
        count = r.choice([n for n in (2, 4, 8) if n * size <= 8])
        value, *parts = r.sample(list(VALUES), min(count, len(VALUES) - 1))
        parts = [value, *parts][:count]
        pointer, offset = r.choice(POINTERS), self.offset(8)
        code = [i_type(0x3003, value, pointer, self.offset(8))] if r.random() < 0.7 else []
        code += [
            u32(0x5013 | parts[i] << 7 | value << 15 | 8 * size * i << 20) for i in range(1, count)
        ]
        stores = [s_type(PARTS[size], pointer, parts[i], offset + size * i) for i in range(count)]
        if r.random() < 0.7:
            r.shuffle(stores)
        if r.random() < 0.2:
            stores.insert(r.randrange(len(stores) + 1), self.plain())
        if r.random() < 0.4:  # something is in the way
            near, other = offset + r.randrange(-1, 8), r.choice(VALUES)
            load, store = r.choice(list(LOADS)), r.choice(list(STORES))
            stores.insert(
                r.randrange(1, len(stores)),
                r.choice([i_type(load, other, pointer, near), s_type(store, pointer, other, near)]),
            )
        if r.random() < 0.1:
            stores.append(r.choice(stores))
        if r.random() < 0.1:
            stores.pop()
        return b"".join(code + stores)

    def loop(self) -> bytes:
        r = self.random
        body = [self.plain() for _ in range(r.randrange(1, 9))]
        body += [self.apart() for _ in range(r.choice([0, 0, 1, 1, 2]))]
        r.shuffle(body)
        for pointer in POINTERS:
            if r.random() < 0.15:
                step = u32(0x33 | pointer << 7 | pointer << 15 | STRIDE << 20)
            else:
                step = addi(pointer, pointer, r.choice([0, 1, 2, 4, 8, 8, 16, -1, -4, -8, -16]))
            for _ in range(r.choice([0, 1, 1, 1])):
                body.insert(r.randrange(len(body) + 1), step)
        self.step, self.sign, self.meets = -1, None, True
        branch = r.choice([(0x1063, COUNT, 0), (0x1063, 0, COUNT), (0x4063, 0, COUNT)])
        if r.random() < 0.7:  # LIMIT is not 0
            self.step = r.choice([1, 1, 2, 3, 4, 8, 24]) * r.choice([1, -1])
            *branch, self.sign = r.choice(UP if self.step > 0 else DOWN)
            self.meets = branch[0] == 0x1063
        body.insert(r.randrange(len(body) + 1), addi(COUNT, COUNT, self.step))
        code = b"".join(body)
        return code + b_type(*branch, -len(code))

    def limit(self) -> int:
        """Where a loop ends: there is room for a step on both sides."""
        r = self.random
        near = [
            1 << 16,
            1 << 62,
            (1 << 63) - (1 << 16),
            *([-1 << 62, (1 << 16) - (1 << 63), 0] if self.sign else [(1 << 63)]),
        ]
        return r.choice(near) + r.randrange(-100, 100)

    def registers(self) -> bytes:
        r = self.random
        values = [r.getrandbits(64) >> r.randrange(64) for _ in range(32)]
        for pointer in POINTERS:
            values[pointer] = DATA + BUFFER // 2 + r.randrange(-4096, 4096) & r.choice(
                [-1, -8, -16]
            )
        values[STRIDE] = r.choice([0, 8, -8, 3, 16]) % 2**64
        values[COUNT] = r.choice([1, 2, 3, r.randrange(4, 60), r.randrange(60, 600)])
        if self.sign is not None:
            values[LIMIT] = self.limit()
            values[COUNT] = values[LIMIT] - self.step * values[COUNT]
            if not self.meets:  # it may be past it, too
                values[COUNT] += r.choice([0, 0, r.randrange(-30, 30), self.step * 700])
        return struct.pack("<32Q", *(value % 2**64 for value in values))

    def function(self) -> bytes:
        used = [*VALUES, *POINTERS, STRIDE, COUNT, LIMIT]
        code = s_type(0x3023, BASE, 1, RETURN) + ld(1, BASE, POOL)
        code += b"".join(ld(i, 1, 8 * i) for i in used)
        code += self.loop()
        code += b"".join(s_type(0x3023, BASE, i, 8 * i) for i in used)
        return code + ld(1, BASE, RETURN) + u32(0x8067)

    def program(self) -> bytes:
        r = self.random
        code, data = b"", r.randbytes(BUFFER)
        for _ in range(LOOPS):
            function = self.function()
            head = load_address(BASE, WORK + 2048) + load_address(5, DATA + len(data))
            head += s_type(0x3023, BASE, 5, POOL) + addi(5, 0, SETS) + s_type(0x3023, BASE, 5, LEFT)
            tail = addi(10, 0, 1) + load_address(11, WORK + 2048) + addi(12, 0, 256)
            tail += addi(17, 0, 64) + u32(0x73)
            tail += ld(5, BASE, POOL) + addi(5, 5, 256) + s_type(0x3023, BASE, 5, POOL)
            tail += ld(5, BASE, LEFT) + addi(5, 5, -1) + s_type(0x3023, BASE, 5, LEFT)
            tail += b_type(0x1063, 5, 0, -(4 + len(tail)))
            tail += j(4 + len(function))
            call = u32(int.from_bytes(j(4 + len(tail)), "little") | 1 << 7)
            code += head + call + tail + function
            data += b"".join(self.registers() for _ in range(SETS))
        code += addi(10, 0, 1) + load_address(11, DATA) + load_address(12, BUFFER) + addi(17, 0, 64)
        return elf(code + u32(0x73) + addi(10, 0, 0) + addi(17, 0, 93) + u32(0x73), data)


NODES, CHASES = 300, 16


class Lists(Loops):
    """Makes programs that go along lists, whose nodes lie anywhere in the buffer, also across pages."""

    def nodes(self) -> tuple[int, bytes]:
        """Where a list begins, and the buffer that holds it: of each node the first word is the next one's address."""
        r, buffer = self.random, bytearray(self.random.randbytes(BUFFER))
        places = r.sample(range(24, BUFFER - 48, 24), NODES)
        if r.random() < 0.5:
            places.sort()
        places = [place + r.choice([0, 0, 0, 4, 7]) for place in places]
        for place, after in zip(places, [*places[1:], 0], strict=True):
            buffer[place : place + 8] = struct.pack("<Q", after and DATA + after)
        return DATA + places[0], bytes(buffer)

    def chase(self) -> bytes:
        """Go to the next node; before, something is done to this one, which has no more than its first 16 bytes."""
        r = self.random
        here, follow = 8, r.choice([8, 9])
        body = [i_type(0x3003, 10, 8, 0)]
        for _ in range(r.randrange(4)):
            a, b = r.sample([11, 12, 13], 2)
            body.append(
                r.choice(
                    [
                        s_type(0x23, here, a, 8 + r.randrange(8)),
                        s_type(0x1023, here, a, 8),
                        s_type(0x2023, here, a, 12),
                        i_type(0x4003, a, here, 8 + r.randrange(8)),
                        i_type(0x2003, a, here, 8),
                        u32(0x33 | a << 7 | a << 15 | b << 20),
                    ]
                )  # fmt: skip
            )
        if follow == 9:
            body.insert(0, addi(9, 8, 0))
            body.append(s_type(0x1023, 9, 12, 10))
        code = b"".join([*body, addi(8, 10, 0)])
        return code + b_type(0x1063, 8, 0, -len(code))

    def program(self) -> bytes:
        first, buffer = self.nodes()
        code = b""
        for _ in range(CHASES):
            again = load_address(8, first) + self.chase()
            again += addi(5, 5, -1)
            code += addi(5, 0, SETS) + again + b_type(0x1063, 5, 0, -len(again))
            code += (
                s_type(0x3023, BASE, 11, 0)
                + s_type(0x3023, BASE, 12, 8)
                + s_type(0x3023, BASE, 13, 16)
            )
            code += (
                addi(10, 0, 1)
                + load_address(11, WORK + 2048)
                + addi(12, 0, 24)
                + addi(17, 0, 64)
                + u32(0x73)
            )
            code += ld(11, BASE, 0) + ld(12, BASE, 8) + ld(13, BASE, 16)
        code = load_address(BASE, WORK + 2048) + code
        code += addi(10, 0, 1) + load_address(11, DATA) + load_address(12, BUFFER) + addi(17, 0, 64)
        return elf(code + u32(0x73) + addi(10, 0, 0) + addi(17, 0, 93) + u32(0x73), buffer)


@pytest.mark.parametrize("seed", range(4))
def test_lists_are_as_interpreted(
    run: Callable[..., tuple[bytes, int]],  # noqa: F811
    seed: int,
) -> None:
    program = Lists(seed).program()
    expected, instructions = run(program, None)
    assert len(expected) == CHASES * 24 + BUFFER
    assert run(program, OTHERS[seed % 2]) == (expected, instructions)


@pytest.mark.parametrize("seed", range(6))
def test_tight_loops_are_as_interpreted(
    run: Callable[..., tuple[bytes, int]],  # noqa: F811
    seed: int,
) -> None:
    program = Loops(seed).program()
    expected, instructions = run(program, None)
    assert len(expected) == LOOPS * SETS * 256 + BUFFER
    actual, same = run(program, OTHERS[seed % 2])
    at = next(
        (i for i in range(0, len(expected), 8) if expected[i : i + 8] != actual[i : i + 8]), None
    )
    assert at is None, (at // 256 // SETS, at // 256 % SETS, at % 256 // 8)
    assert same == instructions
