"""`ebb replay` and `ebb logs`; and for all commands that replay a run, how it is opened."""

from __future__ import annotations

import argparse
import sys

from .cli_output import progress
from .cli_rewind import booted, cut
from .errors import EbbError
from .port import JIT_THRESHOLD
from .rewind.moment import Moment
from .rewind.output import Chunk
from .rewind.processes import PROCESS_TAPS, Processes
from .rewind.replay import Replay
from .rewind.stage import Pages
from .rewind.store import Run, RunBusy, RunStore
from .rewind.taps import watch
from .rewind.wasmtime_stage import WasmtimeStage
from .wasmtime_jit import Compiler
from .wasmtime_kernel import KernelModule


class RunRedacted(EbbError):
    """A run lacks what it takes to replay it."""

    code = "run-redacted"


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    if not booted(found):
        return cut(found)
    replay = open_replay(found, once=True)
    with progress("replaying", replay) as line:

        def write(chunk: Chunk) -> None:
            line.clear()
            _write(chunk)

        if not options.quiet:
            replay.on_chunk = write
        if options.goto is not None:
            replay.seek(place(found, replay, options.goto))
        else:
            replay.run()
    if options.goto is None:
        return cut(found)
    if not options.quiet:
        print(f"ebb: {replay.where()}", file=sys.stderr)
    return 0


def _write(chunk: Chunk) -> None:
    sys.stdout.flush()
    with open(2 if chunk.stream == "stderr" else 1, "wb", closefd=False) as file:
        file.write(chunk.data)


def open_replay(run: Run, *, jit: bool = True, once: bool = False) -> Replay:
    """Make a replay of a run at its beginning; raises RunRedacted or RunBusy if it lacks what that takes.
    `once`: it only goes on, so it needs no checkpoints.
    """
    if run.about.get("redacted"):
        raise RunRedacted(f"run {run.id} was exported with --redact; such a run no longer replays")
    if run.going and not booted(run):
        raise RunBusy(f"run {run.id} has only just begun; nothing of it is written yet")
    kernel = KernelModule(run.kernel)
    # No kept code: a compiler's records lie in one memory, and a replay goes through several.
    compiler = Compiler(kernel, threshold=JIT_THRESHOLD) if jit else None

    def new_stage(ram: int, pages: Pages | None) -> WasmtimeStage:
        return WasmtimeStage(kernel, ram, compiler, pages)

    replay = Replay(kernel.abi, run.entries, new_stage)
    if once:
        replay.checkpoint_s = float("inf")
    return replay


def place(run: Run, replay: Replay, when: Moment) -> int:
    """Return the tick of a moment; if it is not there, and only not yet, says so."""
    try:
        return replay.place(when)
    except argparse.ArgumentTypeError:
        if run.going:
            cut(run)
        raise


def between(
    replay: Replay, since: Moment | None, until: Moment | None
) -> tuple[Moment | None, Moment | None]:
    """Return --from and --to as `Moment.after` takes them; raises EbbError if nothing can lie between."""
    if since and until and replay.place(since) >= replay.place(until):
        raise EbbError(f"nothing of this run lies between --from {since} and --to {until}")
    return (since and replay.known(since), until and replay.known(until))


def pids_of(run: Run, words: list[str]) -> frozenset[int]:
    """Return the pids that are meant: numbers, or names of programs, which takes a replay of its own."""
    known = Processes()
    if not all(word.isdecimal() for word in words):
        replay = open_replay(run, once=True)
        try:
            with progress("looking for processes", replay):
                watch(replay, PROCESS_TAPS, known.see)
        finally:
            replay.close()
    return frozenset(pid for word in words for pid in known.named(word))
