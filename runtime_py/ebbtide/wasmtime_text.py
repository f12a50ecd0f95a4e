"""WebAssembly as text, as far as the kernel's compiler writes it, beside the guest code it was made from: for people
(`ebb run --jit-dump`) and for golden tests.
"""
# ruff: noqa: SIM905

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .leb128 import Reader

PLAIN = {
    0x00: "unreachable", 0x05: "else", 0x0B: "end", 0x0F: "return", 0x1A: "drop", 0x1B: "select",
    0x45: "i32.eqz", 0x50: "i64.eqz", 0xA7: "i32.wrap_i64", 0xAC: "i64.extend_i32_s", 0xAD: "i64.extend_i32_u",
    0xC2: "i64.extend8_s", 0xC3: "i64.extend16_s", 0xC4: "i64.extend32_s",
    0xA8: "i32.trunc_f32_s", 0xA9: "i32.trunc_f32_u", 0xAA: "i32.trunc_f64_s", 0xAB: "i32.trunc_f64_u",
    0xAE: "i64.trunc_f32_s", 0xAF: "i64.trunc_f32_u", 0xB0: "i64.trunc_f64_s", 0xB1: "i64.trunc_f64_u",
    0xB2: "f32.convert_i32_s", 0xB3: "f32.convert_i32_u", 0xB4: "f32.convert_i64_s", 0xB5: "f32.convert_i64_u",
    0xB6: "f32.demote_f64", 0xB7: "f64.convert_i32_s", 0xB8: "f64.convert_i32_u", 0xB9: "f64.convert_i64_s",
    0xBA: "f64.convert_i64_u", 0xBB: "f64.promote_f32",
    0xBC: "i32.reinterpret_f32", 0xBD: "i64.reinterpret_f64", 0xBE: "f32.reinterpret_i32", 0xBF: "f64.reinterpret_i64",
}  # fmt: skip
for _at, _names in (
    (0x46, "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"),
    (
        0x67,
        "clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr",
    ),
):
    for _offset, _type in ((0, "i32"), (11 if _at == 0x46 else 18, "i64")):
        PLAIN |= {_at + _offset + n: f"{_type}.{name}" for n, name in enumerate(_names.split())}
for _at, _type in ((0x5B, "f32"), (0x61, "f64")):
    PLAIN |= {_at + n: f"{_type}.{name}" for n, name in enumerate("eq ne lt gt le ge".split())}
_names = "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"
for _at, _type in ((0x8B, "f32"), (0x99, "f64")):
    PLAIN |= {_at + n: f"{_type}.{name}" for n, name in enumerate(_names.split())}
INDEXED = {0x0C: "br", 0x0D: "br_if", 0x10: "call", 0x12: "return_call",
           0x20: "local.get", 0x21: "local.set", 0x22: "local.tee", 0x23: "global.get"}  # fmt: skip
MEMORY = dict(enumerate(
    "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s i64.load8_u "
    "i64.load16_s i64.load16_u i64.load32_s i64.load32_u i32.store i64.store f32.store f64.store i32.store8 i32.store16 "
    "i64.store8 i64.store16 i64.store32".split(), 0x28))  # fmt: skip
ATOMIC = {0x03: "atomic.fence", 0x11: "i64.atomic.load", 0x16: "i64.atomic.load32_u"}
for _at, _name in (
    (0x1F, "add"),
    (0x2D, "and"),
    (0x34, "or"),
    (0x3B, "xor"),
    (0x42, "xchg"),
    (0x49, "cmpxchg"),
):
    ATOMIC |= {_at: f"i64.atomic.rmw.{_name}", _at + 5: f"i64.atomic.rmw32.{_name}_u"}
SIMD = {0x14: "f64x2.splat", 0x21: "f64x2.extract_lane", 0x107: "f64x2.relaxed_madd"}
TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x40: ""}


@dataclass
class Function:
    """A body as text: one instruction a line, indented, and where in the body each begins."""

    lines: list[str]
    offsets: list[int]


def functions(module: bytes) -> list[Function]:
    """Print the body of each function."""
    reader, bodies = Reader(module), []
    reader.at = 8
    while reader.at < len(module):
        section, size = reader.byte(), reader.unsigned()
        end = reader.at + size
        if section == 10:
            for _ in range(reader.unsigned()):
                length = reader.unsigned()
                bodies.append(_body(Reader(module[reader.at : reader.at + length])))
                reader.at += length
        reader.at = end
    return bodies


def regions(module: bytes, listing: str) -> dict[str, str]:
    """Print the regions of a module, by address: each block's guest instructions before what was made of them.

    The listing is the kernel's (kernel/jit/listing.c).
    """
    listed = [part.splitlines() for part in listing.split("region ")[1:]]
    bodies = functions(module)[-len(listed) :] if listed else []  # behind what every module has
    found = zip(listed, bodies, strict=True)  # one without blocks is a way into another
    return {head: _beside(rest, body) for (head, *rest), body in found if rest}


def _beside(listing: list[str], body: Function) -> str:
    before: dict[int, list[str]] = {}
    for line in listing:
        if line.startswith("block "):
            block = before.setdefault(int(line[6:], 16), [""])
        else:
            block.append(f";; {line}")
    text: list[str] = []
    for line, offset in zip(body.lines, body.offsets, strict=True):
        text += [*before.pop(offset, ()), line]
    assert not before, "a block begins with an instruction"
    return "\n".join(text) + "\n"


def write(folder: Path, name: str, module: bytes, listing: str) -> None:
    """Write a module, and each of its regions as text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.wasm").write_bytes(module)
    for pc, text in regions(module, listing).items():
        (folder / f"{name}-{pc}.txt").write_text(text)


def _body(reader: Reader) -> Function:
    groups = [(reader.unsigned(), TYPES[reader.byte()]) for _ in range(reader.unsigned())]
    body = Function(
        ["local " + " ".join(f"{type}*{count}" for count, type in groups if count)], [0]
    )
    depth = 0
    while reader.at < len(reader.data):
        body.offsets.append(reader.at)
        text = _instruction(reader)
        word = text.split(" ")[0]
        if word in ("end", "else"):
            depth -= 1
        body.lines.append("  " * max(depth, 0) + text)
        if word in ("block", "loop", "if", "else"):
            depth += 1
    return body


def _instruction(reader: Reader) -> str:
    op = reader.byte()
    if op in PLAIN:
        return PLAIN[op]
    if op in INDEXED:
        return f"{INDEXED[op]} {reader.unsigned()}"
    if op in (0x02, 0x03, 0x04):
        return f"{ {2: 'block', 3: 'loop', 4: 'if'}[op] } {TYPES[reader.byte()]}".rstrip()
    if op == 0x0E:  # and the label that all greater numbers mean
        return " ".join(
            ["br_table", *(str(reader.unsigned()) for _ in range(reader.unsigned() + 1))]
        )
    if op in (0x11, 0x13):
        type, table = reader.unsigned(), reader.unsigned()
        return f"{'return_' if op == 0x13 else ''}call_indirect type={type} table={table}"
    if op in MEMORY:
        align, offset = reader.unsigned(), reader.unsigned()
        return f"{MEMORY[op]} offset={offset} align={1 << align}"
    if op in (0x41, 0x42):
        return f"{'i32' if op == 0x41 else 'i64'}.const {reader.signed():#x}"
    if op in (0x43, 0x44):
        size = 4 if op == 0x43 else 8
        reader.at += size
        return f"f{size * 8}.const {int.from_bytes(reader.data[reader.at - size : reader.at], 'little'):#x}"
    if op in (0xFD, 0xFE):
        name = (SIMD if op == 0xFD else ATOMIC)[reader.unsigned()]
        if name in ("f64x2.extract_lane", "atomic.fence"):
            reader.byte()
        elif op == 0xFE:
            align, offset = reader.unsigned(), reader.unsigned()
            name += f" offset={offset} align={1 << align}"
        return name
    raise ValueError(f"the operator {op:#x} at {reader.at - 1} has no name here")
