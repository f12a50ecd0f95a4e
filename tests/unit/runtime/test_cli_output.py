"""What commands say and leave behind."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebbtide import cli_output
from ebbtide.cli_output import Progress, need_folder, new_file, progress, trouble
from ebbtide.errors import EbbError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_error_is_told_without_its_number() -> None:
    assert trouble(FileNotFoundError(2, "No such file", "a/b")) == "a/b: No such file"
    assert trouble(OSError(28, "Disk full")) == "the output cannot be written: Disk full"
    assert trouble(OSError(111, "Refused")) == "Refused"
    assert trouble(EbbError("what happened")) == "what happened"


def test_progress_is_a_line_on_a_terminal_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_output, "PROGRESS_AFTER_S", 0)
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    replay = SimpleNamespace(tick=30, begin=10, end=50, on_slice=lambda: None)
    before = replay.on_slice
    with progress("going", replay):  # type: ignore[arg-type]
        replay.on_slice()
    assert shown.getvalue() == "\r\x1b[Kgoing: 50 %\r\x1b[K" and replay.on_slice is before
    monkeypatch.setattr(sys, "stderr", elsewhere := io.StringIO())
    Progress("going").show(1, 2)
    assert elsewhere.getvalue() == ""


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_output, "PROGRESS_AFTER_S", 1e9)
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    line = Progress("going")
    line.show(1, 2)
    line.clear()
    assert shown.getvalue() == ""


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(RuntimeError), new_file(path, over=False) as file:
        file.write(b"half")
        raise RuntimeError
    assert not [*tmp_path.iterdir()]
    with new_file(path, over=False) as file:
        file.write(b"all")
    with pytest.raises(EbbError, match="is there already"), new_file(path, over=False):
        pass
    with new_file(path, over=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and [*tmp_path.iterdir()] == [path]


def test_a_file_for_which_there_is_no_place_is_refused_at_once(tmp_path: Path) -> None:
    need_folder(str(tmp_path / "file"))
    need_folder("file")
    with pytest.raises(EbbError, match=f"there is no directory {tmp_path / 'no'}$"):
        need_folder(str(tmp_path / "no" / "file"))
