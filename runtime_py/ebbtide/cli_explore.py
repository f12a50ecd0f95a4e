"""`ebb explore`: the same program once for each seed, until one shows what is looked for.

Each seed is an `ebb run` of its own, with a store of its own, so as many as there are processors run at
once. The first seed that fails is the lowest that does: its run goes to the user's store, the others go.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import assets
from .cli_output import trouble
from .cli_replay import open_replay
from .cli_runs import bundle_run
from .errors import EbbError
from .rewind.bundle import Bundle
from .rewind.store import RunStore
from .rewind.taps import Tap, watch

EXIT_FOUND = 1
EXIT_USAGE = 2
EXIT_FAILED = 125
NOT_STARTED = (126, 127)  # or so the program has ended
OPTIONS = ("--seeds", "--until-exit", "--jobs")  # ours; all others are those of `ebb run`
WANTED: dict[str, Callable[[int], bool]] = {
    "nonzero": lambda code: code != 0,
    "signal": lambda code: code > 128,
}


@dataclass(frozen=True)
class Outcome:
    """How one seed's run ended, and where what it left is."""

    seed: int
    code: int
    folder: Path


def run(options: argparse.Namespace, words: list[str]) -> int:
    """Run the command, of which `words` stand between its name and the program; returns the exit code."""
    if options.jit == "verify":
        print("ebb explore: --jit=verify is for one run, with `ebb run`", file=sys.stderr)
        return EXIT_USAGE
    wanted = WANTED.get(options.until_exit) or (lambda code: code == int(options.until_exit))
    command = [*_without_ours(words), "--", *options.args]
    with tempfile.TemporaryDirectory(prefix="ebb-explore-") as folder:
        search = _Search(command, wanted, Path(folder))
        try:
            found = asyncio.run(search.run(options.seeds, options.jobs or os.cpu_count() or 1))
            return _said(search, found)
        except (EbbError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            print(f"ebb: {trouble(error)}", file=sys.stderr)
            return EXIT_FAILED
        except sqlite3.Error as error:
            print(f"ebb: the runs in {assets.runs_folder()}: {error}", file=sys.stderr)
            return EXIT_FAILED
        except KeyboardInterrupt:
            return 128 + 2


def _without_ours(words: list[str]) -> list[str]:
    left, kept = iter(words), []
    for word in left:
        if word in OPTIONS:
            next(left, None)
        elif word.partition("=")[0] not in OPTIONS:
            kept.append(word)
    return kept


class _Search:
    """Runs seeds in order, several at once."""

    def __init__(self, command: list[str], wanted: Callable[[int], bool], folder: Path) -> None:
        self._command = command
        self._wanted = wanted
        self._folder = folder
        self._begun = time.monotonic()
        self.done = 0
        self.seeds = range(0)

    async def run(self, seeds: range, jobs: int) -> Outcome | None:
        """Return the lowest seed that shows it; those above need not end."""
        self.seeds = seeds
        waiting = iter(seeds)
        running: dict[int, asyncio.Task[Outcome]] = {}
        found: Outcome | None = None
        try:
            while True:
                while len(running) < jobs and found is None:
                    if (seed := next(waiting, None)) is None:
                        break
                    running[seed] = asyncio.ensure_future(self._one(seed))
                if not running:
                    return found
                await asyncio.wait(running.values(), return_when=asyncio.FIRST_COMPLETED)
                for seed in [seed for seed, task in running.items() if task.done()]:
                    outcome = running.pop(seed).result()
                    self.done += 1
                    if self._wanted(outcome.code) and (found is None or seed < found.seed):
                        found = outcome
                    else:
                        shutil.rmtree(outcome.folder)
                for seed in [seed for seed in running if found and seed > found.seed]:
                    await _ended(running.pop(seed))
                self._progress()
        finally:
            for task in running.values():
                await _ended(task)
            if sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    async def _one(self, seed: int) -> Outcome:
        folder = self._folder / str(seed)
        folder.mkdir()
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "ebbtide.cli",
                    "run",
                    "-q",
                    "--record",
                    "--seed",
                    str(seed),
                ),
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    **os.environ,
                    "EBB_RUNS": str(folder / "runs"),
                    "EBB_SNAPSHOTS": str(assets.runs_folder()),
                },
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(
                        process.pid, signal.SIGKILL
                    )  # process.kill() would poll, and take its end from wait()
                await process.wait()
                raise
        said = (folder / "err").read_text(errors="replace")
        if (code == EXIT_FAILED and not _recorded(folder)) or (
            code in NOT_STARTED and not _started(folder)
        ):
            raise EbbError(f"seed {seed} could not be run: {said.strip().removeprefix('ebb: ')}")
        return Outcome(seed, code, folder)

    def _progress(self) -> None:
        if sys.stderr.isatty():
            took = time.monotonic() - self._begun
            line = f"{self.done} of {len(self.seeds)} seeds, {self.done / took:.1f} a second"
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


async def _ended(task: asyncio.Task[Outcome]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, EbbError):
        await task


def _recorded(folder: Path) -> bool:
    tapes = folder / "runs" / "tapes"
    return tapes.is_dir() and any(tapes.iterdir())


def _started(folder: Path) -> bool:
    """Whether any program ran."""
    with contextlib.closing(RunStore(folder / "runs")) as store:
        seen: list[Tap] = []
        replay = open_replay(store.open("last"), once=True)
        try:
            watch(replay, ("EXEC",), seen.append)
        finally:
            replay.close()
    return bool(seen)


def _said(search: _Search, found: Outcome | None) -> int:
    """Say what was found, the run's id last."""
    if found is None:
        print(f"ebb: none of {search.done} seeds ended that way", file=sys.stderr)
        return 0
    for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
        stream.buffer.write((found.folder / name).read_bytes())
        stream.flush()
    print(f"ebb: seed {found.seed} ended with {found.code}; {search.done} tried",
          file=sys.stderr)  # fmt: skip
    print(_kept(found))
    return EXIT_FOUND


def _kept(found: Outcome) -> str:
    """Take the run to the user's store; returns its id."""
    own = RunStore(found.folder / "runs")
    store = RunStore(assets.runs_folder())
    try:
        path = found.folder / "run"
        with path.open("wb") as file:
            bundle_run(own.open("last"), file)
        id = store.add(Bundle(path.read_bytes()))
        store.retain()
        return id
    finally:
        own.close()
        store.close()
