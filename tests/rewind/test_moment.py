"""Moments as people name them: each leads to the tick at which the machine itself says so."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import pytest

from ebbtide.cli_replay import open_replay
from ebbtide.recording import EVENT
from ebbtide.rewind.debug_view import Stop
from ebbtide.rewind.gdb_command import open_timeline
from ebbtide.rewind.moment import Moment, moment, now_at
from ebbtide.rewind.store import RunStore
from ebbtide.wasmtime_kernel import KernelModule
from support.command import ebb, recorded

pytestmark = pytest.mark.native


def test_a_time_is_the_first_tick_at_which_the_machine_shows_it(runs: RunStore, crash: str):
    run = runs.open(crash)
    replay = open_replay(run)
    choice = random.Random(5)
    for tick in sorted(choice.randrange(1, replay.end) for _ in range(30)):
        replay.seek(tick)
        if replay.tick != tick:
            continue
        shown = replay.stage.port.report().now_ns
        assert replay.now() == shown
        found = replay.place(Moment(now_ns=shown))
        assert found <= tick
        replay.seek(found)
        assert replay.now() >= shown or any(entry.tick == found for entry in run.entries)
        replay.seek(found - 1)
        assert replay.now() < shown or replay.tick >= found
    with pytest.raises(argparse.ArgumentTypeError, match="1000000 s is behind the end of the run"):
        replay.place(Moment(now_ns=10**15))
    assert replay.place(Moment(now_ns=0)) == 0
    replay.seek(replay.end // 2)
    here = replay.tick
    replay.place(Moment(now_ns=10**6))
    assert replay.tick == here  # whoever asks goes nowhere
    replay.close()


def test_an_event_is_the_tick_before_which_it_stands(runs: RunStore, crash: str):
    run = runs.open(crash)
    abi = open_replay(run).abi
    for number, entry in enumerate(run.entries):
        assert moment(f"e{number}").place(abi, run.entries) == entry.tick
    with pytest.raises(argparse.ArgumentTypeError, match=f"at e{len(run.entries) - 1}$"):
        moment(f"e{len(run.entries)}").place(abi, run.entries)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("123", Moment(tick=123)), ("e7", Moment(entry=7)), ("1.5s", Moment(now_ns=1_500_000_000)),
     ("0.25", Moment(now_ns=250_000_000)), ("3us", Moment(now_ns=3000))],
)  # fmt: skip
def test_words(word: str, meant: Moment):
    assert moment(word) == meant


def test_every_command_that_takes_a_place_takes_all_its_forms(runs: RunStore, crash: str):
    for when in ("1", "1ms", "e5"):
        assert ebb("replay", crash, "--goto", when).returncode == 0
    everything = ebb("trace", "process", crash).stdout
    assert ebb("trace", "process", crash, "--to", "e1").stdout != everything
    assert ebb("trace", "syscalls", crash, "--from", "e3").returncode == 0
    assert ebb("profile", crash, "--from", "e1", "--to", "1ms").returncode == 0
    refused = ebb("replay", crash, "--goto", "tomorrow")
    assert refused.returncode == 2 and "no tick, no time and no event" in refused.stderr
    run = runs.open(crash)
    abi = KernelModule(run.kernel).abi
    events = [n for n, entry in enumerate(run.entries) if entry.kind == EVENT]
    calls = [n for n in events if abi.event_name(run.entries[n].head) == "CALL"]
    made = ebb("snapshot", "create", f"{crash}@e{calls[1]}")  # booted, and asked for something
    assert made.returncode == 0, made.stderr
    ebb("snapshot", "rm", made.stdout.strip())


def test_a_run_that_goes_on_from_a_machine_begins_there(runs: RunStore, crash: str, tmp_path: Path):
    made = ebb("snapshot", "create", crash)
    snapshot = made.stdout.strip()
    id = recorded(tmp_path, "--snapshot", snapshot, "--", "sh", "-c", "kill -SEGV $$", code=139)
    ebb("snapshot", "rm", snapshot)
    run = runs.open(id)
    for _ in range(2):  # gone through, then by what was kept
        replay = open_replay(run)
        line, pid = open_timeline(runs, run, replay, None)
        assert line.tick == line.end_of(pid) > replay.begin > 0
        line.seek(replay.begin + 5000)
        if replay.tick == replay.begin + 5000:
            now = now_at(replay.abi, run.entries[: replay.next], replay.tick)
            assert replay.stage.port.report().now_ns == now
        line.seek(0)
        assert line.tick == replay.begin and not line.step_back(pid)
        line.stops = [Stop("BREAK", pid, 16, 1)]
        line.seek(line.end_of(pid))
        assert line.backward() is None and line.tick == replay.begin
        replay.close()


def test_a_clock_that_chaos_disturbs_has_no_times(tmp_path: Path):
    id = recorded(tmp_path, "--chaos", "clock", "--seed", "1", "--", "true")
    refused = ebb("replay", id, "--goto", "1s")
    assert refused.returncode == 125 and "name a tick or an event" in refused.stderr
    assert ebb("replay", id, "--goto", "e5").returncode == 0
