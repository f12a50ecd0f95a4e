"""Checkpoints that outlive the replay that made them, so that a run is gone through only once: what was
found on the way, and machines from which any moment is near.

    runs/runs.db    scanned: what was found in a run; checkpoint: machines of it, their pages as those of
                    snapshots

They can be made anew at any time: they go with their run, and before any run when there is no room.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .output import OutputHash, Streams
from .replay import Checkpoint
from .snapshots import BLOCK, NODE, PAGE, ZERO, SnapshotStore
from .stage import Pages
from .tape import TapeDamaged
from .timeline import Ending, Start, Timeline

if TYPE_CHECKING:
    from .store import Run, RunStore

PIECE = BLOCK * PAGE
KEPT_MOST = 64  # of a run
KEPT_BYTES = 256 << 20  # of a run, about
READ_MOST = 8  # machines that are in memory at once


class PieceTracker:
    """Machines as a replay holds them, one after the other; pieces that they share are hashed once."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._known: dict[int, tuple[bytes, bytes]] = {}  # by identity: the piece, its hashes
        self._pieces: Mapping[int, bytes] = {}
        self.pages = 0

    def look(self, pieces: Mapping[int, bytes]) -> None:
        """Take the next machine."""
        self._pieces = pieces
        end = max((at + len(piece) for at, piece in pieces.items()), default=self._base)
        self.pages = (end - self._base) // PAGE
        for piece in pieces.values():
            if id(piece) not in self._known:
                self._known[id(piece)] = (
                    piece,
                    b"".join(
                        hashlib.sha256(piece[at : at + PAGE]).digest()
                        for at in range(0, len(piece), PAGE)
                    ),
                )

    def hashes(self, node: int) -> bytes:
        """Return the hashes of a node's pages."""
        first, count = node * NODE, min(NODE, self.pages - node * NODE)
        found = []
        for page in range(first, first + count, BLOCK):
            piece = self._pieces.get(self._base + page * PAGE)
            part = self._known[id(piece)][1] if piece is not None else ZERO * BLOCK
            found.append(part.ljust(BLOCK * 32, b"\0") if len(part) < BLOCK * 32 else part)
        return b"".join(found)[: count * 32]

    def page(self, number: int) -> bytes:
        """Return a page."""
        piece = self._pieces[self._base + number // BLOCK * PIECE]
        return piece[number % BLOCK * PAGE :][:PAGE]


class KeptPieces(Mapping[int, bytes]):
    """A machine's pieces, read when they are wanted; `read` are those that were last."""

    def __init__(
        self,
        snapshots: SnapshotStore,
        base: int,
        pages: int,
        nodes: bytes,
        read: deque[KeptPieces],
    ) -> None:
        self._snapshots = snapshots
        self._last = read
        self._base, self._pages, self._nodes = base, pages, nodes
        self._read: dict[int, bytes] | None = None

    @property
    def _pieces(self) -> dict[int, bytes]:
        if self._read is None:
            self._read = self._load()
            self._last.append(self)
            if len(self._last) > READ_MOST:
                self._last.popleft()._read = None
        return self._read

    @property
    def read(self) -> bool:
        """Whether they are in memory."""
        return self._read is not None

    def _load(self) -> dict[int, bytes]:
        wanted: set[int] = set()
        size = self._pages * PAGE
        with mmap.mmap(-1, max(size, PAGE)) as memory, memoryview(memory) as view:

            def room(first: int, number: int) -> memoryview:
                wanted.update(range(first // BLOCK, (first + number - 1) // BLOCK + 1))
                return view[first * PAGE : (first + number) * PAGE]

            try:
                self._snapshots.copy_nodes(self._nodes, room)
            except TapeDamaged as error:
                raise TapeDamaged(
                    f"what was kept of the run has been dropped, or is damaged ({error}); open it again"
                ) from None
            return {
                self._base + number * PIECE: bytes(view[number * PIECE : (number + 1) * PIECE])
                for number in sorted(wanted)
            }

    def __getitem__(self, at: int) -> bytes:
        return self._pieces[at]

    def __iter__(self) -> Iterator[int]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


class KeptCheckpoints:
    """Those of a store."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._snapshots = SnapshotStore(store)

    def take(self, run: Run, timeline: Timeline) -> bool:
        """Give a timeline what is kept of its run; False: nothing is."""
        database = self._store.database
        row = database.execute(
            "SELECT head, found FROM scanned WHERE run = ?", (run.id,)
        ).fetchone()
        if run.row is None or row is None or row[0] != run.reader.head():
            return False
        found = json.loads(row[1])
        timeline.endings = [Ending(**one) for one in found["endings"]]
        timeline.starts = [Start(**one) for one in found["starts"]]
        replay = timeline.replay
        base = replay.abi.const["MACHINE_BASE"]
        read: deque[KeptPieces] = deque()
        for tick, pages, nodes, about in database.execute(
            "SELECT tick, pages, nodes, about FROM checkpoint WHERE run = ? ORDER BY tick",
            (run.id,),
        ):
            known = json.loads(about)
            replay.checkpoints.append(
                Checkpoint(
                    tick,
                    known["next"],
                    Pages(KeptPieces(self._snapshots, base, pages, nodes, read), stored=True),
                    OutputHash.unknown(replay.abi, known["records"]),
                    Streams.of(replay.abi, known["streams"]),
                    bytes.fromhex(known["place"]) if "place" in known else None,
                    known.get("now_ns", 0),
                )
            )
        return True

    def keep(self, run: Run, timeline: Timeline) -> None:
        """Keep what a timeline has found and made, if its run has ended and is of this store."""
        if run.row is None or run.end is None:
            return
        self.drop([run.id])
        replay, database = timeline.replay, self._store.database
        tracker = PieceTracker(replay.abi.const["MACHINE_BASE"])
        with self._store.transaction():
            for one in _chosen([one for one in replay.checkpoints if one.tick > replay.begin]):
                tracker.look(one.pages.pieces)
                nodes, size = self._snapshots.keep_nodes(tracker, tracker.pages)
                about = {
                    "next": one.next, "records": one.output.count, "streams": one.streams.state(),
                }  # fmt: skip
                if one.place is not None:
                    about |= {"place": one.place.hex(), "now_ns": one.now_ns}
                row = run.id, one.tick, tracker.pages, nodes, size, json.dumps(about)
                database.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?, ?)", row)
            found: dict[str, Any] = {
                "endings": [asdict(one) for one in timeline.endings],
                "starts": [asdict(one) for one in timeline.starts],
            }
            values = run.id, run.reader.head(), json.dumps(found)
            database.execute("INSERT INTO scanned VALUES (?, ?, ?)", values)

    def drop(self, runs: Iterable[str]) -> None:
        """Drop those of some runs."""
        self._store.drop_checkpoints(runs)


def _chosen(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Choose which to keep: the last ones are where a debugger begins, of the others every n-th."""
    chosen = [one for one in checkpoints if one.pages.pieces]
    while len(chosen) > KEPT_MOST or (len(chosen) > 3 and _size(chosen) > KEPT_BYTES):
        gaps = [
            chosen[at + 1].tick - (chosen[at - 1].tick if at else 0)
            for at in range(len(chosen) - 3)
        ]
        del chosen[gaps.index(min(gaps))]
    return chosen


def _size(checkpoints: Sequence[Checkpoint]) -> int:
    pieces = {id(piece): len(piece) for one in checkpoints for piece in one.pages.pieces.values()}
    return sum(pieces.values())
