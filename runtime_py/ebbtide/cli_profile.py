"""The command `ebb profile`: where a recorded run spent its time, found by replaying it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import assets
from .cli_rewind import cut, open_replay
from .image_store import ImageStore
from .rewind.past_files import PastFiles
from .rewind.pprof import collapsed, pprof, speedscope, table
from .rewind.profile import Profile, Profiler
from .rewind.store import RunStore

SUFFIXES = {".json": "speedscope", ".txt": "collapsed", ".folded": "collapsed"}


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    wanted: list[tuple[str, str | None]] = list(options.export) or [(options.type, None)]
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        replay = open_replay(found)
        files = PastFiles(replay, ImageStore(assets.images_folder()).blob)
        since, until = (
            when and when.known(replay.abi, found.entries) for when in (options.since, options.to)
        )
        profiler = Profiler(replay, files.read, since=since, until=until, pids=options.pid)
        try:
            made = profiler.cpu(options.period) if kind == "cpu" else profiler.offcpu()
        finally:
            files.close()
            replay.close()
        for _, path in (one for one in wanted if one[0] == kind):
            if path is None:
                sys.stdout.write(_text(made, options.output, found.id))
            else:
                Path(path).write_bytes(_file(made, Path(path).suffix, found.id))
    return cut(found)


def _text(made: Profile, form: str, name: str) -> str:
    if form == "collapsed":
        return collapsed(made)
    return speedscope(made, name) if form == "speedscope" else table(made)


def _file(made: Profile, suffix: str, name: str) -> bytes:
    form = SUFFIXES.get(suffix)
    return _text(made, form, name).encode() if form else pprof(made)
