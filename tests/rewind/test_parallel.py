"""Runs of several harts: recorded, and run again by one hart, page for page (docs/parallel-recording.md).

A few seeds each time; EBB_SEEDS=1000 runs so many, from EBB_SEED on.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide import Machine
from ebbtide.abi import Status
from ebbtide.placement_native import NativePlacement
from ebbtide.recording import DIGEST, ORDER, Tape
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.stage import Pages
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_jit import Compiler
from ebbtide.wasmtime_kernel import WASM_PAGE, KernelModule, SharedMemory
from ebbtide.wasmtime_port import WasmtimeHostPort, WasmtimePort
from support.random_scripts import SEEDS, statement

pytestmark = pytest.mark.native
Ebb = Callable[..., subprocess.CompletedProcess[bytes]]


async def record(
    kernel: KernelModule, chance: random.Random, *scripts: str, program: bytes = b""
) -> Tape:
    """Run scripts at once on several harts, with /tmp/program; return what was recorded."""
    tape = Tape()
    machine = await Machine.boot(
        "base",
        placement=NativePlacement(kernel),
        record=tape,
        harts=chance.choice((2, 3)),
        budget=chance.choice((None, 1000, 50_000, 1_000_000)),
        memory=chance.choice((64, 256)) << 20,
        jit=chance.choice(("on", "off")),
        jit_threshold=chance.choice((16, 1000)),
    )
    async with machine:
        await machine.fs.write_file("/tmp/program", program, mode=0o755)
        runs = [
            asyncio.ensure_future(
                machine.run("sh", "-c", f"cd /tmp\n{script}\nwait", stdin="line\n" * 20)
            )
            for script in scripts
        ]
        while not all(run.done() for run in runs):
            await machine.digest()
            await asyncio.wait(runs, timeout=chance.random() / 5)
        await asyncio.gather(*runs)
        await machine.digest()
    return tape


def replay(kernel: KernelModule, tape: Tape) -> int:
    """Replay a tape interpreted and compiled; returns how often machines were compared."""
    for compiler in (None, Compiler(kernel, threshold=16)):

        def stage(ram: int, pages: Pages | None, compiler=compiler) -> WasmtimeStage:
            return WasmtimeStage(kernel, ram, compiler, pages)

        again = Replay(kernel.abi, tape.entries, stage)
        again.run()  # compares the machine at each digest
        again.close()
        if compiler:
            compiler.close()
    return sum(entry.kind == DIGEST for entry in tape.entries)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_several_harts_did_comes_out_again(seed: int, kernel_wasm) -> None:
    chance, kernel = random.Random(seed), KernelModule(kernel_wasm)
    scripts = [
        "\n".join(statement(chance) for _ in range(chance.randrange(4, 10))) for _ in range(2)
    ]
    tape = asyncio.run(record(kernel, chance, *scripts))
    assert any(entry.kind == ORDER for entry in tape.entries)
    assert replay(kernel, tape) >= 2


# What the letters stand for is in sharing.c: each a way in which processes see one another.
@pytest.mark.parametrize("ways", [*"aswctkrlvg", "aswctkrlvg"])
def test_what_processes_see_of_one_another_comes_out_again(
    ways: str, kernel_wasm: Path, guest_folder: Path
) -> None:
    program = built(guest_folder / "rewind" / "sharing", "guests").read_bytes()
    kernel = KernelModule(kernel_wasm)
    for seed in SEEDS:
        chance = random.Random(f"{ways} {seed}")
        command = "./program " + " ".join(ways)
        tape = asyncio.run(record(kernel, chance, command, program=program))
        assert replay(kernel, tape) >= 2


def test_the_command_records_several_harts(ebb: Ebb) -> None:
    script = "f() { seq $1 | sort -r | md5sum; }; f 20000 & f 30000 & wait; date +%N; exit 3"
    ran = ebb("run", "-q", "--record", "--harts", "2", "--", "sh", "-c", script)
    assert ran.returncode == 3, ran.stderr
    again = ebb("replay")
    assert (again.returncode, again.stdout) == (0, ran.stdout), again.stderr
    described = ebb("describe", "run").stdout
    assert b"ORDER" in described and b"DIGEST" in described  # of each page, at the end
    calls = ebb("trace", "syscalls", "-f", "-e", "getpid,execve").stdout
    assert calls.count(b"execve(") >= 8 and b"getpid()" in calls
    assert ebb("verify", "--replay").returncode == 0
    refused = ebb("replay", "--goto", "1000")
    assert refused.returncode == 125 and b"several harts" in refused.stderr


def test_the_first_step_of_a_hart_may_find_the_gate_closed(kernel_wasm: Path) -> None:
    kernel = KernelModule(kernel_wasm)
    memory = SharedMemory(kernel, kernel.abi.const["MACHINE_BASE"] // WASM_PAGE + 256)
    host = WasmtimeHostPort(kernel, memory)
    host.attach(4096, 2)
    hart = WasmtimePort(kernel, memory, host.seat(1))
    host.freeze(True)
    assert hart.step(1) is Status.READY
    assert hart.report().status is Status.READY
