"""To enter compiled code costs more than it saves where it is left at once, as between two system calls."""

from __future__ import annotations

import pytest

from .compiled import run
from .generate import CODE, addi, b_type, elf, i_type, j, load_address, u16, u32

pytestmark = [pytest.mark.native, pytest.mark.usefixtures("compiled_at_once")]
ECALL = u32(0x73)
EXIT = addi(10, 0, 0) + addi(17, 0, 93) + ECALL
YIELD = addi(17, 0, 124) + ECALL  # sched_yield, which the kernel answers
GETPPID = addi(17, 0, 173) + ECALL  # which needs the kernel's lock, and no more
LONG = u16(0x0405) * 400  # c.addi x8, 1
PHASE = 1 << 14  # rounds


def rounds(phases: int, body: bytes) -> bytes:
    loop = body + addi(7, 7, -1)
    code = load_address(7, phases * PHASE) + loop + b_type(0x1063, 7, 0, -len(loop)) + EXIT
    return elf(code, b"")


def test_what_is_left_at_once_is_interpreted() -> None:
    stats = run(rounds(2, YIELD + addi(9, 9, 1)), threshold=1000)
    assert 0 < stats.entries < PHASE // 8


def test_what_runs_for_longer_then_is_entered_again() -> None:
    # A long way behind the call, then none, and so on: the highest bits of the round say which.
    skip = i_type(0x5013, 5, 7, 14) + i_type(0x7013, 5, 5, 1) + b_type(0x1063, 5, 0, 4 + len(LONG))
    stats = run(rounds(6, YIELD + skip + LONG), threshold=1000)
    assert stats.entries < 4 * PHASE
    assert stats.compiled_instructions > 3 * PHASE * 400 * 0.8


def test_a_call_behind_which_all_goes_on_leaves_no_compiled_code() -> None:
    stats = run(rounds(40, GETPPID + addi(9, 9, 1)), threshold=1000)
    assert stats.entries < 40 * PHASE // 1000  # once a step
    assert stats.compiled_instructions > 40 * PHASE * 4 * 0.8


def test_calls_that_never_return_do_not_use_up_the_levels() -> None:
    # As longjmp does: who was called jumps back behind the call by itself, through a register.
    start = load_address(7, 40 * PHASE) + load_address(6, CODE + 0x100)
    start += j(0x200 - len(start))
    again = addi(7, 7, -1) + b_type(0x1063, 7, 0, 0x200 - 0x104) + EXIT
    call = load_address(5, CODE + 0x300) + i_type(0x67, 1, 5, 0)
    parts = (start, again, call, LONG[:120] + i_type(0x67, 0, 6, 0))
    code = b"".join(part.ljust(0x100, b"\0") for part in parts)
    stats = run(elf(code, b""), threshold=1000)
    assert stats.entries < 40 * PHASE // 20
    assert stats.compiled_instructions > 40 * PHASE * 60 * 0.8
