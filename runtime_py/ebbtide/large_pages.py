"""Machine code of many small modules on large pages.

A large program runs tens of megabytes of machine code a little at a time, far more pages than a
processor knows at once. Modules lie one beside the other in memory; where they fill a large page
the operating system is asked to make one of it. Only Linux can (6.1 or later); what it refuses costs
nothing.
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


def _image(module: wasmtime.Module) -> tuple[int, int]:
    begin, end = ctypes.c_void_p(), ctypes.c_void_p()
    _bindings.wasmtime_module_image_range(module.ptr(), ctypes.byref(begin), ctypes.byref(end))
    return begin.value or 0, end.value or 0


class LargePages:
    """The memory of modules that live as long as this object, which keeps them."""

    def __init__(self) -> None:
        self._modules: list[wasmtime.Module] = []
        self._begin: list[int] = []  # runs of modules side by side, in order
        self._end: list[int] = []
        self._done: set[int] = set()
        libc = ctypes.CDLL(None)
        self._calls = [libc.mprotect, libc.madvise] if sys.platform == "linux" else []
        for call in self._calls:
            call.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

    def add(self, module: wasmtime.Module) -> None:
        """Count a module in, and make the large pages that it completes."""
        begin, end = _image(module)
        page = mmap.PAGESIZE
        begin, end = begin // page * page, -(-end // page) * page
        if not self._calls or end <= begin:
            return
        self._modules.append(module)
        at = bisect.bisect(self._begin, begin)
        if at and self._end[at - 1] >= begin:  # side by side with the one below
            at -= 1
            self._end[at] = max(end, self._end[at])
        else:
            self._begin.insert(at, begin)
            self._end.insert(at, end)
        if at + 1 < len(self._begin) and self._begin[at + 1] <= self._end[at]:
            self._end[at] = max(self._end[at], self._end.pop(at + 1))
            del self._begin[at + 1]
        low = max(-(-self._begin[at] // LARGE) * LARGE, begin // LARGE * LARGE)
        high = min(self._end[at] // LARGE * LARGE, -(-end // LARGE) * LARGE)
        for place in range(low, high, LARGE):
            self._collapse(place)

    def _collapse(self, place: int) -> None:
        if place in self._done:
            return
        self._done.add(place)
        protect, advise = self._calls
        # All of one page has one protection. Modules are code and what it reads, never written again.
        if not protect(place, LARGE, mmap.PROT_READ | mmap.PROT_EXEC):
            advise(place, LARGE, MADV_COLLAPSE)
