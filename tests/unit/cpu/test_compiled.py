"""Compiled floating point leaves the registers, fcsr and memory that the interpreter leaves.

Each program calls functions of small loops of random instructions again and again, with registers
that hold numbers of every kind, so that the compiler takes them; it writes down all registers, fcsr and the memory
they work on after each call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ebbtide import blocking, wasmtime_jit

from .generate import (
    BASE,
    DATA,
    WORK,
    Generator,
    Row,
    addi,
    b_type,
    elf,
    i_type,
    j,
    ld,
    load_address,
    s_type,
    u32,
)

pytestmark = pytest.mark.native

POOL, LEFT, ROUNDS, RETURN = 1016, 1008, 1000, 992  # words behind BASE
SETS, FUNCTIONS, LOOPS = 320, 8, 8
RECORD = 2048 + 8 * 63
FLAGS = -1024  # behind BASE: what each loop has raised
FFLAGS, FCSR = 1, 3
FSCSR, FRCSR = u32(0x00309073), u32(0x003020F3)  # of x1
FLAGS_CLEAR, FLAGS_NX, FLAGS_READ = u32(0x00105073), u32(0x0010D073), u32(0x00102F73)  # into x30


class Calls(Generator):
    """Makes programs of functions that are called with one set of registers after the other."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.style = "any"  # of this set's numbers; "gentle" ones are like most programs'

    def word(self, row: Row) -> int:
        word = super().word(row)
        if "RM" in row.flags and self.random.random() < 0.95:
            rounding = [0, 7, 7, 1, 1] if row.format == "XF" else [0, 7, 7]
            word = word & ~0x7000 | self.random.choice(rounding) << 12
        return word

    def float_bits(self, exponent: int) -> int:
        r = self.random
        if self.style == "any" or r.random() < 0.1:
            return super().float_bits(exponent)
        if self.style == "tie":  # products half way between two numbers, and what decides
            width, top, bias = (23, 31, 127) if self.singles else (52, 63, 1023)
            half = r.choice([11, 12] if self.singles else [25, 26])
            e, bits = bias, r.getrandbits(1) << top | r.getrandbits(1) << half
            if r.random() < 0.4:
                e, bits = bias - r.choice([54, 60, 80, 110]), bits & 1 << top
            return bits | e << width | (0xFFFFFFFF << 32 if self.singles else 0)
        if self.style == "close":  # so that sums and products round, or are tiny
            width, middle, spread = (23, 127, 20) if self.singles else (52, 1023, 60)
            near = middle if exponent == 1023 else middle // 2
            e = near + r.randrange(-spread, spread) // r.choice([1, 8])
            bits = r.getrandbits(1) << (width + (8 if self.singles else 11)) | e << width
            return bits | self.fraction(width) | (0xFFFFFFFF << 32 if self.singles else 0)
        value = r.choice([r.randrange(-20, 20) / 4, r.randrange(-99, 99), r.uniform(-9, 9), 0.0])
        if self.singles:
            return struct.unpack("<I", struct.pack("<f", value))[0] | 0xFFFFFFFF << 32
        return struct.unpack("<Q", struct.pack("<d", value))[0]

    def registers(self) -> bytes:
        r = self.random
        self.style = r.choice(["any", "close", "close", "tie", "gentle"])
        exponent = r.choice([1023, 1023, 511, r.getrandbits(11)])
        rounding = 0 if r.random() < 0.9 else r.randrange(5)
        values = [rounding << 5 | r.choice([0, 1, 1, r.getrandbits(5)])]
        values += [self.integer() for _ in range(30)]
        values += [self.float_bits(exponent) for _ in range(32)]
        return struct.pack("<63Q", *values)

    def flags(self) -> bytes:
        """Read or write flags, mostly not."""
        r = self.random
        if r.random() < 0.8:
            return b""
        at_once, way, csr = r.random() < 0.6, r.randrange(1, 4), r.choice([FFLAGS, FFLAGS, FCSR])
        if not at_once and csr == FCSR:  # a register's value may ask for any rounding mode
            way, operand = 2, 0
        else:
            operand = r.choice([0, 1, 16, 16, r.getrandbits(5)]) if at_once else r.randrange(30)
        return i_type(0x73 | (4 * at_once + way) << 12, r.randrange(30), operand, csr)

    def function(self, body: Callable[[], bytes]) -> bytes:
        code = s_type(0x3023, BASE, 1, RETURN) + ld(30, BASE, POOL)
        code += b"".join(i_type(0x3007, i, 30, 8 * (31 + i)) for i in range(32))
        code += b"".join(ld(i, 30, 8 * i) for i in range(1, 31))
        for number in range(LOOPS):
            if self.random.random() < 0.5:
                code += self.random.choice([FLAGS_CLEAR, FLAGS_NX])
            pieces = self.random.choice([1, 1, 2, 4])
            loop = b"".join(self.flags() + body() for _ in range(pieces)) + self.flags()
            loop += ld(30, BASE, ROUNDS) + addi(30, 30, -1) + s_type(0x3023, BASE, 30, ROUNDS)
            code += addi(30, 0, 2) + s_type(0x3023, BASE, 30, ROUNDS)
            code += loop + b_type(0x1063, 30, 0, -len(loop))
            code += FLAGS_READ + s_type(0x3023, BASE, 30, FLAGS + 8 * number)
        code += b"".join(s_type(0x3023, BASE, i, 8 * i) for i in range(1, 31))
        code += b"".join(s_type(0x3027, BASE, i, 8 * (31 + i)) for i in range(32))
        return code + ld(1, BASE, RETURN) + u32(0x8067)

    def calls(self, pool: int, body: Callable[[], bytes]) -> bytes:
        function = self.function(body)
        head = load_address(BASE, WORK + 2048)
        head += load_address(5, pool) + s_type(0x3023, BASE, 5, POOL)
        head += addi(5, 0, SETS) + s_type(0x3023, BASE, 5, LEFT)
        loop = ld(5, BASE, POOL) + ld(1, 5, 0) + FSCSR
        tail = FRCSR + s_type(0x3023, BASE, 1, 0)
        tail += addi(10, 0, 1) + load_address(11, WORK) + load_address(12, RECORD)
        tail += addi(17, 0, 64) + u32(0x73)
        tail += ld(5, BASE, POOL) + addi(5, 5, 8 * 63) + s_type(0x3023, BASE, 5, POOL)
        tail += ld(5, BASE, LEFT) + addi(5, 5, -1) + s_type(0x3023, BASE, 5, LEFT)
        back = len(loop) + 4 + len(tail)
        tail += b_type(0x1063, 5, 0, -back) + j(4 + len(function))
        call = u32(int.from_bytes(j(4 + len(tail)), "little") | 1 << 7)
        return head + loop + call + tail + function

    def called(self, names: list[str]) -> bytes:
        """An executable."""
        queue: list[Callable[[], bytes]] = []

        def body() -> bytes:
            if not queue:
                queue.extend(partial(self.instruction, self.rows[name]) for name in names)
                self.random.shuffle(queue)
            return queue.pop()()

        code, data = b"", b""
        for _ in range(FUNCTIONS):
            self.singles = self.random.random() < 0.5
            code += self.calls(DATA + len(data), body)
            data += b"".join(self.registers() for _ in range(SETS))
        return elf(code + addi(10, 0, 0) + addi(17, 0, 93) + u32(0x73), data)


@pytest.fixture
def run(
    kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[bytes, int]]]:
    """Run a program, by code for an engine that differs in one thing; None: by the interpreter."""
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    code = wasmtime_jit.CompiledCode
    monkeypatch.setattr(code, "install_ready", code.install_all)  # whatever the compiler's speed
    found = wasmtime_jit.features

    def run(program: bytes, other: str | None) -> tuple[bytes, int]:
        monkeypatch.setattr(
            wasmtime_jit,
            "features",
            lambda kernel: found(kernel) ^ kernel.abi.const.get(other, 0),
        )
        jit = {"jit": "off"} if other is None else {"jit": "on", "jit_threshold": 3}
        with blocking.Machine.boot(None, memory=128 << 20, budget=20_000, **jit) as machine:
            machine.fs.write_file("/program", program, mode=0o755)
            result = machine.run("/program", encoding="bytes", timeout=300)
            stats = machine.stats()
            assert (result.exit_code, stats.refused) == (0, 0)
            # It is a sixth; how soon code is there depends on the compiler, and on what is kept.
            assert other is None or stats.compiled_instructions * 25 > stats.instructions
            return result.stdout, stats.instructions

    yield run


def difference(expected: bytes, actual: bytes) -> str | None:
    for at in range(0, max(len(expected), len(actual)), 8):
        if expected[at : at + 8] != actual[at : at + 8]:
            call, word = at // RECORD, (at % RECORD - 2048) // 8
            words = expected[at : at + 8][::-1].hex(), actual[at : at + 8][::-1].hex()
            return f"function {call // SETS} set {call % SETS} word {word}: {words}"
    return None


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["float", "arithmetic", "fused", "everything"])
def test_compiled_is_as_interpreted(run, kind: str, seed: int) -> None:
    generator = Calls(seed)
    names = generator.kinds().get(kind, [])
    if kind == "fused":
        names = [
            name for name in generator.kinds()["arithmetic"] if generator.rows[name].format == "FMA"
        ]
        names += ["FADD_D", "FMUL_D"]
    program = generator.called([name for name in names if not name.startswith("FENCE")])
    expected, instructions = run(program, None)
    assert len(expected) == FUNCTIONS * SETS * RECORD
    for other in ("none", "JIT_RELAXED_MADD", "JIT_COLD_CALLS"):
        actual, same = run(program, other)
        assert difference(expected, actual) is None, other
        assert same == instructions


def test_flags_are_written_by_what_the_instruction_holds(run) -> None:
    # x9 has the old flags, and 9 is what is written: csrrwi's operand is no register.
    loop = i_type(0x2073, 9, 0, FFLAGS) + i_type(0x5073, 6, 9, FFLAGS)
    loop += i_type(0x2073, 7, 0, FFLAGS) + i_type(0x1073, 0, 11, FFLAGS) + addi(8, 8, -1)
    loop += b_type(0x1063, 8, 0, -len(loop)) + s_type(0x3023, 10, 7, 0) + s_type(0x3023, 10, 6, 8)
    code = load_address(8, 5000) + load_address(10, WORK) + addi(11, 0, 3) + loop
    code += addi(11, 10, 0) + addi(10, 0, 1) + addi(12, 0, 16) + addi(17, 0, 64) + u32(0x73)
    code += addi(10, 0, 0) + addi(17, 0, 93) + u32(0x73)
    expected = struct.pack("<QQ", 9, 3)
    assert [run(elf(code, b""), without)[0] for without in (None, "none")] == [expected] * 2
