"""How far something has come, on stderr. Imports nothing of what makes images, for each run asks for it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fetch import Progress


def print_progress() -> Progress:
    """Return a progress function: a line rewritten on a terminal, a line now and then elsewhere."""
    live = sys.stderr.isatty()
    shown, due = "", 0.0

    def show(what: str, done: int, total: int) -> None:
        nonlocal shown, due
        now = time.monotonic()
        if what == shown and done < total and now < due:
            return
        shown, due = what, now + (0.1 if live else 3)
        amounts = (
            f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total > 99999 else f"{done} of {total}"
        )
        text = f"{what}: {amounts}"
        if live:
            print(f"\r\x1b[K{text}", end="\n" if done >= total else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    return show
