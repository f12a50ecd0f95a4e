"""Runs of several harts: recorded, and run again by one hart, page for page.

A few seeds each time; EBB_SEEDS=1000 runs so many, from EBB_SEED on.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from support.random_scripts import SEEDS, statement

from ebbtide import Machine
from ebbtide.placement_native import NativePlacement
from ebbtide.recording import DIGEST, ORDER, Tape
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.stage import Pages
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_jit import Compiler
from ebbtide.wasmtime_kernel import KernelModule

pytestmark = pytest.mark.native


async def record(kernel: KernelModule, chance: random.Random, *scripts: str) -> Tape:
    """Run scripts at once on several harts, and return what was recorded."""
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
