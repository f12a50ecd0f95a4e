"""Which command is in which image, for the hint beside "command not found".

Rule: the committed tables (lists/<image>.commands) answer without any image being built; they are
what `ebb image commands NAME` prints of a built one. Runs in Pyodide: standard library only.
"""

from __future__ import annotations

import stat
from pathlib import Path

from .index import Entry, Index

LISTS = Path(__file__).parent / "lists"
DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")


def commands(index: Index) -> list[str]:
    """Return the names in the directories of PATH that lead to an executable file."""
    at = dict(index.walk())
    found: set[str] = set()
    for path, entry in at.items():
        head, _, name = path.rpartition("/")
        if head in DIRECTORIES and _executable(at, path, entry):
            found.add(name)
    return sorted(found)


def _executable(at: dict[str, Entry], path: str, entry: Entry) -> bool:
    for _ in range(40):
        if not stat.S_ISLNK(entry.mode):
            return stat.S_ISREG(entry.mode) and bool(entry.mode & 0o111)
        path = _real(at, path.rpartition("/")[0], entry.target.decode("utf-8", "surrogateescape"))
        if path not in at:
            return False
        entry = at[path]
    return False


def _real(at: dict[str, Entry], head: str, target: str) -> str:
    """Resolve the directories of a link target; its last part stays a link."""
    parts = [] if target.startswith("/") else head.strip("/").split("/")
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    first = at.get("/" + parts[0]) if parts else None
    if first is not None and stat.S_ISLNK(first.mode):  # /bin -> usr/bin and its like
        parts[:1] = first.target.decode().strip("/").split("/")
    return "/" + "/".join(parts)


def images_with(command: str, lists: Path = LISTS) -> list[str]:
    """Return the known images that have a command."""
    return [
        path.stem
        for path in sorted(lists.glob("*.commands"))
        if command in path.read_text("utf-8").split()
    ]
