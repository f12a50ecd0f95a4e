"""Random programs under random schedules and inputs: what was recorded comes out again, page for page,
with the interpreter and with compiled code.

A few seeds each time; EBB_SEEDS=1000 runs so many, from EBB_SEED on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide import Machine, placement_native
from ebbtide.chaos import Chaos
from ebbtide.errors import ProcessTimeout
from ebbtide.placement_native import NativePlacement
from ebbtide.process import CompletedProcess
from ebbtide.recording import DIGEST, Tape
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.stage import Pages
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_jit import Compiler
from ebbtide.wasmtime_kernel import KernelModule
from support.random_scripts import SEEDS, statement

pytestmark = pytest.mark.native

PATIENCE_S = 2  # with a program


async def ask(machine: Machine, chance: random.Random) -> None:
    """Ask the guest's server for something from outside, in pieces, and go before the end or not."""
    with contextlib.suppress(OSError):
        stream = await machine.connect(8080)
        request = f"GET /{chance.choice(('hosts', 'big', 'none'))} HTTP/1.0\r\n\r\n".encode()
        cut = chance.randrange(len(request))
        for part in (request[:cut], request[cut:]):
            await stream.write(part)
        for _ in range(chance.randrange(8)):
            if not await stream.read(4096):
                break
        await stream.close()


def chaos(chance: random.Random) -> Chaos | None:
    """Return random rates, or nothing at all."""
    if chance.random() < 0.5:
        return None
    rates = {"errno": 0.003, "short": 0.3, "clock": 0.02, "sched": 0.5}
    kinds = chance.sample(sorted(rates), chance.randrange(1, 5))
    return Chaos({kind: rates[kind] for kind in kinds}, chance.randrange(1 << 32))


async def record(kernel: KernelModule, guest: bytes, chance: random.Random) -> Tape:
    """Run a random program and return what was recorded."""
    tape = Tape()
    script = "\n".join(statement(chance) for _ in range(chance.randrange(4, 12)))
    machine = await Machine.boot(
        "base",
        placement=NativePlacement(kernel),
        record=tape,
        cpus=chance.choice((1, 2, 4)),
        budget=chance.choice((None, 1000, 50_000, 1_000_000)),
        memory=chance.choice((64, 256)) << 20,
        time=chance.choice(("host", "virtual")),
        jit=chance.choice(("on", "off")),
        jit_threshold=chance.choice((16, 1000)),
        chaos=chaos(chance),
    )
    async with machine:
        await machine.fs.write_file("/tmp/guest", guest)
        await machine.fs.chmod("/tmp/guest", 0o755)
        await machine.fs.mkdir("/tmp/www")
        await machine.fs.write_file("/tmp/www/big", chance.randbytes(200_000))
        await machine.fs.write_file("/tmp/www/hosts", b"127.0.0.1 localhost\n")
        with contextlib.suppress(ProcessTimeout):
            await machine.run(
                "busybox", "httpd", "-p", "8080", "-h", "/tmp/www", timeout=PATIENCE_S
            )
        ended = asyncio.ensure_future(
            machine.run(
                "sh", "-c", f"cd /tmp\n{script}\nwait", stdin="line\n" * 20, timeout=PATIENCE_S
            )
        )
        other = asyncio.ensure_future(
            machine.run("sh", "-c", "seq 300 | sha256sum; sleep 0.01", timeout=PATIENCE_S)
        )
        while not ended.done():
            await machine.digest()
            if chance.random() < 0.3:
                await ask(machine, chance)
            await asyncio.wait({ended}, timeout=chance.random() / 5)
        for failure in await asyncio.gather(ended, other, return_exceptions=True):
            # An error that was injected may leave a program waiting for ever.
            assert isinstance(failure, (CompletedProcess, ProcessTimeout)), failure
        await machine.digest()
    return tape


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("code", ["cold", "warm"])
def test_what_was_recorded_comes_out_again(
    seed: int, code: str, kernel_wasm: Path, guest_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(placement_native, "store_folder", lambda kernel, harts: tmp_path)
    chance, kernel = random.Random(seed), KernelModule(kernel_wasm)
    guest = built(guest_folder / "rewind" / "random_guest", "guests").read_bytes()
    if code == "warm":  # another run leaves its compiled code
        asyncio.run(record(kernel, guest, random.Random(seed)))
    tape = asyncio.run(record(kernel, guest, chance))
    assert sum(entry.kind == DIGEST for entry in tape.entries) >= 2
    for compiler in (None, Compiler(kernel, threshold=16)):

        def stage(ram: int, pages: Pages | None, compiler=compiler) -> WasmtimeStage:
            return WasmtimeStage(kernel, ram, compiler, pages)

        replay = Replay(kernel.abi, tape.entries, stage)
        replay.budget = chance.choice((10_000, 1 << 26))
        replay.run()  # compares the machine at each digest
        assert replay.tick == tape.entries[-1].tick
        replay.close()
        if compiler:
            compiler.close()
