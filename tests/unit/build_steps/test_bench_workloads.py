"""The benchmark's tables and its command line: what they name exists, and inputs are the same in every run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import options, workloads
from build_steps import check, main

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_the_table_names_the_programs_that_there_are() -> None:
    named = [name for members in workloads.PROGRAMS.values() for name in members]
    sources = {path.stem for path in BENCH.glob("*.c")}
    assert {*named, *workloads.HARTS} == sources
    assert len({*named, *workloads.COMMANDS}) == len(named) + len(workloads.COMMANDS)


def test_means_are_of_groups_that_there_are() -> None:
    groups = {*workloads.PROGRAMS, *(command.group for command in workloads.COMMANDS.values())}
    assert groups >= set(workloads.MEANS)


def test_inputs_are_the_same_each_time_and_those_the_commands_read() -> None:
    files = workloads.inputs()
    assert files == workloads.inputs()
    assert 2000 <= files[f"{workloads.AT}/lines.c"].count(b"\n") < 2100
    for command in workloads.COMMANDS.values():
        read = {word for word in command.argv if word.startswith(workloads.AT) and "." in word}
        assert read <= set(files)


def test_the_table_names_the_rows_that_are_measured_together() -> None:
    named = {group: set(names) for group, names in workloads.TOGETHER.items()}
    for group in ("record", "record-page"):
        text = (BENCH / f"{group.replace('record-page', 'page_record')}.py").read_text()
        for name, size in re.findall(r"^(FULL|DELTA) = (\d+)", text, re.M):
            text = text.replace(f"{{{name}}}", size)
        assert named[group] == set(re.findall(r'Figure\(\s*f?"([^"]+)"', text))
    text = (BENCH / "pages.py").read_text()
    (images,) = re.findall(r"^IMAGES = (.*)", text, re.M)
    added = re.findall(r'add\("([^"]+)"', text)
    assert named["pages"] == {f"{n}-{i}" for n in added for i in re.findall(r"\w+", images)}


def test_rows_are_chosen_by_the_beginning_of_their_name_or_their_group() -> None:
    assert options.chosen(["qs", "float"], None) == {"qsort", "matmul", "nbody", "spectral"}
    assert options.chosen(["prompt-cold-base"], "chromium") == {"prompt-cold-base"}
    assert options.chosen(["prompt"], "native") == set()
    assert options.chosen(None, None) == set(options.known_rows())
    assert {*workloads.TOGETHER["record"], *workloads.TOGETHER["record-page"]} == options.chosen(
        ["record"], None
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--only", "nosuch"],
            "there is no row nosuch; groups are integer, .*, rows of programs sieve, ",
        ),
        (["--only", "sieve", "--only", "nosuch"], "there is no row nosuch"),
        (["--only", "prompt", "--where", "native"], "prompt is not measured natively"),
        (["--only", "ebb-help", "--where", "chromium"], "ebb-help is not measured in chromium"),
        (["--json", "no/such/file"], "there is no folder /.*/no/such for --json"),
        (["--json", "docs"], "docs is a folder"),
        (["--runs", "0"], "--runs: 0 is no number from 1"),
        (["--page-runs", "x"], "--page-runs: x is no number from 1"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is_built(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check.setup, "setup", lambda: pytest.fail("it builds"))
    with pytest.raises(SystemExit) as ended:
        main.main(["bench", *words])
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_of_bench_is_the_benchmarks_own(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check.setup, "setup", lambda: pytest.fail("it builds"))
    with pytest.raises(SystemExit) as ended:
        main.main(["bench", word])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--page-runs" in text
    columns = re.search(r"^COLUMNS = {(.*?)}", (BENCH / "bench.py").read_text(), re.M | re.S)
    assert columns
    for name in re.findall(r'"(\w+)"', columns[1]):
        assert re.search(rf"^  .*{name.replace('ratio_', '/')}\b", text, re.M), name
    assert f"After\n              {options.PATIENCE_S} s" in text
