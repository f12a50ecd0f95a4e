"""Random hot code: compiled and interpreted machines stay equal to the last bit, after every step.

EBB_HOT=seeds runs so many seeds of each kind instead of the few that fit into a test run.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ebbtide.wasmtime_kernel import KernelModule  # noqa: E402
from support.lockstep import lockstep, record  # noqa: E402

pytestmark = pytest.mark.native

SEEDS = int(os.environ.get("EBB_HOT", "1"))
FAULTS, PATCHES, SILENT, REMAPS, TIMERS, FORKS, THREADS, TWICE, FLOATS, COUNTS, ATOMICS = (
    1 << bit for bit in range(11)
)
KINDS = {
    "faults": FAULTS | ATOMICS | COUNTS,
    "patches": FAULTS | PATCHES | SILENT | REMAPS,
    "timers": FAULTS | SILENT | REMAPS | TIMERS | ATOMICS,
    "forks": FAULTS | PATCHES | REMAPS | FORKS,
    "threads": PATCHES | THREADS | TIMERS | ATOMICS,
    "twice-timers": FAULTS | SILENT | REMAPS | TIMERS | TWICE,
    "twice": FAULTS | PATCHES | SILENT | TWICE | COUNTS,
    "floats": FAULTS | FLOATS | COUNTS,
    "floats-timers": FLOATS | TIMERS | REMAPS,
}
ROUNDS = "8"


@pytest.fixture(scope="module")
def program(guest_folder: Path) -> Path:
    return guest_folder / "fuzz" / "hot"


@pytest.fixture(scope="module")
def kernel(kernel_wasm: Path) -> KernelModule:
    return KernelModule(kernel_wasm)


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_every_page_is_equal_after_every_step(
    kind, seed, kernel, program, kernel_wasm, monkeypatch
):
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))

    async def body(machine, mark):
        await machine.fs.write_file("/hot", program.read_bytes(), mode=0o755)
        mark(f"hot {seed} 1 {ROUNDS} {KINDS[kind]}")
        result = await machine.run("/hot", str(seed), "1", ROUNDS, str(KINDS[kind]), timeout=300)
        assert result.exit_code == 0, result

    chance = random.Random(seed)
    recorded = record(body)
    keeps = None
    for _ in ("cold", "warm"):
        outcome = lockstep(
            kernel,
            recorded,
            lambda: chance.randrange(1, chance.choice((50, 5000, 50_000))),
            threshold=1 + seed % 2,
            start=recorded.parts[0][0],
            warm=keeps,
            feature="JIT_COLD_CALLS" if seed % 2 else "",  # as in V8
        )
        assert outcome.counters["instructions"] > 10_000, outcome
        assert bool(outcome.counters["kept_regions"]) == bool(keeps)
        keeps = outcome.keeps


@pytest.mark.parametrize("kind", [0, FAULTS, FLOATS])  # lr.w, then sc.d, is whatever it is
def test_the_code_does_what_it_does_in_qemu(kind, program, qemu, kernel_wasm, monkeypatch):
    from ebbtide import blocking

    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    arguments = ("1", str(2 * SEEDS), "40", str(kind))
    there = subprocess.run([qemu, program, *arguments], capture_output=True, timeout=300)
    assert there.returncode == 0, there
    with blocking.Machine.boot(None, jit="on", jit_threshold=50, memory=128 << 20) as machine:
        machine.fs.write_file("/hot", program.read_bytes(), mode=0o755)
        here = machine.run("/hot", *arguments, encoding="bytes", timeout=300)
    assert here.exit_code == 0, here
    assert here.stdout == there.stdout


@pytest.mark.parametrize("kind", [THREADS, THREADS | FLOATS])
def test_threads_on_two_harts_do_what_they_do_in_qemu(
    kind, program, qemu, kernel_wasm, monkeypatch
):
    from ebbtide import blocking

    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    arguments = ("1", str(2 * SEEDS), "200", str(kind))
    there = subprocess.run([qemu, program, *arguments], capture_output=True, timeout=300)
    assert there.returncode == 0, there
    options = {"jit": "on", "jit_threshold": 2, "memory": 128 << 20, "harts": 2}
    with blocking.Machine.boot(None, **options) as machine:
        machine.fs.write_file("/hot", program.read_bytes(), mode=0o755)
        here = machine.run("/hot", *arguments, encoding="bytes", timeout=300)
        stats = machine.stats()
    assert here.exit_code == 0, here
    assert here.stdout == there.stdout
    assert stats.refused == 0
