"""`ebb run --jit-dump`: what was compiled is written as text, guest instructions beside their WebAssembly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.command import ebb

pytestmark = pytest.mark.native

SCRIPT = "i=0; while [ $i -lt 9000 ]; do i=$((i + 1)); done; echo $i"


def test_each_region_is_written_beside_its_instructions(tmp_path: Path, base_store) -> None:
    done = ebb("run", "-q", "--jit-dump", str(tmp_path / "dump"), "--", "sh", "-c", SCRIPT)
    assert done.stdout == "9000\n", done
    modules = list((tmp_path / "dump").glob("*.wasm"))
    assert modules
    for module in modules:
        assert module.read_bytes()[:4] == b"\0asm"
        texts = list(module.parent.glob(f"{module.stem}-*.txt"))
        assert texts
        for file in texts:
            entry, text = file.stem.rpartition("-")[2], file.read_text()
            assert re.search(rf"^;; {entry} \w+", text, re.M), "the entry is an instruction of it"
            assert text.startswith("local ") and text.rstrip().endswith("end")


def test_a_folder_that_cannot_be_made_is_said_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    beneath = file / "dump"
    for folder, why in ((file, "is not a folder"), (beneath, "cannot be made: Not a directory")):
        done = ebb("run", "--jit-dump", str(folder), "--", "true")
        assert done.returncode == 125 and done.stderr == f"ebb: --jit-dump: {folder} {why}\n"


def test_regions_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "0-1.wasm").touch()
    done = ebb("run", "--jit-dump", str(tmp_path), "--", "true")
    assert done.returncode == 125
    said = f"{tmp_path} is not empty; name a folder that is, or a new one"
    assert done.stderr == f"ebb: --jit-dump: {said}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["0-1.wasm"]


def test_nothing_to_dump_is_refused(tmp_path: Path) -> None:
    done = ebb("run", "--jit=off", "--jit-dump", str(tmp_path / "dump"), "--", "true")
    assert done.returncode == 125 and "--jit=off nothing is compiled" in done.stderr
