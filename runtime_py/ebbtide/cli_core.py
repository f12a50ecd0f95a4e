"""`ebb core`, and what `ebb run --core` does at its end: the core of a process of a recorded run."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from . import assets
from .cli_output import need_folder, new_file
from .cli_replay import open_replay
from .cli_rewind import cut
from .errors import EbbError
from .image_store import ImageStore
from .rewind.core import Signal, libraries, write_core
from .rewind.gdb_command import open_timeline
from .rewind.past_files import PastFiles, page_at
from .rewind.store import Run, RunStore
from .rewind.taps import Taps
from .rewind.timeline import CRASHES, Timeline


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    need_folder(options.output or ".")
    replay = open_replay(found)
    try:
        timeline, pid = open_timeline(store, found, replay, options.pid, options.goto)
        path = Path(options.output or f"core.{pid}")
        _write(found, timeline, pid, path, options.files)
        print(path)
    finally:
        replay.close()
    return cut(found)


def of_crash(id: str, path: str, *, quiet: bool) -> None:
    """Write the core of what crashed last in a run, if anything did."""
    store = RunStore(assets.runs_folder())
    found = store.open(id)
    replay = open_replay(found)
    try:
        timeline, pid = open_timeline(store, found, replay, None)
        if any(one.pid == pid and one.signal in CRASHES for one in timeline.endings):
            _write(found, timeline, pid, Path(path), None)
        elif not quiet:
            print("ebb: nothing crashed: no core is written", file=sys.stderr)
    finally:
        replay.close()
        store.close()


def _write(run: Run, timeline: Timeline, pid: int, path: Path, folder: str | None) -> None:
    tasks = timeline.tasks(pid)
    if not tasks:
        raise EbbError(f"process {pid} is not there at tick {timeline.tick}")
    tick = timeline.tick
    tid, signal = _signal(timeline, pid)
    timeline.seek(tick)
    if tid is None:
        tid = next((task.tid for task in tasks if task.current), tasks[0].tid)
    view = timeline.view
    files = PastFiles(timeline.replay, ImageStore(assets.images_folder()).blob, run.mounted)
    try:
        with new_file(path, over=True) as file:
            write_core(file, view, pid, tid, signal, partial(page_at, view, files, pid))
        if folder:
            names = {one.name for one in view.mappings(pid) if one.name.startswith("/")}
            for name in sorted(names.union(libraries(view, pid))):
                try:
                    data = files.read(name)
                except OSError:
                    continue  # it has no name any more
                there = Path(folder, name.lstrip("/"))
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(data)
    finally:
        files.close()


def _signal(timeline: Timeline, pid: int) -> tuple[int | None, Signal]:
    """Return the thread that ends its process here, and by what; moves on by a little."""
    endings = [one for one in timeline.endings if (one.pid, one.tick) == (pid, timeline.tick)]
    if not endings or not endings[0].signal:
        return None, Signal(0)
    ending, replay = endings[0], timeline.replay
    taps, found = Taps(replay.abi), []

    def see(_: int, record: bytes) -> None:
        tap = taps.decode(record)
        if tap is not None and (tap.tid, tap.args[0]) == (ending.tid, ending.signal):
            found.append(Signal(ending.signal, tap.args[1], tap.args[3] & (1 << 64) - 1))

    before, replay.on_record = replay.on_record, see
    replay.tap("DELIVERED")
    replay.go(ending.tick + 1)
    replay.tap()
    replay.on_record = before
    return ending.tid, found[0] if found else Signal(ending.signal)
