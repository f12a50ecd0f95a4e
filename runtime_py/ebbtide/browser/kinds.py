"""Objects of more kinds than V8 optimises for; sdk/src/worker/kinds.ts asks them what the evaluator asks."""

from __future__ import annotations

import functools
import operator
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from types import MethodType
from typing import Any


class _Class:
    def __bool__(self) -> bool:
        return True


# Beside each, what it may be asked to contain.
CONTAINERS: tuple[Any, ...] = (
    *((), 0, [], 0, {}, 0, set(), 0, "", "x", b"", 0, range(0), 0),
    *({}.keys(), 0, deque(), 0, bytearray(), 0, memoryview(b""), 0),
)
OTHERS: tuple[Any, ...] = (
    *(2, 1.0, 1j, timedelta(1), _Class(), MethodType(len, ()), _Class, operator, list[int]),
    super(_Class, _Class()),
)
# They are called with an empty tuple.
CALLABLES: tuple[Callable[[Any], Any], ...] = (
    *(len, iter, sorted, tuple, list, set, functools.partial(len), MethodType(max, (1,))),
)
