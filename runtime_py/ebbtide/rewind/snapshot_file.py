"""A snapshot as one file, the same natively and in a page (sdk/src/worker/snapshot_file.ts).

    file    "EBBS", then parts as an exported run has them (bundle.py)
    INFO    JSON: id, created, kernel, heap, low, pages, tick, about
    KRNL    kernel.wasm
    NODE    u32 number of a node, 64 bytes with a bit for each of its 512 pages, those pages; any number

A page that is in no node is zero. The id is the hash over all of it (snapshots.py), so a file that
was changed has another.
"""

from __future__ import annotations

import json
import mmap
import struct
from typing import IO, Any

from .bundle import BundleWriter, parts_of, read_part
from .snapshots import NODE, PAGE, Extent, Snapshot, SnapshotStore, Tracker
from .tape import TapeDamaged

MAGIC = b"EBBS"
SUFFIX = ".ebbsnap"
INFO, KERNEL, PAGES = b"INFO", b"KRNL", b"NODE"
_NUMBER = struct.Struct("<I")
_BITS = NODE // 8
_ZERO = bytes(PAGE)


class _Room:
    """Memory for the pages of one machine; takes room as pages are written."""

    def __init__(self, pages: int) -> None:
        self._map = mmap.mmap(-1, max(pages, 1) * PAGE)
        self.bytes = memoryview(self._map)

    def close(self) -> None:
        self.bytes.release()
        self._map.close()


def write_snapshot(
    file: IO[bytes], store: SnapshotStore, snapshot: Snapshot, kernel: bytes
) -> None:
    """Write a snapshot of a store to a file."""
    extent = snapshot.extent
    info = {
        "id": snapshot.id,
        "created": snapshot.created,
        "kernel": snapshot.kernel,
        "heap": extent.heap,
        "low": extent.low,
        "pages": extent.pages,
        "tick": snapshot.tick,
        "about": snapshot.about,
    }
    room = _Room(extent.pages)
    writer = BundleWriter(file, MAGIC)
    writer.part(INFO, json.dumps(info).encode())
    writer.part(KERNEL, kernel)
    used: dict[int, list[int]] = {}

    def place(first: int, number: int) -> memoryview:
        for page in range(first, first + number):
            used.setdefault(page // NODE, []).append(page)
        return room.bytes[first * PAGE : (first + number) * PAGE]

    store.restore(snapshot, place)
    for node, pages in sorted(used.items()):
        bits = sum(1 << page % NODE for page in pages).to_bytes(_BITS, "little")
        data = b"".join(bytes(room.bytes[page * PAGE : (page + 1) * PAGE]) for page in pages)
        writer.part(PAGES, _NUMBER.pack(node) + bits + data)
    writer.end()
    room.close()


def read_snapshot(data: bytes, store: SnapshotStore) -> tuple[Snapshot, bytes]:
    """Keep the snapshot of a file; returns it, and its kernel. Raises TapeDamaged."""
    info: dict[str, Any] | None = None
    kernel, room = b"", None
    for kind, part in parts_of(data, MAGIC, "snapshot"):
        found = read_part(data, part)
        if kind == INFO:
            info = json.loads(found)
            room = _Room(info["pages"])
        elif kind == KERNEL:
            if info is None or part.hash.hex() != info["kernel"]:
                raise TapeDamaged("the kernel in the file is not that of the snapshot")
            kernel = found
        elif kind == PAGES and room is not None:
            _put(room, found)
    if info is None or room is None or not kernel:
        raise TapeDamaged("the file lacks what a snapshot needs")
    extent = Extent(info["heap"], info["low"], info["pages"])
    tracker = Tracker(room, 0, extent.pages)
    tracker.look(extent)
    made = store.create(tracker, extent, info["kernel"], info["tick"], info["about"])
    room.close()
    if made.id != info["id"]:
        store.remove([made.id])
        raise TapeDamaged(f"the file's snapshot is {made.id} and not {info['id']}")
    return made, kernel


def _put(room: _Room, found: bytes) -> None:
    (node,) = _NUMBER.unpack_from(found)
    at = _NUMBER.size + _BITS
    bits = int.from_bytes(found[_NUMBER.size : at], "little")
    for number in range(NODE):
        if bits >> number & 1:
            page = node * NODE + number
            room.bytes[page * PAGE : (page + 1) * PAGE] = found[at : at + PAGE]
            at += PAGE
