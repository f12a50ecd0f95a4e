"""The command `ebb trace`: what programs of a recorded run did, seen by replaying it with taps."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .cli_rewind import cut, open_replay
from .rewind.http1 import Exchange, numbered, protocol
from .rewind.http_show import Style, as_json, har, line, text
from .rewind.moment import Moment
from .rewind.network import NETWORK_TAPS, Connections, Mark, Step
from .rewind.processes import PROCESS_TAPS, Process, Processes
from .rewind.processes import as_json as process_json
from .rewind.replay import Replay
from .rewind.store import RunStore
from .rewind.syscalls import (
    FILE_TAPS,
    SIGNAL_TAPS,
    SYSCALL_TAPS,
    Syscalls,
    file_line,
    signal_line,
    stamp,
    when,
)
from .rewind.taps import Tap, seconds, watch


class _Printer:
    """Prints what lies between --from and --to, of the processes asked for."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.json = options.output == "json"

    def wanted(self, tap: Tap) -> bool:
        """Whether a tap is within what was asked for."""
        since, pids = self.options.since, self.options.pid
        return not (since and since.after(tap)) and (not pids or tap.pid in pids)

    def put(self, tap: Tap, said: str, data: dict[str, Any]) -> None:
        """Print one thing."""
        if self.wanted(tap):
            print(json.dumps(stamp(tap) | data) if self.json else said)


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    found = store.open(options.run)
    replay = open_replay(found, once=True)
    for name in ("since", "to"):
        if when := getattr(options, name):
            setattr(options, name, when.known(replay.abi, found.entries))
    try:
        _LAYERS[options.layer](replay, _Printer(options))
    finally:
        replay.close()
    return cut(found)


def _syscalls(replay: Replay, printer: _Printer) -> None:
    options = printer.options
    many = options.follow or options.pid

    def show(tap: Tap, said: str, data: dict[str, Any]) -> None:
        prefix = f"{when(tap)} " if options.times else ""
        prefix += f"[pid {tap.tid:>5}] " if many else ""
        if not (options.since and options.since.after(tap)):
            print(json.dumps(stamp(tap) | data) if printer.json else prefix + said)

    calls = frozenset(filter(None, options.calls.split(",")))
    follow = options.follow or bool(options.pid)
    view = Syscalls(show, follow=follow, pids=frozenset(options.pid), calls=calls)
    try:
        watch(replay, SYSCALL_TAPS, view.see, options.to)
    finally:
        view.finish()


def _process(replay: Replay, printer: _Printer) -> None:
    view = Processes()
    since = printer.options.since
    try:
        watch(replay, PROCESS_TAPS, view.see, printer.options.to)
    finally:
        roots = [root for root in view.roots if _lasts(root, since)]
        if printer.json:
            for root in roots:
                print(json.dumps(process_json(root)))
        else:
            print(f"{'PID':>5}  {'START':>12}  {'TIME':>10}  {'TICKS':>13}  {'END':10}  COMMAND")
            for root in roots:
                _tree(root, "", "", since, set(printer.options.pid))


def _lasts(process: Process, since: Moment | None) -> bool:
    """Whether a process, or one below it, is there at a moment or later."""
    if since is None or process.end_ns is None or process.end_tick is None:
        return True
    end = Mark(0, process.end_tick, process.end_ns, 0, 0, -1)
    return not since.after(end) or any(_lasts(child, since) for child in process.children)


def _tree(process: Process, indent: str, branch: str, since: Moment | None, pids: set[int]) -> None:
    took = "" if process.end_ns is None else f"{(process.end_ns - process.now_ns) / 1e9:.6f}"
    command = " ".join(_word(word) for word in process.command) or "(fork)"
    if not pids or process.pid in pids:
        print(
            f"{process.pid:>5}  {seconds(process.now_ns):>12}  {took:>10}  "
            f"{process.cpu_ticks:>13}  {process.ended():10}  {indent}{branch}{command}"
        )
    below = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
    children = [child for child in process.children if _lasts(child, since)]
    for child in children:
        _tree(child, below, "└─ " if child is children[-1] else "├─ ", since, pids)


def _word(word: str) -> str:
    word = word.replace("\n", "\\n")
    return f"'{word}'" if " " in word or not word else word


def _files(replay: Replay, printer: _Printer) -> None:
    def see(tap: Tap) -> None:
        if found := file_line(tap, replay.abi.errno_name):
            said, data = found
            printer.put(tap, f"{when(tap)} [{tap.pid}] {said}", data)

    watch(replay, FILE_TAPS, see, printer.options.to)


def _signals(replay: Replay, printer: _Printer) -> None:
    def see(tap: Tap) -> None:
        said, data = signal_line(tap)
        printer.put(tap, f"{when(tap)} [{tap.tid}] {said}", data)

    watch(replay, SIGNAL_TAPS, see, printer.options.to)


def _chaos(replay: Replay, printer: _Printer) -> None:
    kinds = {number: name.lower() for name, number in replay.abi.groups["chaos"].items()}
    calls = {number: name for name, number in replay.abi.nr.items()}

    def see(tap: Tap) -> None:
        kind, call, value = kinds[tap.args[0]], calls.get(tap.args[1], ""), tap.args[2]
        said = {
            "errno": f"{call} fails: {replay.abi.errno_name(value)}",
            "short": f"{call} ends after {value} bytes",
            "clock": f"a clock jumps by {value / 1e9:.6f} s" if value else "time runs otherwise",
            "sched": f"is next, before {value} others" if value else "is preempted",
        }[kind]
        call = call if kind in ("errno", "short") else ""
        data = {"kind": kind, "call": call, "value": value}
        printer.put(tap, f"{when(tap)} [{tap.tid}] {kind}: {said}", data)

    watch(replay, ("CHAOS",), see, printer.options.to)


def _network(replay: Replay, printer: _Printer) -> None:
    view = Connections()

    def see(tap: Tap) -> None:
        if step := view.see(tap):
            printer.put(tap, *_step(tap, step))

    watch(replay, NETWORK_TAPS, see, printer.options.to)


def _step(tap: Tap, step: Step) -> tuple[str, dict[str, Any]]:
    connection = step.connection
    fd = f" fd {step.mark.fd}" if step.mark.fd >= 0 else ""
    ends = connection.client, connection.server
    arrow = " > ".join(ends if step.direction == 0 else reversed(ends))
    size = f" {step.size} B" if step.what in ("send", "receive") else ""
    said = (
        f"{when(tap)} #{connection.number} {connection.kind} {arrow} "
        f"[{tap.pid}{fd}]: {step.what}{size}"
    )
    data: dict[str, Any] = {
        "connection": connection.number,
        "kind": connection.kind,
        "client": connection.client,
        "server": connection.server,
        "event": step.what,
        "from": "client" if step.direction == 0 else "server",
        "fd": step.mark.fd,
    }
    if step.what == "send":
        data |= {"bytes": step.size, "data": tap.data.decode("latin-1")}
    elif step.what == "receive":
        data["bytes"] = step.size
    return said, data


def _request(replay: Replay, printer: _Printer) -> None:
    view, options = Connections(), printer.options
    style = Style(options.show_secrets, options.max_body)
    try:
        watch(replay, NETWORK_TAPS, view.see, options.to)
    finally:
        found = numbered(view.all)
        if options.pid:
            found = [one for one in found if not _pids(one).isdisjoint(options.pid)]
        if options.since:
            found = [one for one in found if not options.since.after(one.request.first)]
        if options.output == "har":
            print(json.dumps(har(found, style, _version()), indent=1))
        for one in found if options.output != "har" else ():
            if printer.json:
                print(json.dumps(as_json(one, style)))
            else:
                print(text(one, style) if options.verbose else line(one))
        others = [one for one in view.all if protocol(one) in ("h2", "tls")]
        if others and not printer.json and options.output == "text":
            kinds = ", ".join(f"#{one.number} {protocol(one)}" for one in others)
            print(f"ebb: not HTTP/1: connections {kinds}", file=sys.stderr)


def _pids(exchange: Exchange) -> set[int]:
    return {*exchange.request.pids, *(exchange.response.pids if exchange.response else ())}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ebbtide")
    except PackageNotFoundError:
        return "0"


_LAYERS = {
    "syscalls": _syscalls,
    "process": _process,
    "files": _files,
    "signals": _signals,
    "chaos": _chaos,
    "network": _network,
    "request": _request,
}
