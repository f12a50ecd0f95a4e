"""The benchmark's tables: what they name exists, and inputs are the same in every run."""

from __future__ import annotations

from pathlib import Path

from bench import workloads

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
