"""How often a recording notes the machine's pages."""

from __future__ import annotations

from ebbtide.recording import Landmarks


class Pages:
    def __init__(self, used: int) -> None:
        self.used = used

    def pages_used(self) -> int:
        return self.used

    def page_hashes(self) -> bytes:
        return b""


def noted(used: int, seconds: int) -> list[int]:
    now = 0
    marks, times = Landmarks(lambda: now), []
    for now in range(seconds):  # noqa: B007
        if marks.due(Pages(used)):
            marks.noted()
            times.append(now)
    return times


def test_small_machines_are_noted_less_and_less_and_large_ones_seldom() -> None:
    assert noted(1000, 90) == [10, 25, 48, 82]
    assert noted(250_000, 1000) == [301, 602, 903]


def test_at_the_end_a_short_run_of_a_large_machine_does_without() -> None:
    marks = Landmarks(lambda: 0.0)
    assert marks.due(Pages(5000), last=True) and not marks.due(Pages(250_000), last=True)
