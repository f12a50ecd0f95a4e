"""What programs of a run did, layer by layer, found by replaying it with taps: lines for people, values
for programs. The same in `ebb trace` and in a page.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

from .http1 import Exchange, numbered, protocol
from .http_show import Style, as_json, har, line, text
from .moment import Moment
from .network import NETWORK_TAPS, Connections, Mark, Step
from .processes import PROCESS_TAPS, Process, Processes
from .processes import as_json as process_json
from .replay import Replay
from .syscalls import (
    FILE_TAPS,
    SIGNAL_TAPS,
    SYSCALL_TAPS,
    Syscalls,
    aligned,
    file_line,
    signal_line,
    stamp,
    when,
)
from .taps import Tap, seconds, watch


@dataclass(frozen=True)
class Wish:
    """What is to be shown, and how."""

    since: Moment | None = None
    until: Moment | None = None
    pids: Container[int] = ()
    follow: bool = False  # system calls of children, too
    calls: frozenset[str] = frozenset()  # system calls; empty: all
    times: bool = False  # before each system call
    verbose: bool = False  # requests with headers and bodies
    style: Style = Style()

    def after(self, tap: Tap) -> bool:
        """Whether a tap is not before what was asked for."""
        return not (self.since and self.since.after(tap))

    def wanted(self, tap: Tap) -> bool:
        """Whether a tap is within what was asked for."""
        return self.after(tap) and (not self.pids or tap.pid in self.pids)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing: where it was, and as text or as data, or as both."""

    tick: int
    text: str | None
    data: dict[str, Any] | None


Put = Callable[[Row], None]


def _put(put: Put, tap: Tap, text: str, data: dict[str, Any]) -> None:
    put(Row(tap.tick, text, stamp(tap) | data))


def syscalls(replay: Replay, wish: Wish, put: Put) -> None:
    """System calls in strace's format."""
    many = wish.follow or bool(wish.pids)

    def show(tap: Tap, said: str, data: dict[str, Any]) -> None:
        prefix = f"{when(tap)} " if wish.times else ""
        prefix += f"[pid {tap.tid:>5}] " if many else ""
        if wish.after(tap):
            _put(put, tap, aligned(prefix + said), data)

    view = Syscalls(show, follow=many, pids=wish.pids, calls=wish.calls)
    try:
        watch(replay, SYSCALL_TAPS, view.see, wish.until)
    finally:
        view.finish()


def process(replay: Replay, wish: Wish, put: Put) -> None:
    """Processes as trees: a line each, and a value for each tree."""
    view = Processes()
    try:
        watch(replay, PROCESS_TAPS, view.see, wish.until)
        if wish.until is None:  # else the replay is somewhere behind it
            view.finish(replay.stage.port.report().now_ns, replay.stage.host.cpu_ns)
    finally:
        head = f"{'PID':>5}  {'START':>12}  {'TIME':>10}  {'TICKS':>13}  {'END':10}  COMMAND"
        put(Row(0, head, None))
        for root in view.roots:
            if _lasts(root, wish.since):
                put(Row(root.tick, None, process_json(root)))
                for row in _tree(root, "", "", wish):
                    put(row)


def _lasts(process: Process, since: Moment | None) -> bool:
    """Whether a process, or one below it, is there at a moment or later."""
    if since is None or process.end_ns is None or process.end_tick is None:
        return True
    end = Mark(0, process.end_tick, process.end_ns, 0, 0, -1)
    return not since.after(end) or any(_lasts(child, since) for child in process.children)


def _tree(process: Process, indent: str, branch: str, wish: Wish) -> Iterator[Row]:
    took = "" if process.took_ns is None else f"{process.took_ns / 1e9:.6f}"
    ticks = "" if process.cpu_ticks is None else process.cpu_ticks
    command = " ".join(_word(word) for word in process.command) or "(fork)"
    if not wish.pids or process.pid in wish.pids:
        said = (
            f"{process.pid:>5}  {seconds(process.now_ns):>12}  {took:>10}  "
            f"{ticks:>13}  {process.ended():10}  {indent}{branch}{command}"
        )
        yield Row(process.tick, said, None)
    below = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
    children = [child for child in process.children if _lasts(child, wish.since)]
    for child in children:
        yield from _tree(child, below, "└─ " if child is children[-1] else "├─ ", wish)


def _word(word: str) -> str:
    word = word.replace("\n", "\\n")
    return f"'{word}'" if " " in word or not word else word


def files(replay: Replay, wish: Wish, put: Put) -> None:
    """Files that were opened, made, changed, asked for."""

    def see(tap: Tap) -> None:
        if wish.wanted(tap) and (found := file_line(tap, replay.abi.errno_name)):
            said, data = found
            _put(put, tap, f"{when(tap)} [{tap.pid}] {said}", data)

    watch(replay, FILE_TAPS, see, wish.until)


def signals(replay: Replay, wish: Wish, put: Put) -> None:
    """Signals that were sent and delivered."""

    def see(tap: Tap) -> None:
        if wish.wanted(tap):
            said, data = signal_line(tap)
            _put(put, tap, f"{when(tap)} [{tap.tid}] {said}", data)

    watch(replay, SIGNAL_TAPS, see, wish.until)


def chaos(replay: Replay, wish: Wish, put: Put) -> None:
    """What chaos has injected."""
    kinds = {number: name.lower() for name, number in replay.abi.groups["chaos"].items()}
    calls = {number: name for name, number in replay.abi.nr.items()}

    def see(tap: Tap) -> None:
        if not wish.wanted(tap):
            return
        kind, call, value = kinds[tap.args[0]], calls.get(tap.args[1], ""), tap.args[2]
        said = {
            "errno": f"{call} fails: {replay.abi.errno_name(value)}",
            "short": f"{call} ends after {value} bytes",
            "clock": f"a clock jumps by {value / 1e9:.6f} s" if value else "time runs otherwise",
            "sched": f"is next, before {value} other{'s' * (value > 1)}"
            if value
            else "is preempted",
        }[kind]
        call = call if kind in ("errno", "short") else ""
        data = {"kind": kind, "call": call, "value": value}
        _put(put, tap, f"{when(tap)} [{tap.tid}] {kind}: {said}", data)

    watch(replay, ("CHAOS",), see, wish.until)


def network(replay: Replay, wish: Wish, put: Put) -> None:
    """What happened on connections."""
    view = Connections()

    def see(tap: Tap) -> None:
        if (step := view.see(tap)) and wish.wanted(tap):
            _put(put, tap, *_step(tap, step))

    watch(replay, NETWORK_TAPS, see, wish.until)


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


class Requests:
    """HTTP/1.1 exchanges of a run, in the order of their requests."""

    def __init__(self) -> None:
        self._view = Connections()
        self.found: list[Exchange] = []

    def watch(self, replay: Replay, wish: Wish) -> None:
        """Find them; what was found before the replay failed stays."""
        try:
            watch(replay, NETWORK_TAPS, self._view.see, wish.until)
        finally:
            found = numbered(self._view.all)
            if wish.pids:
                found = [one for one in found if any(pid in wish.pids for pid in _pids(one))]
            if wish.since:
                found = [one for one in found if not wish.since.after(one.request.first)]
            self.found = found

    def others(self) -> str:
        """Name the connections that spoke something else; "" if there are none."""
        others = [one for one in self._view.all if protocol(one) in ("h2", "tls")]
        return ", ".join(f"#{one.number} {protocol(one)}" for one in others)

    def rows(self, wish: Wish) -> Iterator[Row]:
        """Give each."""
        for one in self.found:
            said = text(one, wish.style) if wish.verbose else line(one)
            yield Row(one.request.first.tick, said, as_json(one, wish.style))

    def har(self, wish: Wish, version: str) -> dict[str, Any]:
        """Give all as an HTTP Archive."""
        return har(self.found, wish.style, version)


def _pids(exchange: Exchange) -> set[int]:
    return {*exchange.request.pids, *(exchange.response.pids if exchange.response else ())}


def request(replay: Replay, wish: Wish, put: Put) -> None:
    """HTTP/1.1 requests with their responses."""
    requests = Requests()
    try:
        requests.watch(replay, wish)
    finally:
        for row in requests.rows(wish):
            put(row)


LAYERS: dict[str, Callable[[Replay, Wish, Put], None]] = {
    "syscalls": syscalls,
    "process": process,
    "files": files,
    "signals": signals,
    "chaos": chaos,
    "network": network,
    "request": request,
}
