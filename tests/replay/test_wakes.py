"""Which hart is told that there is something to do: one, that has nothing else to do.

A machine of several harts, all stepped by the test. A hart told by its doorbell does not stay in a park.
"""

from __future__ import annotations

import pytest

from ebbtide.abi import Status
from ebbtide.image_store import empty_index
from ebbtide.port import NO_DEADLINE, Wake
from ebbtide.wasmtime_kernel import KernelModule
from ebbtide.wasmtime_port import WasmtimePort

from .conftest import SteppedMachine

pytestmark = pytest.mark.native
FOREVER = 1 << 31


class Harts(SteppedMachine):
    """Their ports, booted and parked."""

    def __init__(self, kernel: KernelModule, harts: int) -> None:
        super().__init__(kernel, harts=harts)
        self.ports = [
            WasmtimePort(kernel, self.memory, self.host.seat(hart)) for hart in range(harts)
        ]
        events = self.events
        self.host.post(
            events.boot(
                ram_bytes=128 << 20,
                realtime_ns=0,
                cpus=harts,
                harts=harts,
                seed=bytes(32),
                index=empty_index(),
            )
        )
        self.host.post(self.clock())
        for hart in range(harts):
            assert self.turn(hart) is Status.SLEEP

    def clock(self) -> bytes:
        return self.events.clock(0, 1 << 24)

    def turn(self, hart: int) -> Status:
        """Deliver mail and step, as a loop does."""
        while (event := self.ports[hart].mail_take()) is not None:
            self.ports[hart].deliver(event)
        return self.ports[hart].step(FOREVER)

    def rung(self) -> list[int]:
        """Return whose parks would end at once."""
        return [
            hart
            for hart, port in enumerate(self.ports)
            if port.park(port.report().seen, 0) is not Wake.TIMED_OUT
        ]


@pytest.fixture
def harts(kernel: KernelModule) -> Harts:
    return Harts(kernel, 3)


def test_mail_wakes_one_hart(harts: Harts) -> None:
    harts.host.post(harts.clock())
    assert len(harts.rung()) == 1


def test_a_hart_on_its_way_to_a_step_sees_what_has_come(harts: Harts) -> None:
    for port in harts.ports:
        assert port.mail_take() is None
    harts.host.post(harts.clock())
    for port in harts.ports:
        assert port.step(FOREVER) is Status.READY
    assert [harts.turn(hart) for hart in range(3)] == [Status.SLEEP] * 3
    assert harts.rung() == []


def test_who_delivers_looks_for_more(harts: Harts) -> None:
    harts.host.post(harts.clock())
    [told] = harts.rung()
    event = harts.ports[told].mail_take()
    harts.host.post(harts.clock())
    assert harts.rung() == [told]  # by the first alone
    assert harts.ports[(told + 1) % 3].step(FOREVER) is Status.SLEEP  # one at a time, in order
    assert event is not None
    harts.ports[told].deliver(event)
    assert harts.ports[told].mail_take() is not None


def test_a_call_runs_where_it_was_delivered(harts: Harts) -> None:
    getpid = 172
    harts.host.post(harts.events.call(1, getpid, ()))
    [told] = harts.rung()
    assert harts.turn(told) is not Status.READY
    harts.drain()
    assert [(ended.id, ended.result) for ended in harts.ended] == [(1, 1)]
    assert harts.rung() == []  # nobody else was woken for it


def test_one_hart_wakes_for_a_timer(harts: Harts) -> None:
    nanosleep, second = 101, (1).to_bytes(8, "little") + bytes(8)
    harts.host.post(harts.events.call(1, nanosleep, (0, 0), window_args=1, data=second))
    for _ in range(2):  # whoever wakes meanwhile
        for hart in range(3):
            harts.turn(hart)
    deadlines = [port.report().deadline_ns for port in harts.ports]
    assert len([one for one in deadlines if one != NO_DEADLINE]) == 1
    [wakes] = [hart for hart, one in enumerate(deadlines) if one != NO_DEADLINE]
    harts.ports[wakes].deliver(harts.events.clock(2_000_000_000, 1 << 24))
    harts.turn(wakes)
    harts.drain()
    assert [(ended.id, ended.result) for ended in harts.ended] == [(1, 0)]


def test_a_sooner_timer_is_minded_by_who_set_it(harts: Harts) -> None:
    nanosleep = 101
    for id, seconds in enumerate((5, 1), 1):
        harts.host.post(
            harts.events.call(
                id, nanosleep, (0, 0), window_args=1, data=seconds.to_bytes(8, "little") + bytes(8)
            )
        )
        harts.turn(id)
    deadlines = [port.report().deadline_ns for port in harts.ports]
    assert min(deadlines) < 2_000_000_000
