"""`sdk.run`: one command, its output and its end."""

from __future__ import annotations

import re

import pytest

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


def test_program_for_another_processor_is_an_exec_format_error(machine: MachinePage) -> None:
    result = machine.js(
        """const elf = new Uint8Array(4096);
        elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0]); // x86-64
        await sdk.fs.writeFile("/tmp/foreign", elf, { mode: 0o755 });
        return sdk.run("/tmp/foreign");"""
    )
    assert result["exitCode"] == 126 and "exec format error" in result["stderr"].lower()


def test_unknown_user_is_named(machine: MachinePage) -> None:
    error = machine.error('await sdk.run("true", [], { user: "nobody-at-all" })')
    assert error["name"] == "EbbError" and error["code"] == "user-unknown"
    assert "nobody-at-all" in error["message"]


def test_death_by_signal_is_128_plus_its_number(machine: MachinePage) -> None:
    result = machine.run("sh", "-c", "kill -SEGV $$")
    assert (result["exitCode"], result["signal"]) == (139, "SIGSEGV")


def test_timeout_ends_the_whole_group_and_keeps_the_output(machine: MachinePage) -> None:
    said, timeout = "", 500
    while not said:  # a busy host may not have let it say anything in time: then it gets longer
        error = machine.error(
            """await sdk.run("sh", ["-c", "echo before; sleep 1000 & sleep 1000"], { timeout: arg })""",
            timeout,
        )
        assert error["name"] == "RunError" and error["code"] == "timeout"
        machine.run("sh", "-c", "while ps -e | grep -q sleep; do :; done")
        said, timeout = error["stdout"], timeout * 4
    assert said == "before\n"


def test_abort_ends_the_command_and_rejects_with_the_reason(machine: MachinePage) -> None:
    seen = machine.js(
        """const stop = new AbortController();
        const ended = sdk.run("sh", ["-c", ">/tmp/said; sleep 4321"], { signal: stop.signal }).catch((error) => error);
        while (!(await sdk.fs.exists("/tmp/said"))) ;
        const why = new Error("not wanted any more");
        stop.abort(why);
        const same = (await ended) === why;
        const left = await sdk.run("sh", ["-c", "while ps -ef | grep -q '[s]leep 4321'; do :; done"]);
        const late = sdk.run("touch", ["/tmp/late"], { signal: AbortSignal.abort() });
        return [same, left.exitCode, await late.catch(({ name }) => name), await sdk.fs.exists("/tmp/late")];"""
    )
    assert seen == [True, 0, "AbortError", False]


def test_output_limit_ends_a_runaway_writer(machine: MachinePage) -> None:
    error = machine.error('await sdk.run("yes", [], { maxOutput: 100_000 })')
    assert error["code"] == "output-limit"
    assert len(error["stdout"]) >= 100_000 - 65536 and error["stdout"].startswith("y\ny\n")


def test_an_output_limit_may_be_a_size(machine: MachinePage) -> None:
    error = machine.error('await sdk.run("yes", [], { maxOutput: "1M" })')
    assert error["code"] == "output-limit" and len(error["stdout"]) >= (1 << 20) - 65536
    seen = machine.js('return sdk.run("seq", ["20000"], { maxOutput: "1M" })')  # 0.1 MB
    assert seen["exitCode"] == 0 and seen["stdout"].endswith("20000\n")


def test_runs_in_parallel_are_independent(machine: MachinePage) -> None:
    outputs = machine.js(
        """const runs = Array.from({ length: 8 }, (_, i) => sdk.run("sh", ["-c", `sleep 0.0${i}; echo ${i}; exit ${i}`]));
        return (await Promise.all(runs)).map((r) => [r.exitCode, r.stdout.trim()])"""
    )
    assert outputs == [[i, str(i)] for i in range(8)]


def test_misspelt_options_are_named(machine: MachinePage) -> None:
    boot = 'const { boot } = await import("./ebbtide.js"); await boot(%s);'
    cases = {
        boot % '{ imgae: "base" }': 'boot has no option "imgae"; did you mean "image"?',
        'await sdk.run("ls", [], { timeuot: 1 })': 'run has no option "timeuot"; did you mean "timeout"?',
        'await sdk.spawn("ls", [], { ptty: {} })': 'spawn has no option "ptty"; did you mean "pty"?',
        'await sdk.spawn("ls", [], { encoding: "utf8" })': 'spawn has no option "encoding"; it takes ',
    }
    for script, said in cases.items():
        error = machine.error(script)
        assert error["name"] == "TypeError" and error["message"].startswith(said), error


def test_sizes_that_cannot_be_are_refused(machine: MachinePage) -> None:
    boot = 'const { boot } = await import("./ebbtide.js"); await boot(%s);'
    for options, said in {
        "{ memory: 64 }": 'did you mean "64M"?',
        '{ memory: "1M" }': "at least 16 MiB",
        '{ memory: "4G" }': "memory must be at most 3968 MiB; got 4G",
        "{ harts: 0 }": "whole number from 1",
        "{ harts: 99 }": "whole number from 1",
    }.items():
        error = machine.error(boot % options)
        assert error["name"] == "RangeError" and said in error["message"], error


def test_users_and_seeds_that_cannot_be_are_refused_at_boot(machine: MachinePage) -> None:
    boot = 'const { boot } = await import("./ebbtide.js"); await boot({ harts: 1, memory: "64M", %s });'
    for option, said in {
        'user: "nobody-at-all"': "nobody-at-all",
        "seed: -1": "seed is a whole number from 0",
        "seed: 1.5": "seed must be a whole number",
    }.items():
        assert said in machine.error(boot % option)["message"]


def test_nothing_is_unhandled_when_a_machine_with_a_terminal_is_closed(
    machine: MachinePage,
) -> None:
    unhandled = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const unhandled = [];
        const note = (event) => unhandled.push(String(event.reason));
        addEventListener("unhandledrejection", note);
        const other = await boot({ harts: 1 });
        const shell = await other.spawn("bash", ["-i"], { pty: { rows: 24, cols: 80 } });
        const element = document.body.appendChild(document.createElement("div"));
        await other.attach(element, shell, { focus: false });
        await other.spawn("sleep", ["1000"]);
        await other.close();
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        removeEventListener("unhandledrejection", note);
        element.remove();
        return unhandled;"""
    )
    assert unhandled == []


PTY = "{ pty: { rows: 24, cols: 80 } }"
WRONG = [
    ('sdk.run(["ls", "-l"])', "TypeError", 'run("ls", ["-l"])'),
    ('sdk.run("ls", "-l")', "TypeError", 'run("ls", ["-l"])'),
    ("sdk.run()", "TypeError", "undefined"),
    ("sdk.spawn()", "TypeError", "undefined"),
    ('sdk.run("echo", [1])', "TypeError", "got 1"),
    ('sdk.run("echo", ["a\\0b"])', "RangeError", "NUL"),
    ('sdk.run("true", [], { timeout: -1 })', "RangeError", "timeout"),
    ('sdk.run("true", [], { timeout: "1" })', "TypeError", "timeout"),
    ('sdk.run("true", [], { maxOutput: 1.5 })', "RangeError", "maxOutput"),
    ('sdk.run("true", [], { maxOutput: "much" })', "RangeError", 'such as "1M"; got much'),
    ('sdk.run("true", [], { env: { A: 1 } })', "TypeError", '"A"'),
    ('sdk.run("true", [], { env: "A=1" })', "TypeError", "env"),
    ('sdk.run("true", [], { env: { "A=B": "1" } })', "RangeError", "A=B"),
    ('sdk.run("true", [], { cwd: 7 })', "TypeError", "cwd"),
    ('sdk.spawn("true", [], { pty: true })', "TypeError", "rows"),
    ('sdk.spawn("true", [], { pty: { rows: 24, cols: -1 } })', "RangeError", "cols"),
    ('(await sdk.spawn("cat")).kill("SIGFOO")', "RangeError", "SIGFOO"),
    ('(await sdk.spawn("cat")).kill(null)', "TypeError", "signal"),
    ("sdk.connect(800000)", "RangeError", "65535"),
    ('sdk.connect("80")', "TypeError", "port"),
    ('sdk.run("true", [], "utf8")', "TypeError", "the options of run are an object"),
    ('sdk.run("true", [], { encoding: "latin1" })', "TypeError", '"utf-8"'),
    ('sdk.run("true", [], { signal: "SIGTERM" })', "TypeError", "AbortSignal"),
    ('sdk.attach(null, await sdk.spawn("cat"))', "TypeError", "got null"),
    ('sdk.attach(document.body, sdk.spawn("cat"))', "TypeError", "`await sdk.spawn"),
    ('sdk.attach(document.body, await sdk.spawn("cat"))', "TypeError", "{ pty: { rows: 24"),
    ("sdk.attach(document.body, null, { fontsize: 9 })", "TypeError", '"fontSize"?'),
    (
        f"sdk.spawn('cat', [], {PTY}).then((p) => (p.stdout.getReader(), sdk.attach(document.body, p)))",
        "TypeError",
        "other hands",
    ),
    ("sdk.fs.readFile()", "TypeError", "path"),
    ('sdk.fs.readFile("/etc/passwd", "latin1")', "TypeError", '"utf-8"'),
    ('sdk.fs.readFile("/etc/passwd", null)', "TypeError", "options of readFile"),
    ('sdk.fs.readFile("/etc/passwd", { encodign: "utf8" })', "TypeError", '"encoding"?'),
    ('sdk.fs.mkdir("/tmp/a", { recursive: true })', "TypeError", "it takes parents, mode"),
    ('sdk.fs.unpack("/tmp/untarred", "no tar")', "RangeError", "no tar archive"),
    ('sdk.fs.readFiles("/etc/passwd")', "TypeError", "paths"),
    ('sdk.fs.rename("/tmp/a")', "TypeError", "to must be"),
    ('sdk.fs.chmod("/tmp", 0o777777)', "RangeError", "mode"),
    ('sdk.fs.writeFiles({ "/tmp/a\\0b": "" })', "RangeError", "NUL"),
]


@pytest.mark.parametrize(("call", "name", "part"), WRONG)
def test_wrong_arguments_are_the_callers(
    machine: MachinePage, call: str, name: str, part: str
) -> None:
    error = machine.error(f"await {call}")
    assert error["name"] == name and part in error["message"], error
    assert "Ebb itself" not in error["message"]


BOOTS = [
    ('{ policy: { clone: "ENOSUCH" } }', "RangeError", "ENOSUCH"),
    ('{ policy: { fork: "EAGAIN" } }', "RangeError", "fork"),
    ("{ policy: { clone: { error: 1, after: -1 } } }", "RangeError", "after"),
    ("{ policy: { clone: 7 } }", "TypeError", "policy"),
    ('{ chaos: "earthquake" }', "RangeError", "earthquake"),
    ("{ chaos: 7 }", "RangeError", "rate"),
    ('{ seed: "x" }', "TypeError", "seed"),
    ("{ seed: 1.5 }", "RangeError", "seed"),
    ("{ env: { A: 1 } }", "TypeError", '"A"'),
    ("{ user: 0 }", "TypeError", "user"),
    ("{ limits: { pids: -1 } }", "RangeError", "pids"),
]


@pytest.mark.parametrize(("options", "name", "part"), BOOTS)
def test_wrong_options_of_boot_are_the_callers(
    machine: MachinePage, options: str, name: str, part: str
) -> None:
    error = machine.error(
        f"""const {{ boot }} = await import("./ebbtide.js");
        await boot({{ memory: "64M", harts: 1, ...{options} }});"""
    )
    assert error["name"] == name and part in error["message"], error
