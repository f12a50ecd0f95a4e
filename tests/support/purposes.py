"""What compiled code spends its time on: nanoseconds for a guest instruction, by purpose.

    python tests/support/purposes.py PROGRAM[:ARGUMENT]...

Each PROGRAM is a static riscv64 ELF file, or one of the benchmark's rows that run Debian's programs. It runs through wasmtime, warm, while `perf` looks where the hart's thread is; the
engine's map of addresses says which WebAssembly that came from, and the patterns below what that is for. A sample counts
for the instruction that waits, so what follows a load that misses the cache has the load's time.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import collections
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import wasmtime
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "runtime_py"), str(ROOT / "tests" / "bench")]

import workloads  # noqa: E402

from ebbtide import Machine, wasmtime_text  # noqa: E402
from ebbtide.leb128 import Reader  # noqa: E402
from ebbtide.wasmtime_kernel import new_engine  # noqa: E402

HZ, WARM, RUNS, NOWHERE = 4000, 4, 6, 0xFFFFFFFF
WARM_LONG, RUNS_LONG = 16, 3  # of Debian's programs, which have more to compile
FRAME = bytes.fromhex("554889e5"), bytes.fromhex("4889ec5d")  # push, mov; mov, pop
IF = r"(?:br_)?if[^;]*;"
ARGUMENTS = r"local\.get 0;local\.get 1;local\.get 2;(?:i32\.const 0x1;i32\.sub;)?"
PC = r"local\.get 3;(?:i64\.const \S+?;i64\.add;)?"
SLOT = r"offset=(?:\d|\d\d|[1-4]\d\d|50\d) align=\d;"  # of a register in the context
LOOK = (
    r"local\.get \d+;i32\.wrap_i64;i32\.const 0x8;i32\.shr_u;i32\.const 0xfff0;i32\.and;"
    r"local\.get \d+;(?:i32\.load [^;]*;)?i32\.add;local\.tee \d+;"
    rf"i64\.load [^;]*;local\.get \d+;i64\.xor;i64\.const \S+?;i64\.gt_u;(?:i32\.eqz;)?(?:{IF})?"
)
# The first that fits an operation says what it is for. What fits none is the guest's work.
PURPOSES = (
    ("look at the TLB", rf"local\.get \d+;(?:i64\.const \S+?;i64\.add;)?local\.set \d+;{LOOK}"),
    ("look at the TLB", LOOK),
    (
        "look at the TLB",
        r"local\.get \d+;i32\.wrap_i64;local\.get \d+;i32\.load offset=(?:8|24|65544|65560) align=4;i32\.add;",
    ),
    (
        "call: target",
        r"local\.get \d+;i32\.wrap_i64;i32\.const 0x3;i32\.shl;i32\.const \S+?;i32\.and;(?:local\.get 0;i32\.load [^;]*;i32\.add;)?"
        rf"local\.tee \d+;i64\.load [^;]*;local\.get \d+;i64\.ne;(?:local\.get 2;i32\.eqz;i32\.or;)?{IF}",
    ),
    (
        "call: target",
        rf"{ARGUMENTS}local\.get \d+;local\.get \d+;i32\.load [^;]*;(?:return_)?call_indirect[^;]*;",
    ),
    ("call: target", rf"{ARGUMENTS}(?:local\.get \d+;)*(?:return_)?call \d+;"),
    (
        "call: return",
        rf"local\.get 2;i32\.const 0x3;i32\.shl;(?:local\.get 0;i32\.add;)?{PC}i64\.store [^;]*;",
    ),
    ("call: return", rf"local\.get 0;i64\.load offset=528 align=8;{PC}i64\.ne;{IF}"),
    (
        "call: return",
        r"local\.get 0;local\.get \d+;i64\.store offset=528 align=8;local\.get 1;return;",
    ),
    (
        "call: stack as it was",
        r"i32\.load offset=\d+ align=4;local\.get \d+;i32\.ne;(?:local\.get 0;i64\.load [^;]*;local\.get \d+;i64\.ne;i32\.or;)*"
        + IF,
    ),
    ("registers", rf"local\.get 0;[if]\d\d\.load {SLOT}local\.set \d+;"),
    ("registers", rf"local\.get 0;local\.get \d+;[if]\d\d\.store {SLOT}"),
    ("fuel", r"local\.get 1;i32\.const \S+?;i32\.(?:sub|add);local\.set 1;"),
    ("fuel", rf"local\.get 1;i32\.const \S+?;i32\.lt_s;{IF}"),
)


def purposes(body: wasmtime_text.Function) -> list[str]:
    """Say of each operation what it is for."""
    starts, text = [], ""
    for line in body.lines:
        starts.append(len(text))
        text += line.strip() + ";"
    found = [""] * len(starts)
    for name, pattern in PURPOSES:
        for match in re.finditer(f"(?<=;){pattern}", text):
            first = bisect.bisect_left(starts, match.start())
            for k in range(first, bisect.bisect_left(starts, match.end())):
                found[k] = found[k] or name
    return [name or "guest's work" for name in found]


def addresses(section: bytes) -> tuple[list[int], list[int]]:
    """Read the engine's map: offsets in the machine code, and where in the module that came from."""
    (blocks,) = struct.unpack_from("<I", section, 4)
    index = [struct.unpack_from("<II", section, 8 + 8 * block) for block in range(blocks)]
    bodies = 8 + 8 * blocks
    reader, at, positions = Reader(section), [], []
    for number, (here, start) in enumerate(index):
        reader.at = bodies + start
        end = bodies + index[number + 1][1] if number + 1 < blocks else len(section)
        position = None
        while reader.at < end:
            token = reader.unsigned()
            here += token >> 1
            if not token & 1:
                position = reader.unsigned() if position is None else position + reader.signed()
            at.append(here)
            positions.append(NOWHERE if token & 1 or position is None else position)
    return at, positions


class Code:
    """A module's machine code: by offset, what is done there."""

    def __init__(self, engine: wasmtime.Engine, module: bytes) -> None:
        elf = ELFFile(BytesIO(bytes(wasmtime.Module(engine, module).serialize())))
        self.text = elf.get_section_by_name(".text").data()
        self.at, positions = addresses(elf.get_section_by_name(".wasmtime.addrmap").data())
        begins, names = self._operations(module)
        self.names = [
            names[bisect.bisect_right(begins, position) - 1]
            if position != NOWHERE
            else self._added(at, end)
            for at, end, position in zip(
                self.at, [*self.at[1:], len(self.text)], positions, strict=True
            )
        ]

    @staticmethod
    def _operations(module: bytes) -> tuple[list[int], list[str]]:
        reader, begins, names = Reader(module), [], []
        reader.at = 8
        while reader.at < len(module):
            section, size = reader.byte(), reader.unsigned()
            end = reader.at + size
            if section == 10:
                reader.unsigned()
                for body in wasmtime_text.functions(module):
                    length = reader.unsigned()
                    begins += [reader.at + offset for offset in body.offsets]
                    names += ["engine: frame", *purposes(body)[1:]]
                    reader.at += length
            reader.at = end
        return begins, names

    def _added(self, at: int, end: int) -> str:
        code = self.text[at:end]
        return "engine: frame" if any(part in code for part in FRAME) else "engine: moves"

    def purpose(self, offset: int) -> str:
        """Say what the instruction at an offset is for."""
        return self.names[bisect.bisect_right(self.at, offset) - 1]


class Sampler:
    """Looks where the hart's thread is."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.thread = next(
            t.native_id for t in threading.enumerate() if t.name.startswith("ebb-hart-0")
        )
        self._perf = subprocess.Popen(
            ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HZ), "-o", str(data), "-t", str(self.thread)],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def spent_ns(self) -> int:
        """Give the processor time that the thread has had."""
        return int(Path(f"/proc/self/task/{self.thread}/schedstat").read_text().split()[0])

    def samples(self) -> list[int]:
        """End, and give the addresses that were seen."""
        self._perf.send_signal(2)
        self._perf.wait()
        command = ["perf", "script", "-F", "ip", "-i", str(self.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [int(address, 16) for address in done.stdout.split()]


def count(samples: list[int], codes: list[Code]) -> collections.Counter[str]:
    """Say of each address what it is for."""
    counts: collections.Counter[str] = collections.Counter()
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = [[int(at, 16) for at in line[0].split("-")] for line in lines if "x" in line[1]]
    with open("/proc/self/mem", "rb") as memory:
        for begin, end in bounds:
            inside = sorted(address - begin for address in samples if begin <= address < end)
            if not inside:
                continue
            memory.seek(begin)
            image = memory.read(end - begin)  # of many modules, side by side
            places = [(image.find(code.text), code) for code in codes]
            places = sorted(
                (place for place in places if place[0] >= 0), key=lambda place: place[0]
            )
            for offset in inside:
                k = bisect.bisect_right(places, offset, key=lambda place: place[0]) - 1
                at, code = places[k] if k >= 0 else (0, None)
                known = code and offset - at < len(code.text)
                counts[code.purpose(offset - at) if code and known else "elsewhere"] += 1
    return counts


async def profile(program: str, arguments: list[str], folder: Path) -> dict[str, float]:
    """Give nanoseconds for a guest instruction by purpose."""
    command = workloads.COMMANDS.get(program)
    options: dict[str, Any] = {"harts": 1, "jit_dump": str(folder)}
    machine = await Machine.boot("debian" if command else "base", **options)
    if command:
        argv = list(command.argv)
        for path, data in workloads.inputs().items():
            await machine.fs.write_file(path, data, mode=0o755)
        if command.setup:
            await machine.run("bash", "-c", command.setup)
    else:
        argv = ["/tmp/program", *arguments]
        await machine.fs.write_file(argv[0], Path(program).read_bytes(), mode=0o755)
    for _ in range(WARM_LONG if command else WARM):
        await machine.run(*argv)
    sampler = Sampler(folder / "perf.data")
    await asyncio.sleep(0.5)  # until it looks
    before, begin = await machine.stats(), sampler.spent_ns()
    for _ in range(RUNS_LONG if command else RUNS):
        await machine.run(*argv)
    after, end = await machine.stats(), sampler.spent_ns()
    samples, engine = sampler.samples(), new_engine()
    counts = count(samples, [Code(engine, file.read_bytes()) for file in folder.glob("*.wasm")])
    await machine.close()
    instructions = after.instructions - before.instructions
    ns = (end - begin) / instructions
    compiled = (after.compiled_instructions - before.compiled_instructions) / instructions
    rows = {name: ns * times / counts.total() for name, times in counts.items()}
    return rows | {"all": ns, "compiled, %": 100 * compiled}


def wanted() -> list[str]:
    """Read the command line; what cannot be measured is said before anything runs."""
    names = ", ".join(workloads.COMMANDS)
    usage, about = (
        "python tests/support/purposes.py PROGRAM[:ARGUMENT]...",
        (__doc__ or "").split("\n\n"),
    )
    top = argparse.ArgumentParser(usage=usage, description=f"{about[0]} {about[2]}")
    top.add_argument(
        "programs", nargs="+", metavar="PROGRAM[:ARGUMENT]", help=f"a file, or one of {names}"
    )
    programs: list[str] = top.parse_args().programs
    for argument in programs:
        program = argument.split(":")[0]
        if program not in workloads.COMMANDS and not Path(program).is_file():
            top.error(f"{program} is no file and no row of Debian's programs; these are {names}")
    if not shutil.which("perf"):
        top.error("perf is missing (Debian: apt-get install linux-perf)")
    return programs


def main() -> None:
    columns = {}
    for argument in wanted():
        program, *arguments = argument.split(":")
        with tempfile.TemporaryDirectory() as folder:
            columns[Path(program).name] = asyncio.run(profile(program, arguments, Path(folder)))
    names = dict.fromkeys(name for name, _ in PURPOSES)
    rows = [
        "guest's work",
        *names,
        "engine: frame",
        "engine: moves",
        "elsewhere",
        "all",
        "compiled, %",
    ]
    print(f"{'ns for a guest instruction':28}", *(f"{name:>10}" for name in columns))
    for row in rows:
        cells = (f"{column.get(row, 0):10.3f}" for column in columns.values())
        print(f"{row:28}", *cells)


if __name__ == "__main__":
    main()
