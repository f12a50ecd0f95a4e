"""Same image, same events at the same ticks: same machine, to the last bit of every page.

A shell session is recorded from a running machine, then replayed with other budgets, with private
memory laid out otherwise, and moved to a fresh memory at a random tick.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebbtide import Machine
from ebbtide.image_store import ImageStore
from ebbtide.recording import EVENT, ReplayDriver, Tape

pytestmark = pytest.mark.native

RAM = 128 << 20
SEED = bytes(range(32))
SCRIPT = b"""
cd /tmp
seq 200 | sort -r | head -3
x=$(echo hello | tr a-z A-Z); echo $x
(sleep 0.05; echo slept) & wait
echo $RANDOM; date +%s >/dev/null
head -c 16 /dev/urandom | od -An -tx1
exit 7
"""


@pytest.fixture(scope="module")
def session(kernel_wasm: Path, base_store: ImageStore) -> tuple[Tape, str]:
    """Record a shell session; the tape ends with a digest."""

    async def record() -> tuple[Tape, str]:
        tape = Tape()
        machine = await Machine.boot("base", memory=RAM, record=tape, seed=SEED)
        async with machine:
            result = await machine.run("bash", "-s", stdin=SCRIPT, timeout=300)
            assert result.exit_code == 7, result
            await machine.digest()
            return tape, result.stdout

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBB_KERNEL", str(kernel_wasm))
        return asyncio.run(record())


def replay(machine: Any, tape: Tape, budget: Callable[[], int]) -> ReplayDriver:
    return ReplayDriver(
        machine.port, tape.entries, digest=machine.digest, drain=machine.drain, budget=budget
    )


@pytest.mark.parametrize("kind", ["unbounded", "random", "small"])
@pytest.mark.parametrize("salt", [0, 1])
def test_replay_ends_in_the_same_machine(kind, salt, session, stepped):
    tape, _ = session
    chance = random.Random(salt)
    budgets = {
        "unbounded": lambda: 1 << 31,
        "random": lambda: chance.randrange(1, 200_000),
        "small": lambda: 997,
    }
    machine = stepped(salt)
    driver = replay(machine, tape, budgets[kind])
    driver.run()
    assert driver.digests >= 1


@pytest.mark.parametrize("seed", range(3))
def test_machine_moved_to_a_fresh_memory_at_a_random_tick_goes_on(seed, session, stepped):
    tape, _ = session
    events = [at for at, entry in enumerate(tape.entries) if entry.kind == EVENT]
    chance = random.Random(seed)
    machine = stepped()
    driver = replay(machine, tape, lambda: chance.randrange(1, 1_000_000))
    driver.run(stop=chance.choice(events[2:]))
    driver.advance(driver.tick + chance.randrange(driver.ticks_left() or 1))
    before = machine.digest()
    machine = machine.moved(salt=seed + 1)
    assert machine.digest() == before
    driver.port, driver.digest, driver.drain = machine.port, machine.digest, machine.drain
    driver.run()
    assert driver.digests >= 1


def test_replay_brings_the_same_output(session, stepped):
    tape, stdout = session
    machine = stepped()
    replay(machine, tape, lambda: 1 << 31).run()
    everything = b"".join(ended.data for ended in machine.ended)
    for line in stdout.encode().splitlines():
        assert line in everything
