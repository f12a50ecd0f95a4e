"""kernel/ -> build/kernel.wasm, the native test programs, and the guests that tests run.

Everything is compiled by zig cc, one object per file with the headers it read recorded (-MMD), so
that only what changed is compiled again. Paths on command lines are relative: the output is the
same wherever the repository stands.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import setup, wasm
from .common import (
    BUILD,
    ROOT,
    Failure,
    digest,
    done,
    files,
    fresh,
    run,
    say,
    stamp,
    write,
)

KERNEL = ROOT / "kernel"
KERNEL_WASM = BUILD / "kernel.wasm"
NATIVE = BUILD / "native"
GUESTS = BUILD / "guests"
RECORDS = BUILD / "records"
UNIT_TESTS = ROOT / "tests" / "unit" / "kernel"

# Every implementation of an operations table has the same parameters, whether it needs them or not.
WARNINGS = ("-std=c2x", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
# Kernel objects are reached through addresses of many types; the machine is the type system.
SEMANTICS = ("-fno-strict-aliasing", "-fno-math-errno", "-ffp-contract=off")

# What is made before the kernel and embedded in it: the vDSO, which is guest code.
GENERATED = BUILD / "gen"
EMBED = f"--embed-dir={GENERATED.relative_to(ROOT)}"
VDSO_FLAGS = (
    *(
        "-target",
        "riscv64-linux-musl",
        "-mcpu=baseline_rv64",
        "-nostdlib",
        "-shared",
        "-fPIC",
        "-s",
    ),
    *("-Wl,-soname,linux-vdso.so.1", "-Wl,--hash-style=both", "-Wl,--eh-frame-hdr"),
    *("-Wl,--build-id=none", "-Wl,-z,max-page-size=4096"),
)

WASM_TARGET = (
    "-target",
    "wasm32-freestanding",
    "-mcpu=generic+atomics+bulk_memory+simd128+mutable_globals+sign_ext+nontrapping_fptoint",
)
WASM_COMPILE = (
    *(*WASM_TARGET, *WARNINGS, *SEMANTICS),
    *("-O2", "-Ikernel", EMBED, "-ffreestanding", "-fno-sanitize=all"),
)
# The linker cannot write 65536 pages (4 GiB overflows its parser); the maximum is set afterwards.
WASM_LINK = (
    *WASM_TARGET,
    "-O2",
    "-Wl,--no-entry",
    "-Wl,--import-memory",
    "-Wl,--shared-memory",
    "-Wl,--initial-memory=67108864",
    "-Wl,--max-memory=4294901760",
    "-Wl,-z,stack-size=65536",
    "-Wl,--strip-debug",
    "-Wl,--export-table",  # compiled guest code stands in slots that each hart adds to it
    "-Wl,--growable-table",
)
SYMBOLS = ("__stack_pointer", "__heap_base")
TABLE = "__indirect_function_table"

# Addresses are 32 bits wide and the machine is mapped where wasm has it: the program stands below it.
NATIVE_LINK = (
    "-no-pie",
    "-Wl,-z,undefs",
    "-Wl,--image-base=0x200000",
    "-g",
    "-fsanitize=undefined",
)

GUEST_TARGETS = {
    "riscv64": ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64"),
    "x86_64": ("-target", "x86_64-linux-musl", "-mcpu=baseline"),
}
GUEST_COMPILE = ("-static", "-O2", "-s", "-std=gnu2x", "-Wall")


Job = TypeVar("Job")


@dataclass(frozen=True)
class Unit:
    """One source file and the object made of it."""

    source: Path
    target: Path
    flags: tuple[str, ...]


def kernel() -> None:
    """Build kernel.wasm and check its border."""
    sources = kernel_sources()
    if not sources:
        say("kernel", "there are no sources in kernel/ yet")
        return
    start = time.monotonic()
    vdso()
    folder = BUILD / "kernel"
    units = [Unit(file, _object(folder, file), WASM_COMPILE) for file in sources]
    compiled = compile_all("kernel", units)
    names = exports_wanted()
    flags = [*WASM_LINK, *(f"-Wl,--export={name}" for name in (*names, *SYMBOLS))]
    inputs = digest([unit.target for unit in units], *flags, *names)
    if not compiled and fresh("kernel", inputs, KERNEL_WASM):
        return
    linked = folder / "linked.wasm"
    objects = [_relative(unit.target) for unit in units]
    run(
        [setup.zig(), "cc", *flags, "-o", _relative(linked), *objects],
        env=setup.zig_env(),
        mend="see the linker's messages above",
    )
    write(KERNEL_WASM, finish(linked.read_bytes(), names))
    stamp("kernel", digest([unit.target for unit in units], *flags, *names))
    done("kernel", f"build/kernel.wasm, {compiled} of {len(units)} compiled", start, KERNEL_WASM)


def kernel_sources() -> list[Path]:
    return files(KERNEL, "*.c")


def vdso() -> None:
    """Assemble the vDSO, if there is one."""
    source, script = KERNEL / "vdso" / "vdso.S", KERNEL / "vdso" / "vdso.lds"
    target = GENERATED / "vdso.so"
    GENERATED.mkdir(parents=True, exist_ok=True)
    inputs = digest([source, script], *VDSO_FLAGS)
    if not source.exists() or fresh("vdso", inputs, target):
        return
    part = target.with_name("vdso.so.part")
    command: list[str | Path] = [setup.zig(), "cc", *VDSO_FLAGS, f"-Wl,-T,{_relative(script)}"]
    run(
        [*command, "-o", _relative(part), _relative(source)],
        env=setup.zig_env(),
        what=f"assembling {_relative(source)}",
        mend="see the messages above",
    )
    part.replace(target)
    stamp("vdso", inputs)


def exports_wanted() -> list[str]:
    """The k_* functions that abi.h lists."""
    text = (KERNEL / "abi.h").read_text()
    return sorted(set(re.findall(r"\b(k_[a-z_0-9]+)\(", text)))


def finish(data: bytes, names: Sequence[str]) -> bytes:
    """Check what the linker made against the border, and allow memories of up to 4 GiB."""
    module = wasm.parse(data)
    if module.imports != [("env", "memory", 2)]:
        raise Failure(
            f"kernel.wasm imports {module.imports}",
            "the kernel may import nothing but its memory: find the undeclared function",
        )
    missing = [name for name in (*names, *SYMBOLS, TABLE) if name not in module.exports]
    if missing:
        raise Failure(f"kernel.wasm lacks {', '.join(missing)}", "kernel/abi.h lists the exports")
    base = int(re.findall(r"MACHINE_BASE (0x[0-9a-fA-F]+)", (KERNEL / "abi.h").read_text())[0], 16)
    heap = module.globals[module.exports["__heap_base"][1]]
    if heap > base:
        raise Failure(f"static data ends at {heap:#x}, above MACHINE_BASE", "make tables smaller")
    return wasm.with_memory_max(data, module, wasm.PAGES_MAX)


# ---- native -------------------------------------------------------------------------------------


def native(install: bool = False) -> None:
    """Build the kernel for this machine, with sanitizers, under the programs that test it.

    The kernel becomes a static library; every C file of tests/unit/kernel is one program on it:
    test_*.c run by themselves, host.c runs one program, server.c serves the kernel's exports to
    tests in Python.
    """
    sources, programs = kernel_sources(), sorted(UNIT_TESTS.glob("*.c"))
    if not (sources and programs) or sys.platform != "linux":
        say("native", "nothing to build natively here")
        return
    start = time.monotonic()
    vdso()
    asan = setup.libasan(install)
    target = native_target()
    flags = (
        *(*target, *WARNINGS, *SEMANTICS, "-Wno-unknown-attributes"),  # export_name is wasm's
        *("-O1", "-g", "-fno-omit-frame-pointer", "-fno-pie", "-D_GNU_SOURCE", "-Ikernel", EMBED),
        # Given together, as "address,undefined", zig drops the first.
        *(("-fsanitize=address",) if asan else ()),
        # A null buffer that means zeros may be counted forward.
        *("-fsanitize=undefined", "-fno-sanitize=pointer-overflow", "-fno-sanitize-recover=all"),
    )
    units = {file: Unit(file, _object(NATIVE, file), flags) for file in [*sources, *programs]}
    compiled = compile_all("native", list(units.values()))
    library = NATIVE / "libkernel.a"
    members = [units[file].target for file in sources]
    if not fresh("native-library", digest(members), library):
        library.unlink(missing_ok=True)
        run(
            [setup.zig(), "ar", "rcs", _relative(library), *map(_relative, members)],
            env=setup.zig_env(),
            mend="see the messages above",
        )
        stamp("native-library", digest(members))

    def link(source: Path) -> int:
        program, name = NATIVE / source.stem, f"native-{source.stem}"
        command = [str(setup.zig()), "cc", *target, *NATIVE_LINK, "-o", _relative(program)]
        command.append(_relative(units[source].target))
        if source.stem == "server":  # all exports, for whoever asks for one by name
            command += ["-Wl,--export-dynamic", "-Wl,--whole-archive", _relative(library)]
            command += ["-Wl,--no-whole-archive"]
        else:
            command.append(_relative(library))
        command += [*([str(asan)] if asan else []), "-lpthread"]
        inputs = digest([units[source].target, *members], *command)
        if fresh(name, inputs, program):
            return 0
        run(command, env=setup.zig_env(), mend="see the linker's messages above")
        stamp(name, inputs)
        return 1

    linked = sum(parallel(link, programs))
    if compiled or linked:
        kind = "ASan and UBSan" if asan else "UBSan"
        done("native", f"{linked} programs with {kind}, {compiled} files compiled", start)


def native_target() -> tuple[str, ...]:
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    return ("-target", f"{machine}-linux-gnu.2.31" if sys.platform == "linux" else "native")


# ---- guests -------------------------------------------------------------------------------------


def guest_sources() -> list[Path]:
    """Programs for the guest: every C or assembler file of tests/ outside tests/unit."""
    tests = ROOT / "tests"
    return [file for file in files(tests, "*.c", "*.S") if tests / "unit" not in file.parents]


def guests(names: Sequence[str] = (), bench: bool = False, twins: bool = True) -> None:
    """Build the guest programs of the tests, static, into build/guests/.

    With `bench`, those of tests/bench too. These, and files that say `// linux: native`, get x86-64
    twins in build/native-guests/, if they are asked for. A comment that ends in `flags: …` in the
    first five lines of a file adds compiler flags; -g takes away -O2 and -s. Files that are included by others are named
    *.inc or *.h. `names` are of files, with their folder or without.
    """
    start = time.monotonic()
    jobs: list[tuple[Path, Path, tuple[str, ...]]] = []
    for source in guest_sources():
        within = source.relative_to(ROOT / "tests").with_suffix("")
        if names and not {source.stem, str(within)} & {*names}:
            continue
        if within.parts[0] == "bench" and not bench and not names:
            continue
        own = _own_flags(source)
        jobs.append((source, GUESTS / within, (*GUEST_TARGETS["riscv64"], *own)))
        if twins and (within.parts[0] == "bench" or _directive(source, "linux") == "native"):
            jobs.append(
                (source, BUILD / "native-guests" / within, (*GUEST_TARGETS["x86_64"], *own))
            )

    def build(job: tuple[Path, Path, tuple[str, ...]]) -> int:
        source, program, flags = job
        common = [flag for flag in GUEST_COMPILE if "-g" not in flags or flag not in ("-O2", "-s")]
        return _compile(Unit(source, program, (*flags, *common)), link=True)

    if jobs and not GUESTS.exists():
        say("guests", "the first static program takes a minute: its C library is compiled")
        build(jobs[0])  # alone, or several would compile that library
    built = sum(parallel(build, jobs))
    if built:
        done("guests", f"{built} of {len(jobs)} guest programs", start, GUESTS)


def _own_flags(source: Path) -> tuple[str, ...]:
    return tuple(shlex.split(_directive(source, "flags")))


def _directive(source: Path, name: str) -> str:
    with source.open(encoding="utf-8", errors="replace") as file:
        for _, line in zip(range(5), file, strict=False):
            match = re.match(rf"\s*(?://|#|/\*).*\b{name}:\s*(.*?)\s*(?:\*/)?$", line)
            if match:
                return match[1]
    return ""


# ---- compiling ----------------------------------------------------------------------------------


def compile_all(step: str, units: Sequence[Unit]) -> int:
    """Compile what has changed, as many at a time as there are cores; give how many."""
    stale = [unit for unit in units if not _current(unit)]
    if len(stale) > 20:
        say(step, f"compiling {len(stale)} files")
    return sum(parallel(_compile, stale))


def parallel(work: Callable[[Job], int], jobs: Sequence[Job]) -> list[int]:
    """Map over jobs; all failures are shown, then the first is raised."""
    failures: list[Failure] = []

    def one(job: Job) -> int:
        try:
            return work(job)
        except Failure as failure:
            failures.append(failure)
            return 0

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        results = list(pool.map(one, jobs))
    if failures:
        raise failures[0]
    return results


def _current(unit: Unit) -> bool:
    """Say whether an output was made from these very bytes with these very flags."""
    record = _record(unit)
    if not (record.is_file() and unit.target.exists()):
        return False
    made = json.loads(record.read_text())
    return bool(made["inputs"] == _unit_digest(unit, made["headers"]))


def _compile(unit: Unit, link: bool = False) -> int:
    if _current(unit):
        return 0
    record, part = _record(unit), unit.target.with_name(unit.target.name + ".part")
    unit.target.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    record.parent.mkdir(parents=True, exist_ok=True)
    deps = record.with_suffix(".d")
    command: list[str | Path] = [setup.zig(), "cc", *unit.flags, "-MMD", "-MF", _relative(deps)]
    command += [] if link else ["-c"]
    run(
        [*command, "-o", _relative(part), _relative(unit.source)],
        env=setup.zig_env(),
        what=f"compiling {_relative(unit.source)}",
        mend="see the compiler's messages above",
    )
    part.replace(unit.target)
    headers = _headers(deps) if deps.exists() else []
    write(record, json.dumps({"headers": headers, "inputs": _unit_digest(unit, headers)}))
    return 1


def _record(unit: Unit) -> Path:
    return RECORDS / unit.target.relative_to(BUILD).with_name(unit.target.name + ".json")


def _unit_digest(unit: Unit, headers: Sequence[str]) -> str:
    return digest(unit.source, [ROOT / header for header in headers], *unit.flags)


def _headers(deps: Path) -> list[str]:
    """Files of ours that a compilation read; the compiler's own follow its version."""
    text = deps.read_text().replace("\\\n", " ").split(":", 1)[1]
    paths = {os.path.relpath(ROOT / word, ROOT) for word in text.split()}
    return sorted(path for path in paths if not path.startswith((".venv", "..")))


def _object(folder: Path, source: Path) -> Path:
    return folder / source.relative_to(ROOT).with_suffix(".o")


def _relative(path: Path) -> str:
    return os.path.relpath(path, ROOT)
