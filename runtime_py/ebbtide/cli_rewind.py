"""The commands about recorded runs: `ebb replay`, `ebb logs`, `ebb get runs`.

Exit codes: 0 fine, 3 a tape or an object is damaged, 4 the replay diverged, 5 the tape was cut short.
"""

from __future__ import annotations

import argparse
import sys
import time

from . import assets
from .errors import EbbError
from .port import JIT_THRESHOLD
from .recording import ReplayDiverged
from .rewind.output import Chunk
from .rewind.replay import Replay
from .rewind.stage import Pages
from .rewind.store import Run, RunStore
from .rewind.tape import TapeDamaged
from .rewind.wasmtime_stage import WasmtimeStage
from .wasmtime_jit import Compiler
from .wasmtime_kernel import KernelModule

EXIT_DAMAGED, EXIT_DIVERGED, EXIT_CUT = 3, 4, 5
EXIT_FAILED = 125


def run(options: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit code."""
    store = RunStore(assets.runs_folder())
    try:
        return _COMMANDS[options.command](store, options)
    except ReplayDiverged as error:
        print(f"ebb: the replay differs from the recording: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except TapeDamaged as error:
        print(f"ebb: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    except (EbbError, OSError) as error:
        print(f"ebb: {error}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        store.close()


def open_replay(run: Run, *, jit: bool = True) -> Replay:
    """Make a replay of a run at its beginning."""
    kernel = KernelModule(run.kernel)
    compiler = Compiler(kernel, threshold=JIT_THRESHOLD) if jit else None

    def new_stage(ram: int, pages: Pages | None) -> WasmtimeStage:
        return WasmtimeStage(kernel, ram, compiler, pages)

    return Replay(kernel.abi, run.entries, new_stage)


def _replay(store: RunStore, options: argparse.Namespace) -> int:
    run = store.open(options.run)
    replay = open_replay(run)
    if not options.quiet:
        replay.on_chunk = _write
    if options.goto is not None:
        replay.seek(options.goto)
        return 0
    replay.run()
    return _cut(run)


def _cut(run: Run) -> int:
    if run.end is not None:
        return 0
    why = run.reader.cut or "the recording was killed"
    print(f"ebb: cut short: {why}; all before is right", file=sys.stderr)
    return EXIT_CUT


def _write(chunk: Chunk) -> None:
    stream = sys.stderr if chunk.stream == "stderr" else sys.stdout
    stream.buffer.write(chunk.data)
    stream.flush()


def _get(store: RunStore, options: argparse.Namespace) -> int:
    rows = store.rows()
    print(f"{'ID':36}  {'STARTED':19}  {'EXIT':>4}  {'BYTES':>9}  COMMAND")
    for row in rows:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.started))
        code = "" if row.exit_code is None else row.exit_code
        command = " ".join(row.about.get("args", ()))
        print(f"{row.id:36}  {started}  {code:>4}  {row.bytes:>9}  {command}")
    return 0


_COMMANDS = {"replay": _replay, "logs": _replay, "get": _get}
