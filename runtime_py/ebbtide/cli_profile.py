"""The command `ebb profile`: where a recorded run spent its time, found by replaying it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import assets
from .cli_output import need_folder, new_file, progress
from .cli_replay import between, open_replay, pids_of
from .cli_rewind import cut
from .errors import EbbError
from .image_store import ImageStore
from .rewind.http1 import numbered
from .rewind.moment import Moment
from .rewind.network import NETWORK_TAPS, Connections
from .rewind.past_files import PastFiles
from .rewind.pprof import collapsed, pprof, speedscope, table
from .rewind.profile import PERIOD, Profile, Profiler
from .rewind.store import Run, RunStore
from .rewind.taps import watch

SAMPLES = 1000  # of one request
SUFFIXES = {".json": "speedscope", ".txt": "collapsed", ".folded": "collapsed"}


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    period = options.period or PERIOD
    for _, name in options.export:
        need_folder(name)
    if options.request is not None:
        if options.since or options.to:
            raise EbbError("--request is a time of its own: give no --from and no --to beside it")
        options.since, options.to = _lasting(found, options.request)
        span = options.to.tick - options.since.tick
        period = options.period or min(PERIOD, max(1, span // SAMPLES))
    pids = pids_of(found, options.pid)
    wanted: list[tuple[str, str | None]] = list(options.export) or [(options.type, None)]
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        replay = open_replay(found, once=True)
        files = PastFiles(replay, ImageStore(assets.images_folder()).blob, found.mounted)
        since, until = between(replay, options.since, options.to)
        profiler = Profiler(replay, files.read, since=since, until=until, pids=pids)
        try:
            with progress("profiling", replay):
                made = profiler.cpu(period) if kind == "cpu" else profiler.offcpu()
        finally:
            files.close()
            replay.close()
        if not (made.samples or options.pid or options.since or options.to):
            print(f"ebb: nothing was met in {replay.end} ticks; --period says how often to look",
                  file=sys.stderr)  # fmt: skip
        for _, path in (one for one in wanted if one[0] == kind):
            if path is None:
                sys.stdout.write(_text(made, options.output, found.id))
            else:
                with new_file(path, over=True) as file:
                    file.write(_file(made, Path(path).suffix, found.id))
    return cut(found)


def _lasting(run: Run, number: int) -> tuple[Moment, Moment]:
    """Return when an HTTP exchange began and ended; one without an answer lasts to the end."""
    replay, view = open_replay(run, once=True), Connections()
    try:
        with progress("looking for requests", replay):
            watch(replay, NETWORK_TAPS, view.see)
    finally:
        replay.close()
    known = numbered(view.all)
    if not 1 <= number <= len(known):
        raise EbbError(f"there is no HTTP exchange {number}; the run has {len(known)}")
    one = known[number - 1]
    end = one.response.last.tick if one.response else replay.end
    return Moment(tick=one.request.first.tick), Moment(tick=end + 1)


def _text(made: Profile, form: str, name: str) -> str:
    if form == "collapsed":
        return collapsed(made)
    return speedscope(made, name) if form == "speedscope" else table(made)


def _file(made: Profile, suffix: str, name: str) -> bytes:
    form = SUFFIXES.get(suffix)
    return _text(made, form, name).encode() if form else pprof(made)
