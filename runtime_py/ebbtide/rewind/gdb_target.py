"""What gdb is told of the processor: the target description, and registers in its order."""

from __future__ import annotations

import struct

from .debug_view import Registers

_X = [
    "zero",
    "ra",
    "sp",
    "gp",
    "tp",
    "t0",
    "t1",
    "t2",
    "fp",
    "s1",
    "a0",
    "a1",
    "a2",
    "a3",
    "a4",
    "a5",
    "a6",
    "a7",
    "s2",
    "s3",
    "s4",
    "s5",
    "s6",
    "s7",
    "s8",
    "s9",
    "s10",
    "s11",
    "t3",
    "t4",
    "t5",
    "t6",
]
_F = [
    "ft0",
    "ft1",
    "ft2",
    "ft3",
    "ft4",
    "ft5",
    "ft6",
    "ft7",
    "fs0",
    "fs1",
    "fa0",
    "fa1",
    "fa2",
    "fa3",
    "fa4",
    "fa5",
    "fa6",
    "fa7",
    "fs2",
    "fs3",
    "fs4",
    "fs5",
    "fs6",
    "fs7",
    "fs8",
    "fs9",
    "fs10",
    "fs11",
    "ft8",
    "ft9",
    "ft10",
    "ft11",
]
_POINTERS = {"ra": "code_ptr", "sp": "data_ptr", "gp": "data_ptr", "tp": "data_ptr"}

SIZES = [8] * 65 + [4] * 3
# Linux's signal numbers that gdb counts otherwise.
_SIGNALS = {7: 10, 10: 30, 12: 31, 17: 20, 18: 19, 19: 17, 20: 18, 23: 16, 29: 23, 30: 32, 31: 12}


def description() -> bytes:
    """Return the target description."""
    lines = [
        '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">',
        "<architecture>riscv:rv64</architecture><osabi>GNU/Linux</osabi>",
        '<feature name="org.gnu.gdb.riscv.cpu">',
        *(f'<reg name="{name}" bitsize="64" type="{_POINTERS.get(name, "int")}"/>' for name in _X),
        '<reg name="pc" bitsize="64" type="code_ptr"/></feature>',
        '<feature name="org.gnu.gdb.riscv.fpu"><union id="riscv_double">',
        '<field name="float" type="ieee_single"/><field name="double" type="ieee_double"/></union>',
        *(f'<reg name="{name}" bitsize="64" type="riscv_double"/>' for name in _F),
        *(f'<reg name="{name}" bitsize="32" type="int"/>' for name in ("fflags", "frm", "fcsr")),
        "</feature></target>",
    ]
    return "".join(lines).encode()


def pack(registers: Registers) -> bytes:
    """Return all registers as the packet g wants them."""
    fcsr = registers.fcsr
    return struct.pack(
        "<65Q3I", *registers.x, registers.pc, *registers.f, fcsr & 31, fcsr >> 5 & 7, fcsr
    )


def one(registers: Registers, number: int) -> bytes | None:
    """Return one register."""
    if number >= len(SIZES):
        return None
    at = sum(SIZES[:number])
    return pack(registers)[at : at + SIZES[number]]


def signal(number: int) -> int:
    """Return gdb's number of a Linux signal."""
    return _SIGNALS.get(number, number)
