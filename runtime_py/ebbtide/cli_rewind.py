"""The commands about recorded runs, each in a module of its own: what replays them takes long to import.

Exit codes: 0 fine (a run may still go on), 3 a tape or an object is damaged, 4 the replay diverged, 5 the
tape was cut short.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys

from . import assets
from .cli_output import trouble
from .errors import EbbError
from .recording import EVENT, ReplayDiverged
from .rewind.store import Run, RunStore
from .rewind.tape import TapeDamaged

EXIT_DAMAGED, EXIT_DIVERGED, EXIT_CUT = 3, 4, 5
EXIT_FAILED = 125


def run(options: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit code."""
    store = None
    try:
        store = RunStore(assets.runs_folder())
        return _COMMANDS[options.command](store, options)
    except ReplayDiverged as error:
        print(f"ebb: the replay differs from the recording: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except TapeDamaged as error:
        print(f"ebb: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    except BrokenPipeError:
        raise
    except (EbbError, OSError, argparse.ArgumentTypeError) as error:
        print(f"ebb: {trouble(error)}", file=sys.stderr)
        return EXIT_FAILED
    except sqlite3.Error as error:
        print(f"ebb: the runs in {assets.runs_folder()}: {error}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        if store:
            store.close()


def booted(run: Run) -> bool:
    """Tell whether there is anything to replay: a recording may have been killed before."""
    return any(entry.kind == EVENT for entry in run.entries)


def _replay(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_replay import run as replay

    return replay(store, options)


def _gdb(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_replay import open_replay
    from .rewind.gdb_command import serve

    run = store.open(options.run)
    replay = open_replay(run)
    if run.going:
        cut(run)
    try:
        return serve(options, store, run, replay)
    finally:
        replay.close()


def _dap(store: RunStore, options: argparse.Namespace) -> int:
    import asyncio

    from .rewind.dap_server import serve

    return asyncio.run(serve(options.run, options.port))


def _core(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_core import run as core

    return core(store, options)


def cut(run: Run) -> int:
    """Return the exit code of a run that was gone through, and say if it is not whole."""
    if run.end is not None:
        return 0
    if run.going:
        tick = run.entries[-1].tick if run.entries else 0
        print(
            f"ebb: run {run.id} is still being recorded; this is what there is so far, up to tick {tick}",
            file=sys.stderr,
        )
        return 0  # nothing is wrong with it
    why = run.why_cut or "the recording was killed, or could write no more"
    if run.row and run.row.ended is not None:  # it was whole when it ended
        why = (
            f"the tape had {run.row.bytes} bytes when the run ended, and has {len(run.reader.data)}"
        )
    if run.entries:
        last = f"entry {len(run.entries) - 1} at tick {run.entries[-1].tick}"
        why += f"; all up to {last} is right, and nothing is left of what came behind"
    else:
        why += "; no entry is left"
    print(f"ebb: cut short: {why}", file=sys.stderr)
    return EXIT_CUT


def _runs(store: RunStore, options: argparse.Namespace) -> int:
    from . import cli_runs

    return cli_runs.COMMANDS[options.command](store, options)


def _trace(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_trace import run as trace

    return trace(store, options)


def _profile(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_profile import run as profile

    return profile(store, options)


def _verify(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_verify import run as verify

    return verify(store, options)


def _diff(store: RunStore, options: argparse.Namespace) -> int:
    from .cli_diff import run as diff

    return diff(store, options)


def _snapshot(store: RunStore, options: argparse.Namespace) -> int:
    from . import cli_snapshot

    return cli_snapshot.run(store, options)


_COMMANDS = {
    "snapshot": _snapshot,
    "replay": _replay,
    "logs": _replay,
    **dict.fromkeys(("get", "describe", "rm", "pin", "unpin", "export", "import"), _runs),
    "trace": _trace,
    "profile": _profile,
    "gdb": _gdb,
    "dap": _dap,
    "core": _core,
    "verify": _verify,
    "diff": _diff,
}
