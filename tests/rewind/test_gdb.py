"""`ebb gdb`: a program that crashed is debugged backwards, by gdb, as a user does it."""

from __future__ import annotations

import os
import pty
import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide import blocking, host_directories
from ebbtide.cli_replay import open_replay
from ebbtide.placement import Mount
from ebbtide.rewind.bundle import Bundle
from ebbtide.rewind.debug_view import Stop
from ebbtide.rewind.store import RunStore
from ebbtide.rewind.timeline import Timeline
from support.command import ebb, recorded

pytestmark = pytest.mark.native

JOURNEY = """
echo == crash\\n
backtrace
info threads
info locals
print account.name
echo == maps\\n
info proc mappings
echo == watch\\n
watch -l account.balance
reverse-continue
backtrace
info threads
delete
echo == finish\\n
reverse-finish
echo == break\\n
break reverse.c:36
reverse-continue
continue
delete
break rename_account
reverse-continue
echo == next\\n
next
reverse-next
reverse-stepi
monitor when
stepi
monitor when
echo == ends\\n
continue
delete
reverse-continue
reverse-continue
continue
print $_siginfo
"""


def test_the_journey_from_a_crash_back_to_the_store_that_caused_it(crash: str, tmp_path: Path):
    if not shutil.which("gdb-multiarch"):
        pytest.skip("no gdb-multiarch on PATH (Debian package gdb-multiarch)")
    script = tmp_path / "journey"
    script.write_text(JOURNEY)
    done = ebb("gdb", crash, "--", "-batch", "-x", str(script))
    said = dict(re.findall(r"== (\w+)\n(.*?)(?=\n== |\Z)", done.stdout, re.S))
    assert {*said} == {"crash", "maps", "watch", "finish", "break", "next", "ends"}, (
        done.stdout + done.stderr
    )

    assert re.search(r"#0 .*main \(\) at .*reverse.c:53", said["crash"])
    assert re.search(r'\* 1 +Thread .* "reverse"', said["crash"]) and "before = " in said["crash"]
    assert '"overlong"' in said["crash"]

    assert re.search(r"Old value = .*\nNew value = ", said["watch"])
    assert re.search(r"#0 .* rename_account \(.*\) at .*reverse.c:27", said["watch"])
    assert re.search(r"#1 .* count \(arg=0x2\) at .*reverse.c:41", said["watch"])
    assert re.search(r'\* \d+ +Thread .* "counter-2"', said["watch"])

    assert re.search(r"in count \(arg=0x2\) at .*reverse.c:41", said["finish"])

    hits = re.findall(r"hit Breakpoint \d+, .*?(?:at .*reverse.c:(\d+)|$)", said["break"], re.M)
    assert len(hits) == 3 and hits[:2] == ["36", "36"], said["break"]
    assert "rename_account (" in said["break"]

    assert "unable to open" not in done.stderr
    assert re.search(r"r-xp .*/root/reverse *$", said["maps"], re.M), said["maps"]

    ticks = [int(number) for number in re.findall(r"instruction (\d+)", done.stderr)]
    assert len(ticks) == 2 and ticks[1] == ticks[0] + 1, done.stderr

    assert said["ends"].count("received signal SIGSEGV") == 2, said["ends"]
    reached = re.findall(
        "No more reverse-execution history|Reached end of recorded history", said["ends"]
    )
    assert len(reached) == 2, said["ends"]  # as gdb says it before and from version 15 on


@pytest.fixture
def shown(guest_folder: Path, tmp_path: Path) -> Path:
    """A directory of the host with a program that crashes."""
    if not shutil.which("gdb-multiarch"):
        pytest.skip("no gdb-multiarch on PATH (Debian package gdb-multiarch)")
    (folder := tmp_path / "shown").mkdir()
    shutil.copy(built(guest_folder / "rewind" / "reverse", "guests"), folder)
    return folder


@pytest.mark.parametrize("harts", ["1", "2"])
def test_a_program_of_a_shown_directory_has_its_symbols_whatever_becomes_of_it(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harts: str
):
    given = "--harts", harts, "-v", f"{shown}:/mnt/", "-w", "/mnt"
    id = recorded(tmp_path, *given, "--", "sh", "-c", "cp reverse new; ./new; rm new", code=0)
    asked = "gdb", id, "--", "-batch", "-ex", "info symbol $pc", "-ex", "show substitute-path"
    with (shown / "reverse").open("ab") as file:
        file.write(b"something else by now")
    said = ebb(*asked).stdout
    assert "main + " in said and f"`/mnt' -> `{shown}'" in said

    file = tmp_path / "file"
    ebb("export", "run", id, str(file))
    assert "mounts" not in Bundle(file.read_bytes()).info["about"]
    assert ebb("verify", "--objects", "--replay", str(file)).returncode == 0
    monkeypatch.setenv("EBB_RUNS", str(tmp_path / "elsewhere"))
    assert "main + " in ebb("gdb", str(file), *asked[2:]).stdout
    ebb("import", str(file))
    assert "main + " in ebb("gdb", "last", *asked[2:]).stdout
    ebb("export", "run", "last", str(tmp_path / "redacted"), "--redact")
    size = shown.joinpath("reverse").stat().st_size
    assert "rename_account" not in (tmp_path / "redacted").read_text(errors="replace")
    assert (tmp_path / "redacted").stat().st_size < file.stat().st_size - size // 5


def test_a_program_that_is_not_to_be_had_is_named_with_what_became_of_it(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host_directories, "PROGRAM_MOST", 0)
    mounts = (Mount(str(shown), "/mnt"),)
    with blocking.Machine.boot(record=True, mounts=mounts) as machine:
        machine.run("/mnt/reverse")
        id = machine.run_id
    asked = "gdb", id, "--", "-batch", "-ex", "info symbol $pc"
    assert "main + " in ebb(*asked).stdout  # it has not changed since
    shutil.copy(shown / "reverse", tmp_path / "as-it-was")
    (shown / "reverse").write_bytes(b"something else by now")
    done = ebb(*asked)
    assert "No symbol matches" in done.stdout
    was = f"/mnt/reverse was {shown}/reverse, which has changed since, and is not whole in the recording: "
    assert f"{was}gdb has no symbols of it. If you have it as it was: file PATH\n" in done.stdout
    given = *asked[:4], "-ex", f"file {tmp_path}/as-it-was", *asked[4:]
    assert "main + " in ebb(*given).stdout
    (shown / "reverse").unlink()
    assert "which is there no more" in ebb(*asked).stdout
    ebb("export", "run", id, str(file := tmp_path / "file"))
    monkeypatch.setenv("EBB_RUNS", str(tmp_path / "elsewhere"))
    said = ebb("gdb", str(file), *asked[2:]).stdout
    assert "/mnt/reverse was in a directory of the computer that recorded it" in said


def test_a_session_says_where_it_begins_and_that_nothing_can_be_changed(crash: str):
    if not shutil.which("gdb-multiarch"):
        pytest.skip("no gdb-multiarch on PATH (Debian package gdb-multiarch)")
    words = "print account.balance = 0", "print $pc = 0", "call main()", "print $pc != 0"
    asked = [part for word in words for part in ("-ex", word)]
    done = ebb("gdb", crash, "--", "-batch", *asked)
    said = r"At tick \d+ process \d+ \(reverse\) dies of SIGSEGV\. This is a recording: nothing in it can be"
    assert re.match(said, done.stdout)
    assert re.search(r"Writing to memory is not allowed", done.stderr)
    assert re.search(r"Writing to registers is not allowed", done.stderr)
    assert re.search(r"Cannot call functions in the program", done.stderr)
    assert "$1 = 1" in done.stdout
    done = ebb("gdb", crash, "--pid", "sh", "--", "-batch")
    assert re.match(r"At tick \d+ process \d+ \(sh\) ends\. This is a rec", done.stdout)
    done = ebb("gdb", crash, "--goto", "1", "--", "-batch")
    assert re.match(r"This is tick \d+ of process \d+ \(reverse\)\. This is a rec", done.stdout)


def test_ctrl_c_is_gdbs_and_ends_no_session(crash: str):
    if not shutil.which("gdb-multiarch"):
        pytest.skip("no gdb-multiarch on PATH (Debian package gdb-multiarch)")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "ebbtide.cli", "gdb", crash])

    def until(text: bytes) -> bytes:
        said = b""
        while text not in said:
            said += os.read(terminal, 4096)
        return said

    try:
        until(b"(gdb) ")
        os.write(terminal, b"\x03")
        until(b"Quit")
        os.write(terminal, b"when\n")
        until(b"Tick ")
        os.write(terminal, b"quit\n")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)


def timeline(runs: RunStore, run: str, *, jit: bool = True) -> Timeline:
    made = Timeline(open_replay(runs.open(run), jit=jit))
    made.scan()
    return made


def test_a_step_back_in_a_thread_that_is_younger_than_any_checkpoint(runs: RunStore, crash: str):
    past = timeline(runs, crash)
    pid = past.choose(None)
    start, end = past.start_of(pid), past.end_of(pid)
    threads = [task.tid for task in past.tasks(pid)]
    past.seek((start + end) // 2)
    tid = next(task.tid for task in past.tasks(pid) if task.tid not in (pid, *threads))
    before, after = start, past.tick
    while after - before > 1:  # when it began
        middle = (before + after) // 2
        past.seek(middle)
        before, after = (before, middle) if past.registers(tid) else (middle, after)
    past.replay.checkpoints[1:] = []
    past.seek(after)
    for _ in range(3):
        assert past.step_forward(tid, end)
    for left in (2, 1, 0):
        past.replay.checkpoints[1:] = []
        assert past.step_back(tid, start)
        registers = past.registers(tid)
        assert registers is not None and registers.instret == left
    assert not past.step_back(tid, start) and past.tick == start


@pytest.mark.parametrize("jit", [True, False])
def test_looking_changes_no_page_of_the_machine(runs: RunStore, crash: str, jit: bool):
    plain = timeline(runs, crash, jit=jit)
    pid = plain.choose(None)
    assert plain.choose("reverse") == pid
    end = plain.end_of(pid)
    plain.seek(end)
    digest = plain.replay.stage.host.digest()

    start = plain.start_of(pid)
    plain.seek(start)
    registers = plain.registers(pid)
    assert registers is not None
    stack = registers.x[2]
    stops = [Stop("BREAK", pid, registers.pc + 4, 1), Stop("WRITE", pid, stack - 64, 8),
             Stop("READ", pid, stack, 8), Stop("ACCESS", pid, stack - 128, 16)]  # fmt: skip
    met = []
    plain.stops = stops
    while (note := plain.forward(end)) is not None and len(met) < 200:
        met.append((note.kind, note.tick, note.pc))
        plain.tasks(pid)
        plain.view.memory(pid, stack, 100)
        list(plain.view.mappings(pid))
        plain.view.auxv(pid)
    assert {kind for kind, _, _ in met} >= {"WRITE", "READ"}
    plain.seek(end)
    assert plain.replay.stage.host.digest() == digest

    found = []
    plain.stops = [stop for stop in stops if stop.kind == "WRITE"]
    while (note := plain.backward(start)) is not None and len(found) < 3:
        found.append((note.kind, note.tick, note.pc))
    ahead = [one for one in met if one[0] == "WRITE"]
    assert len(met) == 200 or found == ahead[::-1][: len(found)]
    plain.replay.close()


def test_steps_back_are_exact_and_end_where_the_program_begins(runs: RunStore, crash: str):
    line = timeline(runs, crash)
    pid = line.choose(None)
    start = line.start_of(pid)
    line.near(line.end_of(pid))
    places = []
    for _ in range(40):
        registers = line.registers(pid)
        assert registers is not None
        places.append((registers.instret, registers.pc, registers.x))
        assert line.step_back(pid, start)
    for place in reversed(places):
        assert line.step_forward(pid, line.end_of(pid)) or place is places[0]
        registers = line.registers(pid)
        assert registers is not None and (registers.instret, registers.pc, registers.x) == place
    line.seek(start)
    assert not line.step_back(pid, start)
    line.replay.close()


def test_a_session_begins_quietly_and_a_wrong_word_is_one_line(crash: str):
    if not shutil.which("gdb-multiarch"):
        pytest.skip("no gdb-multiarch on PATH (Debian package gdb-multiarch)")
    words = (
        "restart 7",
        "restart x",
        "restart",
        "nonsense",
        "seek nowhere",
        "seek 1",
        "seek 1000000m",
    )
    asked = [part for word in words for part in ("-ex", f"monitor {word}")]
    done = ebb("gdb", crash, "--", "-batch", *asked)
    assert "Reading " not in done.stdout and "warning" not in done.stdout + done.stderr
    said = done.stderr.splitlines()
    assert said[:2] == [
        "There is no checkpoint 7; `monitor info checkpoints` lists them",
        "There is no checkpoint x; `monitor info checkpoints` lists them",
    ]
    assert said[2:4] == [
        "monitor restart takes other words; see `monitor help`",
        "monitor nonsense is not known; see `monitor help`",
    ]
    assert said[4].startswith("'nowhere' is no tick")
    assert said[5].startswith("Tick 1 is before the program begins: at tick ")
    assert re.fullmatch(r"60000000 s is behind the end of the run, which is at [\d.]+ s", said[7])
    done = ebb("gdb", crash, "--goto", "1", "--", "-batch")
    assert done.stderr.startswith("ebb: Tick 1 is before the program begins: at tick ")


@pytest.mark.parametrize("command", ["gdb", "core"])
def test_a_run_whose_program_was_not_found_has_nothing_to_debug(command: str, tmp_path: Path):
    id = recorded(tmp_path, "--", "no-such-program", code=127)
    done = ebb(command, id)
    assert done.returncode == 125 and "no program was started in this run" in done.stderr
    assert "no program was started" in ebb("trace", "process", id).stderr
