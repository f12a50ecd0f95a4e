"""What recording costs, and what it gives: a recorded run against one that is not, replay against
the recorded run, opening it in a debugger and a step back, a snapshot and the way back. CPU time of this process, so that others do not count.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hosts import GUESTS

from ebbtide import Machine
from ebbtide.cli_replay import open_replay
from ebbtide.rewind.gdb_command import open_timeline
from ebbtide.rewind.store import RunStore

WORK = ("sieve", "24")
DELTA = 200  # pages that change between two snapshots
FULL = 64  # MiB that a restored machine has in use


class Figure(NamedTuple):
    """One line."""

    name: str
    value: float
    unit: str


async def _run(record: bool) -> tuple[float, float, str | None]:
    """Return the CPU seconds of the program, those of the machine's life, and the run's id."""
    begin = time.process_time()
    async with await Machine.boot("base", harts=1, record=record) as machine:
        await machine.fs.write_file("/tmp/work", (GUESTS / WORK[0]).read_bytes(), mode=0o755)
        await machine.run("/tmp/work", "1")
        start = time.process_time()
        await machine.run("/tmp/work", WORK[1], check=True)
        spent = time.process_time() - start
        id = machine.run_id
    return spent, time.process_time() - begin, id


async def _snapshots(runs: int) -> tuple[float, float]:
    """Return the milliseconds of a snapshot after some pages changed, and of booting from one."""
    taken, restored = [], []
    async with await Machine.boot("base", harts=1, jit="off") as machine:
        await machine.run("sh", "-c", f"head -c {FULL}M /dev/urandom > /dev/shm/full")
        await machine.snapshot()
        for _ in range(runs):
            await machine.run(
                "dd", "if=/dev/urandom", "of=/dev/shm/full", "bs=4096", f"count={DELTA}",
                "conv=notrunc", "status=none",
            )  # fmt: skip
            start = time.perf_counter()
            id = await machine.snapshot()
            taken.append(time.perf_counter() - start)
    for _ in range(max(runs, 7)):
        gc.collect()  # the machine before gives its memory back: that is not this one's time
        start = time.perf_counter()
        machine = await Machine.boot(snapshot=id, jit="off")
        restored.append(time.perf_counter() - start)
        await machine.close()
    return statistics.median(taken) * 1e3, statistics.median(restored) * 1e3


STEPS = 40  # places in a run from where a step back is made
LOOP = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; kill -SEGV $$"


async def _debugged() -> None:
    async with await Machine.boot("base", harts=1, record=True) as machine:
        await machine.run("sh", "-c", LOOP)


def _gdb(store: RunStore, runs: int) -> tuple[float, float, float]:
    """Return the seconds of opening a run in a debugger the first time and again, and the 95th
    percentile of going somewhere else in it and one instruction back.
    """
    asyncio.run(_debugged())
    run = store.open("last")
    first, again = [], []
    for _ in range(runs):
        store.drop_checkpoints([run.id])
        for seconds in (first, again):
            start = time.perf_counter()
            line, pid = open_timeline(store, run, open_replay(run), None)
            seconds.append(time.perf_counter() - start)
    begin, end = line.start_of(pid), line.end_of(pid)
    steps = []
    for number in range(STEPS):  # spread over the run, each far from the one before
        line.seek(begin + (end - begin) * (number * 17 % STEPS) // STEPS + 1)
        start = time.perf_counter()
        line.step_back(pid, begin)
        steps.append(time.perf_counter() - start)
    steps.sort()
    return statistics.median(first), statistics.median(again), steps[len(steps) * 95 // 100]


def measure(runs: int) -> Iterator[Figure]:
    """Measure all of it in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EBB_RUNS"] = folder
        plain, recorded, replayed = [], [], []
        store = RunStore(Path(folder))
        for number in range(runs):
            order = (False, True) if number % 2 else (True, False)
            for record in order:
                spent, life, id = asyncio.run(_run(record))
                (recorded if record else plain).append(spent)
                if id:
                    start = time.process_time()
                    replay = open_replay(store.open(id), once=True)
                    replay.run()
                    replayed.append((time.process_time() - start) / life)
        last = store.open("last").reader
        clocks = [size for entry, size, _ in last.sizes() if entry.data[:4] == b"\2\0\0\0"]
        first, again, step = _gdb(store, runs)
        store.close()
        yield Figure("record-cpu", statistics.median(recorded) / statistics.median(plain), "times")
        yield Figure("record-replay-cpu", statistics.median(replayed), "times")
        yield Figure("record-clock-entry", statistics.median(clocks), "bytes")
        yield Figure("record-gdb-first", first * 1e3, "ms")
        yield Figure("record-gdb-again", again * 1e3, "ms")
        yield Figure("record-reverse-stepi-p95", step * 1e3, "ms")
        snapshot, restore = asyncio.run(_snapshots(runs))
        yield Figure(f"record-snapshot-{DELTA}-pages", snapshot, "ms")
        yield Figure(f"record-restore-{FULL}M", restore, "ms")
