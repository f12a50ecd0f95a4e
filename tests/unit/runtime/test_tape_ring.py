"""A hart tells of an event and delivers it as one: nobody looks at the machine in between."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest

from ebbtide.browser.tape_ring import RingPort, RingReader, _Teller
from ebbtide.port import Port
from ebbtide.recording import EVENT, ORDER, Entry


class Ring:
    """Notes what happens, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.data = b""
        self.own = type("Own", (), {"length": 64, "assign": lambda own, data: self.assign(data)})()

    def assign(self, data: bytes) -> None:
        self.last = data

    def hold(self) -> None:
        self.seen.append("hold")

    def release(self) -> None:
        self.seen.append("release")

    def inbox(self, tick: float) -> None:
        self.seen.append("inbox")

    def put(self, tick: float, length: int, kind: int) -> None:
        self.seen.append(f"put {length}")
        part = self.last[:length] + bytes(-length % 8)
        self.data += struct.pack("<dII", tick, length, kind) + part

    def take(self) -> SimpleNamespace:
        data, self.data = self.data, b""
        return SimpleNamespace(to_bytes=lambda: data)


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


def test_a_long_piece_of_the_order_is_one_whenever_it_is_taken() -> None:
    ring = Ring()
    reader, teller = RingReader(ring, 0), _Teller(ring)
    long = Entry(ORDER, 7, bytes(range(150)))
    teller.append(long)
    data, ring.data = ring.data, b""
    cut = 2 * (16 + 64)
    assert len(data) == 16 * 3 + 152
    ring.data = data[:cut]
    assert list(reader.entries()) == []
    ring.data = data[cut:]
    teller.append(Entry(EVENT, 8, b"clock"))
    assert list(reader.entries()) == [long, Entry(EVENT, 8, b"clock")]


def test_entries_that_nobody_has_asked_for_yet_come_later() -> None:
    ring = Ring()
    reader, teller = RingReader(ring, 0), _Teller(ring)
    told = [Entry(EVENT, tick, b"clock") for tick in range(4)]
    for entry in told[:3]:
        teller.append(entry)
    assert next(reader.entries()) == told[0]
    teller.append(told[3])
    assert list(reader.entries()) == told[1:]
