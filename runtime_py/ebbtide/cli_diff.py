"""`ebb diff`: where two runs part, in what they were told and in what they put out.

No two runs are told the same time, draw from the same seed, or have their events at the same ticks:
that is passed over, and said once. What counts is what somebody chose: how the machine was started,
programs, what was typed, what the host's files held.
"""

from __future__ import annotations

import argparse
import shlex
import stat
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from .abi import Abi
from .cli_output import progress
from .cli_replay import open_replay
from .cli_rewind import booted, cut
from .cli_runs import moment
from .recording import END, EVENT, META, OUTPUT, PROGRAM, Written
from .rewind.check import first_difference
from .rewind.output import AgentCall, Chunk, agent_call
from .rewind.replay import started_from
from .rewind.store import Run, RunStore
from .rewind.writer import writer_of
from .wasmtime_kernel import KernelModule

_NOT_INPUT = {META, OUTPUT, PROGRAM, END}  # they may differ where the machines do not
_BOOT = ("ram_bytes", "cpus", "harts", "flags")
# Calls by which the host takes what there is: how many there are is a matter of time.
_TAKING = {"read", "close", "close_range", "wait4", "getpid", "fcntl", "ppoll"}
_SHOWN = 60  # bytes of input


@dataclass(frozen=True)
class Told:
    """One thing that a machine was told."""

    entry: int
    tick: int
    what: str
    value: object
    text: str

    def __str__(self) -> str:
        return f"event e{self.entry} at tick {self.tick}: {self.what}: {self.text}"


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    one, other = (store.open(name) for name in (options.run, options.other))
    if one.kernel != other.kernel:
        print("the kernels differ")
    elif first_difference(one.entries, other.entries, _NOT_INPUT) is None:
        print("the same events at the same ticks, so the same output")
        return 0
    parting = _parting(*(_told(run) for run in (one, other)))
    for run, told in zip((one, other), parting or (), strict=False):
        print(f"{run.id}: {told or 'nothing more of that kind'}")
    if not parting:
        print("both were told the same")
    print("(passed over: wall clock, random seed, and at which ticks events came)")
    sys.stdout.flush()
    for run in (one, other):
        if run.going:
            cut(run)
    outputs = [_output(run) for run in (one, other)]
    differ = False
    for name in sorted({*outputs[0], *outputs[1]}):
        sides = [side.get(name, _Stream()) for side in outputs]
        print(f"{name}: {_bytes_differ(*sides)}")
        if (at := sides[0].parts_from(sides[1])) is not None:
            differ = True
            sys.stdout.flush()
            for run, side in zip((one, other), sides, strict=True):
                if said := _writer(run, name, side, at):
                    print(f"{run.id}: {said}")
    return int(bool(parting) or differ or one.kernel != other.kernel)


# ---- What they were told -------------------------------------------------------------------------


def _told(run: Run) -> dict[str, list[Told]]:
    """Return what a run was told, each kind in its order."""
    abi = KernelModule(run.kernel).abi
    found: dict[str, list[Told]] = defaultdict(list)
    if start := started_from(run.entries):
        name = start.get("snapshot") or f"{start.get('run')}@{start['tick']}"
        found["start"].append(Told(0, start["tick"], "goes on from", name, name))
    for number, entry in enumerate(run.entries):
        for group, what, value, text in _of_entry(abi, entry):
            found[group].append(Told(number, entry.tick, what, value, text))
    return found


_Parts = Iterator[tuple[str, str, object, str]]


def _of_entry(abi: Abi, entry: Written) -> _Parts:
    """Give what an entry tells: its group, what it is, what is compared, what is shown."""
    if entry.kind != EVENT:
        return
    match name := abi.event_name(entry.head):
        case "BOOT":
            layout, data = abi.structs["event_boot"], entry.data
            words = layout.integers(data)
            for field in _BOOT:
                yield "start", f"machine, {field}", words[field], str(words[field])
            index = hash(data[layout.size :])
            yield "start", "image", index, "its files" if words["index_len"] else "none"
        case "LIMITS" | "CHAOS":
            words = abi.structs[f"event_{name.lower()}"].integers(entry.data)
            shown = ", ".join(f"{key} {value}" for key, value in words.items() if value)
            yield "start", name.lower(), entry.data, shown or "none"
        case "HOSTFS":
            layout, data = abi.structs["event_hostfs"], entry.data
            words = layout.integers(data)
            told, shown = of_file(abi, data[layout.size :])
            value = words["error"], words["value"], told
            yield "files", "the host's files answer", value, shown or f"{words['value']:#x}"
        case "CALL":
            call = agent_call(abi, entry)
            assert call
            yield from _of_call(abi, call)


def of_file(abi: Abi, data: bytes) -> tuple[object, str]:
    """Read what a file of the host was said to hold, or to be: when it was last read is passed over."""
    layout = abi.structs["hostfs_attr"]
    if len(data) == layout.size:
        words = layout.integers(data)
        if stat.S_IFMT(words["mode"]) in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
            words.pop("atime_ns")
            when = moment(words["mtime_ns"] / 1e9)
            return words, f"{stat.filemode(words['mode'])} {words['size']} bytes of {when}"
    return data, f"{len(data)} bytes {data[:_SHOWN]!r}" if data else ""


def _of_call(abi: Abi, call: AgentCall) -> _Parts:
    name = {number: name for name, number in abi.nr.items()}.get(call.nr, str(call.nr))
    if name == "SPAWN":
        yield from _of_spawn(abi, call.data)
    elif name == "write":
        yield f"input {call.args[0]}", "input", call.data, repr(call.data[:_SHOWN])
    elif name not in _TAKING:
        words = ", ".join(f"{arg:#x}" for arg in call.args)
        text = f"{name}({words}) {call.data[:_SHOWN]!r}"
        yield "programs", "the host calls", (name, call.args, call.data), text


def _of_spawn(abi: Abi, data: bytes) -> _Parts:
    words = abi.structs["spawn"].integers(data)

    def strings(count: int, begin: int) -> list[str]:
        parts = data[begin:].split(b"\0")[:count]
        return [part.decode("utf-8", "backslashreplace") for part in parts]

    args = strings(words["argc"], words["argv_off"])
    env = sorted(strings(words["envc"], words["envp_off"]))
    (directory,) = strings(1, words["cwd_off"])
    terminal = bool(words["flags"] & abi.const["SPAWN_PTY"])
    yield "programs", "program", args, shlex.join(args)
    yield "programs", "its environment", env, shlex.join(env)
    yield "programs", "its directory", directory, directory
    yield "programs", "its user", (words["uid"], words["gid"]), f"{words['uid']}:{words['gid']}"
    yield "programs", "its terminal", terminal, "yes" if terminal else "no"


def _parting(
    one: dict[str, list[Told]], other: dict[str, list[Told]]
) -> tuple[Told | None, Told | None] | None:
    """Return the first thing that only one of them was told, and what the other was instead."""
    found = []
    for group in {*one, *other}:
        sides = one.get(group, []), other.get(group, [])
        apart = _stream_parts if group.startswith("input") else _list_parts
        if pair := apart(*sides):
            found.append(pair)
    return min(found, key=lambda pair: min(side.entry for side in pair if side), default=None)


def _list_parts(
    one: Sequence[Told], other: Sequence[Told]
) -> tuple[Told | None, Told | None] | None:
    for a, b in zip_longest(one, other):
        if a is None or b is None or (a.what, a.value) != (b.what, b.value):
            return a, b
    return None


def _stream_parts(
    one: Sequence[Told], other: Sequence[Told]
) -> tuple[Told | None, Told | None] | None:
    """Of input it does not matter in how many pieces it came."""
    whole = [_Stream([(each.tick, _bytes(each)) for each in side]) for side in (one, other)]
    at = whole[0].parts_from(whole[1])
    if at is None:
        return None
    a, b = (_piece(side, at) for side in (one, other))
    return a, b


def _bytes(told: Told) -> bytes:
    assert isinstance(told.value, bytes)
    return told.value


def _piece(told: Sequence[Told], at: int) -> Told | None:
    """Return the piece in which byte `at` of a stream came, shown from there on."""
    for one in told:
        data = _bytes(one)
        if at < len(data):
            return Told(one.entry, one.tick, one.what, b"", repr(data[at : at + _SHOWN]))
        at -= len(data)
    return None


# ---- What they put out ---------------------------------------------------------------------------


class _Stream:
    """Bytes, and the tick at which each piece of them came."""

    def __init__(self, pieces: Sequence[tuple[int, bytes]] = ()) -> None:
        self.pieces = list(pieces)

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    def parts_from(self, other: _Stream) -> int | None:
        """Return the first byte that differs."""
        a, b = self.data, other.data
        if a == b:
            return None
        shorter = min(len(a), len(b))
        return next((at for at in range(shorter) if a[at] != b[at]), shorter)

    def tick(self, at: int) -> int | None:
        """Return when a byte came; None: it ends before."""
        for tick, data in self.pieces:
            if at < len(data):
                return tick
            at -= len(data)
        return None


def _output(run: Run) -> dict[str, _Stream]:
    streams: dict[str, _Stream] = defaultdict(_Stream)

    def note(chunk: Chunk) -> None:
        streams[chunk.stream].pieces.append((chunk.tick, chunk.data))

    if booted(run):
        replay = open_replay(run, once=True)
        replay.on_chunk = note
        with progress(f"replaying {run.id[:8]}", replay):
            replay.run()
        replay.close()
    return streams


def _bytes_differ(one: _Stream, other: _Stream) -> str:
    at = one.parts_from(other)
    if at is None:
        return f"the same {len(one.data)} bytes"
    before = one.data[:at]
    line, begin = before.count(b"\n") + 1, before.rfind(b"\n") + 1
    lines = [side.data[begin:].partition(b"\n")[0][:200] for side in (one, other)]
    ticks = [
        f"tick {tick}" if (tick := side.tick(at)) is not None else "its end"
        for side in (one, other)
    ]
    return f"differs at byte {at}, line {line}: {lines[0]!r} at {ticks[0]}, and {lines[1]!r} at {ticks[1]}"


def _writer(run: Run, name: str, stream: _Stream, at: int) -> str:
    """Say who put out a byte of a stream, if that is seen."""
    if (tick := stream.tick(at)) is None:
        return ""
    replay = open_replay(run, once=True)
    try:
        with progress(f"looking for who wrote it in {run.id[:8]}", replay):
            return writer_of(replay, stream.data, at, tick, tty=name == "tty")
    finally:
        replay.close()
