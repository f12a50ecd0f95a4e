"""The blob store: files named by the SHA-256 of their bytes.

Rule: a blob appears under its name only when it is complete (written beside, then renamed), and
what is read back is checked. Runs in Pyodide: standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import CorruptBlob, MissingBlob


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock that every process of this machine respects and that dies with its holder."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


class BlobStore:
    """A directory of blobs with a two-digit fan-out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[str] = set()

    def path(self, sha: str) -> Path:
        """Say where the blob of that name lies."""
        return self.root / sha[:2] / sha

    def put(self, data: bytes) -> str:
        """Store bytes and return their name; a blob of that name and size is left as it is."""
        sha = hashlib.sha256(data).hexdigest()
        path = self.path(sha)
        try:
            if path.stat().st_size == len(data):
                return sha
        except FileNotFoundError:
            pass
        if sha[:2] not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(sha[:2])
        draft = path.with_name(f"{sha}.{os.getpid()}.part")
        draft.write_bytes(data)
        draft.replace(path)
        return sha

    def get(self, sha: str) -> bytes:
        """Return a blob's bytes, checked."""
        path = self.path(sha)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise MissingBlob(f"blob {sha} is missing: {path}") from None
        if hashlib.sha256(data).hexdigest() != sha:
            raise CorruptBlob(
                f"blob {sha} is corrupt: {path} has other content. Delete it and build again"
            )
        return data
