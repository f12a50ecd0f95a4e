"""jit="verify" compares every machine page of the run with those that the interpreter makes."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide import Machine, cli, cli_run
from ebbtide.errors import JitDiffers
from ebbtide.image_store import ImageStore
from ebbtide.machine_pages import first_difference
from ebbtide.recording import DIGEST, Tape
from ebbtide.verify import verify

pytestmark = pytest.mark.native

RAM = 128 << 20
SCRIPT = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; seq 300 | sort -n | tail -1"


@pytest.fixture(scope="module")
def tape(kernel_wasm: Path, base_store: ImageStore) -> Tape:
    """The tape of a run that was verified when its machine was closed."""

    async def run() -> Tape:
        async with await Machine.boot("base", memory=RAM, jit="verify") as machine:
            result = await machine.run("bash", "-c", SCRIPT, timeout=300)
            assert result.stdout == "300\n", result
            assert (await machine.stats()).refused == 0
            await machine.digest()
            return machine.placement.recorder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBB_KERNEL", str(kernel_wasm))
        return asyncio.run(run())


def test_a_run_is_compared_many_times_and_agrees(tape, kernel):
    marks = [entry for entry in tape.entries if entry.kind == DIGEST]
    assert len(marks) >= 5
    seen = []
    assert verify(kernel, tape, RAM, lambda tick, end: seen.append((tick, end))) == len(marks)
    assert seen == sorted(seen) and len(seen) > len(marks)
    assert {end for _, end in seen} == {tape.entries[-1].tick}


@pytest.mark.parametrize("first", [0, 3])
def test_a_difference_names_the_tick_and_the_first_page(first, tape, kernel):
    at = [number for number, entry in enumerate(tape.entries) if entry.kind == DIGEST][2]
    entry = tape.entries[at]
    wrong = bytearray(entry.data)
    wrong[12 + 8 * first] ^= 1
    wrong[-1] ^= 1
    entries = [*tape.entries]
    entries[at] = dataclasses.replace(entry, data=bytes(wrong))
    with pytest.raises(JitDiffers, match=rf"tick {entry.tick}: page {first} "):
        verify(kernel, Tape(tape.kernel, entries), RAM)


def test_pages_that_only_one_machine_has_differ():
    one = b"".join(n.to_bytes(4, "little") for n in (1, 7, 8)) + bytes(16)
    other = b"".join(n.to_bytes(4, "little") for n in (1, 6, 8)) + bytes(24)
    assert first_difference(one, other) == 6
    assert first_difference(one, one) is None


def test_a_difference_is_our_failure_and_no_exit_code_of_the_program(monkeypatch, capsys):
    async def differs(_):
        raise JitDiffers("compiled code and interpreter differ: entry 7")

    monkeypatch.setattr(cli_run, "_run", differs)
    assert cli.main(["run", "--jit=verify", "--", "true"]) == cli_run.EXIT_FAILED == 125
    assert capsys.readouterr().err == "ebb: compiled code and interpreter differ: entry 7\n"


def test_a_verified_run_says_so_and_keeps_the_exit_code(kernel_wasm, base_store):
    command = [sys.executable, "-m", "ebbtide.cli", "run", "--jit=verify", "--stats", "--"]
    done = subprocess.run(
        [*command, "sh", "-c", "echo one; exit 3"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (3, "one\n")
    assert "in compiled code" in done.stderr and re.search(r"refused +0  modules", done.stderr)
    said = r"ebb: verified: in \d{5,} ticks the interpreter made the same machine as compiled code, by all pages"
    assert re.match(said, done.stderr.splitlines()[-1])
