"""A memory with a kernel attached and one hart, stepped by whoever holds it: what a replay runs on.

`Pages` are all machine pages in use at a moment between two steps:
with the kernel they are the whole machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..port import Port


@dataclass(frozen=True)
class Pages:
    """Machine pages in use: the heap's from the region's first on, and the frames'."""

    heap: bytes
    low: int  # number of the first frame in `frames`
    frames: bytes


class Stage(Protocol):
    """What a replay asks of a memory."""

    port: Port

    def outbox(self) -> Iterator[bytes]:
        """Take all records out."""

    def digest(self) -> bytes:
        """Return the SHA-256 over all machine pages."""

    def pages(self) -> Pages:
        """Copy all machine pages in use."""

    def tap(self, mask: int) -> None:
        """Ask for records of taps: bit n for the n-th."""

    def sample(self) -> None:
        """Ask once for a record of what the hart's task does now."""

    def close(self) -> None:
        """Give the memory back."""
