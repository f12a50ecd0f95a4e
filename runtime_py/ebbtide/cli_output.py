"""What a command leaves: standard output, files, a line of progress; and what it says if it cannot.

A file appears whole or not at all. Messages name what the user named, never a temporary file or the
number of an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import EbbError

if TYPE_CHECKING:
    from .rewind.replay import Replay

PROGRESS_AFTER_S = 0.5  # what is done by then needs no line
PROGRESS_EVERY_S = 0.1
LOST = "the output cannot be written"
_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)  # of what has no name


def trouble(error: BaseException) -> str:
    """Return what an error is called in a message."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    if isinstance(error.filename, (str, bytes)):
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return f"{LOST}: {error.strerror}" if error.errno in _LOST else error.strerror


def let_go(stream: IO[str]) -> None:
    """Have nothing of a stream written any more: nobody reads it, or it cannot be."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def need_folder(name: str) -> None:
    """Raise EbbError if a file cannot be made there: before the long way to what it is to hold."""
    if not (folder := Path(name).parent).is_dir():
        raise EbbError(f"{name} cannot be written: there is no directory {folder}")


@contextlib.contextmanager
def new_file(name: str | Path, *, over: bool) -> Iterator[IO[bytes]]:
    """Write a file; `over`: the one that may be there goes, else it is an error that one is."""
    path = Path(name)
    if path.exists() and not path.is_file():  # /dev/stdout
        with _named(path), path.open("wb") as file:
            yield file
        return
    if not over and path.exists():
        raise EbbError(f"{path} is there already; name another file, or replace it with --force")
    made = ""
    try:
        with _named(path):
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                made = file.name
                yield file
            os.chmod(made, 0o644)
            os.replace(made, path)
            made = ""
    finally:
        if made:
            os.unlink(made)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(path)) or Path(error.filename).parent == path.parent:
            raise EbbError(f"{path} cannot be written: {error.strerror or error}") from None
        raise


class Progress:
    """A line that says how far a long command is, on a terminal; elsewhere nothing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._due = time.monotonic() + PROGRESS_AFTER_S
        self._shown = False

    def show(self, done: int, total: int) -> None:
        """Say how much is done, if it is time to."""
        now = time.monotonic()
        if not self._live or now < self._due:
            return
        self._due = now + PROGRESS_EVERY_S
        self._shown = True
        share = min(100, 100 * done // max(1, total))
        print(f"\r\x1b[K{self._what}: {share} %", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away: something else comes, or it is done."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


@contextlib.contextmanager
def progress(what: str, replay: Replay) -> Iterator[Progress]:
    """Show how far a replay is, while it is gone through."""
    line, before = Progress(what), replay.on_slice

    def look() -> None:
        before()
        line.show(replay.tick - replay.begin, replay.end - replay.begin)

    replay.on_slice = look
    try:
        yield line
    finally:
        replay.on_slice = before
        line.clear()
