"""A tape without what its user may not want to show: a new tape, with the same entries at the same
ticks, in which bytes of agent calls, of environments and of the host's directories are zero.

Chunks of the image stay, and where there are paths and arguments these stay too.
"""

from __future__ import annotations

import io
import json

from ..abi import Abi
from ..recording import EVENT, META, PAGES, PROGRAM, Entry, Program, Written, without_drawn
from .store import Run
from .tape import Header, TapeWriter, event_heads

_SHOWN = ("openat", "newfstatat", "readlinkat", "unlinkat", "mkdirat", "chdir")  # only paths


class _Kept(dict[bytes, bytes]):
    """Objects of the new tape."""

    def put(self, data: bytes) -> bytes:
        import hashlib

        self[hash := hashlib.sha256(data).digest()] = data
        return hash

    def get(self, hash: bytes) -> bytes:  # type: ignore[override]
        return self[hash]


def redact(run: Run, abi: Abi) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the new tape and its objects."""
    file, objects = io.BytesIO(), _Kept()
    old = run.reader.header
    writer = TapeWriter(file, Header(old.run_id, old.kernel, old.parent), objects, event_heads(abi))
    for entry in run.entries:
        writer.append(_redacted(abi, entry))
    writer.flush()
    return file.getvalue(), dict(objects)


def _redacted(abi: Abi, entry: Written) -> Entry:
    data = entry.data
    if entry.kind == META:
        data = json.dumps({**without_drawn(json.loads(data)), "redacted": True}).encode()
    elif entry.kind == PAGES:
        data = _blank(data, 4)  # all that the machine knew
    elif entry.kind == PROGRAM:
        data = entry.head[: Program.size(entry.head)]
    elif entry.kind == EVENT:
        match abi.event_name(data):
            case "CALL":
                data = _call(abi, data)
            case "HOSTFS":
                data = _blank(data, abi.structs["event_hostfs"].size)
    return Entry(entry.kind, entry.tick, data)


def _blank(data: bytes, begin: int, end: int | None = None) -> bytes:
    end = len(data) if end is None else end
    return data[:begin] + bytes(end - begin) + data[end:]


def _call(abi: Abi, data: bytes) -> bytes:
    call = abi.structs["event_call"]
    nr = call.integer(data, "nr")
    if nr == abi.nr["SPAWN"]:
        spawn = abi.structs["spawn"]
        words = spawn.integers(data[call.size :])
        return _blank(data, call.size + words["envp_off"], call.size + words["cwd_off"])
    if nr in {abi.nr[name] for name in _SHOWN if name in abi.nr}:
        return data
    return _blank(data, call.size)
