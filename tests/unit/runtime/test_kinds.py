"""What a worker shows V8 before Python runs: kinds of objects, more than V8 optimises for."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.browser.kinds import CALLABLES, CONTAINERS, OTHERS

MOST = 4  # functions that V8 builds into a call through a table


def answers(slot: str, objects: tuple[Any, ...]) -> int:
    found = (getattr(type(one), slot, None) for one in objects)
    return len({one for one in found if one is not None})


def test_each_question_has_more_answers_than_v8_optimises_for() -> None:
    for slot in ("__len__", "__iter__", "__contains__"):
        assert answers(slot, CONTAINERS[::2]) > MOST
    for slot in ("__bool__", "__getattribute__"):
        assert answers(slot, OTHERS) > MOST
    assert len(CALLABLES) > MOST


def test_no_question_fails() -> None:
    for one, part in zip(CONTAINERS[::2], CONTAINERS[1::2], strict=True):
        assert part not in one
        assert not list(one)
        assert not one
    for one in OTHERS:
        assert one
        assert one.__class__
    for call in CALLABLES:
        try:
            call(())
        except Exception as error:  # it would still be set when Python begins
            pytest.fail(f"{call}: {error}")
