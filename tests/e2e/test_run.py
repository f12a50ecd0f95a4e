"""`sdk.run`: one command, its output and its end."""

from __future__ import annotations

import re

from e2e.machines import MachinePage


def test_run_gives_exit_code_and_both_outputs(machine: MachinePage) -> None:
    result = machine.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert result == {"exitCode": 7, "signal": None, "stdout": "out\n", "stderr": "err\n"}


def test_run_lists_the_root(machine: MachinePage) -> None:
    result = machine.run("ls", "-l", "/")
    assert result["exitCode"] == 0 and result["stderr"] == ""
    assert re.search(r"^[dl]r.{8}\s+\d+ root\s+root\s.* usr", result["stdout"], re.M)


def test_run_of_a_pipeline_gives_what_linux_gives(machine: MachinePage) -> None:
    result = machine.run("sh", "-c", "seq 100000 | sort -rn | head -3 | wc -c")
    assert result["stdout"].strip() == "19"


def test_stdin_is_what_was_given_and_else_end_of_file(machine: MachinePage) -> None:
    assert machine.run("cat")["stdout"] == ""
    assert machine.run("tr", "a-z", "A-Z", stdin="héllo\n")["stdout"] == "HéLLO\n"


def test_stdin_larger_than_a_pipe_arrives_whole(machine: MachinePage) -> None:
    count = machine.js(
        'return (await sdk.run("wc", ["-c"], { stdin: new Uint8Array(3_000_000) })).stdout'
    )
    assert count.strip() == "3000000"


def test_bytes_come_as_they_are(machine: MachinePage) -> None:
    data = machine.js(
        """const r = await sdk.run("printf", ["\\\\377\\\\000\\\\1"], { encoding: "bytes" });
        return [r.stdout instanceof Uint8Array, ...r.stdout]"""
    )
    assert data == [True, 255, 0, 1]


def test_environment_is_the_fixed_one_plus_env(machine: MachinePage) -> None:
    result = machine.run("env", env={"GREETING": "hello world"})
    lines = dict(line.split("=", 1) for line in result["stdout"].splitlines())
    assert lines.pop("GREETING") == "hello world"
    assert lines["HOME"] == "/root" and lines["USER"] == "root" and lines["LANG"] == "C.UTF-8"
    assert set(lines) <= {"PATH", "HOME", "USER", "LANG"}


def test_cwd_is_where_the_command_runs(machine: MachinePage) -> None:
    assert machine.run("pwd", cwd="/usr")["stdout"] == "/usr\n"


def test_command_that_is_not_there_is_127_with_a_message(machine: MachinePage) -> None:
    result = machine.run("no-such-command")
    assert result["exitCode"] == 127
    assert "no-such-command" in result["stderr"] and "not found" in result["stderr"]


def test_command_of_another_image_is_127_and_names_the_image(machine: MachinePage) -> None:
    result = machine.run("python3", "--version")
    assert result["exitCode"] == 127 and "in image debian" in result["stderr"]


def test_death_by_signal_is_128_plus_its_number(machine: MachinePage) -> None:
    result = machine.run("sh", "-c", "kill -SEGV $$")
    assert (result["exitCode"], result["signal"]) == (139, "SIGSEGV")


def test_timeout_ends_the_whole_group_and_keeps_the_output(machine: MachinePage) -> None:
    error = machine.error(
        """await sdk.run("sh", ["-c", "echo before; sleep 1000 & sleep 1000"], { timeout: 500 })"""
    )
    assert error["name"] == "RunError" and error["code"] == "timeout"
    assert error["stdout"] == "before\n"
    assert "sleep" not in machine.run("ps", "-e")["stdout"]


def test_abort_ends_the_command_and_keeps_the_output(machine: MachinePage) -> None:
    error = machine.error(
        """const stop = new AbortController();
        setTimeout(() => stop.abort(), 500);
        await sdk.run("sh", ["-c", "echo before; sleep 1000"], { signal: stop.signal })"""
    )
    assert error["code"] == "aborted" and error["stdout"] == "before\n"


def test_output_limit_ends_a_runaway_writer(machine: MachinePage) -> None:
    error = machine.error('await sdk.run("yes", [], { maxOutput: 100_000 })')
    assert error["code"] == "output-limit"
    assert len(error["stdout"]) >= 100_000 - 65536 and error["stdout"].startswith("y\ny\n")


def test_runs_in_parallel_are_independent(machine: MachinePage) -> None:
    outputs = machine.js(
        """const runs = Array.from({ length: 8 }, (_, i) => sdk.run("sh", ["-c", `sleep 0.0${i}; echo ${i}; exit ${i}`]));
        return (await Promise.all(runs)).map((r) => [r.exitCode, r.stdout.trim()])"""
    )
    assert outputs == [[i, str(i)] for i in range(8)]
