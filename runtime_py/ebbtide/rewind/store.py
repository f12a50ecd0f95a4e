"""The store of runs on the host's disk: one SQLite file for what is known of each run and for the
objects that tapes name, one file for each tape, and the kernels that made them.

    runs/store.db   table run, table object
    runs/tapes/ID   rewind/tape.py
    runs/kernels/SHA256.wasm

Objects are compressed, and dropped when no tape names them any more. Several processes may use a
store at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EbbError
from ..recording import END, META, Written
from .tape import Objects, TapeDamaged, TapeReader

BUSY_S = 10.0
LAST = "last"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL, exit_code INTEGER,
    bytes INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0, about TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS run_started ON run (started);
CREATE TABLE IF NOT EXISTS object (hash BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
"""


class RunMissing(EbbError, LookupError):
    """No run has that name."""


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


class StoreObjects(Objects):
    """Objects of a store; each thread has its own."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def put(self, data: bytes) -> bytes:
        hash = hashlib.sha256(data).digest()
        known = self._database.execute("SELECT 1 FROM object WHERE hash = ?", (hash,)).fetchone()
        if not known:
            row = hash, zlib.compress(data, 1)
            self._database.execute("INSERT OR IGNORE INTO object VALUES (?, ?)", row)
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

    @property
    def about(self) -> dict[str, Any]:
        """What the tape says of itself at its beginning."""
        return _json(self.entries[0]) if self.entries and self.entries[0].kind == META else {}

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
        self.database = sqlite3.connect(root / "store.db", timeout=BUSY_S, isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.database.executescript(_SCHEMA)
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
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    # ---- Writing ---------------------------------------------------------------------------------

    def begin(self, id: str, about: dict[str, Any]) -> None:
        """Note that a run begins."""
        self.database.execute(
            "INSERT INTO run (id, started, about) VALUES (?, ?, ?)",
            (id, time.time(), json.dumps(about)),
        )

    def finish(self, id: str, exit_code: int | None, size: int) -> None:
        """Note how a run ended, and the bytes of its tape."""
        self.database.execute(
            "UPDATE run SET ended = ?, exit_code = ?, bytes = ? WHERE id = ?",
            (time.time(), exit_code, size, id),
        )

    def keep_kernel(self, hash: str, path: Path) -> None:
        """Keep a copy of the kernel.wasm that makes a tape."""
        kept = self.kernel_path(hash)
        if not kept.exists():
            with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
                file.write(path.read_bytes())
            os.replace(file.name, kept)

    def tape_path(self, id: str) -> Path:
        """Where a run's tape is."""
        return self.root / "tapes" / id

    def kernel_path(self, hash: str) -> Path:
        """Where a kernel is."""
        return self.root / "kernels" / f"{hash}.wasm"

    # ---- Reading ---------------------------------------------------------------------------------

    def rows(self) -> list[RunRow]:
        """List the runs, the newest first."""
        names = "id, started, ended, exit_code, bytes, pinned, about"
        found = self.database.execute(f"SELECT {names} FROM run ORDER BY started DESC, rowid DESC")
        return [
            RunRow(id, started, ended, code, size, bool(pinned), json.loads(about))
            for id, started, ended, code, size, pinned, about in found
        ]

    def find(self, name: str) -> str:
        """Return the id that a name means: an id, its beginning, or "last"; or raise RunMissing."""
        ids = [row.id for row in self.rows()]
        if name == LAST and ids:
            return ids[0]
        found = [id for id in ids if id.startswith(name)] if name else []
        if len(found) > 1 and name not in found:
            raise RunMissing(f"{name} begins the ids of {len(found)} runs; give more of it")
        if not found:
            raise RunMissing(
                f"there is no run {name}; `ebb get runs` lists them"
                if ids
                else "nothing has been recorded yet; `ebb run -- PROGRAM` records"
            )
        return name if name in found else found[0]

    def open(self, name: str) -> Run:
        """Open a run by any of its names."""
        id = self.find(name)
        try:
            data = self.tape_path(id).read_bytes()
        except FileNotFoundError:
            raise TapeDamaged(f"the tape of run {id} is missing") from None
        reader = TapeReader(data, self.objects)
        kernel = self.kernel_path(reader.header.kernel.hex())
        return Run(id, reader, list(reader.entries()), kernel)


def new_id() -> str:
    """Return a new run's id."""
    return str(uuid.uuid4())
