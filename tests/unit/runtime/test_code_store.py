"""Packs of compiled code: what was saved is found again, what was damaged is as if it had never been."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide import code_store
from ebbtide.code_store import CodeStore

MODULES = {bytes([n]) * (40 + 4 * n): os.urandom(100 + n) for n in range(9)}


def found(folder: Path) -> dict[bytes, bytes]:
    store = CodeStore(folder)
    codes = [store.code(number) for number in range(len(store.modules))]
    return {
        kept.record: code
        for kept, code in zip(store.modules, codes, strict=True)
        if code is not None
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CodeStore(tmp_path / "code").save(MODULES)
    return tmp_path / "code"


def pack(folder: Path) -> Path:
    (path,) = folder.glob("*.pack")
    return path


def test_what_was_saved_is_found_in_its_order(folder):
    assert found(folder) == MODULES
    assert CodeStore(folder).records() == b"".join(MODULES)
    assert [path.suffix for path in folder.iterdir()] == [".pack"]
    assert CodeStore(folder).code(len(MODULES)) is None


def test_of_two_packs_the_newer_one_comes_last(folder):
    os.utime(pack(folder), ns=(1, 1))
    CodeStore(folder).save({b"new.": b"code", next(iter(MODULES)): b"again"})
    assert CodeStore(folder).records() == b"".join([*MODULES][1:]) + b"new." + next(iter(MODULES))
    assert found(folder)[b"new."] == b"code"


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_pack_gives_nothing_wrong(seed, folder):
    chance, path = random.Random(seed), pack(folder)
    data = bytearray(path.read_bytes())
    if seed % 2:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    else:
        del data[chance.randrange(len(data)) :]
    path.write_bytes(data)
    assert found(folder).items() < MODULES.items()


@pytest.mark.parametrize("text", [b"", b"ebb", code_store.MAGIC + b"\xff" * 60])
def test_what_is_no_pack_is_passed_over(text, folder):
    (folder / "other.pack").write_bytes(text)
    assert found(folder) == MODULES


def test_a_module_that_goes_while_a_machine_runs_is_not_found(folder):
    store = CodeStore(folder)
    pack(folder).unlink()
    assert store.code(0) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    CodeStore(tmp_path / "file" / "code").save(MODULES)
    assert CodeStore(tmp_path / "file" / "code").modules == []


def aged(folder: Path) -> None:
    """Make a pack older the smaller the number in its record is."""
    for path in folder.glob("*.pack"):
        os.utime(path, ns=(path.read_bytes()[-1008],) * 2)


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    folder = tmp_path / "one"
    for n in range(4):
        CodeStore(folder).save({bytes([n]) * 8: bytes(1000)})
    aged(folder)
    used = CodeStore(folder, most=3500)
    assert used.code(0) == bytes(1000)
    used.save({b"newer...": bytes(1000)})
    assert {kept.record[0] for kept in CodeStore(folder).modules} == {0, 3, ord("n")}


def test_all_folders_have_one_limit_and_those_that_are_empty_go(tmp_path):
    for name, numbers in {"older": [1, 2], "old": [3, 5], "new": [4]}.items():
        for n in numbers:
            CodeStore(tmp_path / name).save({bytes([n]) * 8: bytes(1000)})
        aged(tmp_path / name)
    CodeStore(tmp_path / "new", most=3500).save({b"newer...": bytes(1000)})
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}
    assert {kept.record[0] for kept in CodeStore(tmp_path / "old").modules} == {5}
    assert {kept.record[0] for kept in CodeStore(tmp_path / "new").modules} == {4, ord("n")}


def test_only_packs_and_what_was_to_become_one_count_and_go(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("left.part", "other"):
        (tmp_path / "old" / name).write_bytes(bytes(1000))
        os.utime(tmp_path / "old" / name, ns=(1, 1))
    CodeStore(tmp_path / "new", most=1500).save({b"newer...": bytes(1000)})
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["other"]
    assert len(CodeStore(tmp_path / "new").modules) == 1


def test_a_folder_that_another_process_removes_is_made_again(folder, monkeypatch):
    make, left = code_store.tempfile.NamedTemporaryFile, [1, 2]

    def late(*args, **named):
        if left:
            left.pop()
            shutil.rmtree(folder)
        return make(*args, **named)

    monkeypatch.setattr(code_store.tempfile, "NamedTemporaryFile", late)
    CodeStore(folder).save({b"new.": b"code"})
    assert found(folder) == {b"new.": b"code"}


def test_packs_that_go_while_they_are_joined_or_marked_as_used_lose_nothing_new(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(code_store, "PACKS_MOST", 3)
    folder = tmp_path / "code"
    for n in range(3):
        CodeStore(folder).save({bytes([n]) * 8: bytes([n])})
    store, read = CodeStore(folder), code_store._read_head
    assert store.code(0) and store.code(1)
    gone = [path for path in folder.glob("*.pack") if path.read_bytes()[-1] == 1]

    def removed(path):
        for one in gone:
            one.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(code_store, "_read_head", removed)
    store.save({b"new.": b"code"})
    assert found(folder) == {bytes(8): bytes(1), bytes([2]) * 8: bytes([2]), b"new.": b"code"}
    for path in folder.glob("*.pack"):
        path.unlink()
    store.save({b"newer...": b"code"})
    assert found(folder) == {b"newer...": b"code"}


def test_packs_are_joined_before_they_go(tmp_path, monkeypatch):
    monkeypatch.setattr(code_store, "PACKS_MOST", 3)
    folder = tmp_path / "code"
    for n in range(3):
        CodeStore(folder).save({bytes([n]) * 8: bytes([n])})

    def full(old, new):
        raise OSError("no space")

    monkeypatch.setattr(code_store.os, "replace", full)
    CodeStore(folder).save({b"new.": b"code"})
    assert found(folder) == {bytes([n]) * 8: bytes([n]) for n in range(3)}
    assert [path.suffix for path in folder.iterdir()] == [".pack"] * 3


def test_many_at_once_lose_nothing(tmp_path):
    script = """
import sys
from pathlib import Path
from ebbtide import code_store
code_store.PACKS_MOST = 3
for n in range(20):
    code_store.CodeStore(Path(sys.argv[1])).save({b"%s %02d." % (sys.argv[2].encode(), n): bytes(100)})
"""
    folder, names = tmp_path / "code", "abcd"
    several = [
        subprocess.Popen([sys.executable, "-c", script, str(folder), name]) for name in names
    ]
    assert [one.wait() for one in several] == [0] * len(names)
    assert {*found(folder)} == {b"%c %02d." % (ord(name), n) for name in names for n in range(20)}
    assert {path.suffix for path in folder.iterdir()} == {".pack"}


def test_many_small_packs_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr(code_store, "PACKS_MOST", 3)
    for n in range(4):
        CodeStore(tmp_path / "code").save({bytes([n]) * 8: bytes([n])})
    assert len(list((tmp_path / "code").glob("*.pack"))) == 1
    assert found(tmp_path / "code") == {bytes([n]) * 8: bytes([n]) for n in range(4)}


def test_a_machine_is_told_of_no_more_than_it_has_room_for(folder, monkeypatch):
    monkeypatch.setattr(code_store, "RECORDS_MOST", 100)
    records = CodeStore(folder).records()
    assert 0 < len(records) <= 100
    monkeypatch.setattr(code_store, "MODULES_MOST", 1)
    assert len(CodeStore(folder).modules) == 1


def test_what_was_written_last_comes_last_whatever_was_used_or_joined(tmp_path, monkeypatch):
    folder, records = tmp_path / "code", [bytes([n]) * 8 for n in range(4)]
    for n, record in enumerate(records):
        CodeStore(folder).save({record: bytes([n])})
    store = CodeStore(folder)
    assert store.code(0) == bytes([0])
    store.save({})
    assert CodeStore(folder).records() == b"".join(records)
    monkeypatch.setattr(code_store, "PACKS_MOST", 4)
    store.save({b"newer...": b"code"})
    assert len([*folder.glob("*.pack")]) == 1
    assert CodeStore(folder).records() == b"".join(records) + b"newer..."
