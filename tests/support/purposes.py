"""What compiled code spends its time on: nanoseconds and instructions of the host's for a guest instruction, by purpose.

    python tests/support/purposes.py PROGRAM [ARGUMENT...]

PROGRAM is a static riscv64 ELF file. It runs through wasmtime, warm, while `perf` looks where it is; the engine's map of
addresses says which WebAssembly that came from, and the patterns below what that is for. A sample counts for the instruction
that waits, so what follows a load that misses the cache has the load's time.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
from io import BytesIO
from pathlib import Path

import wasmtime
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "runtime_py"))

from ebbtide import Machine, wasmtime_text  # noqa: E402
from ebbtide.leb128 import Reader  # noqa: E402

HZ, WARM, RUNS, NOWHERE = 4000, 3, 5, 0xFFFFFFFF
FRAME_BEGIN, FRAME_END = bytes.fromhex('554889e5'), bytes.fromhex('4889ec5d')  # push, mov; mov, pop
NUMBER = r"(?:local\.get \d+|i32\.const \S+)"
ARGUMENTS = r"local\.get 0;local\.get 1;local\.get 2;(?:i32\.const 0x1;i32\.sub;)?"
LOOK = (
    r"i32\.wrap_i64;i32\.const 0x8;i32\.shr_u;i32\.const 0xfff0;i32\.and;local\.get \d+;(?:i32\.load [^;]*;)?i32\.add;local\.tee \d+;"
    r"i64\.load [^;]*;local\.get \d+;i64\.xor;i64\.const \S+?;i64\.gt_u;"
    r"(?:i32\.eqz;)?(?:(?:br_)?if[^;]*;)?"
)
# The first that fits an operation says what it is for. What fits none is the guest's work.
PURPOSES = (
    ("look at the TLB", rf"(?:local\.get \d+;i64\.const \S+?;i64\.add;|local\.get \d+;)?local\.[st]et? \d+;local\.get \d+;{LOOK}"),
    ("look at the TLB", rf"local\.get \d+;{LOOK}"),
    ("look at the TLB", r"local\.get \d+;i32\.wrap_i64;local\.get \d+;i32\.load offset=(?:8|24|65544|65560) align=4;i32\.add;"),
    ("call: target", r"local\.get \d+;i32\.wrap_i64;i32\.const 0x3;i32\.shl;i32\.const \S+?;i32\.and;(?:local\.get 0;i32\.load [^;]*;i32\.add;)?"
                     r"local\.tee \d+;i64\.load [^;]*;local\.get \d+;i64\.ne;(?:local\.get 2;i32\.eqz;i32\.or;)?if[^;]*;"),
    ("call: target", rf"{ARGUMENTS}local\.get \d+;local\.get \d+;i32\.load [^;]*;(?:return_)?call_indirect[^;]*;"),
    ("call: target", rf"{ARGUMENTS}(?:local\.get \d+;)*(?:return_)?call \d+;"),
    ("call: return", r"local\.get 2;i32\.const 0x3;i32\.shl;(?:local\.get 0;i32\.add;)?local\.get 3;(?:i64\.const \S+?;i64\.add;)?i64\.store [^;]*;"),
    ("call: return", r"local\.get 0;i64\.load offset=528 align=8;local\.get 3;(?:i64\.const \S+?;i64\.add;)?i64\.ne;if[^;]*;"),
    ("call: return", r"local\.get 0;local\.get \d+;i64\.store offset=528 align=8;local\.get 1;return;"),
    ("call: stack kept", r"local\.get \d+;i32\.load offset=\d+ align=4;local\.get \d+;i32\.ne;(?:local\.get 0;i64\.load [^;]*;local\.get \d+;i64\.ne;i32\.or;)*if[^;]*;"),
    ("registers", r"local\.get 0;[if]\d\d\.load offset=(?:\d|\d\d|[1-4]\d\d|50\d) align=\d;local\.set \d+;"),
    ("registers", r"local\.get 0;local\.get \d+;[if]\d\d\.store offset=(?:\d|\d\d|[1-4]\d\d|50\d) align=\d;"),
    ("fuel", r"local\.get 1;i32\.const \S+?;i32\.(?:sub|add);local\.set 1;"),
    ("fuel", r"local\.get 1;i32\.const \S+?;i32\.lt_s;if[^;]*;"),
)  # fmt: skip


def purposes(body: wasmtime_text.Function) -> list[str]:
    """Say of each operation what it is for."""
    words = [line.strip() for line in body.lines]
    starts, text = [], ""
    for word in words:
        starts.append(len(text))
        text += word + ";"
    found = [""] * len(words)
    for name, pattern in PURPOSES:
        for match in re.finditer(f"(?<=;){pattern}", text):
            for k in range(bisect.bisect_left(starts, match.start()), bisect.bisect_left(starts, match.end())):
                found[k] = found[k] or name
    return [name or "guest's work" for name in found]


def addresses(section: bytes) -> tuple[list[int], list[int]]:
    """Read the engine's map: offsets in the machine code, and where in the module that came from."""
    (blocks,) = struct.unpack_from("<I", section, 4)
    reader, at, positions = Reader(section), [], []
    for block in range(blocks):
        here, start = struct.unpack_from("<II", section, 8 + 8 * block)
        reader.at = 8 + 8 * blocks + start
        end = struct.unpack_from("<I", section, 20 + 8 * block)[0] + 8 + 8 * blocks if block + 1 < blocks else len(section)
        position = None
        while reader.at < end:
            token = reader.unsigned()
            here += token >> 1
            at.append(here)
            if not token & 1:
                position = reader.unsigned() if position is None else position + reader.signed()
            positions.append(NOWHERE if token & 1 or position is None else position)
    return at, positions


class Code:
    """A module's machine code: by offset, what is done there."""

    def __init__(self, engine: wasmtime.Engine, wasm: bytes) -> None:
        elf = ELFFile(BytesIO(bytes(wasmtime.Module(engine, wasm).serialize())))
        self.text = elf.get_section_by_name(".text").data()
        self.at, positions = addresses(elf.get_section_by_name(".wasmtime.addrmap").data())
        reader, begins, names = Reader(wasm), [], []
        reader.at = 8
        while reader.at < len(wasm):
            section, size = reader.byte(), reader.unsigned()
            end = reader.at + size
            if section == 10:
                bodies = wasmtime_text.functions(wasm)
                for number in range(reader.unsigned()):
                    length = reader.unsigned()
                    kinds = purposes(bodies[number])
                    begins.append(reader.at)
                    names.append("engine: frame")
                    begins += [reader.at + at for at in bodies[number].offsets[1:]]
                    names += kinds[1:]
                    reader.at += length
            reader.at = end
        ends = [*self.at[1:], len(self.text)]
        self.names = [
            names[bisect.bisect_right(begins, position) - 1] if position != NOWHERE else self._own(at, end)
            for at, end, position in zip(self.at, ends, positions, strict=True)
        ]

    def _own(self, at: int, end: int) -> str:
        """Say what the engine has added on its own: a function's frame, or moves."""
        code = self.text[at:end]
        return "engine: frame" if FRAME_BEGIN in code or FRAME_END in code else "engine: moves"

    def purpose(self, offset: int) -> str:
        """Say what the instruction at an offset is for."""
        return self.names[bisect.bisect_right(self.at, offset) - 1]


def executable() -> list[tuple[int, int]]:
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = [(line[0].split("-"), line[1]) for line in maps]
    return [(int(a, 16), int(b, 16)) for (a, b), rights in ranges if "x" in rights]


def hart_thread() -> int:
    return next(t.native_id or 0 for t in threading.enumerate() if t.name.startswith("ebb-hart-0"))


def hart_ns() -> int:
    return int(Path(f"/proc/self/task/{hart_thread()}/schedstat").read_text().split()[0])


async def run(program: Path, arguments: list[str], folder: Path) -> tuple[list[int], int, int]:
    """Sample some runs; addresses, nanoseconds and guest instructions."""
    machine = await Machine.boot("base", harts=1, jit_dump=str(folder))
    await machine.fs.write_file("/tmp/program", program.read_bytes(), mode=0o755)
    for _ in range(WARM):
        await machine.run("/tmp/program", *arguments)
    data = str(folder / "perf.data")
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HZ), "-o", data, "-t", str(hart_thread())]
    perf = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    await asyncio.sleep(0.5)
    before, begin = await machine.stats(), hart_ns()
    for _ in range(RUNS):
        await machine.run("/tmp/program", *arguments)
    after, end = await machine.stats(), hart_ns()
    perf.send_signal(2)
    perf.wait()
    text = subprocess.run(["perf", "script", "-F", "ip", "-i", data], capture_output=True, text=True, check=True)
    codes = {}
    for file in sorted(folder.glob("*.wasm")):
        code = Code(ENGINE, file.read_bytes())
        codes[code.text[:4096]] = code
    counts: collections.Counter[str] = collections.Counter()
    hot: collections.Counter[tuple[int, int]] = collections.Counter()
    ranges = executable()
    known: dict[int, Code | None] = {}
    memory = open("/proc/self/mem", "rb")  # noqa: SIM115
    samples = [int(ip, 16) for ip in text.stdout.split()]
    for ip in samples:
        for begin_, end_ in ranges:
            if begin_ <= ip < end_:
                if begin_ not in known:
                    memory.seek(begin_)
                    head = memory.read(min(4096, end_ - begin_))
                    known[begin_] = next((c for h, c in codes.items() if head[: len(h)] == h[: len(head)]), None)
                code = known[begin_]
                counts[code.purpose(ip - begin_) if code else "elsewhere"] += 1
                break
    ran = after.instructions - before.instructions
    total = sum(counts.values())
    print(f"{program.name}: {(end - begin) / ran:.3f} ns of the hart for a guest instruction, {len(samples)} samples")
    for name, count in counts.most_common():
        print(f"  {name:20} {100 * count / total:5.1f} %   {(end - begin) / ran * count / total:.3f} ns")
    await machine.close()
    return samples, end - begin, ran


if __name__ == "__main__":
    from ebbtide.wasmtime_kernel import new_engine

    ENGINE = new_engine()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(sys.argv[1]), sys.argv[2:], Path(folder)))
