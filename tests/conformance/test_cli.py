"""The command `ebb run` as a user types it: streams, exit codes, terminal, messages."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from ebbtide.assets import images_folder

pytestmark = pytest.mark.native


@pytest.fixture(autouse=True)
def places(kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    monkeypatch.setenv("PYTHONPATH", str(root / "runtime_py"))
    if not (images_folder() / "base" / "manifest.json").is_file():
        pytest.skip("image base is not built; build it with: ebb image build base")


EBB = [sys.executable, "-m", "ebbtide.cli"]


def ebb(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*EBB, *args], input=stdin, capture_output=True, timeout=120)


def test_streams_and_exit_code_pass_through() -> None:
    ended = ebb("run", "--", "bash", "-c", "tr a-z A-Z; echo err >&2; exit 3", stdin=b"hi\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"HI\n", b"err\n")


def test_environment_and_directory() -> None:
    ended = ebb("run", "-e", "A=x y", "-w", "/usr", "--", "sh", "-c", 'echo "$A"; pwd')
    assert ended.stdout == b"x y\n/usr\n"


def test_command_not_found_is_127_and_death_by_signal_128_plus() -> None:
    ended = ebb("run", "--", "no-such-command")
    assert ended.returncode == 127 and b"no-such-command: command not found" in ended.stderr
    assert ebb("run", "--", "sh", "-c", "kill -TERM $$").returncode == 143


def test_a_background_job_does_not_hold_the_command() -> None:
    ended = ebb("run", "--", "sh", "-c", "sleep 1000 & echo started; exit 4")
    assert (ended.returncode, ended.stdout) == (4, b"started\n")


def test_input_that_never_ends_does_not_hold_the_command() -> None:
    reader, writer = os.pipe()
    try:
        ended = subprocess.run([*EBB, "run", "--", "sh", "-c", "exit 6"], stdin=reader, timeout=120)
        assert ended.returncode == 6
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_goes_away_ends_the_writer() -> None:
    command = f"{' '.join(EBB)} run -- yes | head -2"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120)
    assert (ended.stdout, ended.stderr) == (b"y\ny\n", b"")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--image debain", 125, "did you mean debian?"),
        ("--harts 0", 125, "from 1 to"),
        ("--harts 99", 125, "from 1 to"),
        ("--memory 64", 125, "did you mean 64M?"),
        ("--memory 1M", 125, "at least 16M"),
        ("-v /no/such/place:/x", 125, "no such directory"),
        ("-v {file}:/x", 125, "only a directory can be shown"),
        ("-v /:x", 125, "must begin with /"),
        ("-p 8099", 2, "is not HOST:GUEST"),
        ("-p 8099:99999", 2, "from 1 to 65535"),
        ("--timeout soon", 2, "is no time"),
    ],
)
def test_a_wrong_option_is_named_before_boot(options: str, code: int, said: str):
    ended = ebb("run", *options.format(file=__file__).split(), "--", "true")
    assert (ended.returncode, ended.stdout) == (code, b"")
    assert said in ended.stderr.decode() and b"Traceback" not in ended.stderr


def test_a_port_that_cannot_be_is_one_line() -> None:
    ended = ebb("serve", "--port", "99999")
    assert ended.returncode == 2 and ended.stderr.count(b"\n") == 1


def test_usage_and_version_name_the_program() -> None:
    assert ebb("--version").stdout.startswith(b"ebb ")
    assert ebb("run", "--help").stdout.startswith(b"usage: ebb run [OPTION")


def test_a_directory_beside_us_and_a_variable_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "file").write_text("seen")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OURS", "a b")
    monkeypatch.delenv("NOBODYS", raising=False)
    script = 'cat /x/file; echo "$OURS ${NOBODYS-unset}"'
    ended = ebb("run", "-v", "beside:/x", "-e", "OURS", "-e", "NOBODYS", "--", "sh", "-c", script)
    assert ended.stdout == b"seena b unset\n", ended.stderr


def test_interrupt_of_a_published_port_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        "run",
        "-p",
        f"{port}:8080",
        "--",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "8080",
        "-h",
        "/etc",
    ]
    pipe = subprocess.PIPE
    running = subprocess.Popen([*EBB, *words], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)

    def ask() -> bytes:
        while True:  # until the guest listens
            with suppress(OSError), urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()

    url = f"http://127.0.0.1:{port}/debian_version"
    assert ask()
    with socket.create_connection(("127.0.0.1", port)):  # one that is open at the end
        assert ask()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, b"")


def test_timeout_takes_a_unit() -> None:
    ended = ebb("run", "--timeout", "200ms", "--", "sleep", "1000")
    assert (ended.returncode, ended.stdout) == (124, b"")


def test_strace_names_the_calls() -> None:
    ended = ebb("run", "--strace", "--", "true")
    assert ended.returncode == 0 and b"exit_group(0)" in ended.stderr


def test_on_a_terminal_the_guest_has_one() -> None:
    child, master = pty.fork()
    if child == 0:
        os.execv(EBB[0], [*EBB, "run", "-e", "PS1=PROMPT ", "--", "bash", "--norc", "-i"])
    seen = b""

    def until(wanted: bytes) -> None:
        nonlocal seen
        while wanted not in seen:
            assert select.select([master], [], [], 60)[0], seen
            seen += os.read(master, 4096)
        seen = seen.partition(wanted)[2]

    until(b"PROMPT ")
    os.write(master, b"sh -c 'tty; exec sleep 1000'\r")
    until(b"/dev/pts/0")
    os.write(master, b"\x03")
    until(b"PROMPT ")
    os.write(master, b"exit 9\r")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    os.close(master)


def interrupted(script: str, times: int) -> tuple[int, bytes, bytes]:
    """Run a script that says "ready", interrupt it so often, each time after what it says."""
    with subprocess.Popen(
        [*EBB, "run", "--", "bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout and running.stderr
        for _ in range(times):
            assert running.stdout.readline()
            running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    return running.returncode, output, errors


def test_an_interrupt_reaches_the_guest() -> None:
    code, output, _ = interrupted(
        "trap 'echo caught; exit 5' INT; echo ready; sleep 1000 & wait", 1
    )
    assert (code, output) == (5, b"caught\n")


def test_a_second_interrupt_ends_the_machine() -> None:
    script = "trap 'echo again' INT; echo ready; while :; do sleep 1000 & wait; done"
    code, _, errors = interrupted(script, 2)
    assert code == 130 and b"interrupted twice" in errors


def test_binary_input_and_output_are_untouched() -> None:
    data = bytes(range(256)) * 500
    assert ebb("run", "--", "cat", stdin=data).stdout == data


def test_unknown_names_get_a_suggestion() -> None:
    for words, meant in (
        (["rnu"], b"did you mean run?"),
        (["run", "--imgae", "base", "--", "true"], b"did you mean --image?"),
        (["image", "check", "bsae"], b"Did you mean base?"),
    ):
        ended = ebb(*words)
        assert ended.returncode != 0 and meant in ended.stderr, ended.stderr


def test_doctor_says_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = json.loads(ebb("doctor", "-o", "json").stdout)
    assert found["kernel"]["runs"] and found["versions"]["wasmtime"].startswith("50.")
    assert "base" in [image["name"] for image in found["images"] if image["built"]]
    monkeypatch.setenv("EBB_KERNEL", str(tmp_path / "kernel.wasm"))
    monkeypatch.setenv("EBB_IMAGES", str(tmp_path))
    ended = ebb("doctor")
    assert ended.returncode == 1
    assert b"problem: there is no kernel" in ended.stderr
    assert b"problem: no image is built; build one with: ebb image build base" in ended.stderr


def test_listings_come_as_json_and_ids_may_be_shortened() -> None:
    (base,) = [
        row for row in json.loads(ebb("image", "ls", "-o", "json").stdout) if row["name"] == "base"
    ]
    names = json.loads(ebb("image", "commands", base["id"][:8], "-o", "json").stdout)
    assert base["built"] and "ls" in names
    assert ebb("image", "commands", "base").stdout.decode().split() == names


def test_completion_knows_commands_options_and_images() -> None:
    assert ebb("__complete", "r").stdout == b"run\n"
    assert ebb("__complete", "run", "--im").stdout == b"--image\n"
    assert b"base\n" in ebb("__complete", "run", "--image", "").stdout
    assert ebb("__complete", "run", "--", "l").stdout == b"\n"
    script = ebb("completion", "bash").stdout
    asked = subprocess.run(
        ["bash", "-c", script.decode() + "complete -p ebb"], capture_output=True, check=True
    )
    assert b"-F _ebb ebb" in asked.stdout


def test_help_loads_nothing_heavy() -> None:
    program = """
import sys
from ebbtide.cli import main
try:
    main(["--help"])
except SystemExit:
    heavy = {"asyncio", "wasmtime", "difflib", "ebbtide.machine"} & set(sys.modules)
    sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
