"""Files of the host's directories that a run saw (-v). No tape has the whole of them; while they have not
changed since the run ended, they are what it saw last.
"""

from __future__ import annotations

import stat as modes
from dataclasses import dataclass
from pathlib import Path

from ..filesystem import Stat


@dataclass(frozen=True)
class Mounted:
    """Those of one run."""

    places: tuple[tuple[str, str], ...] = ()  # the guest's path, the host's
    ended: float = 0.0  # seconds since 1970

    def find(self, path: str) -> Path | None:
        """Return where a guest's file is; None if it is in no such directory, or has changed."""
        for guest, host in sorted(self.places, key=lambda place: -len(place[0])):
            if path.startswith(guest.rstrip("/") + "/"):
                there = Path(host, path[len(guest.rstrip("/")) + 1 :])
                try:
                    status = there.stat()
                except OSError:
                    return None
                fresh = status.st_mtime > self.ended or status.st_ctime > self.ended
                return None if fresh or not modes.S_ISREG(status.st_mode) else there
        return None

    @staticmethod
    def stat(there: Path) -> Stat:
        """Describe a file as the guest would."""
        one = there.stat()
        return Stat(
            one.st_mode, one.st_size, one.st_uid, one.st_gid, one.st_nlink, one.st_ino, (0, 0), (0, 0),
            one.st_atime_ns, one.st_mtime_ns, one.st_ctime_ns,
        )  # fmt: skip
