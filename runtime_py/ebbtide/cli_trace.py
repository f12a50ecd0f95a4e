"""The command `ebb trace`: what programs of a recorded run did, seen by replaying it with taps."""

from __future__ import annotations

import argparse
import json
import sys

from .cli_rewind import cut, open_replay
from .rewind.http_show import Style
from .rewind.replay import Replay
from .rewind.store import RunStore
from .rewind.trace import LAYERS, Put, Requests, Row, Wish


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    replay = open_replay(found, once=True)
    for name in ("since", "to"):
        if when := getattr(options, name):
            setattr(options, name, when.known(replay.abi, found.entries))
    wish, put = _wish(options), _printer(options.output)
    try:
        if options.layer == "request":
            _request(replay, wish, put, options.output)
        else:
            LAYERS[options.layer](replay, wish, put)
    finally:
        replay.close()
    return cut(found)


def _wish(options: argparse.Namespace) -> Wish:
    wish = Wish(options.since, options.to, frozenset(options.pid))
    if options.layer == "syscalls":
        calls = frozenset(filter(None, options.calls.split(",")))
        return Wish(wish.since, wish.until, wish.pids, options.follow, calls, options.times)
    if options.layer == "request":
        style = Style(options.show_secrets, options.max_body)
        return Wish(wish.since, wish.until, wish.pids, verbose=options.verbose, style=style)
    return wish


def _printer(output: str) -> Put:
    def put(row: Row) -> None:
        if output == "json":
            if row.data is not None:
                print(json.dumps(row.data))
        elif row.text is not None:
            print(row.text)

    return put


def _request(replay: Replay, wish: Wish, put: Put, output: str) -> None:
    requests = Requests()
    try:
        requests.watch(replay, wish)
    finally:
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
