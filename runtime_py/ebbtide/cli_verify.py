"""`ebb verify` and `ebb diff`: is this run what was recorded, and where do two runs part."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict

from .abi import Abi
from .cli_rewind import booted, cut, open_replay
from .cli_runs import kind_name
from .recording import END, EVENT, META, OUTPUT, Written
from .rewind.check import check_objects, check_signatures, first_difference
from .rewind.output import Chunk
from .rewind.store import Run, RunStore
from .rewind.tape import StoredEntry
from .wasmtime_kernel import KernelModule

_NOT_INPUT = {META, OUTPUT, END}  # they may differ where the machines do not


def _verify(store: RunStore, options: argparse.Namespace) -> int:
    run = store.open(options.run)  # checks framing, checksums, and the chain
    _say(f"{len(run.entries)} entries: chain whole, head {run.reader.head().hex()}")
    if options.objects:
        _say(f"{check_objects(run.entries)} objects: all have their hashes")
    if options.signatures or options.key:
        from .rewind import sign

        key = options.key or sign.public_key(store)
        last = check_signatures(run, key, sign.check)
        _say(f"signed by {last.key.hex()}: {last.entries} entries")
    if options.replay and booted(run):
        replay = open_replay(run, once=True)
        replay.run()
        _say(f"replayed {replay.tick} ticks: the same")
    return cut(run)


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()


def _diff(store: RunStore, options: argparse.Namespace) -> int:
    runs = [store.open(name) for name in (options.run, options.other)]
    one, other = runs
    abi = KernelModule(one.kernel).abi
    if one.kernel != other.kernel:
        _say("the kernels differ")
    number = first_difference(one.entries, other.entries, _NOT_INPUT)
    if number is None:
        if one.kernel == other.kernel:
            _say("the same events at the same ticks, so the same output")
        return int(one.kernel != other.kernel)
    for run in runs:
        events = [entry for entry in run.entries if entry.kind not in _NOT_INPUT]
        what = _entry(abi, events[number]) if number < len(events) else "the tape has no more"
        _say(f"event {number} of {run.id}: {what}")
    outputs = [_output(run) for run in runs]
    for name in sorted({*outputs[0], *outputs[1]}):
        _say(f"{name}: {_bytes_differ(outputs[0][name], outputs[1][name])}")
    return 1


def _entry(abi: Abi, entry: Written) -> str:
    data = entry.data
    name = kind_name(abi, entry)
    beside = " (an object)" if isinstance(entry, StoredEntry) else ""
    if entry.kind == EVENT and name == "CALL":
        words = abi.structs["event_call"].integers(data)
        name += f" {words['id']} nr {words['nr']}"
    return f"{name} at tick {entry.tick}, {len(data)} bytes{beside}: {data[8:40].hex()}"


def _output(run: Run) -> dict[str, bytes]:
    streams: dict[str, bytearray] = defaultdict(bytearray)

    def note(chunk: Chunk) -> None:
        streams[chunk.stream] += chunk.data

    if booted(run):
        replay = open_replay(run, once=True)
        replay.on_chunk = note
        replay.run()
    return defaultdict(bytes, {name: bytes(data) for name, data in streams.items()})


def _bytes_differ(one: bytes, other: bytes) -> str:
    if one == other:
        return f"the same {len(one)} bytes"
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)))  # fmt: skip
    line = one[:same].count(b"\n") + 1
    begin = one[:same].rfind(b"\n") + 1
    lines = [text[begin:].partition(b"\n")[0][:200] for text in (one, other)]
    return f"differs at byte {same}, line {line}: {lines[0]!r} and {lines[1]!r}"


COMMANDS = {"verify": _verify, "diff": _diff}
