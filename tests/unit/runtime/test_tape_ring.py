"""A hart tells of an event and delivers it as one: nobody looks at the machine in between."""

from __future__ import annotations

import pytest

from ebbtide.browser.tape_ring import RingPort
from ebbtide.port import Port


class Ring:
    """Notes what happens, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.own = type("Own", (), {"length": 64, "assign": lambda self, data: None})()

    def hold(self) -> None:
        self.seen.append("hold")

    def release(self) -> None:
        self.seen.append("release")

    def inbox(self, tick: float) -> None:
        self.seen.append("inbox")

    def put(self, tick: float, length: int) -> None:
        self.seen.append(f"put {length}")


class Machine(Port):
    """Takes what it is given, or not."""

    abi = None  # type: ignore[assignment]
    hart = 0

    def __init__(self, ring: Ring, refuses: bool = False) -> None:
        self.ring = ring
        self.refuses = refuses

    def mail_take(self) -> bytes | None:
        return b"mail"

    def deliver(self, event: bytes) -> None:
        self.ring.seen.append("deliver")
        if self.refuses:
            raise ValueError


def test_an_event_is_told_and_delivered_while_the_ring_is_held() -> None:
    ring = Ring()
    port = RingPort(Machine(ring), ring)
    port.deliver(b"clock")
    taken = port.mail_take()
    assert taken
    port.deliver(taken)
    assert ring.seen == [
        *("hold", "put 5", "deliver", "release"),
        *("hold", "inbox", "deliver", "release"),
    ]  # fmt: skip


def test_the_ring_is_let_go_of_whatever_happens() -> None:
    ring = Ring()
    with pytest.raises(ValueError):
        RingPort(Machine(ring, refuses=True), ring).deliver(b"clock")
    assert ring.seen[-1] == "release"
