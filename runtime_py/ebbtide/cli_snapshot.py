"""`ebb snapshot`: keep the machine of a run as it was at a moment, list and drop what is kept."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from .cli_output import new_file, progress
from .cli_replay import open_replay, place
from .cli_rewind import cut
from .cli_runs import moment
from .errors import EbbError
from .events import BlockWanted, Events, HostFs
from .recording import EVENT
from .rewind.moment import Moment
from .rewind.moment import moment as read_moment
from .rewind.replay import Replay, started_from
from .rewind.resume import Beside, Snapshots
from .rewind.store import Run, RunStore
from .rewind.wasmtime_stage import WasmtimeStage
from .wasmtime_kernel import KernelModule


def run(store: RunStore, options: argparse.Namespace) -> int:
    """Run one of the actions; returns the exit code."""
    return _ACTIONS[options.action](store, options)


def _create(store: RunStore, options: argparse.Namespace) -> int:
    name, _, when = options.moment.rpartition("@") if "@" in options.moment else (
        options.moment, "", "")  # fmt: skip
    print(snapshot_of(store, store.open(name), read_moment(when) if when else None))
    return 0


def snapshot_of(store: RunStore, run: Run, when: Moment | None = None) -> str:
    """Replay a run to a moment and keep the machine; returns the snapshot's id."""
    replay = open_replay(run, once=True)
    owed = _Owed(replay)
    if when is None and run.going:
        cut(run)
    with progress("going there", replay):
        replay.seek(replay.end if when is None else place(run, replay, when))
    stage = replay.stage
    assert isinstance(stage, WasmtimeStage)
    if replay.ordered:
        stage.settle()
    report = stage.port.report()
    beside = owed.beside(run, report.now_ns)
    taken = Snapshots(store).take(
        KernelModule(run.kernel), stage.memory, stage.host, report.tick, beside
    )
    return taken.id


class _Owed:
    """Follows a replay: what the guest waits for from its host."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._events = Events(replay.abi)
        self._asked: dict[tuple[str, int], bytes] = {}
        self._ended: set[int] = set()
        replay.on_record = self._record

    def _record(self, tick: int, data: bytes) -> None:
        match self._replay.abi.out_name(data):
            case "CALL":
                self._ended.add(self._replay.abi.structs["out_call"].integer(data, "id"))
            case "BLOCK" | "HOSTFS":
                record = self._events.decode(data)
                if isinstance(record, BlockWanted):
                    self._asked["BLOCK_IN", record.chunk] = data
                elif isinstance(record, HostFs):
                    self._asked["HOSTFS", record.id] = data

    def beside(self, run: Run, now_ns: int) -> Beside:
        """Return what must be known beside the pages, where the replay is."""
        abi, structs = self._replay.abi, self._replay.abi.structs
        calls: list[int] = []
        last, realtime = 0, 0
        if start := started_from(run.entries):
            calls += start["calls"]
            last, harts = start["last_call"], start["harts"]
            realtime = start["realtime_ns"] - start["now_ns"]
            for record in start["owed"]:
                self._record(0, bytes.fromhex(record))
        for entry in run.entries[: self._replay.next]:
            if entry.kind != EVENT:
                continue
            data = entry.data
            match name := abi.event_name(data):
                case "BOOT":
                    boot = structs["event_boot"].integers(data)
                    harts, realtime = boot["harts"], boot["realtime_ns"]
                case "CLOCK":
                    realtime += structs["event_clock"].integer(data, "suspend_ns")
                case "CALL":
                    calls.append(structs["event_call"].integer(data, "id"))
                case "BLOCK_IN":
                    chunk = structs["event_block"].integer(data, "chunk")
                    self._asked.pop((name, chunk), None)
                case "HOSTFS":
                    id = structs["event_hostfs"].integer(data, "id")
                    self._asked.pop((name, id), None)
        if not (last := max([last, *calls])):
            raise EbbError("the machine has not booted at this tick")
        return Beside(
            ram=self._replay.ram,
            harts=1 if self._replay.ordered else harts,
            now_ns=now_ns,
            realtime_ns=realtime + now_ns,
            image=run.about.get("image"),
            last_call=last,
            calls=tuple(id for id in calls if id not in self._ended),
            owed=tuple(data.hex() for data in self._asked.values()),
            run=run.id,
        )


def list_snapshots(store: RunStore, options: argparse.Namespace) -> int:
    """List them, the newest first."""
    rows = Snapshots(store).rows()
    if options.output == "json":
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    print(f"{'ID':64}  {'CREATED':19}  {'MEMORY':>7}  {'TICK':>12}  RUN")
    for row in rows:
        beside = Beside.of(row)
        memory = f"{beside.ram >> 20}M"
        run = f"{beside.run or ''}"
        print(f"{row.id}  {moment(row.created)}  {memory:>7}  {row.tick:>12}  {run}")
    return 0


def _verify(store: RunStore, options: argparse.Namespace) -> int:
    snapshots = Snapshots(store)
    for name in options.ids:
        found = snapshots.find(name)
        print(f"{found.id}: {snapshots.check(found)} pages, all have their hashes")
    return 0


def _remove(store: RunStore, options: argparse.Namespace) -> int:
    snapshots = Snapshots(store)
    snapshots.remove([snapshots.find(name).id for name in options.ids])
    return 0


def _export(store: RunStore, options: argparse.Namespace) -> int:
    snapshots = Snapshots(store)
    with new_file(options.file, over=options.force) as file:
        snapshots.save(snapshots.find(options.id), file)
    return 0


def _import(store: RunStore, options: argparse.Namespace) -> int:
    print(Snapshots(store).load(Path(options.file).read_bytes()).id)
    return 0


_ACTIONS = {
    "create": _create,
    "list": list_snapshots,
    "verify": _verify,
    "rm": _remove,
    "export": _export,
    "import": _import,
}
