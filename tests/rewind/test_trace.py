"""What `ebb trace` shows of runs, and that looking changes nothing."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide import Machine, assets
from ebbtide.cli_replay import open_replay
from ebbtide.rewind.processes import TICK_NS
from ebbtide.rewind.store import RunStore
from support.command import ebb, recorded

pytestmark = pytest.mark.native

SCRIPT = """
trap 'echo caught' USR1
kill -USR1 $$
echo one | tr a-z A-Z >/tmp/out
(exit 7)
ls /nowhere
seq 300 | sort -r | tail -1
sh -c 'kill -9 $$'
busybox httpd -p 8080 -h /etc
busybox wget -q -O - http://127.0.0.1:8080/hostname
exit 4
"""


@pytest.fixture(scope="module")
def run_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of SCRIPT."""
    return recorded(tmp_path_factory.mktemp("id"), "--", "bash", "-c", SCRIPT, code=4)


def trace(*args: str) -> str:
    done = ebb("trace", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def values(*args: str) -> list[dict]:
    return [json.loads(line) for line in trace(*args, "-o", "json").splitlines()]


@pytest.mark.parametrize(("jit", "part"), [(True, 1.0), (False, 0.2)])
def test_taps_change_no_page_of_the_machine(run_id: str, jit: bool, part: float) -> None:
    store = RunStore(assets.runs_folder())
    run = store.open(run_id)
    plain, tapped = (open_replay(run, jit=jit) for _ in range(2))
    seen: list[bytes] = []
    tapped.on_record = lambda tick, record: seen.append(record)
    tapped.tap(*tapped.abi.groups["tap"])
    moments = 4
    for number in range(1, moments + 1):
        for replay in (plain, tapped):
            replay.checkpoint_s = float("inf")
            replay.seek(int(plain.end * part * number / moments))
        assert plain.tick == tapped.tick
        assert plain.stage.host.digest() == tapped.stage.host.digest(), f"at {plain.tick}"
        tapped.sample()
    assert len(seen) > 200
    store.close()


def test_system_calls_in_straces_format(run_id: str) -> None:
    lines = trace("syscalls", run_id).splitlines()
    assert lines[0].startswith('execve("/usr/bin/bash", ["bash", "-c", ')
    assert "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER} ---" in lines
    assert lines[-2:] == ["exit_group(4)                           = ?", "+++ exited with 4 +++"]
    assert not any("[pid" in line for line in lines)
    every = trace("syscalls", "-f", run_id)
    assert "+++ exited with 7 +++" in every and "+++ killed by SIGKILL +++" in every
    assert re.search(r'^\[pid +\d+\] write\(1, "ONE\\n", 4\) += 4$', every, re.M)


def as_strace(line: str) -> str:
    """A line without what differs between machines: addresses, names, and what strace adds to times."""
    line = re.sub(r"0x[0-9a-f]{5,}", "ADDRESS", re.sub(r"\) +=", ") =", line))
    return re.sub(r'\|O_LARGEFILE|nodename="\w*"| /\* 1970.*?\*/|left \{.*?\}', "", line)


def test_words_and_structures_are_straces(guest_folder: Path, tmp_path: Path) -> None:
    """straced.txt is what strace 6.1 wrote of the same program on x86-64, without SA_RESTORER."""
    program = built(guest_folder / "rewind" / "straced", "guests")
    run = recorded(tmp_path, "-v", f"{program.parent}:/mnt:ro", "--", "/mnt/straced", code=7)
    expected = (Path(__file__).parent / "straced.txt").read_text().splitlines()
    lines = [as_strace(line) for line in trace("syscalls", run).splitlines()]
    begin = lines.index('chdir("/tmp") = 0')
    assert lines[begin:] == [as_strace(line) for line in expected]


def test_system_calls_by_name_process_and_time(run_id: str) -> None:
    calls = values("syscalls", "-f", "-e", "execve,wait4", run_id)
    assert {one["call"] for one in calls} == {"execve", "wait4"}
    pid = next(one["pid"] for one in calls if '"ls"' in one["text"])
    of_ls = values("syscalls", "-p", str(pid), run_id)
    assert {one["pid"] for one in of_ls} == {pid}
    assert of_ls[-1]["exit"] == "exited with 2"
    half = of_ls[len(of_ls) // 2]
    begin, end = half["tick"], of_ls[-1]["tick"]
    later = values("syscalls", "-p", str(pid), "--from", str(begin), "--to", str(end), run_id)
    assert later and later == [one for one in of_ls if begin <= one["tick"] < end]
    timed = values("syscalls", "-p", str(pid), "--from", f"{half['ns']}ns", run_id)
    assert timed == [one for one in of_ls if one["ns"] >= half["ns"]]


def test_processes_may_be_named_by_their_programs(run_id: str) -> None:
    pids = {
        one["exec"][-1]["args"][0]: one["pid"] for one in values("process", run_id)[0]["children"]
    }
    for layer in ("syscalls", "files"):
        of_ls = values(layer, "-p", "ls", run_id)
        assert of_ls == values(layer, "-p", str(pids["ls"]), run_id)
        assert {one["pid"] for one in of_ls} == {pids["ls"]}
    both = values("syscalls", "-p", "seq", "-p", str(pids["ls"]), run_id)
    assert {one["pid"] for one in both} == {pids["seq"], pids["ls"]}
    said = ebb("profile", run_id, "-p", "sort", "--period", "997", "-o", "collapsed").stdout
    assert {line.partition(";")[0] for line in said.splitlines()} == {
        "bash",
        "sort",
    }  # a fork, then
    for command in (("trace", "syscalls"), ("profile",)):
        done = ebb(*command, run_id, "-p", "nobody")
        assert done.returncode == 125
        assert done.stderr.startswith("ebb: there was no process nobody; there were: 2 bash, ")


def test_a_system_call_that_there_is_not_is_refused(run_id: str) -> None:
    done = ebb("trace", "syscalls", "-e", "execve,opennat", run_id)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "ebb: there is no system call opennat; did you mean openat?\n"


def test_a_time_that_ends_before_it_begins_is_refused(run_id: str) -> None:
    said = "ebb: nothing of this run lies between --from 0.1 s and --to 0.05 s\n"
    for command in (["trace", "files"], ["trace", "request"], ["profile"]):
        done = ebb(*command, run_id, "--from", "0.1s", "--to", "50ms")
        assert (done.returncode, done.stdout, done.stderr) == (125, "", said), command
    one = ebb("trace", "files", run_id, "--from", "e0", "--to", "e1")  # of one tick
    assert one.stderr == "ebb: nothing of this run lies between --from e0 and --to e1\n"


def test_a_run_that_has_nothing_of_it_is_told(tmp_path: Path) -> None:
    quiet = recorded(tmp_path, "--", "true")
    for layer, said in (
        ("chaos", "nothing was injected in this run"),
        ("network", "there was no connection in this run"),
        ("request", "there was no HTTP/1 request in this run"),
        ("signals", "there was no signal in this run"),
    ):
        done = ebb("trace", layer, quiet)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"ebb: {said}\n"), layer
    assert ebb("trace", "chaos", quiet, "--to", "1ms").stderr == ""
    none = recorded(tmp_path, "--", "no-such-program", code=127)
    for words in (["trace", "files"], ["trace", "process"]):
        assert ebb(*words, none).stderr == "ebb: no program was started in this run\n"
    said = "ebb: there was no process sh; no program was started in this run\n"
    assert ebb("trace", "syscalls", none, "-p", "sh").stderr == said


def test_straces_of_a_run_and_of_its_replay_are_the_same(tmp_path: Path) -> None:
    ran = ebb("run", "--strace", "--id-file", str(tmp_path / "id"), "--", "ls", "/")
    live = [
        as_strace(line.split("] ", 1)[1])
        for line in ran.stderr.splitlines()
        if line.startswith("[")
    ]
    seen = trace("syscalls", "-f", (tmp_path / "id").read_text().strip()).splitlines()
    replayed = [as_strace(line.split("] ", 1)[1]) for line in seen]
    assert replayed[0].startswith("execve(") and replayed[-1] == "+++ exited with 0 +++"
    assert replayed[1:-1] == live and len(live) > 20


def test_processes_as_a_tree(run_id: str) -> None:
    text = trace("process", run_id)
    assert text.splitlines()[1].split()[4:6] == ["exit", "4"]
    assert "exit 7" in text and "SIGKILL" in text and "├─ ls /nowhere" in text
    (root,) = values("process", run_id)
    assert root["exec"][0]["args"][:2] == ["bash", "-c"] and root["ended"] == "exit 4"
    children = {one["exec"][-1]["args"][0]: one for one in root["children"]}
    assert {"tr", "ls", "seq", "sort", "tail", "sh", "busybox"} <= set(children)
    assert children["ls"]["status"] == 2 << 8
    assert all(one["end"]["tick"] > one["start"]["tick"] for one in root["children"] if one["end"])


def test_what_still_runs_at_the_end_is_counted_so_far(tmp_path: Path) -> None:
    # The last command waits: nobody ever writes there.
    child_script = "i=0; while [ $i -lt 999 ]; do i=$((i + 1)); done; echo; read x <> /dev/ptmx"
    script = f"coproc {{ exec sh -c '{child_script}'; }}; read x <&${{COPROC[0]}}; exit 0"
    id = recorded(tmp_path, "--", "bash", "-c", script)
    (root,) = values("process", id)
    (child,) = root["children"]
    assert child["ended"] == "running" and child["end"] is None
    assert child["cpu_ticks"] > 999 * 50
    pid, start, took, ticks, ended, *command = trace("process", id).splitlines()[2].split()
    assert (int(ticks), ended) == (child["cpu_ticks"], "running")
    assert command == ["└─", "sh", "-c", *shlex.quote(child_script).split()]
    assert 0 < float(took) <= float(trace("process", id).splitlines()[1].split()[2])
    (before,) = values("process", id, "--to", str(child["start"]["tick"] + 1))
    assert before["cpu_ticks"] is None  # how much it was then is not known


def test_processor_time_counts_as_the_kernel_counts_it(root: Path) -> None:
    assert f"#define CPU_TICK_NS {TICK_NS}\n" in (root / "kernel/task/itimer.h").read_text()


def test_files(run_id: str) -> None:
    text = trace("files", run_id)
    assert "open O_WRONLY|O_CREAT|O_TRUNC /tmp/out" in text
    assert "/nowhere" in text and "ENOENT" in text
    assert any(
        one["call"] == "exec" and one["path"] == "/usr/bin/ls" for one in values("files", run_id)
    )


def test_signals(run_id: str) -> None:
    found = values("signals", run_id)
    usr1 = [one for one in found if one["signal"] == "SIGUSR1"]
    assert [one["event"] for one in usr1] == ["sent", "delivered"]
    assert usr1[0]["sender"] == usr1[0]["pid"] and usr1[1]["action"].startswith("handler 0x")
    assert "SIGKILL sent to process" in trace("signals", run_id)


def test_connections_within_the_guest(run_id: str) -> None:
    events = [one for one in values("network", run_id) if one["kind"] == "tcp"]
    assert [one["event"] for one in events][:2] == ["open", "send"]
    assert {one["event"] for one in events} >= {"accept", "receive", "fin", "close"}
    sent = "".join(
        one["data"] for one in events if one["event"] == "send" and one["from"] == "client"
    )
    assert sent.startswith("GET /hostname HTTP/1.1\r\n")
    assert len({one["pid"] for one in events}) >= 2
    assert ": send " in trace("network", run_id)


def test_a_request_within_the_guest(run_id: str) -> None:
    (one,) = values("request", run_id)
    assert (one["request"]["method"], one["request"]["target"]) == ("GET", "/hostname")
    assert one["response"]["status"] == 200
    assert one["request"]["pids"] != one["response"]["pids"]


async def served() -> str:
    """Ask a guest's server from outside; returns the run."""
    async with await Machine.boot(record=True) as machine:
        id = machine.run_id
        await machine.fs.write_file("/srv/page", "x" * 100_000)
        await machine.run("busybox", "httpd", "-p", "8080", "-h", "/srv")  # ends when it listens
        assert (await machine.fetch(8080, "/page")).status == 200
        assert (await machine.fetch(8080, "/none")).status == 404
    assert id
    return id


def test_requests_of_the_host(kernel_wasm: Path) -> None:
    id = asyncio.run(served())
    got, none = values("request", id)
    assert got["response"]["body"]["size"] == 100_000
    assert (got["request"]["pids"], none["response"]["status"]) == ([1], 404)
    text = trace("request", id)
    assert "[host > " in text and "GET /page => 200 OK" in text
    archive = json.loads(trace("request", "-o", "har", id))["log"]
    assert [entry["response"]["status"] for entry in archive["entries"]] == [200, 404]
    assert "> GET /page HTTP/1.1" in trace("request", "-v", id)

    assert (got["number"], none["number"]) == (1, 2) and " #2 HTTP " in text

    for one in (got, none):  # what ran while it lasted, and nothing else
        begin, end = one["request"]["first"]["tick"], one["response"]["last"]["tick"]
        found = ebb("profile", "--request", str(one["number"]), "-o", "collapsed", id)
        rows = [line.rpartition(" ") for line in found.stdout.splitlines()]
        assert sum(int(weight) for _, _, weight in rows) == pytest.approx(end - begin, rel=0.05)
        assert any(stack.startswith("busybox;") for stack, _, _ in rows)
    assert "the run has 2" in ebb("profile", "--request", "3", id).stderr
    assert "--request is a time" in ebb("profile", "--request", "1", "--to", "2s", id).stderr


def test_har_is_for_requests_alone(run_id: str) -> None:
    assert ebb("trace", "files", "-o", "har", run_id).returncode == 2
