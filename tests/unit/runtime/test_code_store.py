"""Packs of compiled code: what was saved is found again, what was damaged is as if it had never been."""

from __future__ import annotations

import os
import random
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


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    for n in range(4):
        CodeStore(tmp_path).save({bytes([n]) * 8: bytes(1000)})
    for path in tmp_path.glob("*.pack"):
        os.utime(path, ns=(path.read_bytes()[-1008],) * 2)  # by the number in its record
    used = CodeStore(tmp_path, most=3500)
    assert used.code(0) == bytes(1000)
    used.save({b"newer...": bytes(1000)})
    assert {kept.record[0] for kept in CodeStore(tmp_path).modules} == {0, 3, ord("n")}


def test_many_small_packs_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr(code_store, "PACKS_MOST", 3)
    for n in range(4):
        CodeStore(tmp_path).save({bytes([n]) * 8: bytes([n])})
    assert len(list(tmp_path.glob("*.pack"))) == 1
    assert found(tmp_path) == {bytes([n]) * 8: bytes([n]) for n in range(4)}


def test_a_machine_is_told_of_no_more_than_it_has_room_for(folder, monkeypatch):
    monkeypatch.setattr(code_store, "RECORDS_MOST", 100)
    records = CodeStore(folder).records()
    assert 0 < len(records) <= 100
    monkeypatch.setattr(code_store, "MODULES_MOST", 1)
    assert len(CodeStore(folder).modules) == 1
