"""A run, run again: any moment of it can be gone to, and what comes out is compared with the tape.

A `Replay` steps a stage of its own; the guest cannot tell. `seek` goes to a tick in either direction:
backwards by way of a checkpoint, which is a copy of the machine's pages at an earlier tick.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..abi import Abi
from ..errors import EbbError
from ..events import CallEnded, Events
from ..recording import END, EVENT, META, ORDER, PAGES, ReplayDriver, Written
from .moment import Moment, now_at
from .ordered import OrderedDriver
from .output import Chunk, OutputCheck, OutputHash, Streams
from .stage import Pages, Stage

SLICE = 1 << 26  # ticks between two looks at the outbox
CHECKPOINT_S = 0.08  # of replay between two checkpoints: a step back takes that and little more
CHECKPOINT_COST = 10  # times what one takes, if that is longer
CHECKPOINTS = 256  # kept at most
CHECKPOINT_BYTES = 512 << 20  # and in so much memory

NewStage = Callable[[int, Pages | None], Stage]  # bytes of memory, where to continue


@dataclass(frozen=True)
class Checkpoint:
    """A moment that a replay can return to at once."""

    tick: int
    next: int  # entry
    pages: Pages
    output: OutputHash
    streams: Streams
    place: bytes | None = None  # of several harts: what there is beside the pages
    now_ns: int = 0


class Replay:
    """One replay of a tape. `on_chunk` gets the programs' output, `on_record` every other record."""

    def __init__(
        self,
        abi: Abi,
        entries: Sequence[Written],
        new_stage: NewStage,
        *,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
        on_record: Callable[[int, bytes], None] = lambda tick, record: None,
    ) -> None:
        self.abi = abi
        self.entries = entries
        self.on_chunk = on_chunk
        self.on_record = on_record
        self.on_slice: Callable[[], None] = lambda: None  # called now and then on long ways
        self.budget = SLICE
        self.checkpoint_s = CHECKPOINT_S
        self.checkpoints_most = CHECKPOINTS
        self._taps = 0
        self._marked = time.monotonic()  # when the last checkpoint was made or returned to
        self._took = 0.0  # what it took to make it
        self._like: Pages | None = None  # its pages: what has not changed since is shared with them
        self._held: Counter[int] = Counter()  # checkpoints with a piece, by its identity
        self.bytes = 0  # in these pieces
        begin = _begin(abi, entries)
        self.ram, self.begin = begin.ram, begin.tick
        self.checkpoints: list[Checkpoint] = []
        self._new_stage = new_stage
        self._events = Events(abi)
        self._check = OutputCheck(abi, entries)
        self._streams = Streams.begun(abi, started_from(entries))
        self._seen = begin.next  # entries that `_streams` knows
        self.stage = new_stage(self.ram, begin.pages)
        self.ordered = any(entry.kind == ORDER for entry in entries)  # several harts
        self._driver = self._drive(begin.tick, begin.next)
        self.checkpoint()

    @property
    def tick(self) -> int:
        """Where the replay is."""
        return self._driver.tick

    @property
    def streams(self) -> Streams:
        """The agent's calls and descriptors at this moment."""
        self._drain()
        return self._streams

    @property
    def next(self) -> int:
        """Which entry of the tape comes next."""
        return self._driver.next

    @property
    def end(self) -> int:
        """The tape's last tick."""
        return self.entries[-1].tick if self.entries else 0

    def run(self) -> None:
        """Replay to the end of the tape; raises ReplayDiverged at the first difference."""
        self._driver.run()
        self._drain()
        if self.entries[-1].kind == END:  # else the last outputs came after the last entry
            self._check.finish()

    def seek(self, tick: int) -> None:
        """Go to a tick: all that the tape has before it is done, nothing that it has there."""
        tick = max(tick, self.begin)
        if tick < self.tick:
            self.restore(self.nearest(tick))
        self.go(tick)

    def go(self, tick: int) -> bool:
        """Go on to a tick; True: a debugger's stop came first. Makes checkpoints on the way."""
        driver, end = self._driver, len(self.entries)
        if self.ordered:  # whose entries are no places to stop at
            return not self._advance(min(tick, self.end))
        while driver.next < end and self.entries[driver.next].tick < tick:
            if not self._advance(self.entries[driver.next].tick):
                return True
            driver.run(driver.next + 1)
        return not self._advance(min(tick, self.end))

    def _advance(self, tick: int) -> bool:
        driver = self._driver
        while self.tick < tick:
            driver.advance(min(tick, self.tick + self.budget))
            if driver.stopped:
                return False
            if self.ordered and driver.next == len(self.entries):
                break  # it was cut short
            pause = max(self.checkpoint_s, CHECKPOINT_COST * self._took)
            if time.monotonic() - self._marked > pause:
                self.checkpoint()
        return True

    def nearest(self, tick: int) -> Checkpoint:
        """Return the last checkpoint that is not behind a tick."""
        return next(one for one in reversed(self.checkpoints) if one.tick <= tick)

    def _thin(self) -> None:
        """Drop the checkpoint that is missed least: the further away, the wider the gaps."""
        here, kept = self.tick, self.checkpoints
        gaps = [
            (kept[at + 1].tick - kept[at - 1].tick) / (1 + abs(kept[at].tick - here))
            for at in range(1, len(kept) - 1)
        ]
        self._count(kept.pop(1 + gaps.index(min(gaps))), -1)

    def _count(self, checkpoint: Checkpoint, by: int) -> None:
        """Count the memory of one that is held, or no more."""
        pages = checkpoint.pages
        if not isinstance(pages, Pages) or pages.stored:
            return
        for piece in pages.pieces.values():
            self._held[id(piece)] += by
            if self._held[id(piece)] == (by > 0):  # the first, or none any more
                self.bytes += by * len(piece)
                if by < 0:
                    del self._held[id(piece)]

    def checkpoint(self) -> Checkpoint:
        """Make this moment one to return to."""
        self._drain()
        begun = time.monotonic()
        made = Checkpoint(
            self.tick,
            self._driver.next,
            self.stage.pages(self._like),
            self._check.hash.copy(),
            self._streams.copy(),
            *self._beside(),
        )
        self._like = made.pages
        for one in self.checkpoints:
            if one.tick == made.tick:
                self._count(one, -1)
        self.checkpoints = [one for one in self.checkpoints if one.tick != made.tick]
        self.checkpoints.append(made)
        self.checkpoints.sort(key=lambda one: one.tick)
        self._count(made, 1)
        while len(self.checkpoints) > self.checkpoints_most or (
            self.bytes > CHECKPOINT_BYTES and len(self.checkpoints) > 2
        ):
            self._thin()
        self._marked = time.monotonic()
        self._took = self._marked - begun
        return made

    def _beside(self) -> tuple[bytes | None, int]:
        if not self.ordered:
            return None, 0
        return self._ordered.place(), self.stage.port.report().now_ns

    @property
    def _ordered(self) -> OrderedDriver:
        assert isinstance(self._driver, OrderedDriver)
        return self._driver

    def place(self, moment: Moment) -> int:
        """Return the tick of a moment; the replay may go elsewhere for it. Raises ArgumentTypeError if the run
        ends before.
        """
        if not self.ordered or moment.now_ns is None:
            return moment.place(self.abi, self.entries)
        if moment.now_ns <= 0:
            return self.begin
        before, self.on_chunk = self.on_chunk, lambda chunk: None
        near = [one for one in self.checkpoints[1:] if one.now_ns < moment.now_ns]
        start = near[-1] if near else self.checkpoints[0]
        try:
            self.restore(start)
            self._ordered.until_ns = moment.now_ns
            self._advance(self.end)
            if (now := self.now()) < moment.now_ns:
                raise moment.behind(f"{now / 1e9:.9f} s")
            done = (one for one in reversed(self.entries[: self.next]) if one.kind == EVENT)
            told = next(done, None)  # of events of one tick, all are done after its moment
            return min(self.tick + bool(told and told.tick == self.tick), self.end)
        finally:
            self.restore(start)
            self.on_chunk = before

    def known(self, moment: Moment) -> Moment:
        """Return a moment of the run as `Moment.after` can take it."""
        tick = self.place(moment)
        return moment if moment.entry is None else Moment(tick=tick)

    def where(self) -> str:
        """Say where the replay is."""
        try:
            now = f"{self.now() / 1e9:.9f} s, "
        except ArgumentTypeError:  # chaos has disturbed the clock
            now = ""
        return f"tick {self.tick} of {self.end}, {now}before e{self.next}"

    def now(self) -> int:
        """Return the time since boot; raises ArgumentTypeError if the tape does not say it."""
        if self.ordered:
            return self.stage.port.report().now_ns
        return now_at(self.abi, self.entries[: self.next], self.tick)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Return to a moment."""
        self.stage.close()
        self.stage = self._new_stage(self.ram, checkpoint.pages)
        self.stage.host.tap(self._taps)
        self._check.restore(checkpoint.output)
        self._streams, self._seen = checkpoint.streams.copy(), checkpoint.next
        self._like = checkpoint.pages
        self._driver = self._drive(checkpoint.tick, checkpoint.next, checkpoint.place)
        self._marked = time.monotonic()

    @contextmanager
    def settled(self) -> Iterator[int]:
        """Have the stage as whoever goes on with it has it; answers the tick at which that is."""
        if not self.ordered:
            yield self.tick
            return
        where = self.checkpoint()
        self.stage.settle()
        try:
            yield self.stage.port.report().tick
        finally:
            self.restore(where)

    def branch(self) -> Stage:
        """Return another machine that is as this one is now, for whoever wants to go on with it."""
        made = self._new_stage(self.ram, self.stage.pages())
        if self.ordered:
            OrderedDriver(made, self.entries, lambda: None, lambda: 0, self._ordered.place())
            made.settle()
        return made

    def tap(self, *names: str) -> None:
        """Ask for the records of these taps, and no others; they come to `on_record`."""
        self._taps = sum(1 << self.abi.groups["tap"][name] for name in names)
        self.stage.host.tap(self._taps)

    def sample(self) -> None:
        """Have a record made of what runs now, if SAMPLE is asked for."""
        self.stage.host.sample(0)
        self._drain()

    def close(self) -> None:
        """Give the memory back."""
        self.stage.close()

    def _drive(self, tick: int, next: int, place: bytes | None = None) -> ReplayDriver:
        if self.ordered:
            driver: ReplayDriver = OrderedDriver(
                self.stage, self.entries, self._drain, self._slice, place
            )
            driver.next, driver.watches = next, True
            return driver
        driver = ReplayDriver(
            self.stage.port,
            self.entries,
            digest=self.stage.host.digest,
            page_hashes=self.stage.host.page_hashes,
            drain=self._drain,
            budget=self._slice,
        )
        driver.tick, driver.next, driver.watches = tick, next, True
        return driver

    def _slice(self) -> int:
        self.on_slice()
        return self.budget

    def _drain(self) -> None:
        tick = self._driver.tick
        while self._seen < self._driver.next:
            self._streams.event(self.entries[self._seen])
            self._seen += 1
        for record in self.stage.host.outbox():
            self._check.add(record, tick)
            self.on_record(tick, record)
            if self.abi.out_name(record) == "CALL":
                ended = self._events.decode(record)
                assert isinstance(ended, CallEnded)
                if chunk := self._streams.ended(tick, ended):
                    self.on_chunk(chunk)


@dataclass(frozen=True)
class _Begin:
    """Where a tape begins: with BOOT, or with a machine that was there before."""

    ram: int
    tick: int = 0
    next: int = 0  # entry
    pages: Pages | None = None


def _begin(abi: Abi, entries: Sequence[Written]) -> _Begin:
    start = started_from(entries)
    if start is not None:
        base, page = abi.const["MACHINE_BASE"], abi.const["PAGE_SIZE"]
        pieces: dict[int, bytes] = {}
        for entry in entries[1:]:
            if entry.kind != PAGES:
                break
            data = entry.data
            pieces[base + page * int.from_bytes(data[:4], "little")] = data[4:]
        return _Begin(start["ram"], start["tick"], 1 + len(pieces), Pages(pieces))
    for entry in entries:
        if entry.kind == EVENT and abi.event_name(data := entry.data) == "BOOT":
            return _Begin(abi.structs["event_boot"].integer(data, "ram_bytes"))
    raise EbbError("the tape ends before its machine was booted")


def started_from(entries: Sequence[Written]) -> dict[str, Any] | None:
    """Return what the machine was that a tape goes on from; None if it was booted."""
    first = json.loads(entries[0].data) if entries and entries[0].kind == META else {}
    start: dict[str, Any] | None = first.get("start")
    return start
