"""Downloads, kept in a cache and named by the SHA-256 of their content.

Rule: a file is in the cache under its name only after its size and hash were right; a broken
download goes on where it stopped; what is in the cache costs no network.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..assets import cache_folder
from .errors import ImageError
from .store import locked

Progress = Callable[[str, int, int], None]
"""Called with what is being done and how many bytes (or items) of how many are done."""

TIMEOUT_S = 30
PIECE = 1 << 17
THREADS = 4
TRIES = 3


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore progress."""


def cache_root() -> Path:
    """Return where downloads are kept."""
    return cache_folder()


def file_sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def need_disk(where: Path, size: int) -> None:
    """Stop before a long work that would fill the disk."""
    there = where.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < size:
        raise ImageError(
            f"not enough disk space at {there}: {size >> 20} MB needed, {free >> 20} MB free"
        )


def open_url(url: str, start: int = 0) -> Any:
    """Open an http(s) address through the environment's proxies, with its name and password."""
    split = urllib.parse.urlsplit(url)
    headers = {"User-Agent": "ebb"}
    if split.username:
        secret = (
            f"{urllib.parse.unquote(split.username)}:{urllib.parse.unquote(split.password or '')}"
        )
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        url = split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)


def without_secret(url: str) -> str:
    """Return an address fit to be shown: without name and password."""
    split = urllib.parse.urlsplit(url)
    return split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()


@dataclass(frozen=True)
class Wanted:
    """A file to have: where below the mirror, what content."""

    filename: str
    sha256: str
    size: int


class Cache:
    """Files by content below one directory."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()

    def path(self, sha: str) -> Path:
        """Say where the file of that content lies."""
        return self.root / "files" / sha[:2] / sha

    def has(self, wanted: Wanted) -> bool:
        """Tell whether the file is there with the right size; content is checked when used."""
        try:
            return self.path(wanted.sha256).stat().st_size == wanted.size
        except FileNotFoundError:
            return False

    def get(self, wanted: Wanted) -> Path:
        """Return a file that is in the cache, content checked."""
        path = self.path(wanted.sha256)
        if file_sha256(path) != wanted.sha256:
            path.unlink()
            raise ImageError(f"{path} was corrupt and has been removed. Run the same command again")
        return path

    def fetch_all(
        self, base: str, files: Sequence[Wanted], progress: Progress = no_progress,
        gone: str = "", what: str = "download",
    ) -> None:  # fmt: skip
        """Bring all files that are not in the cache, several at a time."""
        missing = [f for f in files if not self.has(f)]
        if not missing:
            return
        total = sum(f.size for f in missing)
        need_disk(self.root, total + (16 << 20))
        meter = _Meter(what, total, progress)
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(self._fetch, base, f, meter, gone) for f in missing]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                meter.stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _fetch(self, base: str, wanted: Wanted, meter: _Meter, gone: str) -> None:
        path = self.path(wanted.sha256)
        part = path.with_name(wanted.sha256 + ".part")
        with locked(part):
            if not self.has(wanted):
                self._fetch_into(part, base, wanted, meter, gone)
                return
            part.unlink(missing_ok=True)  # another process has brought it meanwhile
            meter.add(wanted.size)

    def _fetch_into(self, part: Path, base: str, wanted: Wanted, meter: _Meter, gone: str) -> None:
        path = self.path(wanted.sha256)
        url = f"{base.rstrip('/')}/{urllib.parse.quote(wanted.filename)}"
        shown = without_secret(url)
        failure, failures, reached = "", 0, 0
        while failures < TRIES and not meter.stop.is_set():
            try:
                self._receive(url, part, wanted, meter)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code in (404, 410):
                    raise ImageError(
                        f"{shown} is not on the mirror any more. {gone}".rstrip()
                    ) from None
                failure = str(error)
            except (OSError, ValueError, http.client.HTTPException) as error:
                failure = str(getattr(error, "reason", error)) or type(error).__name__
            size = part.stat().st_size if part.exists() else 0
            if size >= wanted.size:
                if size == wanted.size and file_sha256(part) == wanted.sha256:
                    part.replace(path)
                    return
                failure = "its size or SHA-256 is wrong"
                meter.add(-size)
                part.unlink()
                size = 0
            # As long as each try brings something, go on.
            failures = 0 if size > reached else failures + 1
            reached = max(size, reached)
            failure = failure or "the connection broke off"
        if meter.stop.is_set():
            return
        raise ImageError(
            f"cannot fetch {shown}: {failure}. Run the same command again to go on, "
            "or set EBB_MIRROR to another Debian mirror"
        )

    def _receive(self, url: str, part: Path, wanted: Wanted, meter: _Meter) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have >= wanted.size:
            part.unlink()
            have = 0
        with open_url(url, have) as response, part.open("ab" if have else "wb") as out:
            if have and response.status != 206:
                out.truncate(0)
                have = 0
            if have and part not in meter.counted:
                meter.add(have)
            meter.counted.add(part)
            while not meter.stop.is_set() and (piece := response.read(PIECE)):
                out.write(piece)
                meter.add(len(piece))


class _Meter:
    """The sum of what several downloads have done."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self.what, self.total, self.progress = what, total, progress
        self.done = 0
        self.stop = threading.Event()
        self.counted: set[Path] = set()
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self.done += size
            self.progress(self.what, min(self.done, self.total), self.total)
