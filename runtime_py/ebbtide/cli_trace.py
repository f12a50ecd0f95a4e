"""The command `ebb trace`: what programs of a recorded run did, seen by replaying it with taps."""

from __future__ import annotations

import argparse
import json
import sys

from .cli_output import Progress, progress
from .cli_replay import between, open_replay, pids_of
from .cli_rewind import cut
from .errors import EbbError
from .meant import meant
from .rewind.http_show import Style
from .rewind.replay import Replay
from .rewind.store import RunStore
from .rewind.trace import LAYERS, Requests, Row, Wish

NOTHING = {
    **dict.fromkeys(LAYERS, "no program was started"),
    "signals": "there was no signal",
    "network": "there was no connection",
    "request": "there was no HTTP/1 request",
    "chaos": "nothing was injected",
}


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    replay = open_replay(found, once=True)
    options.since, options.to = between(replay, options.since, options.to)
    options.pids = pids_of(found, options.pid)
    wish = _wish(options)
    for call in sorted(getattr(wish, "calls", ())):
        if call not in replay.abi.nr:
            raise EbbError(
                f"there is no system call {call}; {meant(call, replay.abi.nr) or 'see docs/syscalls.md'}"
            )
    try:
        with progress("going through the run", replay) as line:
            put = _Printer(options.output, line)
            if options.layer == "request":
                _request(replay, wish, put, options.output)
            else:
                LAYERS[options.layer](replay, wish, put)
    finally:
        replay.close()
    filters = [f"-e {call}" for call in sorted(wish.calls)] + [f"-p {word}" for word in options.pid]
    if filters and not put.rows:
        print(f"ebb: nothing in this run matches {' '.join(filters)}", file=sys.stderr)
    elif not (put.rows or options.since or options.to or options.output == "har"):
        print(f"ebb: {NOTHING[options.layer]} in this run", file=sys.stderr)
    return cut(found)


def _wish(options: argparse.Namespace) -> Wish:
    wish = Wish(options.since, options.to, options.pids)
    if options.layer == "syscalls":
        calls = frozenset(filter(None, options.calls.split(",")))
        return Wish(wish.since, wish.until, wish.pids, options.follow, calls, options.times)
    if options.layer == "request":
        style = Style(options.show_secrets, options.max_body)
        return Wish(wish.since, wish.until, wish.pids, verbose=options.verbose, style=style)
    return wish


class _Printer:
    """Prints rows as text or JSON, and counts those that say something."""

    def __init__(self, output: str, line: Progress) -> None:
        self._output = output
        self._line = line
        self.rows = 0

    def clear(self) -> None:
        """Take the line of progress away."""
        self._line.clear()

    def __call__(self, row: Row) -> None:
        said = row.text if self._output == "text" else row.data and json.dumps(row.data)
        if said is not None:
            self._line.clear()
            print(said)
            self.rows += row.tick > 0  # not a table's head


def _request(replay: Replay, wish: Wish, put: _Printer, output: str) -> None:
    requests = Requests()
    try:
        requests.watch(replay, wish)
    finally:
        put.clear()
        if output == "har":
            print(json.dumps(requests.har(wish, _version()), indent=1))
        else:
            for row in requests.rows(wish):
                put(row)
        if output == "text" and (others := requests.others()):
            print(f"ebb: not HTTP/1: connections {others}", file=sys.stderr)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ebbtide")
    except PackageNotFoundError:
        return "0"
