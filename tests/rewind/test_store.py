"""Runs are listed, described, kept, dropped, carried elsewhere, and checked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from ebbtide import Machine
from ebbtide.cli_diff import of_file
from ebbtide.cli_rewind import EXIT_CUT, EXIT_DAMAGED
from ebbtide.rewind.store import RunStore
from ebbtide.rewind.tape import TapeReader
from ebbtide.wasmtime_kernel import KernelModule

pytestmark = pytest.mark.native

SECRET = b"correct horse"


@pytest.fixture
def recorded(ebb, tmp_path: Path):
    """A run that was typed to, has an environment, and read the host's files."""
    (shown := tmp_path / "shown").mkdir()
    (shown / "big").write_bytes(os.urandom(50_000) + SECRET)
    ran = ebb("run", "--id-file", str(tmp_path / "id"), "-e", f"WORD={SECRET.decode()}", "-v",
              f"{shown}:/mnt", "--", "sh", "-c", "read a; cksum /mnt/big; echo $RANDOM",
              input=SECRET + b"\n")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return (tmp_path / "id").read_text().strip(), ran.stdout


def test_a_run_goes_to_another_store_in_one_file(ebb, recorded, tmp_path, monkeypatch) -> None:
    id, said = recorded
    file = tmp_path / "a.ebbrun"
    assert ebb("export", "run", id[:8], str(file)).returncode == 0
    assert ebb("rm", id).returncode == 0
    assert ebb("replay", id).returncode == 125
    for command, wanted in (("replay", said), ("logs", said)):
        assert ebb(command, str(file)).stdout == wanted
    taken = ebb("import", str(file))
    assert taken.stdout.decode().strip() == id
    assert b"already" in ebb("import", str(file)).stderr
    assert ebb("replay", id).stdout == said
    assert ebb("verify", id, "--objects", "--signatures").returncode == 0
    assert ebb("verify", str(file), "--objects", "--replay").returncode == 0


def test_a_redacted_file_lacks_what_it_should_and_says_so(ebb, recorded, tmp_path) -> None:
    file = tmp_path / "a.ebbrun"
    said = ebb("export", "run", "last", str(file), "--redact")
    assert b"no longer replays" in said.stderr
    store = RunStore(tmp_path / "other")
    for name in ("last", str(file)):
        store.root, whole = (tmp_path / "runs", RunStore(tmp_path / "runs"))
        run = whole.open(name)
        assert any(SECRET in entry.data for entry in run.entries) == (name == "last")
        whole.close()
    store.close()
    refused = ebb("replay", str(file))
    assert refused.returncode == 125 and b"redact" in refused.stderr
    assert ebb("verify", str(file)).returncode == 0


def test_list_and_description_say_what_is_there(ebb, recorded) -> None:
    id, _ = recorded
    (row,) = json.loads(ebb("get", "runs", "-o", "json").stdout)
    assert (row["id"], row["exit_code"], row["state"]) == (id, 0, "ended")
    known = json.loads(ebb("describe", "run", id, "-o", "json").stdout)
    assert known["state"] == "ended" and known["ticks"] > 0 and known["signatures"] >= 1
    assert {"BOOT", "CALL", "BLOCK_IN", "META", "END"} <= set(known["kinds"])
    assert b"chain" in ebb("verify", id).stdout
    assert id in ebb("describe", "run").stdout.decode()


# Keys of a description, and what their values are; those of `None` are null for an ordinary run.
KEYS = {
    "id": str, "command": str, "args": list, "programs": int, "state": str, "why_cut": None,
    "exit_code": int, "started": float, "pinned": bool, "redacted": bool, "goes_on_from": None,
    "chaos": None, "seed": None, "injected": None, "image": str, "image_hash": str, "kernel": str,
    "harts": int, "entries": int, "ticks": int, "bytes": int, "leaves": int, "head": str,
    "signatures": int, "checkpoints": dict, "kinds": dict,
}  # fmt: skip


def test_a_description_for_machines_has_always_the_same_typed_keys(
    ebb, recorded, tmp_path, root: Path
) -> None:
    id, _ = recorded
    ebb("core", "-o", str(tmp_path / "core"))  # which leaves checkpoints
    file = tmp_path / "file"
    ebb("export", "run", id, str(file))
    for name in (id, str(file)):
        known = json.loads(ebb("describe", name, "-o", "json").stdout)
        types = {key: None if value is None else type(value) for key, value in known.items()}
        assert types == KEYS
        assert (known["exit_code"], known["state"]) == (0, "ended")
        assert bool(known["checkpoints"]["count"]) == (name == id)
        for one in known["kinds"].values():
            assert list(one) == ["count", "tape_bytes", "object_bytes"]
        said = ebb("describe", name).stdout
        assert b"exit code    0\n" in said and said == ebb("describe", "run", name).stdout
    ebb("run", "-q", "--chaos", "sched", "--seed", "5", "--", "true")
    known = json.loads(ebb("describe", "-o", "json").stdout)
    assert known.keys() == KEYS.keys()
    assert (known["seed"], known["chaos"]) == (5, "sched=1") and known["injected"]["sched"] > 0
    page = (root / "docs" / "rewind.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in page] == []


def test_a_store_that_cannot_be_written_gives_no_id_and_says_what_to_do(ebb, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "runs.db").write_bytes(b"no database" * 100)
    for place, why in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "none", "not a database"),
    ):
        done = ebb("run", "--core", str(tmp_path / "core"), "--", "sh", "-c", "echo hi; exit 3",
                   env={"EBB_RUNS": str(place)})  # fmt: skip
        (said,) = done.stderr.decode().splitlines()
        assert (done.returncode, done.stdout) == (3, b"hi\n")
        assert said.startswith(f"ebb: {place}: ") and why in said
        assert said.endswith(
            ": the run is not recorded; EBB_RUNS names another folder, --no-record asks for none"
        )


def test_a_run_that_is_there_is_not_replaced_and_what_to_do_is_said(
    ebb, recorded, tmp_path
) -> None:
    id, _ = recorded
    whole, redacted = tmp_path / "whole", tmp_path / "redacted"
    ebb("export", "run", id, str(whole))
    ebb("export", "run", id, str(redacted), "--redact")
    there = f"ebb: run {id} is in the store already"
    advice = f"; to take this one in its place, remove that one first: ebb rm {id}\n"
    assert ebb("import", str(whole)).stderr.decode() == there + advice
    ebb("rm", id)
    ebb("import", str(redacted))
    assert ebb("import", str(whole)).stderr.decode() == there + ", redacted" + advice
    ebb("rm", id)
    assert ebb("import", str(whole)).returncode == 0


def test_old_runs_go_and_pinned_ones_stay(ebb, tmp_path) -> None:
    for word in ("a", "b", "c"):
        ebb("run", "-q", "--", "echo", word)
    store = RunStore(tmp_path / "runs")
    c, b, a = (row.id for row in store.rows())
    assert ebb("pin", a).returncode == 0
    assert store.retain(age_s=0) == [b, c] or store.rows()[0].id == a
    assert [row.id for row in store.rows()] == [a]
    assert ebb("replay", a).stdout == b"a\n"
    assert ebb("rm", "--older-than", "1ms").returncode == 0 and len(store.rows()) == 1
    ebb("unpin", a)
    assert store.retain(most=0) == [a]
    left = store.database.execute("SELECT COUNT(*) FROM object").fetchone()
    assert left == (0,) and not [*(tmp_path / "runs" / "tapes").iterdir()]
    assert not [*(tmp_path / "runs" / "kernels").iterdir()]
    store.close()


def test_a_changed_byte_anywhere_is_found(ebb, recorded, tmp_path) -> None:
    id, _ = recorded
    chance = random.Random(11)
    file, tape = tmp_path / "a.ebbrun", tmp_path / "runs" / "tapes" / id
    ebb("export", "run", id, str(file))
    whole = TapeReader(tape.read_bytes()).leaves
    for path in (file, tape):
        data = path.read_bytes()
        for at in (chance.randrange(len(data)) for _ in range(4)):
            changed = bytearray(data)
            changed[at] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            found = ebb("verify", id if path == tape else str(file), "--objects")
            assert found.returncode == EXIT_DAMAGED, at
            assert b"byte" in found.stderr or b"leaf" in found.stderr or at < 88
        path.write_bytes(data)
    # Cut at a leaf's end nothing is wrong but that it is shorter than what was signed.
    tape.write_bytes(tape.read_bytes()[: whole[-1].offset])
    assert ebb("verify", id).returncode == EXIT_CUT
    found = ebb("verify", id, "--signatures")
    assert found.returncode == EXIT_DAMAGED and b"was cut after it was signed" in found.stderr


def test_what_is_no_run_is_damaged_and_what_is_cut_says_what_is_left(ebb, recorded, tmp_path):
    id, _ = recorded
    file, tape = tmp_path / "a.ebbrun", tmp_path / "runs" / "tapes" / id
    ebb("export", "run", id, str(file))
    for data, said in ((b"", b"is empty"), (b"x" + file.read_bytes()[1:], b"begin with EBBR")):
        (tmp_path / "other").write_bytes(data)
        found = ebb("verify", str(tmp_path / "other"))
        assert found.returncode == EXIT_DAMAGED and said in found.stderr
    data = file.read_bytes()
    at = data.index(b"TAPE") + 2000  # in its packed entries
    file.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
    found = ebb("verify", str(file))
    assert found.returncode == EXIT_DAMAGED
    assert re.search(rb"byte %d was 0x.. and is 0x..: in entry \d+ at tick \d+, \w+, of leaf" % at,
                     found.stderr), found.stderr  # fmt: skip
    written = tape.read_bytes()
    tape.write_bytes(written[: len(written) // 2])
    found = ebb("verify", id)
    assert found.returncode == EXIT_CUT and found.stdout == b""
    assert f"had {len(written)} bytes when the run ended".encode() in found.stderr
    assert b"no entry is left" in found.stderr


def test_signatures_of_others_say_how_to_check_and_no_check_is_left_out(ebb, tmp_path) -> None:
    ebb("run", "-q", "--", "echo", "hi")
    key = json.loads(ebb("describe", "run", "-o", "json").stdout)["id"]
    ebb("export", "run", key, str(tmp_path / "a"))
    elsewhere = {"EBB_RUNS": str(tmp_path / "elsewhere")}
    ebb("import", str(tmp_path / "a"), env=elsewhere)
    for words in ((), ("--objects", "--replay")):
        found = ebb("verify", "--signatures", *words, env=elsewhere)
        assert found.returncode == EXIT_DAMAGED
        assert b"check with --key " in found.stderr
    assert b"all have their hashes" in found.stdout and b": the same" in found.stdout
    named = found.stderr.decode().split("--key ")[1].split()[0]
    assert ebb("verify", "--key", named, env=elsewhere).returncode == 0


def test_a_changed_object_is_found_and_the_entry_named(ebb, recorded, tmp_path) -> None:
    store = RunStore(tmp_path / "runs")
    largest = "SELECT hash, data FROM object ORDER BY length(data) DESC"  # no list of page hashes
    hash, data = store.database.execute(largest).fetchone()
    store.database.execute(
        "UPDATE object SET data = ? WHERE hash = ?", (data[:-9] + b"x" * 9, hash)
    )
    found = ebb("verify", "--objects")
    assert found.returncode == EXIT_DAMAGED
    assert re.search(rb"entry \d+ at tick \d+, (BLOCK_IN|BOOT|HOSTFS): object ", found.stderr)
    store.close()


def test_two_runs_differ_in_what_they_were_told_and_in_their_output(ebb) -> None:
    for line in (b"one\n", b"two\n", b"two\n"):
        ebb("run", "-q", "--", "sh", "-c", "echo same; cat", input=line)
    ebb("run", "-q", "--", "bash", "-c", "echo $RANDOM$RANDOM")
    ebb("run", "-q", "--", "bash", "-c", "echo $RANDOM$RANDOM")
    ids = [row["id"] for row in json.loads(ebb("get", "runs", "-o", "json").stdout)]
    assert ebb("diff", ids[0], ids[0]).returncode == 0
    drawn, _, again, two, one = ids
    alike = ebb("diff", again, two)  # but for the time, the seed, and ticks
    assert alike.returncode == 0 and b"both were told the same" in alike.stdout
    assert b"stdout: the same 9 bytes" in alike.stdout
    found = ebb("diff", two, one)
    assert found.returncode == 1
    for id, said in ((two, "two"), (one, "one")):
        told = rf"{id}: event e\d+ at tick \d+: input: b'{said}\\n'"
        assert re.search(told, found.stdout.decode()), found.stdout
    assert re.search(rb"stdout: differs at byte 5, line 2: b'two' at tick \d+, and b'one' at tick \d+",
                     found.stdout)  # fmt: skip
    for id, said in ((two, "two"), (one, "one")):
        wrote = rf'{id}: process \d+ \(cat\): write\(1, "{said}\\n", 4\) = 4\n'
        assert re.search(wrote, found.stdout.decode()), found.stdout
    found = ebb("diff", drawn, one)
    assert b"program: bash -c 'echo $RANDOM$RANDOM'" in found.stdout
    assert b"program: sh -c 'echo same; cat'" in found.stdout
    found = ebb("diff", *ids[:2])  # told the same, they drew other numbers
    assert found.returncode == 1 and b"both were told the same" in found.stdout
    assert b"stdout: differs at byte" in found.stdout


def test_a_file_of_the_host_that_has_changed_is_where_runs_part(ebb, tmp_path) -> None:
    (shown := tmp_path / "shown").mkdir()
    command = "run", "-q", "-v", f"{shown}:/mnt", "--", "cat", "/mnt/file"
    for text in ("one\n", "two and more\n"):
        (shown / "file").write_text(text)
        os.utime(shown / "file", (10**9, 10**9))
        ebb(*command)
    changed, first = (row["id"] for row in json.loads(ebb("get", "runs", "-o", "json").stdout))
    found = ebb("diff", first, changed)
    assert found.returncode == 1
    said = re.findall(rb"the host's files answer: -rw\S+ (\d+) bytes of 2001-09-0", found.stdout)
    assert said == [b"4", b"13"], found.stdout


def test_when_a_file_of_the_host_was_last_read_does_not_count(kernel_wasm: Path) -> None:
    abi = KernelModule(kernel_wasm).abi
    attr = {"mode": 0o100644, "nlink": 1, "size": 4, "mtime_ns": 10**18}
    one, other, bigger = (
        of_file(abi, bytes(abi.structs["hostfs_attr"].pack(**attr, **more)))
        for more in ({"atime_ns": 1}, {"atime_ns": 2}, {"ino": 3})
    )
    assert one == other != bigger and one[1].startswith("-rw-r--r-- 4 bytes of 2001-09-0")


def test_nothing_that_is_there_goes_without_being_told(ebb, tmp_path) -> None:
    ebb("run", "-q", "--", "true")
    file, snapshot = tmp_path / "a.ebbrun", tmp_path / "a.snapshot"
    ebb("snapshot", "create", "last")
    exports = (("export", "run", "last", str(file)), ("snapshot", "export", "last", str(snapshot)))
    for words in exports:
        path = Path(words[-1])
        path.write_bytes(b"precious")
        refused = ebb(*words)
        assert refused.returncode == 125 and b"--force" in refused.stderr
        assert path.read_bytes() == b"precious"
        assert ebb(*words, "--force").returncode == 0 and path.read_bytes() != b"precious"
    ebb("pin", "last")
    refused = ebb("rm", "last")
    assert refused.returncode == 125 and b"is pinned" in refused.stderr
    assert len(json.loads(ebb("get", "runs", "-o", "json").stdout)) == 1
    assert ebb("rm", "last", "--force").returncode == 0
    assert json.loads(ebb("get", "runs", "-o", "json").stdout) == []


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(ebb, tmp_path) -> None:
    ebb("run", "-q", "--", "true")
    nowhere = tmp_path / "no" / "file"
    for words in (
        ("export", "run", "last", nowhere),
        ("core", "-o", nowhere),
        ("profile", "--export", f"cpu:{nowhere}"),
        ("run", "--id-file", nowhere, "--", "true"),
    ):
        found = ebb(*map(str, words))
        said = found.stderr.decode()
        assert found.returncode == 125 and str(nowhere.parent) in said, said
        assert "Errno" not in said and "tmp" not in said.replace(str(tmp_path), ""), said
    said = ebb("export", "run", "last", "/dev/full").stderr
    assert said == b"ebb: /dev/full cannot be written: No space left on device\n"
    assert b"Errno" not in ebb("import", str(nowhere)).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]  # nothing is left of an attempt
    assert len(json.loads(ebb("get", "runs", "-o", "json").stdout)) == 1


def test_runs_of_a_program_that_boots_machines_are_named(ebb, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EBB_RUNS", str(tmp_path / "runs"))

    async def use() -> None:
        async with await Machine.boot("base", record=True) as machine:
            await machine.run("echo", "a b")
            await machine.run("true")

    asyncio.run(use())
    assert b"echo 'a b' (and 1 more)" in ebb("get", "runs").stdout
    known = json.loads(ebb("describe", "run", "-o", "json").stdout)
    assert known["command"] == "echo 'a b' (and 1 more)"


@pytest.mark.parametrize("harts", [1, 2])
def test_a_description_says_how_many_processors_there_were(ebb, harts: int) -> None:
    ebb("run", "-q", "--harts", str(harts), "--", "true")
    assert json.loads(ebb("describe", "run", "-o", "json").stdout)["harts"] == harts
    id = ebb("snapshot", "create", "last").stdout.decode().strip()
    ebb("run", "-q", "--snapshot", id, "--harts", str(3 - harts), "--", "true")
    assert json.loads(ebb("describe", "run", "-o", "json").stdout)["harts"] == 3 - harts


def test_a_store_that_is_none_is_one_message(ebb, tmp_path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "runs.db").write_bytes(b"no database" * 100)
    for words in (("get", "runs"), ("replay",), ("run", "--snapshot", "last", "--", "true")):
        found = ebb(*words)
        assert found.returncode == 125 and found.stderr.count(b"\n") == 1, found.stderr
        assert b"file is not a database" in found.stderr
    assert b"cannot be read: file is not a database" in ebb("doctor").stderr


def test_doctor_says_where_runs_are_and_what_they_take(ebb, tmp_path) -> None:
    ebb("run", "-q", "--", "true")
    known = json.loads(ebb("doctor", "-o", "json").stdout)["runs"]
    assert known["path"] == str(tmp_path / "runs")
    assert known["count"] == 1 and known["bytes"] > 10_000


def test_a_run_that_goes_on_is_said_to(ebb, tmp_path) -> None:
    command = [sys.executable, "-m", "ebbtide.cli", "run", "-q", "--", "cat"]
    env = {**os.environ, "EBB_RUNS": str(tmp_path / "runs")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env) as running:
        while not json.loads(ebb("get", "runs", "-o", "json").stdout):
            assert running.poll() is None
        while not json.loads(ebb("describe", "run", "-o", "json").stdout)["entries"]:
            assert running.poll() is None
        assert re.search(rb"  running +\d+  cat\n", ebb("get", "runs").stdout)
        known = json.loads(ebb("describe", "run", "-o", "json").stdout)
        assert known["state"] == "running"
        for words in (("verify",), ("replay",), ("logs",), ("trace", "process")):
            found = ebb(*words)
            assert found.returncode == 0, words
            said = rb"is still being recorded; this is what there is so far, up to tick \d+\n"
            assert re.search(said, found.stderr) and b"cut short" not in found.stderr, words
        for words, code in (
            (("replay", "--goto", "10000s"), 125),
            (("snapshot", "create", "last@10000s"), 125),
            (("snapshot", "create", "last"), 0),
        ):
            found = ebb(*words)
            assert found.returncode == code and re.search(said, found.stderr), found
            assert b"the run ends" not in found.stderr
        assert b"recorded" not in ebb("replay", "--goto", "100").stderr
        exported = ebb("export", "run", "last", str(tmp_path / "a"))
        assert exported.returncode == 0 and b"the run goes on" in exported.stderr
        refused = ebb("rm", "last")
        assert refused.returncode == 125 and b"is still being recorded" in refused.stderr
        running.communicate(b"")
    assert running.returncode == 0 and ebb("verify").returncode == 0
    elsewhere = {"EBB_RUNS": str(tmp_path / "elsewhere")}
    early = b"cut short: it was exported while it was still being recorded"
    for name in (str(tmp_path / "a"), "last"):
        found = ebb("verify", name, env=elsewhere)
        assert found.returncode == EXIT_CUT and early in found.stderr
        ebb("import", str(tmp_path / "a"), env=elsewhere)


def test_a_run_of_which_nothing_is_written_yet_is_said_to_have_begun(
    ebb, tmp_path, kernel_wasm: Path
) -> None:
    store = RunStore(tmp_path / "runs")
    kernel = hashlib.sha256(kernel_wasm.read_bytes()).hexdigest(), kernel_wasm
    with store.begin(str(uuid.uuid4()), kernel, {"args": ["true"]}):
        for words in (("replay",), ("logs",), ("verify",)):
            found = ebb(*words)
            assert found.returncode == 0 and b"is still being recorded" in found.stderr, found
        for words in (
            ("trace", "process"),
            ("profile",),
            ("core",),
            ("snapshot", "create", "last"),
        ):
            found = ebb(*words)
            assert found.returncode == 125, found
            assert b"has only just begun; nothing of it is written yet\n" in found.stderr, found
        for words in (("get", "runs"), ("describe", "run")):
            assert b"running" in ebb(*words).stdout
    store.close()


def test_a_run_is_never_seen_as_cut_short_while_it_begins_or_ends(tmp_path, monkeypatch) -> None:
    (kernel := tmp_path / "kernel").write_bytes(b"kernel")
    store, other = RunStore(tmp_path / "runs"), RunStore(tmp_path / "runs")
    seen: list[str] = []

    def look(self: RunStore, hash: str, code: bytes) -> None:
        seen.extend(row.state for row in other.rows())

    monkeypatch.setattr(RunStore, "keep_kernel", look)
    with store.begin("1", ("00", kernel), {}):
        assert seen == [] and [row.state for row in other.rows()] == ["running"]
    assert [row.state for row in other.rows()] == ["cut"]

    def ends(self: RunStore, id: str) -> bool:
        store.finish(id, 3, 7)
        return False

    monkeypatch.setattr(RunStore, "_locked", ends)
    (row,) = other.rows()
    assert (row.state, row.exit_code, row.bytes) == ("ended", 3, 7)
    store.close()
    other.close()
