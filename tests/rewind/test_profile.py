"""Profiles of a run: the same every time, true to what the program did, readable by others."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide import assets
from ebbtide.cli_replay import open_replay
from ebbtide.image_store import ImageStore
from ebbtide.rewind.cfi import Frames
from ebbtide.rewind.elf import Elf
from ebbtide.rewind.past_files import PastFiles
from ebbtide.rewind.store import RunStore
from support.command import ebb, recorded

pytestmark = pytest.mark.native

SCRIPT = "i=0; while [ $i -lt 1500 ]; do i=$((i+1)); done; sleep 0.5; cat /etc/hostname"


@pytest.fixture(scope="module")
def run_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that counts, then sleeps."""
    folder = tmp_path_factory.mktemp("id")
    return recorded(folder, "--time", "virtual", "--", "bash", "-c", SCRIPT)


def profile(*args: str) -> str:
    done = ebb("profile", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def stacks(text: str) -> dict[str, int]:
    rows = (line.rpartition(" ") for line in text.splitlines())
    return {stack: int(weight) for stack, _, weight in rows}


def test_the_same_run_gives_the_same_bytes(run_id: str, tmp_path: Path) -> None:
    names = ["a.pb.gz", "b.pb.gz"]
    for name in names:
        assert profile("--export", f"cpu:{tmp_path / name}", run_id) == ""
    one, other = ((tmp_path / name).read_bytes() for name in names)
    assert one == other and len(one) > 1000


def test_a_period_of_nothing_is_refused(run_id: str) -> None:
    done = ebb("profile", "--period", "0", run_id)
    assert done.returncode == 2 and "'0' is no number from 1 on" in done.stderr


def test_what_ran_has_whole_stacks(run_id: str) -> None:
    found = stacks(profile("-o", "collapsed", run_id))
    total = sum(found.values())
    bash = {stack: weight for stack, weight in found.items() if stack.startswith("bash;_start;")}
    assert sum(bash.values()) > total * 0.8
    within = [w for stack, w in bash.items() if ";main;" in stack and "execute_command" in stack]
    assert sum(within) > total * 0.7
    table = profile(run_id).splitlines()
    assert table[0].startswith("cpu: ") and "FUNCTION" in table[1]
    assert any(line.endswith("  execute_command_internal") for line in table)


def test_a_finer_period_weighs_the_same(run_id: str) -> None:
    totals = [
        sum(stacks(profile("-o", "collapsed", "--period", str(period), run_id)).values())
        for period in (499_979, 99_991)
    ]
    assert totals[0] == pytest.approx(totals[1], rel=0.1)


def test_waiting_is_counted_in_time(run_id: str) -> None:
    found = stacks(profile("--type", "offcpu", "-o", "collapsed", run_id))
    slept = [weight for stack, weight in found.items() if stack.endswith("[clock_nanosleep]")]
    waited = [weight for stack, weight in found.items() if stack.endswith("[wait4]")]
    assert 500_000_000 <= sum(slept) < 510_000_000
    assert sum(waited) >= sum(slept)
    assert any(stack.startswith("sleep;sleep+") and stack.count(";") > 3 for stack in found)


def test_speedscope_can_read_it(run_id: str, tmp_path: Path) -> None:
    profile(
        "--export", f"cpu:{tmp_path / 'p.json'}", "--export", f"offcpu:{tmp_path / 'o.txt'}", run_id
    )
    made = json.loads((tmp_path / "p.json").read_text())
    (one,) = made["profiles"]
    assert len(one["samples"]) == len(one["weights"]) and sum(one["weights"]) == one["endValue"]
    names = [frame["name"] for frame in made["shared"]["frames"]]
    assert {names[stack[0]] for stack in one["samples"]} >= {"bash"}
    assert stacks((tmp_path / "o.txt").read_text())


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size


def test_pprof_can_read_it(run_id: str, tmp_path: Path) -> None:
    profile("--export", f"cpu:{tmp_path / 'p.pb.gz'}", run_id)
    top = list(fields(gzip.decompress((tmp_path / "p.pb.gz").read_bytes())))
    strings = [value.decode() for field, value in top if field == 6]
    assert strings[0] == "" and len(set(strings)) == len(strings)
    functions = {row[1]: row for row in (dict(fields(v)) for f, v in top if f == 5)}
    locations = {row[1]: row for row in (dict(fields(v)) for f, v in top if f == 4)}
    mappings = {dict(fields(v))[1] for f, v in top if f == 3}
    types = [dict(fields(v)) for f, v in top if f == 1]
    assert [strings[one[1]] for one in types] == ["samples", "cpu"]
    names = {strings[row[2]] for row in functions.values()}
    assert {"main", "execute_command_internal"} <= names
    for location in locations.values():
        assert location[2] in mappings and dict(fields(location[4]))[1] in functions
    samples = [dict(fields(v)) for f, v in top if f == 2]
    assert samples and all(set(sample) == {1, 2} for sample in samples)
    assert dict(top)[12] == 99_991


def test_one_process_and_a_part_of_the_time(run_id: str) -> None:
    every = [
        json.loads(line)
        for line in ebb("trace", "syscalls", "-f", "-o", "json", run_id).stdout.splitlines()
    ]
    middle = every[len(every) // 2]["tick"]
    early, late = (
        sum(stacks(profile("-o", "collapsed", word, str(middle), run_id)).values())
        for word in ("--to", "--from")
    )
    whole = sum(stacks(profile("-o", "collapsed", run_id)).values())
    assert early + late == whole and early and late
    assert not stacks(profile("-o", "collapsed", "-p", "99999", run_id))


def test_symbols_and_frames_are_those_that_elftools_finds(run_id: str) -> None:
    from elftools.dwarf.callframe import FDE
    from elftools.elf.elffile import ELFFile

    store = RunStore(assets.runs_folder())
    replay = open_replay(store.open(run_id))
    replay.seek(replay.end // 2)
    files = PastFiles(replay, ImageStore(assets.images_folder()).blob)
    data = files.read("/usr/bin/bash")
    files.close()
    store.close()
    theirs, ours = ELFFile(io.BytesIO(data)), Elf(data)
    symbols = [
        one for one in theirs.get_section_by_name(".dynsym").iter_symbols()
        if one["st_info"]["type"] == "STT_FUNC" and one["st_shndx"] != "SHN_UNDEF"
    ]  # fmt: skip
    assert len(symbols) > 500
    known = {one["st_value"]: one for one in symbols}
    for value, one in known.items():
        function = ours.function(value + one["st_size"] // 2)
        assert function and function.start == value
    frames, seen = Frames(ours), 0
    entries = theirs.get_dwarf_info().EH_CFI_entries()
    for entry in [one for one in entries if isinstance(one, FDE)][::40]:
        begin = entry["initial_location"]
        assert frames.span(begin) == (begin, begin + entry["address_range"])
        for row in entry.get_decoded().table:
            if row["pc"] >= begin + entry["address_range"]:
                continue
            mine = frames.row(row["pc"])
            assert mine is not None
            assert (mine.register, mine.offset) == (row["cfa"].reg, row["cfa"].offset)
            saved = {
                register: rule.arg for register, rule in row.items()
                if isinstance(register, int) and rule.type == "OFFSET"
            }  # fmt: skip
            assert mine.saved == saved
            seen += 1
    assert seen > 100


def test_a_file_that_is_no_elf_has_no_functions() -> None:
    for data in (b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(100), os.urandom(5000)):
        assert Elf(data).function(0) is None and Frames(Elf(data)).row(0) is None
