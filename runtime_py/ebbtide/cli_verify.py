"""`ebb verify`: is this run what was recorded?

Every check that was asked for is made, whatever the ones before have found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .cli_output import progress
from .cli_replay import open_replay
from .cli_rewind import EXIT_DAMAGED, EXIT_DIVERGED, booted, cut
from .cli_runs import kind_name
from .errors import EbbError
from .recording import ReplayDiverged, Written
from .rewind import damage, sign
from .rewind.bundle import is_bundle
from .rewind.check import check_objects, check_signatures
from .rewind.store import LAST, Run, RunMissing, RunStore
from .rewind.tape import TapeDamaged
from .wasmtime_kernel import KernelModule


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        found = store.open(options.run)  # checks framing, checksums, and the chain
    except RunMissing:
        path = Path(options.run)
        if options.run == LAST or not path.is_file():
            raise
        what = "does not begin with EBBR" if path.stat().st_size else "is empty"
        print(f"ebb: {path} is no exported run: it {what}", file=sys.stderr)
        return EXIT_DAMAGED
    except TapeDamaged as error:
        _complain(error)
        if where := _where(store, options.run, error):
            print(f"ebb: {where}", file=sys.stderr)
        return EXIT_DAMAGED
    if found.entries:
        head = found.reader.head().hex()
        whole = "chain whole" if found.end is not None else "chain whole up to there"
        _say(f"{len(found.entries)} entries: {whole}, head {head}")
    checks: list[Callable[[Run], str]] = []
    if options.objects:
        checks.append(_objects)
    if options.signatures or options.key:
        checks.append(lambda run: _signatures(run, store, options.key))
    if options.replay:
        checks.append(_replay)
    code = 0
    for check in checks:
        try:
            _say(check(found))
        except TapeDamaged as error:
            _complain(error)
            code = code or EXIT_DAMAGED
        except ReplayDiverged as error:
            print(f"ebb: the replay differs from the recording: {error}", file=sys.stderr)
            code = code or EXIT_DIVERGED
    return code or cut(found)


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()


def _complain(error: EbbError) -> None:
    print(f"ebb: {error}", file=sys.stderr)


def _objects(run: Run) -> str:
    return f"{check_objects(run.entries, name=_name)} objects: all have their hashes"


def _signatures(run: Run, store: RunStore, key: bytes | None) -> str:
    key = key or sign.public_key(store)
    who = sorted({one.key.hex() for one in run.signatures})
    try:
        last = check_signatures(run, key, sign.check)
    except TapeDamaged as error:
        if not who or (key and key.hex() in who):
            raise
        raise TapeDamaged(
            f"{error}. If that is the key of whom the run comes from, as they tell it elsewhere, check with "
            f"--key {who[0]}"
        ) from None
    return f"signed by {last.key.hex()}: {last.entries} entries"


def _replay(run: Run) -> str:
    if not booted(run):
        return "nothing to replay: the recording ends before the machine was booted"
    replay = open_replay(run, once=True)
    try:
        with progress("replaying", replay):
            replay.run()
        return f"replayed {replay.tick} ticks: the same"
    finally:
        replay.close()


def _where(store: RunStore, name: str, error: TapeDamaged) -> str:
    """Say which byte of which entry is damaged, as far as can be known."""
    path = Path(name)
    if is_bundle(path):
        return damage.of_export(path.read_bytes(), error, _name)
    try:
        return damage.of_tape(store.tape_path(store.find(name)).read_bytes(), error, _name)
    except (OSError, RunMissing):
        return ""


def _name(entry: Written) -> str:
    return kind_name(KernelModule().abi, entry)
