"""A run recorded under CPython replays in Chromium to the same machine, moved to a fresh memory on the way."""

from __future__ import annotations

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page

from ebbtide import Machine
from ebbtide.recording import Tape
from ebbtide.rewind.tape import Header, TapeWriter

HERE = Path(__file__).resolve().parent
ESBUILD = HERE.parents[1] / "sdk" / "node_modules" / ".bin" / "esbuild"
RAM = 128 << 20
SCRIPT = b"""
cd /tmp; seq 300 | sort -r | head -2; echo $RANDOM | tr 0-9 a-j
awk 'BEGIN { for (i = 0; i < 2000; i++) x += sin(i) / 7; print x }'
(sleep 0.05; echo slept) & wait
"""


@pytest.fixture(scope="module")
def tape(kernel_wasm: Path, scratch_folder: Path) -> int:
    """Record a shell session with a digest at its end; returns the number of entries."""

    async def record() -> int:
        tape = Tape()
        # One hart: this page follows events alone, no order of several.
        async with await Machine.boot("base", memory=RAM, harts=1, record=tape) as machine:
            result = await machine.run("bash", "-s", stdin=SCRIPT)
            assert result.exit_code == 0, result
            await machine.digest()
            with (scratch_folder / "tape").open("wb") as file:
                writer = TapeWriter(file, Header(bytes(16), bytes(32)), None, {})
                for entry in tape.entries:
                    writer.append(entry)
                writer.flush()
            return len(tape.entries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBB_KERNEL", str(kernel_wasm))
        with ThreadPoolExecutor(1) as thread:  # Playwright's event loop is in this one
            return thread.submit(lambda: asyncio.run(record())).result()


@pytest.fixture(scope="module")
def replay_page(page: Page, scratch_folder: Path, kernel_wasm: Path) -> Page:
    folder = scratch_folder / "replay"
    sources = [str(HERE / "replay" / f"{name}.ts") for name in ("page", "worker")]
    command = [str(ESBUILD), *sources, "--bundle", "--format=esm", f"--outdir={folder}"]
    subprocess.run([*command, "--log-level=error"], check=True)
    (folder / "kernel.wasm").write_bytes(kernel_wasm.read_bytes())
    (folder / "index.html").write_text(
        "<!doctype html><link rel=icon href=data:><script type=module src=page.js></script>"
    )
    page.goto("/scratch/replay/")
    return page


@pytest.mark.parametrize("part", [0.2, 0.7])
def test_a_native_recording_replays_in_chromium(replay_page: Page, tape: int, part: float) -> None:
    found = replay_page.evaluate(
        "([ram, after]) => replayTape('/scratch/tape', ram, after, '/scratch/replay/kernel.wasm')",
        [RAM, int(tape * part)],
    )
    assert found == {"digests": 1}
