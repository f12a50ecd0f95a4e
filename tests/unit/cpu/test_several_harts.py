"""Harts of several keep what they have decoded and compiled: a miss is no reason to look at it all
again, and compiled code needs no decoded code beside it.
"""

from __future__ import annotations

import pytest

from ebbtide import blocking

from .compiled import run
from .generate import CODE, addi, b_type, elf, i_type, j, ld, load_address, u16, u32

pytestmark = [pytest.mark.native, pytest.mark.usefixtures("compiled_at_once")]
ECALL, RETURN = u32(0x73), u32(0x8067)
ADD = u16(0x0405)  # c.addi x8, 1
JUMP = i_type(0x67, 0, 5, 0)  # to x5
CALL = i_type(0x67, 1, 29, 0)  # of x29
EXIT = addi(10, 0, 0) + addi(17, 0, 93) + ECALL
PAGE = 4096
ABSENT_MAX = 64  # of kernel/jit/jit.c: entries that miss a page, until a region is made anew


def test_a_miss_is_no_reason_to_look_at_all_code_again() -> None:
    # Reads of 8,192 pages, more than a TLB has, one after the other; each is followed by a call.
    pages = 8192
    code = addi(10, 0, 0) + load_address(11, pages * PAGE) + addi(12, 0, 3) + addi(13, 0, 0x22)
    code += addi(14, 0, -1) + addi(15, 0, 0) + addi(17, 0, 222) + ECALL
    code += addi(5, 0, 100) + load_address(28, PAGE)
    start = addi(6, 10, 0) + load_address(7, pages)
    body = ld(8, 6, 0) + u32(0x01C30333) + CALL + addi(7, 7, -1)  # add x6, x6, x28
    loop = start + body + b_type(0x1063, 7, 0, -len(body)) + addi(5, 5, -1)
    loop += b_type(0x1063, 5, 0, -len(loop))
    code += load_address(29, CODE + len(code) + 8 + len(loop) + len(EXIT)) + loop + EXIT
    code += addi(9, 9, 1) + RETURN
    stats = run(elf(code, b""), harts=2)
    assert stats.compiled_instructions * 4 > stats.instructions
    assert stats.epochs < 1000


def test_compiled_code_needs_no_decoded_code() -> None:
    # A function that lies in two pages is compiled; then more code than is kept decoded runs once; twice.
    hot, straight, pages = 2 * PAGE - 16, 3 * PAGE, 400
    calls = load_address(7, 100_000) + CALL + addi(7, 7, -1) + b_type(0x1063, 7, 0, -8)
    code = load_address(29, CODE + hot) + addi(20, 0, 3)
    again = len(code)
    code += calls + load_address(5, CODE + straight) + JUMP
    code = code.ljust(hot, b"\0") + addi(9, 9, 1) * 8 + RETURN
    code = code.ljust(straight, b"\0")
    for i in range(pages):
        leave = load_address(5, CODE + straight + (i + 1) * PAGE) + JUMP
        code += ADD * ((PAGE - len(leave)) // len(ADD)) + leave
    code += addi(20, 20, -1) + b_type(0x63, 20, 0, 16) + load_address(5, CODE + again) + JUMP + EXIT
    stats = run(elf(code, b""), harts=4)
    assert stats.flushes > 2
    assert stats.compiled_instructions > 2000 * 9
    assert stats.stale == 0


def test_a_page_that_a_process_never_touches_stops_no_compiled_code_for_long() -> None:
    # A function goes on in a page far away, in a first process; in a second one it does not.
    function, far = 2 * PAGE, 250 * PAGE
    code = ld(10, 2, 0) + addi(10, 10, -1)  # argc - 1
    code += load_address(29, CODE + function)
    code += load_address(7, 100_000) + CALL + addi(7, 7, -1) + b_type(0x1063, 7, 0, -8) + EXIT
    code = code.ljust(function, b"\0") + b_type(0x1063, 10, 0, 8) + j(far - function - 4)
    code += addi(9, 9, 1) * 40 + RETURN
    code = code.ljust(far, b"\0") + addi(9, 9, 2) + RETURN
    options = {"jit": "on", "jit_threshold": 16, "keep_code": False, "harts": 1}
    with blocking.Machine.boot(None, memory=128 << 20, budget=20_000, **options) as machine:
        machine.fs.write_file("/program", elf(code, b""), mode=0o755)
        assert machine.run("/program", timeout=300).exit_code == 0
        before = machine.stats()
        assert machine.run("/program", "once", timeout=300).exit_code == 0
        stats = machine.stats()
    # Each region misses it so often, and no more; calls behind these wait for the compiler, and look at nothing.
    assert 0 < stats.stale - before.stale <= before.regions * ABSENT_MAX
    ran = stats.instructions - before.instructions
    assert (stats.compiled_instructions - before.compiled_instructions) * 10 > ran * 9
