"""A memory with a kernel attached and one hart, stepped by whoever holds it: what a replay runs on.

`Pages` are all machine pages in use at a moment between two steps: with the kernel they are the
whole machine. They are held in pieces, and what two moments have in common they share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..port import Port

if TYPE_CHECKING:
    from ..recording import Written
    from .debug_view import DebugView
    from .ordered import OrderedDriver


@dataclass(frozen=True)
class Pages:
    """Machine pages in use, in pieces by address; what is in none is zero."""

    pieces: Mapping[int, bytes]


class Stage(Protocol):
    """What a replay asks of a memory."""

    port: Port

    def outbox(self) -> Iterator[bytes]:
        """Take all records out."""

    def digest(self) -> bytes:
        """Return the SHA-256 over all machine pages."""

    def ordered(
        self,
        entries: Sequence[Written],
        drain: Callable[[], None],
        budget: Callable[[], int],
        place: bytes | None,
    ) -> OrderedDriver:
        """Follow the order in which several harts ran, from the beginning or from where they were."""

    def settle(self) -> None:
        """Make the machine one of one hart, which whoever wants to goes on with."""

    def page_hashes(self) -> bytes:
        """Return a hash of each machine page in use."""

    def pages(self, like: Pages | None = None) -> Pages:
        """Copy all machine pages in use; pieces that are as in `like` are shared with it."""

    def debug(self) -> DebugView:
        """Look at what lies in them."""

    def tap(self, mask: int) -> None:
        """Ask for records of taps: bit n for the n-th."""

    def sample(self) -> None:
        """Ask once for a record of what the hart's task does now."""

    def close(self) -> None:
        """Give the memory back."""
