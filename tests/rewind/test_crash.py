"""However a recording ends, what is there of it opens, verifies and replays."""

from __future__ import annotations

import errno
import io
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ebbtide import cli_replay, cli_rewind
from ebbtide.recording import Entry
from ebbtide.rewind.recorder import RunRecorder
from ebbtide.rewind.store import Run, RunStore
from ebbtide.rewind.tape import TapeReader, TapeWriter, event_heads
from ebbtide.wasmtime_kernel import KernelModule

pytestmark = pytest.mark.native

SCRIPT = "for i in 1 2 3 4; do echo $i$RANDOM; read line; echo $line | sha256sum; done"


def rewritten(run: Run, kept: RunStore, chance: random.Random) -> bytes:
    """Return a run's tape with a leaf closed after every few entries."""
    file, heads = io.BytesIO(), event_heads(KernelModule(run.kernel).abi)
    writer = TapeWriter(file, run.reader.header, kept.objects, heads)
    for entry in run.entries:
        writer.append(Entry(entry.kind, entry.tick, entry.data))
        if chance.random() < 0.3:
            writer.flush()
    writer.flush()
    return file.getvalue()


@pytest.mark.parametrize("kind", ["booted", "chaos", "snapshot"])
def test_every_prefix_of_a_tape_replays_to_the_cut(ebb, tmp_path: Path, kind: str) -> None:
    options = ["--chaos", "short=0.5,clock=0.1,sched"] if kind == "chaos" else []
    if kind == "snapshot":
        ebb("run", "-q", "--", "sh", "-c", "seq 2000 > /tmp/f")
        options = ["--snapshot", ebb("snapshot", "create", "last").stdout.decode().strip()]
    ran = ebb("run", "-q", *options, "--", "sh", "-c", SCRIPT, input=b"a\nb\nc\nd\n")
    store, chance = RunStore(tmp_path / "runs"), random.Random(7)
    whole = store.open("last")
    data = rewritten(whole, store, chance)
    ends = [leaf.end for leaf in TapeReader(data, store.objects).leaves]
    lengths = {0, 50, 88, *ends[:-1], *(chance.randrange(len(data)) for _ in range(300))}
    runs: dict[int, Run] = {}
    for length in sorted(lengths):
        reader = TapeReader(data[:length], store.objects)
        entries = list(reader.entries())
        assert len(reader.leaves) == sum(end <= length for end in ends)
        assert [(one.kind, one.tick) for one in entries] == [
            (one.kind, one.tick) for one in whole.entries[: len(entries)]
        ]
        runs[len(entries)] = Run(whole.id, reader, entries, whole.kernel)
    replayed = 0
    for run in runs.values():
        assert run.end is None and cli_rewind.cut(run) == cli_rewind.EXIT_CUT
        if not cli_rewind.booted(run) or chance.random() < 0.5:
            continue
        out = bytearray()
        replay = cli_replay.open_replay(run, jit=False)
        replay.on_chunk = lambda chunk, out=out: out.extend(chunk.data)
        replay.run()
        assert ran.stdout.startswith(out) and replay.tick == run.entries[-1].tick
        replayed += 1
    assert replayed > 5
    store.close()


def test_a_recorder_that_is_killed_leaves_a_run_that_is_cut_short(
    ebb, tmp_path: Path, kernel_wasm: Path
) -> None:
    env = {**os.environ, "EBB_RUNS": str(tmp_path / "runs"), "EBB_KERNEL": str(kernel_wasm)}
    command = [
        sys.executable,
        "-m",
        "ebbtide.cli",
        "run",
        "-q",
        "--",
        "sh",
        "-c",
        "echo hello; cat",
    ]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"hello\n"
        tapes = tmp_path / "runs" / "tapes"  # one thread makes the tape while the program begins
        while not any(TapeReader(one.read_bytes()).leaves for one in tapes.glob("*")):
            process.stdin.write(b"x\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"x\n"
        assert b"running" in ebb("get", "runs").stdout
        assert ebb("rm", "last").returncode == 125
        process.send_signal(signal.SIGKILL)
    assert b" cut " in ebb("get", "runs").stdout
    assert ebb("verify").returncode == cli_rewind.EXIT_CUT
    replayed = ebb("replay")
    assert replayed.returncode == cli_rewind.EXIT_CUT and b"cut short" in replayed.stderr
    assert ebb("rm", "last").returncode == 0


def test_a_full_disk_keeps_the_recording_away_and_not_the_run(ebb, tmp_path: Path) -> None:
    limit = 64 << 10  # bytes of a file: the store is larger than that when it is made

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ebb("doctor")  # what is compiled once is kept elsewhere
    ran = ebb("run", "-q", "--", "echo", "fine", preexec_fn=full)
    assert (ran.returncode, ran.stdout) == (0, b"fine\n")
    assert ran.stderr.count(b"\n") == 1
    said = ran.stderr.decode()
    assert said.startswith(f"ebb: {tmp_path / 'runs'}: ") and ": the run is not recorded; " in said


FULL = sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (TapeWriter, "flush", OSError(errno.ENOSPC, "No space left on device")),
        (RunStore, "finish", FULL),
        (RunStore, "retain", FULL),
    ],
)
def test_a_recording_that_fails_at_its_end_lets_the_run_end(
    owner: type, name: str, error: Exception, tmp_path: Path, kernel_wasm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fails(*unused: object) -> None:
        raise error

    kernel, said = KernelModule(kernel_wasm), list[str]()
    recorder = RunRecorder(
        tmp_path / "runs", kernel.abi, (kernel.hash, kernel_wasm), {}, said.append
    )
    monkeypatch.setattr(owner, name, fails)
    closing = threading.Thread(target=recorder.close, args=(1, {}), daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert len(said) == 1 and said[0].startswith("the recording ends here, the run goes on: ")


def test_a_transaction_that_the_disk_has_ended_says_why(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    with pytest.raises(sqlite3.OperationalError, match="disk is full"), store.transaction():
        store.database.execute("ROLLBACK")  # as SQLite does then
        raise FULL
    store.close()


def test_a_locked_store_keeps_the_recording_away_and_not_the_run(ebb, tmp_path: Path) -> None:
    RunStore(tmp_path / "runs").close()
    other = sqlite3.connect(tmp_path / "runs" / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ran = ebb("run", "-q", "--", "echo", "fine")
    other.close()
    assert (ran.returncode, ran.stdout) == (0, b"fine\n")
    assert ran.stderr.count(b"\n") == 1 and b": the run is not recorded; " in ran.stderr


def test_objects_are_there_before_the_leaf_that_names_them(tmp_path, kernel_wasm, ebb) -> None:
    ebb("run", "-q", "--", "true")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "runs", copy)
    store = RunStore(copy)
    used = {hash for (hash,) in store.database.execute("SELECT hash FROM used")}
    named = {entry.hash for entry in store.open("last").entries if hasattr(entry, "hash")}
    assert named and named == used
    store.close()
