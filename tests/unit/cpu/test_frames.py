"""Compiled code takes a stack frame to lie in one page. Where it often does not, the region is made anew."""

from __future__ import annotations

import pytest

from .compiled import run
from .generate import CODE, addi, b_type, elf, i_type, ld, load_address, s_type, u32

pytestmark = [pytest.mark.native, pytest.mark.usefixtures("compiled_at_once")]
ECALL, RETURN, ADD = u32(0x73), u32(0x8067), u32(0x00950533)  # add x10, x10, x9
CALL = i_type(0x67, 1, 29, 0)  # of x29
EXIT = addi(17, 0, 93) + ECALL
PAGE, CALLS = 4096, 30_000


def sd(base: int, value: int, imm: int) -> bytes:
    return s_type(0x3023, base, value, imm)


def bne(a: int, b: int, offset: int) -> bytes:
    return b_type(0x1063, a, b, offset)


def image(program: bytes, function: bytes) -> bytes:
    return elf(program.ljust(PAGE, b"\0") + function, b"")


@pytest.mark.parametrize("reach", [-16, -8, 0, 1, 7, 8, 9, 16, 23, 24, 40])
def test_a_frame(reach: int) -> None:
    # The frame's 24 bytes reach so many bytes into the upper one of two pages.
    function = addi(2, 2, -32) + sd(2, 9, 24) + sd(2, 8, 16) + addi(8, 7, 1)
    function += bne(7, 0, 8) + RETURN + sd(2, 8, 8) + ld(9, 2, 8) + ADD
    function += ld(8, 2, 16) + ld(9, 2, 24) + addi(2, 2, 32) + RETURN
    program = addi(10, 0, 0) + load_address(11, 2 * PAGE) + addi(12, 0, 3) + addi(13, 0, 0x22)
    program += addi(14, 0, -1) + addi(15, 0, 0) + addi(17, 0, 222) + ECALL
    program += load_address(5, PAGE + reach) + u32(0x00550133)  # add x2, x10, x5
    program += addi(8, 0, 111) + addi(9, 0, 222) + addi(10, 0, 0) + load_address(29, CODE + PAGE)
    program += load_address(7, CALLS) + CALL + addi(7, 7, -1) + bne(7, 0, -8)
    program += load_address(5, CALLS * (CALLS + 3) // 2) + addi(6, 0, 111) + addi(7, 0, 222)
    good = addi(10, 0, 0) + EXIT
    program += bne(10, 5, 12 + len(good)) + bne(8, 6, 8 + len(good)) + bne(9, 7, 4 + len(good))
    program += good + addi(10, 0, 1) + EXIT
    stats = run(image(program, function))
    if (
        reach % 8 == 0
    ):  # else one access crosses them by itself, which is always left to the interpreter
        assert stats.compiled_instructions * 10 > stats.instructions * 9


def test_a_stack_that_calls_leave_elsewhere() -> None:
    # The function takes its argument off the stack: where the caller accesses its own stack behind the call, that has moved.
    function = ld(9, 2, 0) + addi(2, 2, 16) + addi(10, 10, 1) * 50 + RETURN
    loop = addi(2, 2, -16) + sd(2, 7, 0) + sd(2, 8, -8) + CALL + ld(8, 2, -24) + addi(7, 7, -1)
    program = load_address(29, CODE + PAGE) + load_address(7, CALLS) + addi(8, 0, 111)
    program += loop + bne(7, 0, -len(loop)) + addi(8, 8, -111) + addi(10, 8, 0) + EXIT
    stats = run(image(program, function))
    assert stats.compiled_instructions * 10 > stats.instructions * 9
    assert stats.entries < CALLS // 10
