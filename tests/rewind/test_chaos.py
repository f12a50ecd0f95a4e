"""What --chaos injects, that a replay injects the same, and that `ebb explore` finds the seed that shows a
mistake.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide.chaos import Chaos, chaos

pytestmark = pytest.mark.native


@pytest.fixture
def programs(guest_folder: Path) -> tuple[str, ...]:
    """Options that show the programs of chaos.c as /g/chaos, in time that waits for nobody."""
    folder = built(guest_folder / "rewind" / "chaos", "guests").parent
    return "-v", f"{folder}:/g:ro", "--time", "virtual"


def described(ebb) -> dict:
    return json.loads(ebb("describe", "run", "-o", "json").stdout)


def injected(ebb) -> dict[str, int]:
    """Return how often each kind struck, as `ebb describe` has it."""
    return described(ebb)["injected"]


@pytest.mark.parametrize(
    ("program", "kinds"), [("race", "sched"), ("unchecked", "errno=0.02"), ("unchecked", "short")]
)
def test_a_seed_that_fails_is_found_and_fails_for_ever(ebb, programs, program, kinds) -> None:
    command = (*programs, "--", "/g/chaos", program)
    found = ebb("explore", "--seeds", "1..200", "--chaos", kinds, *command)
    assert found.returncode == 1, found.stderr
    id = found.stdout.decode().splitlines()[-1]
    seed = re.search(rb"seed (\d+) ended with 1", found.stderr)
    assert seed and described(ebb)["seed"] == int(seed[1])
    assert [row["id"] for row in json.loads(ebb("get", "runs", "-o", "json").stdout)] == [id]
    listed = [json.loads(line) for line in ebb("trace", "chaos", "-o", "json").stdout.splitlines()]
    assert {one["kind"] for one in listed} == {kinds.partition("=")[0]}
    assert injected(ebb)[kinds.partition("=")[0]] == len(listed) > 0
    for _ in range(2):
        replayed = ebb("replay", id)
        assert replayed.returncode == 0 and replayed.stdout == found.stdout[: -len(id) - 1]
    assert ebb("verify", id, "--objects", "--replay").returncode == 0


def test_without_chaos_nothing_is_found(ebb, programs) -> None:
    tried = ebb("explore", "--seeds", "1..3", *programs, "--", "/g/chaos", "race")
    assert tried.returncode == 0 and not tried.stdout and b"3 seeds" in tried.stderr
    assert json.loads(ebb("get", "runs", "-o", "json").stdout) == []


def test_a_program_that_cannot_be_started_is_not_what_is_looked_for(ebb) -> None:
    for program, why in (("no-such-program", "command not found"), ("/etc/passwd", "permission")):
        tried = ebb("explore", "--seeds", "1..3", "--", program)
        assert (tried.returncode, tried.stdout) == (125, b"")
        said = rf"ebb: seed \d could not be run: {program}: {why}"
        assert re.match(said, tried.stderr.decode())
    found = ebb("explore", "--seeds", "1..3", "--", "sh", "-c", "no-such-program")
    assert found.returncode == 1 and b" ended with 127; " in found.stderr


def test_seeds_are_explored_from_a_moment(ebb, programs) -> None:
    """What was made before it is there for each seed, and nothing of what another seed did."""
    begun = ebb("run", "-q", *programs, "--", "sh", "-c", "cp /g/chaos /tmp; echo 1 > /tmp/kept")
    assert begun.returncode == 0, begun.stderr
    snapshot = ebb("snapshot", "create", "last").stdout.decode().strip()
    ebb("rm", json.loads(ebb("get", "runs", "-o", "json").stdout)[0]["id"])
    script = "[ $(wc -l < /tmp/kept) = 1 ] && echo 2 >> /tmp/kept && /tmp/chaos race"
    command = "--snapshot", snapshot, "--time", "virtual", "--", "sh", "-c", script
    tried = ebb("explore", "--seeds", "1..2", *command)
    assert (tried.returncode, tried.stdout) == (0, b""), tried.stderr
    found = ebb("explore", "--seeds", "1..200", "--chaos", "sched", *command)
    assert found.returncode == 1, found.stderr
    *said, id = found.stdout.decode().splitlines()
    about = described(ebb)
    assert (about["id"], about["goes_on_from"]) == (id, {"snapshot": snapshot})
    assert injected(ebb)["sched"] > 0
    assert ebb("replay", id).stdout.decode().splitlines() == said
    assert ebb("verify", id, "--objects", "--replay").returncode == 0


def test_what_is_looked_for_can_be_chosen(ebb) -> None:
    script = "--", "sh", "-c", "kill -9 $$"
    assert ebb("explore", "--seeds", "5..9", "--until-exit", "3", *script).returncode == 0
    found = ebb("explore", "--seeds", "5..9", "--jobs=1", "--until-exit=signal", *script)
    assert found.returncode == 1 and b"seed 5 ended with 137; 1 tried" in found.stderr
    assert ebb("explore", "--seeds", "9..5", *script).returncode == 2
    assert ebb("explore", "--seeds", "1..2", "--image", "none-such", *script).returncode == 125


@pytest.mark.parametrize(
    "option",
    [
        "--seed=4",
        "--no-reseed",
        "-p8099:80",
        "-q",
        "--id-file=x",
        "--no-record",
        "--jit=verify",
        "--core=x",
    ],
)
def test_what_only_one_run_can_have_is_refused(ebb, option: str) -> None:
    refused = ebb("explore", "--seeds", "1..2", option, "--", "false")
    assert refused.returncode == 2 and b"is for one run, with `ebb run`" in refused.stderr


def test_runs_of_several_harts_are_explored_and_options_of_the_program_are_its_own(ebb) -> None:
    script = "sh", "-c", 'echo "$@"; false', "name", "--jobs", "5", "--seeds=7"
    found = ebb("explore", "--seeds", "1..2", "--jobs", "1", "--harts", "2", *script)
    assert found.returncode == 1, found.stderr
    said, id = found.stdout.decode().splitlines()
    assert said == "--jobs 5 --seeds=7" and ebb("replay", id).stdout.decode() == said + "\n"


def allowed(root: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in re.findall(
        r"^CHAOS\((\w+), \w+, (.*)\)$", (root / "kernel/chaos.tbl").read_text(), re.M
    ):
        found[row[0]] |= set(row[1].split(", "))
    return found


def test_errors_are_those_of_the_table_and_marked(ebb, root: Path) -> None:
    table, seen = allowed(root), 0
    script = (
        "for i in 1 2 3 4 5 6; do cat /etc/hosts | wc -l; mkdir d$i; echo x > d$i/f; done; exit 0"
    )
    for seed in range(4):
        ebb("run", "-q", "--chaos", "errno=0.1", "--seed", str(seed), "--", "sh", "-c", script)
        lines = ebb("trace", "syscalls", "-f").stdout.decode().splitlines()
        marked = [line for line in lines if line.endswith(" (INJECTED)")]
        for line in marked:
            match = re.search(r"\] (\w+)\(.* = -1 (\w+) \(.*\) \(INJECTED\)$", line)
            assert match and match[2] in table[match[1]], line
        listed = ebb("trace", "chaos").stdout.decode().splitlines()
        assert injected(ebb)["errno"] == len(marked) == len(listed)
        for line, said in zip(marked, listed, strict=True):
            call, error = re.search(r"\] (\w+)\(.* = -1 (\w+) ", line).groups()
            assert said.endswith(f"errno: {call} fails: {error}")
        seen += len(marked)
    assert seen > 10


def test_what_is_short_is_read_on_by_who_does_it_right(ebb) -> None:
    script = "seq 20000 | sort -r | md5sum; seq 20000 > f; cat f f | md5sum"
    plain = ebb("run", "-q", "-w", "/tmp", "--", "sh", "-c", script)
    short = ebb("run", "-q", "-w", "/tmp", "--chaos", "short=0.7", "--", "sh", "-c", script)
    assert short.stdout == plain.stdout and short.returncode == 0
    assert injected(ebb)["short"] > 20
    assert ebb("verify", "--replay").returncode == 0


def test_messages_stay_whole(ebb, programs) -> None:
    ran = ebb("run", "-q", *programs, "--chaos", "short=1", "--", "/g/chaos", "whole")
    assert ran.returncode == 0 and injected(ebb)["short"] > 0


def test_clocks_jump_and_monotonic_time_goes_on(ebb, programs) -> None:
    for kinds, said in (("clock=0.5", b"it went back\n"), ("sched", b"steady\n")):
        ran = ebb(
            "run", "-q", *programs, "--chaos", kinds, "--seed", "2", "--", "/g/chaos", "clocks"
        )
        assert (ran.returncode, ran.stdout) == (0, said)
        assert ebb("verify", "--replay").returncode == 0


def test_a_clock_that_is_set_back_keeps_timers_waiting(ebb, programs) -> None:
    assert ebb("run", "-q", *programs, "--", "/g/chaos", "set_back").returncode == 0


def test_rates_are_read() -> None:
    assert chaos("errno=0.5,sched", 3) == Chaos({"errno": 0.5, "sched": 1.0}, 3)
    assert chaos("0.01").rates == {"errno": 0.01, "short": 0.01, "clock": 0.01, "sched": 1.0}
    assert chaos("0,clock=1").rates["clock"] == 1
    for wrong in ("", "none", "errno=2", "errno=x", "-1"):
        with pytest.raises(ValueError, match="chaos has the kinds|is no rate"):
            chaos(wrong)
