"""What somebody probably meant who wrote a name that we do not know.

For names of options, images and commands; the library that compares is loaded only for a mistake.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a word, if one is."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def meant(word: str, known: Iterable[str]) -> str:
    """Return "did you mean …?" with the nearest known name, or nothing."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else ""


def refuse_unknown(
    function: str,
    given: Mapping[str, Any],
    known: Iterable[str],
    instead: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raise a TypeError that names the function and the first option it does not have; `instead` says of
    some what to do.
    """
    names = sorted(known)
    for name in given:
        if name not in names:
            hint = instead.get(name) or meant(name, names) or f"it takes {', '.join(names)}"
            raise TypeError(f"{function}() has no option {name!r}; {hint}")


def keywords(
    instead: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Let a coroutine function refuse unknown keywords as `refuse_unknown` does."""

    def of(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(function).parameters.values()
        names = [item.name for item in parameters if item.kind in kinds and item.name != "self"]

        @functools.wraps(function)
        async def checked(*args: P.args, **options: P.kwargs) -> T:
            refuse_unknown(function.__qualname__, options, names, instead)
            return await function(*args, **options)

        return checked

    return of
