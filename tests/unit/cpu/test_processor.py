"""Exits, faults, fuel and coherence of the processor, one small piece of code each."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from .generate import addi, b_type, i_type, load_address, read_table, s_type, u16, u32

FUEL, ATTN, ECALL, EBREAK, ILLEGAL, FAULT, MISALIGNED = range(7)
READ, WRITE, FETCH = range(3)
PAGE = 4096
CODE = 0x10000
DATA = 0x20000
NOP = addi(0, 0, 0)


class Registers(ctypes.Structure):
    """struct cpu."""

    _fields_ = [
        ("x", ctypes.c_uint64 * 32),
        ("f", ctypes.c_uint64 * 32),
        ("pc", ctypes.c_uint64),
        ("instret", ctypes.c_uint64),
        ("fcsr", ctypes.c_uint32),
        ("lr_size", ctypes.c_uint32),
        ("lr_va", ctypes.c_uint64),
        ("lr_value", ctypes.c_uint64),
    ]


class Machine:
    """The test machine in this process."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.host_cpu.restype = ctypes.POINTER(Registers)
        library.host_memory.restype = ctypes.c_void_p
        library.host_fault_va.restype = ctypes.c_uint64
        library.host_map.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32]
        library.host_protect.argtypes = [ctypes.c_uint64, ctypes.c_uint32]
        library.host_reset(2)
        self.cpu = library.host_cpu().contents
        self.memory = library.host_memory()
        self.map(CODE, 4 * PAGE, 5)
        self.map(DATA, 2 * PAGE, 6)
        self.cpu.pc = CODE

    def map(self, va: int, size: int, rights: int) -> None:
        self.library.host_map(va, size, rights)

    def poke(self, va: int, data: bytes) -> None:
        ctypes.memmove(self.memory + va, data, len(data))

    def peek(self, va: int, size: int) -> bytes:
        return ctypes.string_at(self.memory + va, size)

    def run(self, fuel: int = 1000) -> tuple[int, int]:
        """Answer (exit, retired)."""
        retired = ctypes.c_uint64()
        reason = self.library.host_cpu_run(fuel, ctypes.byref(retired))
        return reason, retired.value

    def fault(self) -> tuple[int, int]:
        return self.library.host_fault_va(), self.library.host_fault_access()


@pytest.fixture
def machine(build: Callable[[str], Path]) -> Machine:
    return Machine(ctypes.CDLL(str(build("host.so"))))


def test_fuel_is_exact_and_a_zero_budget_does_nothing(machine: Machine) -> None:
    machine.poke(CODE, addi(1, 1, 1) * 3 + b_type(0x1063, 1, 0, -12))
    assert machine.run(0) == (FUEL, 0)
    for fuel in (1, 2, 3, 4, 5, 4095, 4096, 4097, 100000):
        assert machine.run(fuel) == (FUEL, fuel)
    total = machine.cpu.instret
    assert machine.cpu.x[1] == total // 4 * 3 + total % 4
    assert machine.cpu.pc == CODE + total % 4 * 4


def test_exits_leave_pc_on_an_instruction_that_did_not_retire(machine: Machine) -> None:
    for word, reason in (
        (u32(0x73), ECALL),
        (u32(0x100073), EBREAK),
        (u16(0x9002), EBREAK),
        (u16(0), ILLEGAL),
        (u32(0xFFFFFFFF), ILLEGAL),
    ):
        machine.poke(CODE, NOP * 5 + word)
        machine.library.host_protect(CODE, 5)
        machine.cpu.pc = CODE
        machine.cpu.instret = 7
        if machine.run()[0] != reason:  # code written behind the machine's back may be cached
            pytest.fail(word.hex())
        assert (machine.cpu.pc, machine.cpu.instret) == (CODE + 20, 12)
        machine.library.host_reset(2)
        machine.map(CODE, PAGE, 5)


RESERVED = [
    u16(0x0000), u16(0x0004),  # c.addi4spn without an immediate
    u16(0x2001), u16(0x4002), u16(0x6002), u16(0x8002),  # c.addiw, c.lwsp, c.ldsp, c.jr of x0
    u16(0x6081), u16(0x6101), u16(0x8000), u16(0x9C41), u16(0x9C61),
    u32(0x02000013 | 1 << 12 | 1 << 26), u32(0x0200101B), u32(0x4000101B | 1 << 25),
    u32(0x00002063), u32(0x00007003), u32(0x00004023), u32(0x00001067),
    u32(0x1010202F), u32(0x0800102F), u32(0x2800202F),
    u32(0x02005053), u32(0x02006053), u32(0x00005043), u32(0x04000053), u32(0x06000043), u32(0x58100053),
    u32(0xC0400053), u32(0x40000053), u32(0x42100053), u32(0xE0002053), u32(0x20003053), u32(0x0000100B),
    u32(0x0000205B), u32(0x30200073), u32(0x10500073),
]  # fmt: skip


@pytest.mark.parametrize("word", RESERVED, ids=bytes.hex)
def test_reserved_encodings_are_illegal(machine: Machine, word: bytes) -> None:
    machine.poke(CODE, word)
    assert machine.run() == (ILLEGAL, 0)
    assert machine.cpu.pc == CODE


@pytest.mark.parametrize(
    ("word", "legal"),
    [
        (0xC0002573, True), (0xC0102573, True), (0xC0202573, True), (0x00102573, True), (0x00302573, True),
        (0xC0001073, False), (0xC00FD073, False), (0xC0006073, True), (0x30002573, False), (0xC8002573, False), (0xC0302573, False),
    ],
)  # fmt: skip
def test_only_the_user_registers_exist(machine: Machine, word: int, legal: bool) -> None:
    machine.poke(CODE, u32(word) + u32(0x73))
    assert machine.run() == ((ECALL, 1) if legal else (ILLEGAL, 0))


def test_invalid_dynamic_rounding_mode_is_illegal(machine: Machine) -> None:
    machine.poke(CODE, u32(0x02007053) + u32(0x0000F053))
    machine.cpu.fcsr = 5 << 5
    assert machine.run() == (ILLEGAL, 0)
    machine.cpu.fcsr = 4 << 5
    assert machine.run(1) == (FUEL, 1)


def test_counters_show_what_has_retired(machine: Machine) -> None:
    machine.poke(
        CODE, NOP * 3 + u32(0xC0202573) + u32(0xC00025F3) + u32(0xC0102673)
    )  # instret, cycle, time
    machine.cpu.instret = 1000
    assert machine.run(6) == (FUEL, 6)
    assert machine.cpu.x[10:13] == [1003, 1004, 5]


def test_fault_leaves_everything_as_it_was(machine: Machine) -> None:
    machine.cpu.x[10] = 0x700000
    for word, access in (
        (i_type(0x3003, 10, 10, 8), READ),
        (s_type(0x3023, 10, 11, 8), WRITE),
        (u32(0x0000302F | 11 << 20 | 10 << 15 | 10 << 7), WRITE),
    ):
        machine.library.host_reset(2)
        machine.map(CODE, PAGE, 5)
        machine.poke(CODE, NOP + word)
        machine.cpu.pc, machine.cpu.x[10] = CODE, 0x700000
        assert machine.run() == (FAULT, 1)
        assert machine.cpu.pc == CODE + 4 and machine.cpu.x[10] == 0x700000
        assert machine.fault() == (
            0x700000 if access == WRITE and word[0] == 0x2F else 0x700008,
            access,
        )


def test_high_addresses_fault(machine: Machine) -> None:
    machine.poke(CODE, i_type(0x3003, 1, 10, 0) + i_type(0x67, 0, 10, 0))
    for va in (1 << 32 | DATA, 1 << 47, 1 << 63 | DATA, 2**64 - 8):
        machine.cpu.pc, machine.cpu.x[10] = CODE, va
        assert machine.run() == (FAULT, 0)
        assert machine.fault() == (va, READ)
        machine.cpu.pc = CODE + 4
        assert machine.run() == (FAULT, 1)
        assert machine.fault() == (va, FETCH) and machine.cpu.pc == va


def test_access_across_pages_checks_both_before_it_touches_either(machine: Machine) -> None:
    machine.poke(CODE, s_type(0x3023, 10, 11, 0) + i_type(0x3003, 12, 10, 0))
    machine.cpu.x[11] = 0x1122334455667788
    machine.cpu.x[10] = DATA + PAGE - 3
    assert machine.run(2) == (FUEL, 2)
    assert machine.cpu.x[12] == 0x1122334455667788
    machine.cpu.pc, machine.cpu.x[10] = CODE, DATA + 2 * PAGE - 3
    assert machine.run(2) == (FAULT, 0)
    assert machine.fault() == (DATA + 2 * PAGE, WRITE)
    assert machine.peek(DATA + 2 * PAGE - 3, 3) == bytes(3)
    machine.library.host_protect(DATA + PAGE, 4)
    machine.cpu.pc, machine.cpu.x[10] = CODE, DATA + PAGE - 3
    assert machine.run(2) == (FAULT, 0)
    assert machine.peek(DATA + PAGE - 3, 8) == struct.pack("<Q", 0x1122334455667788)


@pytest.mark.parametrize(
    "row", [row for row in read_table() if "AMO" in row.flags], ids=lambda row: row.id
)
def test_misaligned_atomics_are_refused(machine: Machine, row: object) -> None:
    machine.poke(CODE, u32(row.match | 10 << 15 | 11 << 7))
    machine.cpu.x[10] = DATA + 2
    assert machine.run() == (MISALIGNED, 0)
    assert machine.fault()[0] == DATA + 2


def test_store_conditional_needs_address_size_and_value(machine: Machine) -> None:
    lr, sc = u32(0x1000302F | 10 << 15 | 12 << 7), u32(0x1800302F | 11 << 20 | 10 << 15 | 13 << 7)
    sc_word = u32(0x1800202F | 11 << 20 | 10 << 15 | 13 << 7)
    machine.cpu.x[10], machine.cpu.x[11] = DATA, 9
    for between, then, failed in (
        (b"", sc, 0),
        (s_type(0x3023, 10, 11, 8), sc, 0),
        (s_type(0x3023, 10, 10, 0), sc, 1),
        (addi(10, 10, 8), sc, 1),
        (b"", sc_word, 1),
        (sc, sc, 1),
    ):
        machine.library.host_reset(2)
        machine.map(CODE, PAGE, 5)
        machine.map(DATA, PAGE, 6)
        machine.poke(DATA, bytes(16))
        machine.poke(CODE, lr + between + then + u32(0x73))
        machine.cpu.pc, machine.cpu.x[10], machine.cpu.x[11] = CODE, DATA, 9
        assert machine.run()[0] == ECALL
        assert machine.cpu.x[13] == failed and machine.cpu.lr_size == 0


def test_instruction_across_pages_runs_and_faults_on_its_second_page(machine: Machine) -> None:
    machine.poke(CODE + PAGE - 4, u16(0x0001) + addi(1, 1, 5) + u32(0x73))
    machine.cpu.pc = CODE + PAGE - 4
    assert machine.run() == (ECALL, 2)
    assert machine.cpu.x[1] == 5 and machine.cpu.pc == CODE + PAGE + 2
    machine.library.host_protect(CODE + PAGE, 6)
    machine.cpu.pc = CODE + PAGE - 4
    assert machine.run() == (FAULT, 1)
    assert machine.cpu.pc == CODE + PAGE - 2 and machine.fault() == (CODE + PAGE, FETCH)


def test_branch_that_begins_in_one_page_and_ends_in_the_next(machine: Machine) -> None:
    machine.poke(CODE + PAGE - 2, b_type(0x63, 0, 0, -6))
    machine.poke(CODE + PAGE - 8, addi(1, 1, 1) + u16(0x0001))
    machine.cpu.pc = CODE + PAGE - 8
    assert machine.run(3001) == (FUEL, 3001)
    assert machine.cpu.x[1] == 1001


@pytest.mark.parametrize("distance", [0, 1, 2, 5])
@pytest.mark.parametrize("warm", [False, True])
def test_a_store_changes_the_instructions_that_follow(
    machine: Machine, distance: int, warm: bool
) -> None:
    machine.map(CODE, PAGE, 7)
    code = s_type(0x2023, 10, 11, 0) + NOP * distance + addi(1, 0, 1) + u32(0x73)
    machine.poke(CODE, code)
    machine.cpu.x[10] = DATA if warm else CODE + 4 + 4 * distance
    machine.cpu.x[11] = struct.unpack("<I", addi(1, 0, 2))[0]
    if warm:
        assert machine.run()[0] == ECALL and machine.cpu.x[1] == 1
        machine.cpu.pc, machine.cpu.x[10] = CODE, CODE + 4 + 4 * distance
    assert machine.run() == (ECALL, distance + 2)
    assert machine.cpu.x[1] == 2


def test_a_loop_that_rewrites_itself(machine: Machine) -> None:
    # Each round adds 1 to the immediate of an addi in another page, which the loop then calls.
    machine.map(CODE, 2 * PAGE, 7)
    machine.poke(CODE + PAGE, addi(1, 1, 0) + i_type(0x67, 0, 5, 0))
    loop = (
        i_type(0x2003, 7, 6, 0) + u32(0x33 | 7 << 7 | 7 << 15 | 8 << 20) + s_type(0x2023, 6, 7, 0)
    )
    loop += i_type(0x67, 5, 6, 0) + addi(9, 9, -1)
    machine.poke(
        CODE, load_address(6, CODE + PAGE) + loop + b_type(0x1063, 9, 0, -len(loop)) + u32(0x73)
    )
    machine.cpu.x[8], machine.cpu.x[9] = 1 << 20, 100
    assert machine.run(10000) == (ECALL, 2 + 100 * 8)
    assert machine.cpu.x[1] == 5050


def test_a_store_into_straddling_code_of_either_page(machine: Machine) -> None:
    machine.map(CODE, 2 * PAGE, 7)
    at = CODE + PAGE - 2
    for va, half in ((at, 0), (at + 2, 2)):
        new = addi(2, 0, 3) if half == 0 else addi(1, 0, 9)
        machine.poke(at, addi(1, 0, 1) + u32(0x73))
        machine.poke(CODE, u32(0x73))
        machine.library.host_protect(CODE, 7)
        machine.poke(at - 4, s_type(0x1023, 10, 11, 0))
        machine.cpu.pc, machine.cpu.x[10] = at - 4, va
        machine.cpu.x[11] = struct.unpack("<H", new[half : half + 2])[0]
        assert machine.run() == (ECALL, 2)
        word = bytearray(addi(1, 0, 1))
        word[half : half + 2] = new[half : half + 2]
        assert machine.peek(at, 4) == bytes(word)
        assert (machine.cpu.x[2] if half == 0 else machine.cpu.x[1]) == (1 if half == 0 else 9)
        machine.library.host_reset(2)
        machine.map(CODE, 2 * PAGE, 7)


def test_attention_leaves_and_a_shootdown_alone_does_not(machine: Machine) -> None:
    machine.poke(CODE, addi(1, 1, 1) + b_type(0x63, 0, 0, -4))
    machine.library.host_attn(4)
    assert machine.run(50) == (FUEL, 50)
    assert machine.library.host_attn_left() == 0
    machine.library.host_attn(1)
    assert machine.run(50) == (ATTN, 0)


def test_protection_taken_away_stops_the_next_fetch(machine: Machine) -> None:
    machine.poke(CODE, addi(1, 1, 1) + b_type(0x63, 0, 0, -4))
    assert machine.run(50) == (FUEL, 50)
    machine.library.host_protect(CODE, 6)
    assert machine.run(50) == (FAULT, 0)


def test_more_code_than_the_cache_holds(machine: Machine) -> None:
    # 400 pages, each a jump to the next; the last falls into an ecall.
    first, pages = 0x100000, 400
    machine.map(first, (pages + 1) * PAGE, 5)
    for i in range(pages):
        machine.poke(
            first + i * PAGE,
            addi(1, 1, 1) * 600 + load_address(5, first + (i + 1) * PAGE) + i_type(0x67, 0, 5, 0),
        )
    machine.poke(first + pages * PAGE, u32(0x73))
    for _ in range(2):
        machine.cpu.pc = first
        assert machine.run(10_000_000) == (ECALL, pages * 603)
    assert machine.cpu.x[1] == 2 * pages * 600
