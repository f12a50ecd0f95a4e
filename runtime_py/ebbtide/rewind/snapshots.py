"""Machines as they were at a moment: pages of 4 KiB, each kept once, named by their SHA-256.

    runs/pages      the pages themselves, one after the other; the first is zero
    runs/runs.db    page: where each lies; hole: places that are free again;
                    node: hashes and places of 512 pages; snapshot: its nodes, and what it is of;
                    scanned, checkpoint: rewind/checkpoints.py

A snapshot's id is the hash over its kernel, its extent and its nodes' hashes: two levels, so machines
that differ little share nearly all. Pages are copied or mapped, not hashed, on the way back;
`SnapshotStore.check` hashes them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import sqlite3
import struct
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from ..errors import EbbError
from .tape import TapeDamaged

if TYPE_CHECKING:
    from .store import RunStore

PAGE = 4096
NODE = 512  # pages
BLOCK = 16  # pages that are compared at once
PLACED = 16  # pages in a row: fewer are read at once
ZERO = hashlib.sha256(bytes(PAGE)).digest()
_NO_NODE = bytes(32)  # 512 pages of zeros
_ROOT = struct.Struct("<8s32sIIIQ")
SCHEMA = """
CREATE TABLE IF NOT EXISTS page (hash BLOB PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hole (place INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS node (
    hash BLOB PRIMARY KEY, hashes BLOB NOT NULL, places BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (
    id TEXT PRIMARY KEY, created REAL NOT NULL, kernel TEXT NOT NULL, heap INTEGER NOT NULL,
    low INTEGER NOT NULL, pages INTEGER NOT NULL, tick INTEGER NOT NULL, nodes BLOB NOT NULL,
    about TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS scanned (run TEXT PRIMARY KEY, head BLOB NOT NULL, found TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS checkpoint (
    run TEXT NOT NULL, tick INTEGER NOT NULL, pages INTEGER NOT NULL, nodes BLOB NOT NULL,
    bytes INTEGER NOT NULL, about TEXT NOT NULL, PRIMARY KEY (run, tick)
);
"""


Room = Callable[[int, int], memoryview]  # place for so many pages from a number on
# Whether so many pages from a number on are had from a part of a file: its descriptor, and where that begins.
Place = Callable[[int, int, int, int], bool]


class SnapshotMissing(EbbError, LookupError):
    """No snapshot has that name."""

    code = "snapshot-missing"


class Memory(Protocol):
    """A machine's memory."""

    bytes: memoryview


@dataclass(frozen=True)
class Extent:
    """The machine pages in use: those of the heap, and the frames from `low` to the end."""

    heap: int
    low: int
    pages: int


@dataclass(frozen=True)
class Snapshot:
    """What the store knows of one; `about` has what it takes to go on from it."""

    id: str
    created: float
    kernel: str
    extent: Extent
    tick: int
    about: dict[str, Any]


class Hashed(Protocol):
    """A machine's pages and their hashes."""

    def hashes(self, node: int) -> bytes: ...
    def page(self, number: int) -> bytes: ...


class Tracker:
    """Follows one machine from snapshot to snapshot, so that only pages that changed are hashed."""

    def __init__(self, memory: Memory, base: int, pages: int) -> None:
        self._memory = memory
        self._base = base
        self._last = mmap.mmap(-1, pages * PAGE)  # takes room as pages are written
        self._hashes = bytearray(ZERO * pages)
        self._nodes: dict[int, bytes] = {}  # hash of each node that did not change since

    def look(self, extent: Extent) -> None:
        """Take the machine's pages as they are now; no hart may be in a step."""
        for begin, end in ((0, extent.heap), (extent.low, extent.pages)):
            self._range(begin, end)

    def _range(self, begin: int, end: int) -> None:
        view, last, base = self._memory.bytes, self._last, self._base
        for first in range(begin, end, BLOCK):
            size = (min(first + BLOCK, end) - first) * PAGE
            at = first * PAGE
            now = view[base + at : base + at + size].tobytes()
            if now != last[at : at + size]:
                self._block(first, now)

    def _block(self, first: int, now: bytes) -> None:
        last = self._last
        for offset in range(0, len(now), PAGE):
            at, data = first * PAGE + offset, now[offset : offset + PAGE]
            if data != last[at : at + PAGE]:
                last[at : at + PAGE] = data
                page = at // PAGE
                self._hashes[page * 32 : page * 32 + 32] = hashlib.sha256(data).digest()
                self._nodes.pop(page // NODE, None)

    def nodes(self, pages: int) -> list[bytes]:
        """Return the hash of each node."""
        for number in range(-(-pages // NODE)):
            if number not in self._nodes:
                hashes = self.hashes(number)
                zero = hashes == ZERO * (len(hashes) // 32)
                self._nodes[number] = _NO_NODE if zero else hashlib.sha256(hashes).digest()
        return [self._nodes[number] for number in range(-(-pages // NODE))]

    def hashes(self, node: int) -> bytes:
        """Return the hashes of a node's pages."""
        return bytes(self._hashes[node * NODE * 32 : (node + 1) * NODE * 32])

    def page(self, number: int) -> bytes:
        """Return a page."""
        return bytes(self._last[number * PAGE : (number + 1) * PAGE])


class SnapshotStore:
    """The snapshots of a store of runs."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._database: sqlite3.Connection = store.database
        self._path = store.root / "pages"

    # ---- Making ----------------------------------------------------------------------------------

    def create(
        self, tracker: Tracker, extent: Extent, kernel: str, tick: int, about: dict[str, Any]
    ) -> Snapshot:
        """Keep what a tracker has looked at."""
        nodes = tracker.nodes(extent.pages)
        id = _root(kernel, extent, tick, b"".join(nodes))
        made = Snapshot(id, time.time(), kernel, extent, tick, about)
        with self._store.transaction():
            self._keep(tracker, nodes)
            self._database.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (id, made.created, kernel, extent.heap, extent.low, extent.pages, tick,
                 b"".join(nodes), json.dumps(about)),
            )  # fmt: skip
        return made

    def keep_nodes(self, tracker: Hashed, pages: int) -> tuple[bytes, int]:
        """Keep a machine that is no snapshot, within a transaction; returns its nodes, and how many
        bytes of pages are new.
        """
        nodes = []
        for number in range(-(-pages // NODE)):
            hashes = tracker.hashes(number)
            zero = hashes == ZERO * (len(hashes) // 32)
            nodes.append(_NO_NODE if zero else hashlib.sha256(hashes).digest())
        return b"".join(nodes), self._keep(tracker, nodes) * PAGE

    def _keep(self, tracker: Hashed, nodes: list[bytes]) -> int:
        wanted = [
            number
            for number, hash in enumerate(nodes)
            if hash != _NO_NODE and not self._first("SELECT 1 FROM node WHERE hash = ?", hash)
        ]
        places: dict[bytes, int] = {ZERO: 0}
        fresh: dict[bytes, int] = {}  # number of a page with this hash
        for number in wanted:
            hashes = tracker.hashes(number)
            for offset in range(len(hashes) // 32):
                hash = hashes[offset * 32 : offset * 32 + 32]
                if hash in places or hash in fresh:
                    continue
                known = self._first("SELECT place FROM page WHERE hash = ?", hash)
                if known is None:
                    fresh[hash] = number * NODE + offset
                else:
                    places[hash] = known
        places |= self._write(tracker, fresh)
        for number in wanted:
            hashes = tracker.hashes(number)
            row = array(
                "I", (places[hashes[at : at + 32]] for at in range(0, len(hashes), 32))
            ).tobytes()
            values = nodes[number], hashes, row
            self._database.execute("INSERT OR REPLACE INTO node VALUES (?, ?, ?)", values)
        return len(fresh)

    def _first(self, query: str, *values: object) -> Any:
        row = self._database.execute(query, values).fetchone()
        return row[0] if row else None

    def _write(self, tracker: Hashed, fresh: dict[bytes, int]) -> dict[bytes, int]:
        """Write pages where there is room, and say where; before whoever names them is committed."""
        if not fresh:
            return {}
        places: dict[bytes, int] = {}
        with self._path.open("a+b") as lock, self._path.open("r+b") as file:
            holes = self._holes(lock, len(fresh))
            end = max(1, file.seek(0, 2) // PAGE)
            for (hash, number), place in zip(
                fresh.items(), (*holes, *range(end, end + len(fresh) - len(holes))), strict=True
            ):
                file.seek(place * PAGE)
                file.write(tracker.page(number))
                places[hash] = place
        self._database.executemany("INSERT INTO page VALUES (?, ?)", places.items())
        return places

    def _holes(self, file: IO[bytes], most: int) -> list[int]:
        """Take places that are free again, if nobody reads: he may have them from one that was dropped since."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        found = self._database.execute("SELECT place FROM hole LIMIT ?", (most,)).fetchall()
        self._database.executemany("DELETE FROM hole WHERE place = ?", found)
        return [place for (place,) in found]

    # ---- Reading ---------------------------------------------------------------------------------

    def rows(self) -> list[Snapshot]:
        """List them, the newest first."""
        names = "id, created, kernel, heap, low, pages, tick, about"
        found = self._database.execute(f"SELECT {names} FROM snapshot ORDER BY created DESC")
        return [
            Snapshot(id, created, kernel, Extent(heap, low, pages), tick, json.loads(about))
            for id, created, kernel, heap, low, pages, tick, about in found
        ]

    def find(self, name: str) -> Snapshot:
        """Return one by its id, the beginning of that, or "last"."""
        every = self.rows()
        if name == "last" and every:
            return every[0]
        found = [one for one in every if name and one.id.startswith(name)]
        if len(found) != 1:
            why = f"{name} begins {len(found)} ids" if found else f"there is no snapshot {name}"
            raise SnapshotMissing(f"{why}; `ebb snapshot list` lists them")
        return found[0]

    def restore(self, snapshot: Snapshot, room: Room, place: Place | None = None) -> None:
        """Read all pages that are not zero, or have them placed."""
        nodes: bytes = self._first("SELECT nodes FROM snapshot WHERE id = ?", snapshot.id)
        if _root(snapshot.kernel, snapshot.extent, snapshot.tick, nodes) != snapshot.id:
            raise TapeDamaged(f"snapshot {snapshot.id} does not have its hash")
        self.copy_nodes(nodes, room, place)

    def copy_nodes(self, nodes: bytes, room: Room, place: Place | None = None) -> None:
        """Do the same with all pages of some nodes."""
        with self._path.open("a+b") as file:
            # Nobody may reuse a place meanwhile: nor while it is mapped, for a mapping keeps the lock of its file.
            fcntl.flock(file, fcntl.LOCK_SH)
            end = os.fstat(file.fileno()).st_size // PAGE
            for number in range(len(nodes) // 32):
                if (hash := nodes[number * 32 : number * 32 + 32]) == _NO_NODE:
                    continue
                for page, first, behind in _runs(number * NODE, self._places(hash)):
                    part = page, behind - first, file.fileno(), first * PAGE
                    row = behind - first >= PLACED and behind <= end
                    if place and row and place(*part):
                        continue
                    target = room(page, behind - first)
                    if os.preadv(file.fileno(), [target], first * PAGE) != len(target):
                        raise TapeDamaged(f"page {page} of a snapshot is missing")

    def _places(self, node: bytes) -> array[int]:
        row = self._database.execute(
            "SELECT hashes, places FROM node WHERE hash = ?", (node,)
        ).fetchone()
        if row is None or hashlib.sha256(row[0]).digest() != node:
            raise TapeDamaged(f"node {node.hex()} of the snapshot is missing or damaged")
        return array("I", row[1])

    def check(self, snapshot: Snapshot) -> int:
        """Hash every page; returns how many are not zero, or raises TapeDamaged for the first that
        is not what it was.
        """
        nodes: bytes = self._first("SELECT nodes FROM snapshot WHERE id = ?", snapshot.id)
        extent = snapshot.extent
        with mmap.mmap(-1, extent.pages * PAGE) as memory, memoryview(memory) as view:
            pages: list[int] = []

            def room(first: int, number: int) -> memoryview:
                pages.extend(range(first, first + number))
                return view[first * PAGE : (first + number) * PAGE]

            self.restore(snapshot, room)
            for page in pages:
                node = nodes[page // NODE * 32 :][:32]
                hashes = self._first("SELECT hashes FROM node WHERE hash = ?", node)
                found = hashlib.sha256(view[page * PAGE : (page + 1) * PAGE]).digest()
                if found != hashes[page % NODE * 32 :][:32]:
                    raise TapeDamaged(f"page {page} of snapshot {snapshot.id} is damaged")
        return len(pages)

    # ---- Dropping --------------------------------------------------------------------------------

    def remove(self, ids: Iterable[str], runs: Iterable[str] = ()) -> None:
        """Drop snapshots, checkpoints of runs, and the pages that only they have."""
        with self._store.transaction():
            self._database.executemany("DELETE FROM snapshot WHERE id = ?", ((id,) for id in ids))
            for run in runs:
                self._database.execute("DELETE FROM checkpoint WHERE run = ?", (run,))
                self._database.execute("DELETE FROM scanned WHERE run = ?", (run,))
            self._collect()

    def _collect(self) -> None:
        live: set[bytes] = set()
        for (nodes,) in self._database.execute(
            "SELECT nodes FROM snapshot UNION ALL SELECT nodes FROM checkpoint"
        ):
            live |= {nodes[at : at + 32] for at in range(0, len(nodes), 32)}
        places: set[int] = set()
        for hash, row in self._database.execute("SELECT hash, places FROM node").fetchall():
            if hash in live:
                places.update(array("I", row))
            else:
                self._database.execute("DELETE FROM node WHERE hash = ?", (hash,))
        for hash, place in self._database.execute("SELECT hash, place FROM page").fetchall():
            if place not in places:
                self._database.execute("DELETE FROM page WHERE hash = ?", (hash,))
                self._database.execute("INSERT INTO hole VALUES (?)", (place,))


def _root(kernel: str, extent: Extent, tick: int, nodes: bytes) -> str:
    head = _ROOT.pack(
        b"ebb-snap", bytes.fromhex(kernel), extent.heap, extent.low, extent.pages, tick
    )
    return hashlib.sha256(head + nodes).hexdigest()


def _runs(first: int, places: array[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the first page, its place and the place behind, of pages that lie one after the other."""
    begin = 0
    for at in range(1, len(places) + 1):
        if at < len(places) and places[at - 1] and places[at] == places[at - 1] + 1:
            continue
        if places[begin]:
            yield first + begin, places[begin], places[at - 1] + 1
        begin = at
