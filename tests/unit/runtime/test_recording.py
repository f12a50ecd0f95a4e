"""Tapes are written with ticks, read back, and replayed to the tick."""

from __future__ import annotations

import pytest

from ebbtide.abi import Status
from ebbtide.events import Events
from ebbtide.fake_port import FakePort
from ebbtide.port import Report
from ebbtide.recording import RecordingPort, ReplayDiverged, ReplayDriver, Tape


class CountingPort(FakePort):
    """A machine that retires all of its budget and whose digest is its history."""

    def __init__(self) -> None:
        super().__init__()
        self.tick = 0
        self.history: list[tuple[int, bytes]] = []

    def step(self, budget: int) -> Status:
        self.tick += budget
        self._report = Report(Status.READY, tick=self.tick)
        return Status.READY

    def deliver(self, event: bytes) -> None:
        self.history.append((self.tick, event))

    def digest(self) -> bytes:
        return repr(self.history).encode()


def record() -> Tape:
    port, tape = CountingPort(), Tape("k")
    recording = RecordingPort(port, tape)
    events = Events(port.abi)
    for tick in (10, 5, 0, 30):
        if tick:
            recording.step(tick)
        recording.deliver(events.cancel(tick))
    recording.digest(port.digest())
    return tape


@pytest.mark.parametrize("budget", [1, 7, 1000])
def test_replay_delivers_at_the_same_ticks_whatever_the_budget(budget):
    tape, port = record(), CountingPort()
    driver = ReplayDriver(
        port, tape.entries, digest=port.digest, drain=lambda: None, budget=lambda: budget
    )
    driver.run()
    assert driver.digests == 1 and driver.tick == 45


def test_replay_that_differs_says_where():
    tape, port = record(), CountingPort()
    with pytest.raises(ReplayDiverged, match="tick 45"):
        ReplayDriver(port, tape.entries, digest=lambda: b"other", drain=lambda: None).run()


def test_a_module_of_compiled_code_is_no_event_and_no_divergence():
    tape = record()
    port = FakePort([Report(Status.JIT_READY, tick=3, detail=64), Report(Status.READY, tick=9)])
    recording = RecordingPort(port, entries := Tape("k"))
    recording.step(9)
    recording.jit_install(64)
    assert entries.entries == [] and port.asked[-1] == ("jit_install", 64)

    class CompilingPort(CountingPort):
        """Asks before each step that gets on, at the same tick."""

        asks = True

        def step(self, budget: int) -> Status:
            self.asks = not self.asks
            if self.asks:
                return super().step(budget)
            self._report = Report(Status.JIT_READY, tick=self.tick, detail=8)
            return Status.JIT_READY

    machine = CompilingPort()
    driver = ReplayDriver(machine, tape.entries, digest=machine.digest, drain=lambda: None)
    driver.run()
    assert driver.digests == 1 and ("jit_install", 8) in machine.asked
