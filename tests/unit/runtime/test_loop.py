"""The loop through every status in every order, against a scripted port."""

from __future__ import annotations

import itertools

import pytest

from ebbtide.abi import Status
from ebbtide.clock import Clock, ClockSetting, HostTime, VirtualClock
from ebbtide.events import Events
from ebbtide.fake_port import FakePort
from ebbtide.loop import Loop, Turn
from ebbtide.policy import Rule, Rules
from ebbtide.port import NO_DEADLINE, Control, Report, Wake

IDLE = [
    Status.FUTEX_WAIT,
    Status.PIPE_WAIT,
    Status.EPOLL_WAIT,
    Status.SOCKET_WAIT,
    Status.TTY_WAIT,
    Status.CHILD_WAIT,
    Status.VFORK_WAIT,
    Status.SLEEP,
    Status.FS_WAIT,
]
SPAWN = [Status.CLONE_SPAWN, Status.EXECVE_SPAWN]


class Seen:
    """Write down what a watcher is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def exited(self, report: Report) -> None:
        self.told.append(("exited", report.pid))

    def refused(self, report: Report, error: str) -> None:
        self.told.append(("refused", error))

    def panicked(self, report: Report, message: str) -> None:
        self.told.append(("panicked", message))


class HostNs:
    """A host clock that moves only when told."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def make(script: list[Report], clock=None, policy=None) -> tuple[FakePort, Loop, Seen]:
    port, seen = FakePort(script), Seen()
    loop = Loop(port, clock or VirtualClock(), policy or Rules(), seen)
    return port, loop, seen


@pytest.mark.parametrize("first", Status)
@pytest.mark.parametrize("second", Status)
@pytest.mark.parametrize("third", [Status.READY, Status.SLEEP, Status.CLONE_SPAWN, Status.EXITED])
def test_every_status_in_every_order_does_its_own_thing(first, second, third):
    order = [first, second, third]
    script = [Report(status, pid=7, tid=8, call_seq=9, seen=5, detail=64) for status in order]
    port, loop, seen = make(script)
    turns = 0
    for status in order:
        turns += 1
        before = len(port.asked)
        turn = loop.turn()
        asked = [what for what, _ in port.asked[before:]]
        if status is Status.PANIC:
            assert turn is Turn.PANICKED and seen.told[-1][0] == "panicked"
            break
        assert turn is Turn.AGAIN
        if status in IDLE:
            assert asked == ["step", "park"]
        elif status in SPAWN:
            assert asked == ["step", "deliver"]
            assert port.delivered()[-1] == "ADMIT"
        elif status is Status.JIT_READY:
            assert asked == ["step", "jit_install"] and port.asked[-1][1] == 64
        else:
            assert asked == ["step"]
        if status is Status.EXITED:
            assert seen.told[-1] == ("exited", 7)
    assert [what for what, _ in port.asked].count("step") == turns


@pytest.mark.parametrize("spawns", list(itertools.product(SPAWN, repeat=2)))
def test_refusal_carries_the_errno_and_the_call(spawns):
    policy = Rules(Rule("EAGAIN"), Rule("EACCES"))
    port, loop, seen = make(
        [Report(s, tid=3, call_seq=11, detail=1) for s in spawns], policy=policy
    )
    for status in spawns:
        loop.turn()
        name = "EAGAIN" if status is Status.CLONE_SPAWN else "EACCES"
        layout = port.abi.structs["event_admit"]
        event = port.asked[-1][1]
        assert layout.integer(event, "error") == (1 << 32) - port.abi.errno[name]
        assert (layout.integer(event, "tid"), layout.integer(event, "seq")) == (3, 11)
        assert seen.told[-1] == ("refused", name)


@pytest.mark.parametrize("spawn", SPAWN)
@pytest.mark.parametrize("other", Status)
@pytest.mark.parametrize("errors", [(None, "EAGAIN"), ("EAGAIN", None), ("EAGAIN", "EAGAIN")])
def test_answers_are_given_at_once_whatever_stands_between_the_questions(spawn, other, errors):
    first, second = errors
    after, times = (0, 2 if second else 1) if first else (1, 1)
    rule = Rule("EAGAIN", after, times)
    script = [
        Report(spawn, tid=3, call_seq=11, detail=1),
        Report(other, tid=3, call_seq=11, detail=9),
        Report(spawn, tid=4, call_seq=12, detail=2),
        Report(spawn, tid=5, call_seq=13, detail=3),
    ]
    port, loop, seen = make(script, policy=Rules(rule, rule))
    layout = port.abi.structs["event_admit"]
    for report in script:
        if loop.turn() is Turn.PANICKED:
            return
        if report.status is spawn and report.detail != 9:
            event = port.asked[-1][1]
            error = {1: first, 2: second}.get(report.detail)
            number = (1 << 32) - port.abi.errno[error] if error else 0
            assert layout.integer(event, "error") == number
            assert layout.integer(event, "tid") == report.tid
            assert layout.integer(event, "seq") == report.call_seq
    assert [told for told in seen.told if told[0] == "refused"] == [
        ("refused", error) for error in errors if error
    ]


def test_mail_is_delivered_in_order_before_the_step() -> None:
    port, loop, _ = make([Report(Status.READY)])
    events = Events(port.abi)
    port.mail.extend([events.cancel(1), events.clock(5, 6), events.cancel(2)])
    loop.turn()
    assert port.delivered() == ["CANCEL", "CLOCK", "CANCEL"]
    assert port.asked[-1][0] == "step"


def test_stop_ends_the_loop_without_a_step() -> None:
    port, loop, _ = make([])
    port.state = Control.STOP
    assert loop.run() is Turn.STOPPED
    assert port.asked == []


def test_frozen_hart_neither_delivers_nor_runs_on_until_thawed() -> None:
    port, loop, _ = make([Report(Status.READY, seen=4), Report(Status.READY, seen=5)])
    port.state = Control.FREEZE
    port.mail.append(Events(port.abi).cancel(1))

    def thaw() -> None:
        port.state = Control.RUN

    port.on_park = thaw
    loop.turn()
    assert port.asked[-1] == ("park", (4, None)) and port.delivered() == []
    loop.turn()
    assert port.delivered() == ["CANCEL"]


def test_idle_hart_woken_while_frozen_changes_nothing() -> None:
    port, loop, _ = make([Report(Status.SLEEP, deadline_ns=10)], clock=Clock(HostTime(HostNs())))

    def freeze() -> None:
        port.state = Control.FREEZE

    port.on_park = freeze
    loop.turn()
    assert port.delivered() == []


def test_stop_that_rings_just_before_the_step_is_not_slept_through():
    port, loop, _ = make([Report(Status.TTY_WAIT, seen=8)])
    step = port.step

    def stopped_meanwhile(budget: int) -> Status:
        port.state = Control.STOP  # after the loop's first look; `seen` already counts the ring
        return step(budget)

    port.step = stopped_meanwhile
    assert loop.run() is Turn.STOPPED
    assert "park" not in [what for what, _ in port.asked]


def test_panic_keeps_the_message() -> None:
    port, loop, seen = make([Report(Status.PANIC, detail=64)])
    port.memory[64] = b"page.c:12: ref > 0\0rest"
    assert loop.run() is Turn.PANICKED
    assert seen.told == [("panicked", "page.c:12: ref > 0")]


def test_park_gets_the_deadline_in_host_time_and_clock_follows():
    host = HostNs()
    port, loop, _ = make(
        [Report(Status.SLEEP, now_ns=1_000, deadline_ns=50_000, seen=9)],
        clock=Clock(HostTime(host)),
    )
    host.ns = 20_000
    port.wakes.append(Wake.TIMED_OUT)
    port.on_park = lambda: setattr(host, "ns", 49_999)
    loop.turn()
    assert ("park", (9, 30_000)) in port.asked
    layout = port.abi.structs["event_clock"]
    assert layout.integer(port.asked[-1][1], "base_ns") == 50_000  # a timer that was due has come


def test_virtual_time_jumps_when_idle_but_not_over_file_data() -> None:
    port, loop, _ = make(
        [Report(Status.SLEEP, deadline_ns=10**12), Report(Status.FS_WAIT, deadline_ns=10**12)]
    )
    loop.turn()
    assert port.delivered() == ["CLOCK"] and "park" not in [what for what, _ in port.asked]
    loop.turn()
    assert port.asked[-1] == ("park", (0, None))


def test_busy_clock_is_silent_while_time_agrees_and_slews_when_not() -> None:
    host = HostNs()
    clock = Clock(HostTime(host))
    step = 40_000_000
    sent: list[ClockSetting] = []
    virtual, tick = 0, 0
    for _ in range(100):  # the kernel's clock runs at half speed until told otherwise
        clock.step_begin()
        host.ns += step
        tick += step // 2
        mul = sent[-1].mul / (1 << 24) if sent else 1.0
        virtual += int(step // 2 * mul)
        setting = clock.busy(Report(Status.READY, tick=tick, now_ns=virtual))
        if setting:
            assert setting.base_ns == virtual and setting.suspend_ns == 0
            sent.append(setting)
    assert abs(virtual - host.ns) < 10_000_000
    assert 1 <= len(sent) < 20


@pytest.mark.parametrize("between", [Status.JIT_READY, Status.EXITED, Status.EXECVE_SPAWN])
def test_the_time_of_a_step_that_ended_in_a_question_counts(between):
    host = HostNs()
    port, loop, _ = make(
        [
            Report(Status.READY, tick=1),
            Report(between, tick=20_000_001, detail=1),
            Report(Status.READY, tick=20_040_001),
        ],
        clock=Clock(HostTime(host)),
    )
    spent = iter((0, 50_000_000, 100_000))
    step = port.step

    def timed(budget: int) -> Status:
        host.ns += next(spent)
        return step(budget)

    port.step = timed
    for _ in range(3):
        loop.turn()
    assert loop.clock.budget() == pytest.approx(20_000_000, rel=0.01)  # 2.5 ns a tick, 50 ms


def test_a_hart_that_is_ahead_of_boot_sets_no_clock() -> None:
    host = HostNs()
    script = [Report(Status.READY), Report(Status.READY, tick=1)]
    port, loop, _ = make(script, clock=Clock(HostTime(host)))
    host.ns = 900_000_000  # on a slow host, boot takes longer than a clock stays silent
    loop.turn()
    assert port.delivered() == []
    loop.turn()
    assert port.delivered() == ["CLOCK"]


def test_clock_never_steps_back_when_virtual_time_is_ahead() -> None:
    host = HostNs()
    clock = Clock(HostTime(host))
    host.ns = 200_000_000
    report = Report(Status.READY, now_ns=900_000_000)
    setting = clock.busy(report)
    assert setting and setting.base_ns == 900_000_000
    assert clock.park_ns(Report(Status.SLEEP, deadline_ns=1_000_000_000), host_owes=False) == (
        800_000_000
    )


def test_gap_that_no_deadline_asked_for_is_a_suspend() -> None:
    host = HostNs()
    clock = Clock(HostTime(host))
    clock.leave_idle(Report(Status.SLEEP), None, False)
    clock.step_begin()
    host.ns += 10_000_000_000
    setting = clock.busy(Report(Status.READY, now_ns=5))
    assert setting and setting.suspend_ns == 10_000_000_000 and setting.base_ns == 5
    host.ns += 60_000_000_000  # parked until woken: an idle minute is no suspend
    setting = clock.leave_idle(Report(Status.SLEEP, now_ns=5), None, False)
    assert setting and setting.suspend_ns == 0 and setting.base_ns == 60_000_000_000
    host.ns += 9_000_000_000
    setting = clock.leave_idle(
        Report(Status.SLEEP, now_ns=setting.base_ns, deadline_ns=61_000_000_000), 10**9, True
    )
    assert setting and setting.suspend_ns == 8_000_000_000 and setting.base_ns == 61_000_000_000


def test_no_deadline_parks_until_woken() -> None:
    port, loop, _ = make([Report(Status.TTY_WAIT, deadline_ns=NO_DEADLINE, seen=2)])
    loop.turn()
    assert port.asked[-1] == ("park", (2, None))
