"""Machine code of many small modules on large pages.

A large program runs tens of megabytes of machine code, a little of it at a time: far more pages than
a processor knows at once. Modules lie side by side in memory, so where those of one machine fill a
large page, Linux (6.1 or later) is asked to make one of it. What is refused costs nothing.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import sys

import wasmtime
from wasmtime import _bindings

LARGE = 2 << 20
MADV_COLLAPSE = 25

_libc = ctypes.CDLL(None)


def image(module: wasmtime.Module) -> tuple[int, int]:
    """Tell where a module lies: whole pages of its own, machine code and what belongs to it."""
    begin, end = ctypes.c_void_p(), ctypes.c_void_p()
    _bindings.wasmtime_module_image_range(module.ptr(), ctypes.byref(begin), ctypes.byref(end))
    size = mmap.PAGESIZE
    return (begin.value or 0) // size * size, -(-(end.value or 0) // size) * size


class LargePages:
    """The memory of modules, which it keeps: nothing else may come to lie there while it is used."""

    def __init__(self) -> None:
        self._modules: dict[int, wasmtime.Module] = {}  # by where they begin
        self._ends: list[
            tuple[int, int]
        ] = []  # of modules side by side: where they begin and end, in order
        self._seen: set[int] = set()

    def add(self, module: wasmtime.Module) -> list[int]:
        """Keep a module; answers the large pages that are full with it."""
        begin, end = image(module)
        if sys.platform != "linux" or begin in self._modules:
            return []
        self._modules[begin] = module
        return self.fill(begin, end)

    def fill(self, begin: int, end: int) -> list[int]:
        """Answer the large pages that are full now that this is, too."""
        at = bisect.bisect(self._ends, (begin, end))
        low, high = begin, end
        if at and self._ends[at - 1][1] == begin:
            at -= 1
            low = self._ends.pop(at)[0]
        if at < len(self._ends) and self._ends[at][0] == end:
            high = self._ends.pop(at)[1]
        self._ends.insert(at, (low, high))
        first = max(-(-low // LARGE), begin // LARGE)
        last = min(high // LARGE, -(-end // LARGE))
        full = [page * LARGE for page in range(first, last) if page * LARGE not in self._seen]
        self._seen.update(full)
        return full


def make(place: int) -> bool:
    """Make one large page of what is there."""
    at = ctypes.c_void_p(place), ctypes.c_size_t(LARGE)
    # It has one protection. Code is read-only, and so is what lies between: that may be executed now.
    if _libc.mprotect(*at, mmap.PROT_READ | mmap.PROT_EXEC):
        return False
    return bool(_libc.madvise(*at, MADV_COLLAPSE) == 0)
