"""The same programs and sessions, recorded and replayed: a sample, another one each day.

EBB_SAMPLE=N takes so many of each, EBB_SAMPLE=all takes all; EBB_SAMPLE_SEED=N names the sample.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import shlex
from pathlib import Path

import pytest
from tests.conformance.conftest import HERE, MEMORY, TIMEOUT_S, directives
from tests.conformance.test_transcripts import TRANSCRIPTS, blocks

from ebbtide import Machine
from ebbtide.placement_native import NativePlacement
from ebbtide.recording import DIGEST, Tape
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.stage import Pages
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_jit import Compiler
from ebbtide.wasmtime_kernel import KernelModule

pytestmark = pytest.mark.native

SEED = int(os.environ.get("EBB_SAMPLE_SEED") or datetime.date.today().toordinal())
SAMPLE = os.environ.get("EBB_SAMPLE", "12")
# What waits for nothing but real time to pass, or asks for harts that a recorded machine does not have.
SOURCES = [path for path in sorted(HERE.rglob("*.c")) if directives(path).get("harts", "1") == "1"]


def sample(paths: list[Path], share: int = 1) -> list[Path]:
    if SAMPLE == "all":
        return paths
    return sorted(random.Random(SEED).sample(paths, min(len(paths), int(SAMPLE) // share)))


async def run_programs(machine: Machine, guests: Path) -> None:
    for source in sample(SOURCES):
        name = str(source.relative_to(HERE.parent).with_suffix(""))
        asked = directives(source)
        path = f"/t/{name}"
        await machine.fs.mkdir(path.rpartition("/")[0], parents=True)
        await machine.fs.write_file(path, (guests / name).read_bytes(), mode=0o755)
        stdin = asked.get("stdin", "").encode().decode("unicode_escape").encode()
        ended = await machine.run(
            path, *shlex.split(asked.get("args", "")), stdin=stdin, timeout=TIMEOUT_S, cwd="/tmp"
        )
        assert ended.exit_code == 0, f"{name}: {ended.stdout} {ended.stderr}"
        await machine.digest()


async def run_transcripts(machine: Machine, guests: Path) -> None:
    for path in sample(TRANSCRIPTS, 4):
        folder = f"/tmp/{path.stem}"
        await machine.fs.mkdir(folder)
        env = {"HOME": folder, "PATH": "/usr/bin:/bin"}
        for command, expected in blocks(path):
            ended = await machine.run("bash", "-c", command, cwd=folder, env=env, timeout=TIMEOUT_S)
            assert ended.stdout == expected, f"{path.stem}: $ {command}\n{ended.stderr}"
        await machine.digest()


@pytest.mark.parametrize(("image", "work"), [(None, run_programs), ("base", run_transcripts)])
def test_what_is_recorded_comes_out_again(
    image: str | None, work, kernel_wasm: Path, guest_folder: Path
) -> None:
    kernel, tape = KernelModule(kernel_wasm), Tape()

    async def record() -> None:
        placement = NativePlacement(kernel)
        async with await Machine.boot(
            image, placement=placement, record=tape, memory=MEMORY, keep_code=False
        ) as machine:
            await machine.fs.mkdir("/tmp", 0o1777, parents=True)
            await work(machine, guest_folder)

    asyncio.run(record())
    compiler = Compiler(kernel, threshold=1000)

    def stage(ram: int, pages: Pages | None) -> WasmtimeStage:
        return WasmtimeStage(kernel, ram, compiler, pages)

    replay = Replay(kernel.abi, tape.entries, stage)
    replay.run()  # compares the machine at each digest
    assert sum(entry.kind == DIGEST for entry in tape.entries) >= 1
    replay.close()
    compiler.close()
