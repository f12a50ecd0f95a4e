"""All machine pages in use as a list of hashes, to name the page in which two machines differ."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from .abi import Abi

_SPAN = struct.Struct("<III")  # end of the heap, first frame in use, end of the machine
_HASH = 8  # bytes of each page's SHA-256
_AT_ONCE = 64  # pages that are read at once
PAGE_S = 6e-6  # about what a page takes


def page_hashes(
    abi: Abi, span: tuple[int, int, int], read: Callable[[int, int], bytes | memoryview]
) -> bytes:
    """Return the span of the machine pages in use and a hash of each."""
    base, size = abi.const["MACHINE_BASE"], abi.const["PAGE_SIZE"]
    heap, low, end = span
    sha, hashes = hashlib.sha256, [_SPAN.pack(heap, low, end)]
    for begin, behind in ((0, heap), (low, end)):
        for first in range(begin, behind, _AT_ONCE):
            data = read(base + first * size, min(_AT_ONCE, behind - first) * size)
            hashes += [
                sha(data[at : at + size]).digest()[:_HASH] for at in range(0, len(data), size)
            ]
    return b"".join(hashes)


def first_difference(one: bytes, other: bytes) -> int | None:
    """Return the number of the first page that differs, counted from the machine's first."""
    pages = [_pages(hashes) for hashes in (one, other)]
    numbers = sorted(set(pages[0]) | set(pages[1]))
    return next((page for page in numbers if pages[0].get(page) != pages[1].get(page)), None)


def difference(abi: Abi, ours: bytes, expected: bytes) -> str:
    """Say which page differs first, what it should be and what it is."""
    page = first_difference(ours, expected) or 0
    address = abi.const["MACHINE_BASE"] + page * abi.const["PAGE_SIZE"]
    was, found = (_pages(hashes).get(page) for hashes in (expected, ours))
    count = sum(a != b for a, b in zip(_all(ours), _all(expected), strict=False))
    return (
        f"page {page} of the machine differs (address {address:#x}), the first of {max(1, count)}: "
        f"expected {_shown(was)}, got {_shown(found)}"
    )


def _shown(hash: bytes | None) -> str:
    return hash.hex() if hash else "no such page"


def _all(hashes: bytes) -> list[bytes]:
    return list(_pages(hashes).values())


def _pages(hashes: bytes) -> dict[int, bytes]:
    heap, low, end = _SPAN.unpack_from(hashes)
    starts = range(_SPAN.size, len(hashes), _HASH)
    numbers = (*range(heap), *range(low, end))
    return {page: hashes[at : at + _HASH] for page, at in zip(numbers, starts, strict=True)}
