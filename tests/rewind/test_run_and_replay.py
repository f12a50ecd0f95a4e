"""`ebb run` records, `ebb replay` says the same again: through the command, as a user has it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid

import pytest

from ebbtide import cli_replay
from ebbtide.recording import ReplayDiverged
from ebbtide.rewind.store import RunStore
from support.command import recorded

pytestmark = pytest.mark.native

SCRIPT = "echo $RANDOM; date +%N; seq 2000 | sort -r | tail -1; echo err >&2; exit 3"


def test_a_run_prints_its_id_and_replays_with_the_same_output(ebb):
    ran = ebb("run", "--", "sh", "-c", SCRIPT)
    id, _, said = ran.stderr.decode().partition("\n")
    assert ran.returncode == 3 and str(uuid.UUID(id)) == id and said == "err\n"
    for name in ("last", id, id[:8]):
        replayed = ebb("replay", name)
        assert (replayed.returncode, replayed.stdout) == (0, ran.stdout)
        assert replayed.stderr == b"err\n"
    assert re.search(rf"^{id} .* 3 .* sh -c 'echo", ebb("get", "runs").stdout.decode(), re.M)


def test_input_and_files_of_the_host_are_on_the_tape(ebb, tmp_path):
    (shown := tmp_path / "shown").mkdir()
    (shown / "big").write_bytes(os.urandom(300_000))
    ran = ebb("run", "-q", "-v", f"{shown}:/mnt", "--", "sh", "-c", "cat; sha256sum /mnt/big",
              input=b"typed\n" * 3000)  # fmt: skip
    (shown / "big").write_bytes(b"other")
    assert ran.returncode == 0 and not ran.stderr
    assert ebb("replay").stdout == ran.stdout


def test_a_machine_that_differs_is_found_and_its_page_named(ebb, tmp_path):
    ebb("run", "-q", "--", "sh", "-c", SCRIPT)
    store = RunStore(tmp_path / "runs")
    replay = cli_replay.open_replay(store.open("last"))
    replay.seek(replay.end)
    stage = replay.stage
    heap, low, end = stage.host.span()
    page = low + 5
    assert heap < page < end
    at = stage.base + page * stage.page + 77
    stage.memory.write(at, bytes([stage.memory.read(at, 1)[0] ^ 1]))
    with pytest.raises(ReplayDiverged, match=rf"entry \d+, at tick {replay.end}: page {page} of the "
                       rf"machine differs \(address {at - 77:#x}\), the first of 1: expected "):  # fmt: skip
        replay.run()
    store.close()


def test_what_is_not_recorded_leaves_nothing(ebb):
    assert ebb("run", "--no-record", "--", "true").stderr == b""
    virtual = "--record", "--harts", "2", "--time", "virtual"
    assert ebb("run", *virtual, "--", "true").returncode == 125
    none = ebb("replay")
    assert none.returncode == 125 and b"nothing has been recorded yet" in none.stderr


def test_a_run_has_all_processors_but_where_a_seed_is_to_choose(ebb):
    all_of_them = b"%d\n" % min(os.cpu_count(), 4)
    for options, expected in (
        ((), all_of_them),
        (("--no-record",), all_of_them),
        (("--harts", "1"), b"1\n"),
        (("--harts", "3"), b"3\n"),
        (("--seed", "1"), b"1\n"),
        (("--seed", "1", "--harts", "2"), b"2\n"),
        (("--chaos", "sched"), b"1\n"),
        (("--time", "virtual"), b"1\n"),
        (("--jit", "verify"), b"1\n"),
    ):
        ran = ebb("run", *options, "--", "nproc")
        assert (ran.returncode, ran.stdout) == (0, expected), (options, ran.stderr)
        if "--no-record" not in options and "verify" not in options:
            assert ebb("replay").stdout == expected


def test_the_id_goes_where_it_is_wanted(ebb, tmp_path):
    ran = ebb("run", "--id-file", str(tmp_path / "id"), "--", "true")
    assert ran.stderr == b"" and uuid.UUID((tmp_path / "id").read_text().strip())


@pytest.mark.parametrize("harts", ["1", "2"])
def test_a_moment_behind_the_end_is_refused_by_all_in_the_same_words(ebb, tmp_path, harts: str):
    assert ebb("run", "--harts", harts, "-q", "--", "echo", "hi").returncode == 0
    known = json.loads(ebb("describe", "run", "-o", "json").stdout)
    end, entries = known["ticks"], known["entries"]
    words = {str(end + 1): f"tick {end + 1}", "10000s": "10000 s", f"e{entries}": f"e{entries}"}
    for when, named in words.items():
        for command in (
            ("replay", "--goto", when),
            ("snapshot", "create", f"last@{when}"),
            ("trace", "syscalls", "--from", when),
            ("trace", "process", "--to", when),
            ("profile", "--from", when),
            ("core", "-o", str(tmp_path / "core"), "--at", when),
            ("gdb", "--port", "0", "--goto", when),
        ):
            done = ebb(*command)
            assert (done.returncode, done.stdout) == (125, b"")
            said = f"ebb: {re.escape(named)} is behind the end of the run, which is at "
            at = {"t": f"tick {end}", "1": r"\d\.\d{9} s", "e": f"e{entries - 1}"}[named[0]]
            assert re.fullmatch(said + at + "\n", done.stderr.decode())
    for when in (str(end), f"e{entries - 1}"):
        assert ebb("snapshot", "create", f"last@{when}").returncode == 0


def test_a_replay_that_stops_at_a_moment_says_where_that_is(ebb):
    ebb("run", "-q", "--", "echo", "hi")
    said = ebb("replay", "--goto", "100").stderr.decode()
    assert re.fullmatch(r"ebb: tick \d+ of \d+, 0\.\d{9} s, before e\d+\n", said)
    assert ebb("replay", "-q", "--goto", "100").stderr == b""


def test_an_interrupt_ends_a_command_without_a_word(tmp_path):
    """Its output waits for a reader who takes the first line alone."""
    loop = "i=0; while [ $i -lt 6000 ]; do echo $i; i=$((i+1)); done"
    command = [sys.executable, "-m", "ebbtide.cli", "trace", "syscalls"]
    command.append(recorded(tmp_path, "--", "sh", "-c", loop))
    said = subprocess.run(command, capture_output=True, timeout=300).stdout
    assert len(said) > 1 << 17  # more than a pipe and our buffer hold
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=300)
    assert (running.returncode, errors) == (130, b"")
