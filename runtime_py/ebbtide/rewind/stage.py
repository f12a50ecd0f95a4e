"""A memory with a kernel attached and one hart, stepped by whoever holds it: what a replay runs on.

`Pages` are all machine pages in use at a moment between two steps: with the kernel they are the
whole machine. They are held in pieces, and what two moments have in common they share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..order import SETTLE, Memory
from ..port import Port

if TYPE_CHECKING:
    from .debug_view import DebugView


@dataclass(frozen=True)
class Pages:
    """Machine pages in use, in pieces by address; what is in none is zero."""

    pieces: Mapping[int, bytes]
    stored: bool = False  # they lie in a store, and not in memory


class StageHost(Memory, Protocol):
    """The kernel role's port of a stage."""

    def outbox(self) -> Iterator[bytes]:
        """Take all records out."""

    def digest(self) -> bytes:
        """Return the SHA-256 over all machine pages."""

    def page_hashes(self) -> bytes:
        """Return a hash of each machine page in use."""

    def order(self, mode: int, size: int) -> int:
        """Have the order of passes written, or follow one; returns the address of struct order_log."""

    def private_alloc(self, size: int) -> int:
        """Take private memory, which stays."""

    def tap(self, mask: int) -> None:
        """Ask for records of taps: bit n for the n-th."""

    def cpu_ns(self, pid: int) -> int | None:
        """Return the processor time of a process; None if there is none, or the kernel cannot say."""

    def sample(self, hart: int) -> None:
        """Ask once for a record of what a hart's task does now."""


class Stage(ABC):
    """What a replay asks of a memory."""

    host: StageHost
    port: Port

    def settle(self) -> None:
        """Make the machine one of one hart, which whoever wants to goes on with."""
        self.host.order(SETTLE, 0)
        self.port.step(0)  # a report of it

    @abstractmethod
    def pages(self, like: Pages | None = None) -> Pages:
        """Copy all machine pages in use; pieces that are as in `like` are shared with it."""

    @abstractmethod
    def debug(self) -> DebugView:
        """Look at what lies in them."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""
