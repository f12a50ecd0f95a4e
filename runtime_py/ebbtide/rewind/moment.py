"""A moment of a run, as people name it: a tick, or a time since boot."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Protocol

_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "": 10**9}


class Timed(Protocol):
    """What has a place in a run."""

    @property
    def tick(self) -> int: ...
    @property
    def now_ns(self) -> int: ...


@dataclass(frozen=True)
class Moment:
    """A tick, or nanoseconds since boot."""

    tick: int | None = None
    now_ns: int | None = None

    def after(self, thing: Timed) -> bool:
        """Whether something was before this moment."""
        if self.tick is not None:
            return thing.tick < self.tick
        return self.now_ns is not None and thing.now_ns < self.now_ns


def moment(word: str) -> Moment:
    """Read a tick such as 123456, or a time such as 1.5s, 200ms or 0.25."""
    if word.isdecimal():
        return Moment(tick=int(word))
    match = re.fullmatch(r"(\d+(?:\.\d*)?)(ns|us|ms|s|m|)", word)
    if not match:
        raise argparse.ArgumentTypeError(f"{word!r} is no tick and no time; write 123456 or 1.5s")
    return Moment(now_ns=int(float(match[1]) * _UNITS[match[2]]))
