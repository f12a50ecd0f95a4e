"""What a page can learn of a run by replaying it: traces, profiles, and whether it is what was written.

Each look begins at the first tick and leaves the replay where it was. It says how far it is through `told`,
which JavaScript gives: told(part of all, rows), where a row is a tick and a line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..recording import Written
from ..rewind.check import check_objects
from ..rewind.http_show import Style
from ..rewind.moment import Moment, moment
from ..rewind.past_files import PastFiles
from ..rewind.pprof import collapsed, pprof, speedscope, table
from ..rewind.profile import PERIOD, Profile, Profiler
from ..rewind.replay import Replay
from ..rewind.tape import TapeReader
from ..rewind.trace import LAYERS, Requests, Row, Wish

TELL_S = 0.1  # between two words
BODY_MAX = 1 << 16

Told = Callable[[float, list[tuple[int, str]]], None]


@contextmanager
def from_start(replay: Replay, told: Told) -> Iterator[None]:
    """Have a replay at its beginning; after that it is where it was."""
    where = replay.checkpoint()
    before = replay.on_chunk, replay.on_record, replay.on_slice, replay.checkpoint_s
    replay.restore(replay.checkpoints[0])
    replay.on_chunk, replay.on_record = lambda chunk: None, lambda tick, record: None
    replay.on_slice, replay.checkpoint_s = _ticker(replay, told), float("inf")
    try:
        yield
    finally:
        replay.tap()
        replay.on_chunk, replay.on_record, replay.on_slice, replay.checkpoint_s = before
        replay.restore(where)


def _ticker(replay: Replay, told: Told) -> Callable[[], None]:
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        if (now := time.monotonic()) - last > TELL_S:
            last = now
            told(replay.tick / max(replay.end, 1), [])

    return tick


class _Rows:
    """Hands lines over in batches."""

    def __init__(self, replay: Replay, told: Told) -> None:
        self._replay, self._told = replay, told
        self._rows: list[tuple[int, str]] = []
        self._last = time.monotonic()

    def put(self, tick: int, line: str) -> None:
        self._rows.append((tick, line))
        if (now := time.monotonic()) - self._last > TELL_S:
            self._last = now
            self.flush()

    def flush(self) -> None:
        rows, self._rows = self._rows, []
        self._told(self._replay.tick / max(self._replay.end, 1), rows)


def trace(replay: Replay, layer: str, options: dict[str, Any], told: Told) -> str:
    """Hand over a layer's rows, each as text or as JSON; returns the file if it is to be one (HAR)."""
    if layer not in LAYERS:
        raise ValueError(f"there is no layer {layer!r}; there are {', '.join(LAYERS)}")
    wish, output = _wish(replay, options), options.get("output", "text")
    rows = _Rows(replay, told)

    def put(row: Row) -> None:
        if output == "text" and row.text is not None:
            rows.put(row.tick, row.text)
        elif output == "json" and row.data is not None:
            rows.put(row.tick, json.dumps(row.data))

    with from_start(replay, told):
        if output == "har":
            requests = Requests()
            requests.watch(replay, wish)
            return json.dumps(requests.har(wish, "0"), indent=1)
        LAYERS[layer](replay, wish, put)
        rows.flush()
    return ""


def _wish(replay: Replay, options: dict[str, Any]) -> Wish:
    return Wish(
        since=_moment(replay, options.get("from")),
        until=_moment(replay, options.get("to")),
        pids=_pids(options),
        follow=bool(options.get("follow", True)),
        calls=frozenset(options.get("calls") or ()),
        times=bool(options.get("times")),
        verbose=bool(options.get("verbose")),
        style=Style(bool(options.get("secrets")), int(options.get("maxBody") or BODY_MAX)),
    )


class _AllBut(Container[int]):
    """All processes but these."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = frozenset(pids)

    def __contains__(self, pid: object) -> bool:
        return pid not in self._pids


def _pids(options: dict[str, Any]) -> Container[int]:
    """Return which processes are asked for; none: all."""
    pids, without = options.get("pids"), options.get("without")
    return frozenset(pids) if pids else _AllBut(without) if without else ()


def _moment(replay: Replay, word: Any) -> Moment | None:
    return None if word is None else replay.known(moment(str(word)))


def profile(
    replay: Replay, options: dict[str, Any], name: str, chunk: Callable[[str], bytes], told: Told
) -> str | bytes:
    """Return a profile in one of the formats."""
    kind, form = options.get("type", "cpu"), options.get("format", "speedscope")
    made = _profile(replay, kind, options, chunk, told)
    match form:
        case "speedscope":
            return speedscope(made, name)
        case "pprof":
            return pprof(made)
        case "collapsed":
            return collapsed(made)
        case "text":
            return table(made)
    raise ValueError(f"there is no format {form!r}")


def _profile(
    replay: Replay,
    kind: str,
    options: dict[str, Any],
    chunk: Callable[[str], bytes],
    told: Told,
) -> Profile:
    since, until = (_moment(replay, options.get(name)) for name in ("from", "to"))
    with from_start(replay, told):
        files = PastFiles(replay, chunk)
        profiler = Profiler(replay, files.read, since=since, until=until, pids=_pids(options))
        try:
            if kind == "cpu":
                return profiler.cpu(int(options.get("period") or PERIOD))
            return profiler.offcpu()
        finally:
            files.close()


# ---- Is it what was written? ---------------------------------------------------------------------
def chain_is_whole(reader: TapeReader, head: bytes) -> str:
    """Say what was found."""
    entries = sum(leaf.count for leaf in reader.leaves)
    return f"{len(reader.leaves)} leaves, {entries} entries: chain whole, head {head.hex()}"


def verify_objects(entries: list[Written], told: Told) -> str:
    """Hash each object that the tape names; raises TapeDamaged."""
    end = max(entries[-1].tick, 1) if entries else 1
    return f"{check_objects(entries, lambda tick: told(tick / end, []))} objects: all have their hashes"


def verify_replay(replay: Replay, told: Told) -> str:
    """Run it again, and compare; raises ReplayDiverged."""
    with from_start(replay, told):
        replay.run()
        return f"replayed {replay.tick} ticks: the same"
