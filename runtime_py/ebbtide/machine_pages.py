"""All machine pages in use as a list of hashes, to name the page in which two machines differ."""

from __future__ import annotations

import hashlib
import struct

from .abi import Abi
from .wasmtime_kernel import Instance

_SPAN = struct.Struct("<III")  # end of the heap, first frame in use, end of the machine
_HASH = 8  # bytes of each page's SHA-256


def page_hashes(instance: Instance, abi: Abi) -> bytes:
    """Return the span of the machine pages in use and a hash of each."""
    base, size = abi.const["MACHINE_BASE"], abi.const["PAGE_SIZE"]
    heap, low, end = (instance.call("k_span", which) for which in range(3))
    bytes_, sha = instance.memory.bytes, hashlib.sha256
    hashes = [
        sha(bytes_[base + page * size : base + (page + 1) * size]).digest()[:_HASH]
        for page in (*range(heap), *range(low, end))
    ]
    return _SPAN.pack(heap, low, end) + b"".join(hashes)


def first_difference(one: bytes, other: bytes) -> int | None:
    """Return the number of the first page that differs, counted from the machine's first."""
    pages = [_pages(hashes) for hashes in (one, other)]
    numbers = sorted(set(pages[0]) | set(pages[1]))
    return next((page for page in numbers if pages[0].get(page) != pages[1].get(page)), None)


def _pages(hashes: bytes) -> dict[int, bytes]:
    heap, low, end = _SPAN.unpack_from(hashes)
    starts = range(_SPAN.size, len(hashes), _HASH)
    numbers = (*range(heap), *range(low, end))
    return {page: hashes[at : at + _HASH] for page, at in zip(numbers, starts, strict=True)}
