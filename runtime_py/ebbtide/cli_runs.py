"""The commands about the store of runs: list, describe, keep, drop, write to a file, take from one."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from .abi import Abi
from .cli_output import need_folder, new_file
from .errors import EbbError
from .recording import DIGEST, END, EVENT, META, ORDER, OUTPUT, PAGES, PROGRAM, Written
from .rewind.bundle import Bundle, write_bundle
from .rewind.store import Run, RunRow, RunStore
from .rewind.tape import StoredEntry, TapeDamaged

_KINDS = {
    DIGEST: "DIGEST",
    OUTPUT: "OUTPUT",
    META: "META",
    END: "END",
    PAGES: "PAGES",
    ORDER: "ORDER",
    PROGRAM: "PROGRAM",
}


def _get(store: RunStore, options: argparse.Namespace) -> int:
    if options.what == "snapshots":
        from .cli_snapshot import list_snapshots

        return list_snapshots(store, options)
    rows = store.rows()
    if options.output == "json":
        print(json.dumps([_row(row) for row in rows], indent=1))
        return 0
    print(f"{'ID':36}  {'STARTED':19}  {'EXIT':>7}  {'BYTES':>9}  COMMAND")
    for row in rows:
        code = _outcome(row) + (" pinned" if row.pinned else "")
        print(
            f"{row.id:36}  {moment(row.started)}  {code:>7}  {row.bytes:>9}  {command(row.about)}"
        )
    return 0


def command(about: dict[str, Any]) -> str:
    """Return what was run, as a shell takes it; of a machine that ran several, the first."""
    more = about.get("programs", 1) - 1
    return shlex.join(about.get("args", ())) + (f" (and {more} more)" if more > 0 else "")


def _row(row: RunRow) -> dict[str, Any]:
    return asdict(row)


def _outcome(row: RunRow) -> str:
    if row.state != "ended":
        return row.state
    return "" if row.exit_code is None else str(row.exit_code)


def moment(when: float) -> str:
    """Return a time as it is shown."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def _describe(store: RunStore, options: argparse.Namespace) -> int:
    run = store.open(options.run)
    kept = store.checkpoints(run.id) if run.row else (0, 0)
    known = describe(run, _abi(run), *kept)
    if options.output == "json":
        print(json.dumps(known, indent=1))
        return 0
    for name, value in _shown(known).items():
        print(f"{name.replace('_', ' '):12} {value}".rstrip())
    print(f"\n{'KIND':10} {'COUNT':>8} {'TAPE BYTES':>12} {'OBJECT BYTES':>13}")
    kinds = sorted(known["kinds"].items(), key=lambda item: -item[1]["tape_bytes"])
    for name, one in kinds:
        print(f"{name:10} {one['count']:>8} {one['tape_bytes']:>12} {one['object_bytes']:>13}")
    return 0


def _shown(known: dict[str, Any]) -> dict[str, str]:
    """Return a description as people read it: what is not so is left out."""
    rows = {
        name: value for name, value in known.items() if name not in ("args", "programs", "kinds")
    }
    if why := rows.pop("why_cut"):
        rows["state"] += f": {why}"
    if hash := rows.pop("image_hash"):
        rows["image"] += f" {hash}"
    if known["chaos"] is None:
        for name in ("chaos", "seed", "injected"):
            del rows[name]
    else:
        done = (f"{kind} {count}" for kind, count in (known["injected"] or {}).items())
        rows["injected"] = ", ".join(done) or "not known"
    if before := rows.pop("goes_on_from"):
        rows["goes_on_from"] = before.get("snapshot") or f"{before['run']}@{before['tick']}"
    rows["started"] = None if known["started"] is None else moment(known["started"])
    rows["checkpoints"] = f"{known['checkpoints']['count']} ({known['checkpoints']['bytes']} bytes)"
    words = {None: "", False: "no", True: "yes"}
    return {
        name: words[value] if value is None or value is True or value is False else str(value)
        for name, value in rows.items()
    }


def _abi(run: Run) -> Abi:
    from .wasmtime_kernel import KernelModule

    return KernelModule(run.kernel).abi


def describe(run: Run, abi: Abi, checkpoints: int = 0, kept: int = 0) -> dict[str, Any]:
    """Return what is known of a run, always by these names (docs/rewind.md); sizes are those before packing."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    objects: Counter[str] = Counter()
    for entry, size, beside in run.reader.sizes():
        name = kind_name(abi, entry)
        counts[name] += 1
        sizes[name] += size
        objects[name] += beside
    about, leaves = run.about, run.reader.leaves
    state = "ended" if run.end else "running" if run.going else "cut"
    return {
        "id": run.id,
        "command": command(run.known),
        "args": run.known.get("args", []),
        "programs": run.known.get("programs", 1 if run.known.get("args") else 0),
        "state": state,
        "why_cut": run.why_cut or None if state == "cut" else None,
        "exit_code": run.exit_code,
        "started": about.get("started"),
        "pinned": bool(run.row and run.row.pinned),
        "redacted": bool(about.get("redacted")),
        "goes_on_from": _before(about["start"]) if "start" in about else None,
        "chaos": about.get("chaos"),
        "seed": about.get("seed"),
        "injected": (run.end or {}).get("injected"),
        "image": about.get("image"),
        "image_hash": about.get("image_hash"),
        "kernel": run.reader.header.kernel.hex(),
        "harts": _harts(run, abi),
        "entries": len(run.entries),
        "ticks": run.entries[-1].tick if run.entries else 0,
        "bytes": leaves[-1].end if leaves else 0,
        "leaves": len(leaves),
        "head": run.reader.head().hex(),
        "signatures": len(run.signatures),
        "checkpoints": {"count": checkpoints, "bytes": kept},
        "kinds": {
            name: {
                "count": counts[name],
                "tape_bytes": sizes[name],
                "object_bytes": objects[name],
            }
            for name in counts
        },
    }


def _harts(run: Run, abi: Abi) -> int | None:
    """Return how many processors ran it; None if it was killed before it began."""
    if known := run.about.get("harts"):
        return int(known)
    for entry in run.entries:
        if entry.kind == EVENT and abi.event_name(entry.head) == "BOOT":
            return abi.structs["event_boot"].integer(entry.head, "harts")
    return None


def _before(start: dict[str, Any]) -> dict[str, Any]:
    """Name the machine that a run goes on from: a snapshot, or a moment of another run."""
    if start.get("snapshot"):
        return {"snapshot": start["snapshot"]}
    return {"run": start.get("run"), "tick": start["tick"]}


def kind_name(abi: Abi, entry: Written) -> str:
    """Return what kind of entry it is, or of event."""
    if entry.kind != EVENT:
        return _KINDS.get(entry.kind, str(entry.kind))
    data = entry.head if isinstance(entry, StoredEntry) else entry.data
    return abi.event_name(data) or "?"


def bundle_run(run: Run, file: IO[bytes], *, redacted: bool = False) -> None:
    """Write a run with all it takes to replay it elsewhere."""
    about, row = run.about, run.row
    info: dict[str, Any] = {
        "id": run.id,
        "started": row.started if row else about.get("started", 0.0),
        "ended": row.ended if row else None,
        "exit_code": run.exit_code,
        "about": {name: value for name, value in run.known.items() if name != "mounts"},
    }
    tape, signatures = run.reader.data, run.signatures
    stored = {entry.hash: entry for entry in run.entries if isinstance(entry, StoredEntry)}
    objects = {hash: stored[hash].tail() for hash in sorted(stored)}
    if redacted:
        from .rewind.redact import redact

        tape, objects = redact(run, _abi(run))
        signatures = ()
        info["redacted"] = True
    if run.early or run.going:
        info["early"] = True
    write_bundle(file, info, run.kernel.read_bytes(), tape, objects.values(), signatures)


def _export(store: RunStore, options: argparse.Namespace) -> int:
    need_folder(options.file)
    run = store.open(options.run)
    with new_file(options.file, over=options.force) as file:
        bundle_run(run, file, redacted=options.redact)
    if run.going:
        print(f"ebb: {options.file} has what was recorded so far; the run goes on", file=sys.stderr)
    if options.redact:
        print(f"ebb: {options.file} is redacted; it no longer replays", file=sys.stderr)
    return 0


def _import(store: RunStore, options: argparse.Namespace) -> int:
    try:
        id = store.add(Bundle(Path(options.file).read_bytes()))
    except TapeDamaged as error:
        raise TapeDamaged(f"{options.file}: {error}") from None
    print(id)
    return 0


def _pin(store: RunStore, options: argparse.Namespace) -> int:
    for id in [store.find(name) for name in options.runs]:
        store.pin(id, options.command == "pin")
    return 0


def _remove(store: RunStore, options: argparse.Namespace) -> int:
    ids = {store.find(name) for name in options.runs}
    pinned = [row.id for row in store.rows() if row.pinned and row.id in ids]
    if pinned and not options.force and not options.checkpoints:
        raise EbbError(
            f"{', '.join(pinned)} is pinned, and nothing was removed; `ebb unpin` lets it go, "
            "--force removes it as it is"
        )
    if options.older_than is not None:
        before = time.time() - options.older_than
        ids |= {
            row.id
            for row in store.rows()
            if row.started < before and row.state != "running" and not row.pinned
        }
    elif not ids:
        raise EbbError("which runs? Name them, or give --older-than")
    if options.checkpoints:
        store.drop_checkpoints(ids)
    else:
        store.remove(sorted(ids))
    return 0


COMMANDS = {
    "get": _get,
    "describe": _describe,
    "export": _export,
    "import": _import,
    "pin": _pin,
    "unpin": _pin,
    "rm": _remove,
}
