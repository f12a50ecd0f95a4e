"""Files of the host's directories that a run saw (-v), as it saw them.

Programs stand whole on the tape, each before the first of it was read. All else is there in pieces; while
a file has not changed since the run ended, it is what the run saw last.
"""

from __future__ import annotations

import stat as modes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..filesystem import Stat
from ..recording import PROGRAM, Program, Written


@dataclass(frozen=True)
class Mounted:
    """Those of one run."""

    places: tuple[tuple[str, str], ...] = ()  # the guest's path, the host's
    ended: float = 0.0  # seconds since 1970

    def place(self, path: str) -> Path | None:
        """Return where a guest's file is on the host; None if it is in no such directory."""
        for guest, host in sorted(self.places, key=lambda place: -len(place[0])):
            if path.startswith(guest.rstrip("/") + "/"):
                return Path(host, path[len(guest.rstrip("/")) + 1 :])
        return None

    def find(self, path: str) -> Path | None:
        """Return where a guest's file is; None if it is in no such directory, or has changed."""
        try:
            if there := self.place(path):
                status = there.stat()
        except OSError:
            return None
        if there is None or max(status.st_mtime, status.st_ctime) > self.ended:
            return None
        return there if modes.S_ISREG(status.st_mode) else None

    def why_missing(self, path: str) -> str:
        """Say what became of a guest's file that only the host had."""
        if (there := self.place(path)) is None:
            return "was in a directory of the computer that recorded it"
        return f"was {there}, which " + (
            "has changed since" if there.exists() else "is there no more"
        )

    @staticmethod
    def stat(there: Path) -> Stat:
        """Describe a file as the guest would."""
        one = there.stat()
        return Stat(
            one.st_mode, one.st_size, one.st_uid, one.st_gid, one.st_nlink, one.st_ino, (0, 0), (0, 0),
            one.st_atime_ns, one.st_mtime_ns, one.st_ctime_ns,
        )  # fmt: skip


class Programs:
    """Those on a tape."""

    def __init__(self, entries: Iterable[Written]) -> None:
        self._all: dict[str, list[tuple[int, Written]]] = {}
        for number, entry in enumerate(entries):
            if entry.kind == PROGRAM:
                self._all.setdefault(Program.read(entry.head).path, []).append((number, entry))

    def find(self, path: str, next: int) -> Program | None:
        """Return the program of that path as it was last before an entry; None if there was none."""
        known = [entry for number, entry in self._all.get(path, ()) if number < next]
        return Program.read(known[-1].data) if known else None


def stat_of(program: Program) -> Stat:
    """Describe it as the guest would, as far as the tape says."""
    size, mtime = len(program.data), program.mtime_ns
    return Stat(modes.S_IFREG | 0o755, size, 0, 0, 1, 0, (0, 0), (0, 0), mtime, mtime, mtime)
