"""The order of several harts on a tape: each piece ends where it says, whoever brings it there.

Two harts, stepped by the test; what the runtime does after a step comes when the test wants it.
"""

from __future__ import annotations

import random

import pytest

from ebbtide.image_store import empty_index
from ebbtide.order import RECORD, RING, OrderLog
from ebbtide.recording import DIGEST, ORDER, Entry, Tape
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.stage import Pages
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_kernel import KernelModule
from ebbtide.wasmtime_port import WasmtimePort

from .conftest import RAM, SteppedMachine

pytestmark = pytest.mark.native
GETPID = 172


class TwoHarts(SteppedMachine):
    """Two harts with calls to make, recorded."""

    def __init__(self, kernel: KernelModule) -> None:
        super().__init__(kernel, harts=2)
        self.ports = [WasmtimePort(kernel, self.memory, self.host.seat(hart)) for hart in (0, 1)]
        self.tape = Tape()
        log = self.host.order(RECORD, RING)
        self.log = OrderLog(self.abi, self.memory, log, self.tape)
        boot = self.events.boot(
            ram_bytes=RAM,
            realtime_ns=0,
            cpus=2,
            harts=2,
            seed=bytes(32),
            index=empty_index(),
            ordered=True,
        )
        self.deliver(0, boot)
        self.deliver(0, self.events.clock(0, 1 << 24))
        for port in self.ports:
            port.step(0)  # for a report

    def deliver(self, hart: int, event: bytes) -> None:
        self.ports[hart].deliver(event)
        self.log.delivered(event)

    def brought(self, hart: int) -> None:
        """Do what a hart's runtime does after its step."""
        self.log.stepped(self.ports[hart].report())

    def replayed(self) -> int:
        """Replay the tape, and return where that ends."""

        def stage(ram: int, pages: Pages | None) -> WasmtimeStage:
            return WasmtimeStage(self.kernel, ram, None, pages)

        replay = Replay(self.abi, self.tape.entries, stage)
        replay.run()  # raises where a piece does not end as it says
        tick = replay.tick
        replay.close()
        return tick

    @property
    def moment(self) -> int:
        return max(port.report().moment for port in self.ports)


def test_who_brings_less_than_there_is_says_where_that_ended(kernel: KernelModule) -> None:
    harts = TwoHarts(kernel)
    for id in (1, 2):
        harts.deliver(0, harts.events.call(id, GETPID, ()))
    harts.ports[0].step(1)
    harts.ports[1].step(1 << 30)  # and goes on, before the first has brought its own
    begun, ended = (port.report().moment for port in harts.ports)
    assert begun < ended
    harts.brought(0)
    assert [(one.kind, one.tick) for one in harts.tape.entries[-1:]] == [(ORDER, begun)]
    harts.brought(1)
    assert [(one.kind, one.tick) for one in harts.tape.entries[-1:]] == [(ORDER, ended)]
    assert harts.replayed() == ended == harts.tape.entries[-1].tick


def test_a_tape_ends_where_the_machine_did(kernel: KernelModule) -> None:
    for seed in range(20):
        chance, harts, owing = random.Random(seed), TwoHarts(kernel), []
        for id in range(1, 30):
            hart = chance.randrange(2)
            if chance.random() < 0.6:
                harts.deliver(hart, harts.events.call(id, GETPID, ()))
            harts.ports[hart].step(chance.choice((1, 2, 5, 1 << 30)))
            owing.append(hart)
            if chance.random() < 0.5:  # others first, or later, or never
                chance.shuffle(owing)
                for one in owing:
                    harts.brought(one)
                owing.clear()
            if chance.random() < 0.1:
                harts.log.rest(harts.moment)
                harts.tape.append(Entry(DIGEST, harts.moment, harts.digest()))
        harts.log.rest(harts.moment)
        assert harts.replayed() == harts.moment == harts.tape.entries[-1].tick
