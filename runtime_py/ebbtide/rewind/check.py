"""What can be checked of a run without running it: checksums, the chain of hashes, objects, and
signed heads. Each check raises TapeDamaged, which says where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..recording import Written
from .bundle import Signature
from .tape import StoredEntry, TapeDamaged, TapeReader


class Signed(Protocol):
    """A run with its signed heads; `end` says how it ended."""

    @property
    def id(self) -> str: ...
    @property
    def reader(self) -> TapeReader: ...
    @property
    def signatures(self) -> tuple[Signature, ...]: ...
    @property
    def end(self) -> object: ...


def check_objects(
    entries: Sequence[Written],
    seen_at: Callable[[int], None] = lambda tick: None,
    name: Callable[[Written], str] | None = None,
) -> int:
    """Hash each object that the tape names; returns how many. `seen_at` is told how far it is; `name` says
    what an entry is.
    """
    seen: set[bytes] = set()
    for number, entry in enumerate(entries):
        if isinstance(entry, StoredEntry) and entry.hash not in seen:
            seen.add(entry.hash)
            seen_at(entry.tick)
            try:
                entry.tail()
            except TapeDamaged as error:
                what = f", {name(entry)}" if name else ""
                raise TapeDamaged(f"entry {number} at tick {entry.tick}{what}: {error}") from None
    return len(seen)


def check_signatures(
    run: Signed, key: bytes | None, check: Callable[[str, Signature], None]
) -> Signature:
    """Check all signed heads, and that the last is that of the whole tape; returns it."""
    leaves = run.reader.leaves
    if key is None:
        raise TapeDamaged("there is no key to check against: this store has signed nothing")
    ours = [one for one in run.signatures if one.key == key]
    if not ours:
        who = {one.key.hex() for one in run.signatures}
        named = f"; it is signed by {', '.join(sorted(who))}" if who else ""
        raise TapeDamaged(f"run {run.id} is not signed by the key {key.hex()}{named}")
    for one in ours:
        check(run.id, one)
        if one.leaves > len(leaves):
            raise TapeDamaged(
                f"{one.leaves} leaves ({one.entries} entries) were signed, and {len(leaves)} are "
                f"left: the tape was cut after it was signed"
            )
        head = leaves[one.leaves - 1].hash if one.leaves else run.reader.header.genesis()
        if head != one.head:
            raise TapeDamaged(
                f"up to leaf {one.leaves - 1} (entry {one.entries - 1}) another head was signed: "
                f"the tape was made anew"
            )
    last = ours[-1]
    if run.end is not None and last.leaves < len(leaves):
        raise TapeDamaged(f"what comes after leaf {last.leaves - 1} is not signed")
    return last


def first_difference(one: list[Written], other: list[Written], skip: set[int]) -> int | None:
    """Return at which entry two tapes first differ, not counting some kinds; None if nowhere."""
    lists = [[entry for entry in entries if entry.kind not in skip] for entries in (one, other)]
    for number, (a, b) in enumerate(zip(*lists, strict=False)):
        if (a.kind, a.tick) != (b.kind, b.tick) or a.data != b.data:
            return number
    shorter = min(map(len, lists))
    return None if len(lists[0]) == len(lists[1]) else shorter
