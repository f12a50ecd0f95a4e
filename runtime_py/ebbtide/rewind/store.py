"""The store of runs on the host's disk: one SQLite file for what is known of each run and for the
objects that tapes name, one file for each tape, and the kernels that made them.

    runs/runs.db    tables below
    runs/tapes/ID   rewind/tape.py; whoever writes it holds a lock on it
    runs/kernels/SHA256.wasm

What a tape names is noted as used by its run before the tape names it, and what no run uses is
dropped: so several processes may record into a store while another cleans it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import EbbError
from ..meant import meant
from ..recording import END, META, Written
from .bundle import Bundle, Signature, is_bundle
from .snapshots import SCHEMA as SNAPSHOT_SCHEMA
from .snapshots import SnapshotStore
from .tape import Objects, TapeDamaged, TapeReader

if TYPE_CHECKING:
    from .mounted import Mounted

BUSY_S = 10.0
LAST = "last"
KEEP_BYTES = 5 << 30
KEEP_S = 30 * 86400.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL, exit_code INTEGER, kernel TEXT NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0, about TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS run_started ON run (started);
CREATE TABLE IF NOT EXISTS object (hash BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (
    run TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (run, hash)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS used_hash ON used (hash);
CREATE TABLE IF NOT EXISTS signature (
    run TEXT NOT NULL, leaves INTEGER NOT NULL, entries INTEGER NOT NULL, head BLOB NOT NULL,
    time REAL NOT NULL, key BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (run, leaves)
) WITHOUT ROWID;
"""


class RunMissing(EbbError, LookupError):
    """No run has that name."""


class RunBusy(EbbError):
    """A run is still being recorded."""

    code = "run-busy"


@dataclass(frozen=True)
class RunRow:
    """What the store knows of a run without reading its tape; times are seconds since 1970."""

    id: str
    started: float
    ended: float | None
    exit_code: int | None
    bytes: int
    pinned: bool
    about: dict[str, Any]
    kernel: str
    state: str  # "running", "ended", or "cut": its recorder was killed, or could write no more


class StoreObjects(Objects):
    """Objects of a store; each thread has its own. What is put belongs to `run`."""

    def __init__(self, database: sqlite3.Connection, run: str = "") -> None:
        self._database = database
        self._run = run

    def put(self, data: bytes) -> bytes:
        hash = hashlib.sha256(data).digest()
        known = self._database.execute("SELECT 1 FROM object WHERE hash = ?", (hash,)).fetchone()
        if not known:
            row = hash, zlib.compress(data, 1)
            self._database.execute("INSERT OR IGNORE INTO object VALUES (?, ?)", row)
        self._database.execute("INSERT OR IGNORE INTO used VALUES (?, ?)", (self._run, hash))
        return hash

    def get(self, hash: bytes) -> bytes:
        row = self._database.execute("SELECT data FROM object WHERE hash = ?", (hash,)).fetchone()
        if row is None:
            raise TapeDamaged(f"object {hash.hex()} is missing")
        try:
            data = zlib.decompress(row[0])
        except zlib.error as error:
            raise TapeDamaged(f"object {hash.hex()} is damaged: {error}") from None
        if hashlib.sha256(data).digest() != hash:
            raise TapeDamaged(f"object {hash.hex()} is damaged: its bytes have another hash")
        return data


@dataclass
class Run:
    """A run that was opened: its tape, and where its kernel is."""

    id: str
    reader: TapeReader
    entries: list[Written]
    kernel: Path
    row: RunRow | None = None  # of a run that is in the store
    signatures: tuple[Signature, ...] = ()
    early: bool = False  # it was exported while it was still being recorded
    exit_code: int | None = None
    known: dict[str, Any] = field(default_factory=dict)  # what is said of it beside the tape

    @property
    def about(self) -> dict[str, Any]:
        """What the tape says of itself at its beginning."""
        return _json(self.entries[0]) if self.entries and self.entries[0].kind == META else {}

    @property
    def going(self) -> bool:
        """Whether it is still being recorded."""
        return self.end is None and self.row is not None and self.row.state == "running"

    @property
    def why_cut(self) -> str:
        """Why it has no end, as far as it says so itself."""
        early = "it was exported while it was still being recorded" if self.early else ""
        return self.reader.cut or early

    @property
    def mounted(self) -> Mounted:
        """Directories of the host that it saw, if it was recorded into this store."""
        from .mounted import Mounted  # late: only commands that replay ask

        places = self.row.about.get("mounts", ()) if self.row else ()
        ended = self.row.ended if self.row else None
        return Mounted(tuple((guest, host) for guest, host in places), ended or 0.0)

    @property
    def end(self) -> dict[str, Any] | None:
        """What the tape says at its end; None if it was cut short."""
        return _json(self.entries[-1]) if self.entries and self.entries[-1].kind == END else None


def _json(entry: Written) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.data)
    return found


class RunStore:
    """A folder of runs; the connection belongs to the thread that made it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "tapes").mkdir(parents=True, exist_ok=True)
        (root / "kernels").mkdir(exist_ok=True)
        self.database = sqlite3.connect(root / "runs.db", timeout=BUSY_S, isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.database.executescript(_SCHEMA + SNAPSHOT_SCHEMA)
        self.objects = StoreObjects(self.database)

    def close(self) -> None:
        """Let go of the files."""
        self.database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is done inside happen at once or not at all."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.database.in_transaction:  # a full disk has ended it
                self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    # ---- Writing ---------------------------------------------------------------------------------

    def begin(self, id: str, kernel: tuple[str, Path], about: dict[str, Any]) -> BinaryIO:
        """Note that a run begins; returns its tape, to be written and then closed."""
        hash, path = kernel
        code = path.read_bytes()
        with self.transaction():  # who sees the run finds the lock: without it, it was cut short
            self.database.execute(
                "INSERT INTO run (id, started, kernel, about) VALUES (?, ?, ?, ?)",
                (id, time.time(), hash, json.dumps(about)),
            )
            self.keep_kernel(hash, code)
            file = self.tape_path(id).open("xb", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def describe(self, id: str, about: dict[str, Any]) -> None:
        """Keep what is known of a run by now."""
        self.database.execute("UPDATE run SET about = ? WHERE id = ?", (json.dumps(about), id))

    def finish(self, id: str, exit_code: int | None, size: int) -> None:
        """Note how a run ended, and the bytes of its tape."""
        self.database.execute(
            "UPDATE run SET ended = ?, exit_code = ?, bytes = ? WHERE id = ?",
            (time.time(), exit_code, size, id),
        )

    def sign(self, id: str, one: Signature) -> None:
        """Keep a signature of a tape's head."""
        self.database.execute(
            "INSERT OR REPLACE INTO signature VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, one.leaves, one.entries, one.head, one.time, one.key, one.signature),
        )

    def keep_kernel(self, hash: str, code: bytes) -> None:
        """Keep a kernel.wasm that makes a tape."""
        kept = self.kernel_path(hash)
        if not kept.exists():
            with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
                file.write(code)
            os.replace(file.name, kept)

    def add(self, bundle: Bundle) -> str:
        """Keep an exported run; returns its id."""
        info = bundle.info
        row = info["id"], info["started"], info["ended"], info["exit_code"], bundle.kernel_hash
        with self.transaction():
            about = {**info["about"], **bundle.marks}
            about.pop("mounts", None)  # of another computer
            size = len(bundle.tape), json.dumps(about)
            try:
                self.database.execute(
                    "INSERT INTO run (id, started, ended, exit_code, kernel, bytes, about) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*row, *size),
                )
            except sqlite3.IntegrityError:
                raise EbbError(self._there(info["id"])) from None
            objects = StoreObjects(self.database, info["id"])
            for hash in bundle.objects:
                objects.put(bundle.get(hash))
            for one in bundle.signatures:
                self.sign(info["id"], one)
            self.keep_kernel(bundle.kernel_hash, bundle.kernel())
            self.tape_path(info["id"]).write_bytes(bundle.tape)
        return str(info["id"])

    def _there(self, id: str) -> str:
        about = next((row.about for row in self.rows() if row.id == id), {})
        marks = {"redacted": "redacted", "early": "as it was while it was recorded"}
        how = " and ".join(what for mark, what in marks.items() if about.get(mark))
        said = f"run {id} is in the store already" + (f", {how}" if how else "")
        return f"{said}; to take this one in its place, remove that one first: ebb rm {id}"

    # ---- Dropping --------------------------------------------------------------------------------

    def pin(self, id: str, on: bool) -> None:
        """Keep a run whatever its age, or no longer so."""
        self.database.execute("UPDATE run SET pinned = ? WHERE id = ?", (on, id))

    def remove(self, ids: Iterable[str]) -> None:
        """Drop runs and what only they use; raises RunBusy for one that is being recorded."""
        ids = list(ids)
        for id in ids:
            if self._locked(id):
                raise RunBusy(f"run {id} is still being recorded")
        with self.transaction():
            for id in ids:
                self.database.execute("DELETE FROM run WHERE id = ?", (id,))
                self.database.execute("DELETE FROM used WHERE run = ?", (id,))
                self.database.execute("DELETE FROM signature WHERE run = ?", (id,))
        self.drop_checkpoints(ids)
        self.collect()

    def drop_checkpoints(self, runs: Iterable[str]) -> None:
        """Drop what going through runs has left (rewind/checkpoints.py)."""
        there = {run for (run,) in self.database.execute("SELECT run FROM scanned")}
        if old := there & set(runs):
            SnapshotStore(self).remove((), old)

    def checkpoints(self, run: str) -> tuple[int, int]:
        """Return how many checkpoints of a run are kept, and their bytes."""
        count = "SELECT COUNT(*), TOTAL(bytes) FROM checkpoint WHERE run = ?"
        number, size = self.database.execute(count, (run,)).fetchone()
        return number, int(size)

    def collect(self) -> None:
        """Drop what no run uses: objects, kernels, tapes."""
        with self.transaction():
            self.database.execute("DELETE FROM object WHERE hash NOT IN (SELECT hash FROM used)")
            rows = list(self.database.execute("SELECT id, kernel FROM run"))
            rows += self.database.execute("SELECT id, kernel FROM snapshot")
            kept = {id for id, _ in rows} | {f"{kernel}.wasm" for _, kernel in rows}
            for folder in ("tapes", "kernels"):
                for path in (self.root / folder).iterdir():
                    if path.name not in kept:
                        path.unlink(missing_ok=True)

    def retain(self, most: int = KEEP_BYTES, age_s: float = KEEP_S) -> list[str]:
        """Drop the oldest runs while there are too many bytes, and those too old, but no pinned one;
        returns which. What can be made again goes first: checkpoints.
        """
        size = self.size()
        if size > most:
            left = self.database.execute(
                "SELECT run, TOTAL(checkpoint.bytes) FROM checkpoint JOIN run ON run.id = run "
                "GROUP BY run ORDER BY started"
            ).fetchall()
            while left and size > most:
                run, bytes = left.pop(0)
                self.drop_checkpoints([run])
                size -= bytes
        old = self.database.execute(
            "SELECT id, started, bytes FROM run WHERE NOT pinned AND ended IS NOT NULL "
            "ORDER BY started"
        )
        dropped: list[str] = []
        for id, started, bytes in old.fetchall():
            if size <= most and started > time.time() - age_s:
                break
            objects = self.database.execute(
                "SELECT SUM(LENGTH(data)) FROM object WHERE hash IN (SELECT hash FROM used "
                "WHERE run = ?1 EXCEPT SELECT hash FROM used WHERE run != ?1)",
                (id,),
            ).fetchone()[0]
            size -= bytes + (objects or 0)
            dropped.append(id)
        if dropped:
            self.remove(dropped)
        return dropped

    def size(self) -> int:
        """Return how many bytes the runs take on the disk, about."""
        pages, free, page, tapes, checkpoints = (
            self.database.execute(text).fetchone()[0]
            for text in ("PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA page_size",
                         "SELECT TOTAL(bytes) FROM run", "SELECT TOTAL(bytes) FROM checkpoint")
        )  # fmt: skip
        return int((pages - free) * page + tapes + checkpoints)

    def _locked(self, id: str) -> bool:
        """Tell whether somebody writes a run's tape."""
        try:
            with self.tape_path(id).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    # ---- Places ----------------------------------------------------------------------------------

    def tape_path(self, id: str) -> Path:
        """Where a run's tape is."""
        return self.root / "tapes" / id

    def kernel_path(self, hash: str) -> Path:
        """Where a kernel is."""
        return self.root / "kernels" / f"{hash}.wasm"

    # ---- Reading ---------------------------------------------------------------------------------

    def rows(self) -> list[RunRow]:
        """List the runs, the newest first."""
        names = "id, started, ended, exit_code, bytes, pinned, about, kernel"
        found = self.database.execute(f"SELECT {names} FROM run ORDER BY started DESC, rowid DESC")
        return [self._row(*row) for row in found.fetchall()]

    def _row(
        self, id: str, started: float, ended: float | None, code: int | None, size: int,
        pinned: int, about: str, kernel: str,
    ) -> RunRow:  # fmt: skip
        state = "ended"
        if ended is None:
            state = "running" if self._locked(id) else "cut"
        if state == "cut":  # or it has ended since its row was read
            now = "SELECT ended, exit_code, bytes FROM run WHERE id = ?"
            ended, code, size = self.database.execute(now, (id,)).fetchone() or (None, code, size)
            state = "cut" if ended is None else "ended"
        if ended is None:
            with contextlib.suppress(FileNotFoundError):
                size = self.tape_path(id).stat().st_size
        return RunRow(
            id, started, ended, code, size, bool(pinned), json.loads(about), kernel, state
        )

    def find(self, name: str) -> str:
        """Return the id that a name means: an id, its beginning, or "last"; or raise RunMissing."""
        ids = [row.id for row in self.rows()]
        if name == LAST and ids:
            return ids[0]
        found = [id for id in ids if id.startswith(name)] if name else []
        if len(found) > 1 and name not in found:
            raise RunMissing(f"{name} begins the ids of {len(found)} runs; give more of it")
        if not found:
            hint = meant(name, (LAST,))
            raise RunMissing(
                f"there is no run {name or repr(name)}; {hint or '`ebb get runs` lists them'}"
                if ids
                else "nothing has been recorded yet; `ebb run -- PROGRAM` records"
            )
        return name if name in found else found[0]

    def open(self, name: str) -> Run:
        """Open a run by any of its names, or an exported one by its path."""
        if name != LAST and is_bundle(path := Path(name)):
            return self._exported(path)
        try:
            id = self.find(name)
        except RunMissing:
            if name != LAST and path.is_file():
                raise RunMissing(f"{name} is neither a run nor an exported one") from None
            raise
        row = next(row for row in self.rows() if row.id == id)
        try:
            data = self.tape_path(id).read_bytes()
        except FileNotFoundError:
            if row.ended is not None:
                raise TapeDamaged(f"the tape of run {id} is missing") from None
            data = b""  # killed before it began
        reader = TapeReader(data, self.objects)
        if reader.leaves and reader.header.run_id != uuid.UUID(id).bytes:
            raise TapeDamaged(f"the tape of run {id} is that of another run")
        return Run(id, reader, list(reader.entries()), self._kernel(row.kernel), row,
                   self.signatures(id), bool(row.about.get("early")), row.exit_code,
                   row.about)  # fmt: skip

    def signatures(self, id: str) -> tuple[Signature, ...]:
        """Return the signatures of a tape's heads, in the order of the tape."""
        names = "leaves, entries, head, time, key, signature"
        found = self.database.execute(
            f"SELECT {names} FROM signature WHERE run = ? ORDER BY leaves", (id,)
        )
        return tuple(Signature(*row) for row in found)

    def _exported(self, path: Path) -> Run:
        bundle = Bundle(path.read_bytes())
        self.keep_kernel(bundle.kernel_hash, bundle.kernel())
        reader = TapeReader(bundle.tape, bundle)
        kernel = self._kernel(bundle.kernel_hash)
        return Run(bundle.info["id"], reader, list(reader.entries()), kernel, None,
                   bundle.signatures, bool(bundle.info.get("early")), bundle.info["exit_code"],
                   bundle.info["about"])  # fmt: skip

    def _kernel(self, hash: str) -> Path:
        path = self.kernel_path(hash)
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            raise TapeDamaged(f"the kernel {hash} is missing") from None
        if found != hash:
            raise TapeDamaged(f"the kernel {hash} is damaged: its bytes have another hash")
        return path


def new_id() -> str:
    """Return a new run's id."""
    return str(uuid.uuid4())
