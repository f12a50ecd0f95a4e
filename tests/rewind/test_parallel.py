"""Runs of several harts: recorded, and run again by one hart, page for page (docs/parallel-recording.md).

A few seeds each time; EBB_SEEDS=1000 runs so many, from EBB_SEED on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide import Machine
from ebbtide.abi import Status
from ebbtide.placement_native import NativePlacement
from ebbtide.recording import DIGEST, EVENT, ORDER, Tape
from ebbtide.rewind.moment import Moment
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


def opened(kernel: KernelModule, tape: Tape, compiler: Compiler | None) -> Replay:
    def stage(ram: int, pages: Pages | None) -> WasmtimeStage:
        return WasmtimeStage(kernel, ram, compiler, pages)

    return Replay(kernel.abi, tape.entries, stage)


def replay(kernel: KernelModule, tape: Tape) -> int:
    """Replay a tape interpreted and compiled; returns how often machines were compared."""
    for compiler in (None, Compiler(kernel, threshold=16)):
        again = opened(kernel, tape, compiler)
        again.run()  # compares the machine at each digest
        assert again.tick == tape.entries[-1].tick
        again.close()
        if compiler:
            compiler.close()
    return sum(entry.kind == DIGEST for entry in tape.entries)


def clocks(kernel: KernelModule, tape: Tape) -> set[int]:
    """Return where the time was told."""
    name = kernel.abi.event_name
    return {one.tick for one in tape.entries if one.kind == EVENT and name(one.data) == "CLOCK"}


def moments(kernel: KernelModule, tape: Tape, chance: random.Random) -> None:
    """Go to random places, in order, interpreted, then in any order, both ways: all pages are the same."""
    end = tape.entries[-1].tick
    near = [entry.tick for entry in tape.entries if entry.kind == EVENT and 0 < entry.tick < end]
    places = [chance.randrange(1, end) for _ in range(7)] + chance.sample(near, min(3, len(near)))
    places += [place + chance.randrange(5) for place in places[::2]]
    told = sorted(clocks(kernel, tape).intersection(near))
    told = chance.sample(told, min(5, len(told)))
    places += told
    forward = opened(kernel, tape, None)
    shown = {}
    for place in sorted(set(places)):
        forward.seek(place)
        now = forward.stage.port.report().now_ns
        shown[place] = (forward.tick, forward.next, now, forward.stage.host.digest())
    forward.run()  # compares the machine at each digest: nothing has come of stopping
    for compiler in (None, Compiler(kernel, threshold=16)):
        again = opened(kernel, tape, compiler)
        again.checkpoint_s = chance.choice((0.005, 0.05, 1.0))
        again.budget = chance.choice((10_000, 1 << 20, 1 << 26))
        chance.shuffle(places)
        for place in places:
            again.seek(place)
            now = again.stage.port.report().now_ns
            assert (again.tick, again.next, now, again.stage.host.digest()) == shown[place], place
        jumps = [shown[tick][2] + 1 for tick in told]  # to be had behind the event alone
        for time in (shown[chance.choice(places)][2], *jumps):
            found = again.place(Moment(now_ns=time))
            again.seek(found)
            assert found == again.end or again.now() >= time
            again.seek(found - 1)
            assert again.tick >= found or again.now() < time
        again.run()
        again.close()
        if compiler:
            compiler.close()
    forward.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_several_harts_did_comes_out_again(seed: int, kernel_wasm) -> None:
    chance, kernel = random.Random(seed), KernelModule(kernel_wasm)
    scripts = [
        "\n".join(statement(chance) for _ in range(chance.randrange(4, 10))) for _ in range(2)
    ]
    tape = asyncio.run(record(kernel, chance, *scripts))
    assert any(entry.kind == ORDER for entry in tape.entries)
    assert replay(kernel, tape) >= 2
    moments(kernel, tape, chance)


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
        if len(ways) > 1:
            moments(kernel, tape, chance)


def test_the_command_records_several_harts(ebb: Ebb) -> None:
    script = "f() { seq $1 | sort -r | md5sum; }; f 20000 & f 30000 & wait; date +%N; exit 3"
    ran = ebb("run", "-q", "--harts", "2", "--", "sh", "-c", script)
    assert ran.returncode == 3, ran.stderr
    again = ebb("replay")
    assert (again.returncode, again.stdout) == (0, ran.stdout), again.stderr
    described = ebb("describe", "run").stdout
    assert b"ORDER" in described and b"DIGEST" in described  # of each page, at the end
    calls = ebb("trace", "syscalls", "-f", "-e", "getpid,execve").stdout
    assert calls.count(b"execve(") >= 8 and b"getpid()" in calls
    assert ebb("verify", "--replay").returncode == 0
    for when in ("1000", "0.01s", "e9"):
        assert ran.stdout.startswith(ebb("replay", "--goto", when).stdout)
    end = str(json.loads(ebb("describe", "-o", "json").stdout)["ticks"])
    assert ebb("replay", "--goto", end).stdout == ran.stdout


def test_a_machine_goes_on_from_any_moment(ebb: Ebb) -> None:
    """Whatever its harts were at, the programs end as they did; the copy has one hart, and is recorded."""
    count = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; seq $1 | sort -r | md5sum > /tmp/$1"
    script = f"f() {{ {count}; mv /tmp/$1 /$1; }}; f 2000 & f 3000 & wait"
    assert ebb("run", "-q", "--harts", "2", "--", "sh", "-c", script).returncode == 0
    end = json.loads(ebb("describe", "run", "-o", "json").stdout)["ticks"]
    run = json.loads(ebb("get", "runs", "-o", "json").stdout)[0]["id"]
    look = "for f in 2000 3000; do while ! [ -e /$f ]; do sleep 0.01; done; cat /$f; done"
    chance = random.Random(end)
    for tick in [end, *(chance.randrange(end // 2, end) for _ in range(2))]:
        made = ebb("snapshot", "create", f"{run}@{tick}")
        assert made.returncode == 0, made.stderr
        snapshot = made.stdout.decode().strip()
        ran = ebb("snapshot", "fork", snapshot, "-q", "--", "sh", "-c", look)
        expected = [
            hashlib.md5(
                b"".join(b"%d\n" % n for n in sorted(range(1, most + 1), key=str, reverse=True))
            )
            for most in (2000, 3000)
        ]
        assert ran.stdout.decode().split("  -\n") == [*(one.hexdigest() for one in expected), ""]
        assert ebb("replay").stdout == ran.stdout
    for harts in ("1", "3"):  # of a machine that had one, with other harts
        script = "seq 3000 | sort -r | md5sum & seq 2000 | sort -r | md5sum & wait"
        ran = ebb(
            "snapshot",
            "fork",
            snapshot,
            "-q",
            "--record",
            "--harts",
            harts,
            "--",
            "sh",
            "-c",
            script,
        )
        assert ran.returncode == 0, ran.stderr
        assert sorted(ran.stdout.decode().split("  -\n")) == sorted(
            ["", *(one.hexdigest() for one in expected)]
        )
        assert ebb("replay").stdout == ran.stdout
        assert ebb("verify", "--replay").returncode == 0
        assert (b"ORDER" in ebb("describe", "run").stdout) == (harts == "3")


def test_a_run_of_several_harts_is_looked_into_as_any(ebb: Ebb, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.05; cat /etc/hostname"
    both = f"sh -c '{script}' & sh -c '{script}' & wait"
    assert ebb("run", "-q", "--harts", "2", "--", "sh", "-c", both).returncode == 0
    for kind in ("cpu", "offcpu"):
        one, again = (ebb("profile", "--type", kind, "-o", "collapsed").stdout for _ in range(2))
        assert one == again != b""
    rows = ebb("trace", "syscalls", "-f", "-e", "openat", "-o", "json").stdout.splitlines()
    ticks = sorted(json.loads(row)["tick"] for row in rows)
    middle = ticks[len(ticks) // 2]
    spans = (), ("--to", str(middle)), ("--from", str(middle))
    calls = "-f", "-e", "execve,openat,write"  # none waits
    shown = [set(ebb("trace", "syscalls", *calls, *span).stdout.splitlines()) for span in spans]
    assert shown[0] == shown[1] | shown[2] and shown[1] - shown[2] and shown[2] - shown[1]
    core = ebb("core", "--at", str(middle), "--pid", "sh", "-o", str(tmp_path / "core"))
    assert core.returncode == 0, core.stderr
    assert (tmp_path / "core").read_bytes().startswith(b"\x7fELF")


def test_the_first_step_of_a_hart_may_find_the_gate_closed(kernel_wasm: Path) -> None:
    kernel = KernelModule(kernel_wasm)
    memory = SharedMemory(kernel, kernel.abi.const["MACHINE_BASE"] // WASM_PAGE + 256)
    host = WasmtimeHostPort(kernel, memory)
    host.attach(4096, 2)
    hart = WasmtimePort(kernel, memory, host.seat(1))
    host.freeze(True)
    assert hart.step(1) is Status.READY
    assert hart.report().status is Status.READY
