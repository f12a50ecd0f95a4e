"""A moment of a run, as people name it: a tick, a time since boot, or an event of its tape."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..recording import EVENT, META

if TYPE_CHECKING:
    from ..abi import Abi
    from ..recording import Written

_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "": 10**9}
_FRACTION = 24  # bits of a clock's rate behind the point


class Timed(Protocol):
    """What has a place in a run."""

    @property
    def tick(self) -> int: ...
    @property
    def now_ns(self) -> int: ...


@dataclass(frozen=True)
class Moment:
    """A tick, nanoseconds since boot, or the number of an entry."""

    tick: int | None = None
    now_ns: int | None = None
    entry: int | None = None

    def after(self, thing: Timed) -> bool:
        """Whether something was before this moment, which is no entry's."""
        if self.tick is not None:
            return thing.tick < self.tick
        return self.now_ns is not None and thing.now_ns < self.now_ns

    def place(self, abi: Abi, entries: Sequence[Written]) -> int:
        """Return its tick: the first with that time, or the one before which the entry stands. Raises
        ArgumentTypeError if it is behind the last entry.
        """
        last = entries[-1].tick if entries else 0
        if self.entry is not None:
            if self.entry >= len(entries):
                raise self.behind(f"e{len(entries) - 1}")
            return entries[self.entry].tick
        if self.now_ns is not None:
            tick = _tick_at(abi, entries, self.now_ns)
            if tick > last:
                raise self.behind(f"{now_at(abi, entries, last) / 1e9:.9f} s")
            return tick
        assert self.tick is not None
        if self.tick > last:
            raise self.behind(f"tick {last}")
        return self.tick

    def __str__(self) -> str:
        if self.now_ns is not None:
            return f"{self.now_ns / 1e9:.9f}".rstrip("0").rstrip(".") + " s"
        return f"e{self.entry}" if self.tick is None else f"tick {self.tick}"

    def behind(self, end: str) -> argparse.ArgumentTypeError:
        """Return what is said of a moment that is behind the end."""
        return argparse.ArgumentTypeError(f"{self} is behind the end of the run, which is at {end}")


def now_at(abi: Abi, entries: Sequence[Written], tick: int) -> int:
    """Return the time since boot, in nanoseconds, at a tick at which `entries` have been delivered;
    raises ArgumentTypeError if the tape does not say it.
    """
    clock = Clock.of(entries)
    for entry in entries:
        clock.see(abi, entry)
    return clock.now(tick)


def _tick_at(abi: Abi, entries: Sequence[Written], now_ns: int) -> int:
    clock = Clock.of(entries)
    for entry in entries:
        if clock.due(now_ns) <= entry.tick:
            break
        clock.see(abi, entry)
    return clock.due(now_ns)


@dataclass
class Clock:
    """The machine's: ticks move it, and only CLOCK events set it."""

    base: int = 0  # nanoseconds at tick `begin`
    begin: int = 0
    rate: int = 1 << _FRACTION  # nanoseconds of a tick

    @staticmethod
    def of(entries: Sequence[Written]) -> Clock:
        """Return it as it is where a tape begins: with the boot, or with a machine that was there."""
        first = json.loads(entries[0].data) if entries and entries[0].kind == META else {}
        if "clock" in first.get("chaos", ""):
            raise argparse.ArgumentTypeError(
                "chaos has disturbed the clock of this run: name a tick or an event"
            )
        start = first.get("start")
        return Clock(start["now_ns"], start["tick"]) if start else Clock()

    def see(self, abi: Abi, entry: Written) -> None:
        """Take the tape's next entry."""
        if entry.kind != EVENT or int.from_bytes(entry.head[:4], "little") != abi.event["CLOCK"]:
            return
        words = abi.structs["event_clock"].integers(entry.data)
        self.base = max(self.now(entry.tick), words["base_ns"])
        self.begin, self.rate = entry.tick, max(words["mul"], 1)

    def now(self, tick: int) -> int:
        """Return the time at a tick."""
        return self.base + ((tick - self.begin) * self.rate >> _FRACTION)

    def due(self, now_ns: int) -> int:
        """Return the first tick with this time."""
        return self.begin + -(-(max(0, now_ns - self.base) << _FRACTION) // self.rate)


def moment(word: str) -> Moment:
    """Read a tick such as 123456, a time such as 1.5s, 200ms or 0.25, or an entry such as e17."""
    if word.isdecimal():
        return Moment(tick=int(word))
    if word[:1] == "e" and word[1:].isdecimal():
        return Moment(entry=int(word[1:]))
    match = re.fullmatch(r"(\d+(?:\.\d*)?)(ns|us|ms|s|m|)", word)
    if not match:
        raise argparse.ArgumentTypeError(
            f"{word!r} is no tick, no time and no event; write 123456, 1.5s or e17"
        )
    return Moment(now_ns=int(float(match[1]) * _UNITS[match[2]]))
