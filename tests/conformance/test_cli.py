"""The command `ebb run` as a user types it: streams, exit codes, terminal, messages."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ebbtide.assets import images_folder

pytestmark = pytest.mark.native


@pytest.fixture(autouse=True)
def places(kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    monkeypatch.setenv("PYTHONPATH", str(root / "runtime_py"))
    if not (images_folder() / "base" / "manifest.json").is_file():
        pytest.skip("image base is not built; build it with: ebb image build base")


PATIENCE_S = 300  # with each step; a quiet machine takes a second
EBB = [sys.executable, "-m", "ebbtide.cli"]


def ebb(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*EBB, *args], input=stdin, capture_output=True, timeout=PATIENCE_S)


def test_streams_and_exit_code_pass_through() -> None:
    ended = ebb("run", "-q", "--", "bash", "-c", "tr a-z A-Z; echo err >&2; exit 3", stdin=b"hi\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"HI\n", b"err\n")


def test_both_outputs_to_one_place_have_the_order_of_the_guests_writes(tmp_path: Path) -> None:
    script = "for i in $(seq 200); do echo out $i; echo err $i >&2; done"
    wanted = "".join(f"out {i}\nerr {i}\n" for i in range(1, 201)).encode()
    command = [*EBB, "run", "-q", "--", "sh", "-c", script]
    options: dict[str, Any] = {"stderr": subprocess.STDOUT, "timeout": PATIENCE_S}
    assert subprocess.run(command, stdout=subprocess.PIPE, **options).stdout == wanted
    with (tmp_path / "out").open("wb") as file:
        subprocess.run(command, stdout=file, **options)
    assert (tmp_path / "out").read_bytes() == wanted
    assert ebb("logs").stdout == wanted
    apart = ebb("run", "-q", "--", "sh", "-c", script)
    assert b"err" not in apart.stdout and b"out" not in apart.stderr


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
        ended = subprocess.run(
            [*EBB, "run", "--", "sh", "-c", "exit 6"], stdin=reader, timeout=PATIENCE_S
        )
        assert ended.returncode == 6
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_goes_away_ends_the_writer() -> None:
    command = f"{' '.join(EBB)} run -q -- yes | head -2"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, timeout=PATIENCE_S)
    assert (ended.stdout, ended.stderr) == (b"y\ny\n", b"")


def test_a_reader_of_a_listing_may_go_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for words in (["doctor"], ["image", "ls"], ["completion", "bash"], ["__complete", "image", ""]):
        ended = subprocess.run(
            [*EBB, *words], stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE_S
        )
        assert (ended.returncode, ended.stderr) == (141, b""), words
    os.close(writer)


def test_output_that_cannot_be_written_ends_the_writer() -> None:
    with open("/dev/full", "wb") as full:
        command = [*EBB, "run", "-q", "--", "yes"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE_S)
    assert ended.returncode == 141
    assert ended.stderr == b"ebb: the output cannot be written: No space left on device\n"


def test_output_that_cannot_be_written_is_a_failure() -> None:
    """Whoever asks for output and gets none must not think that all is well."""
    said = b"ebb: the output cannot be written: No space left on device\n"
    words = (["run", "-q", "--", "echo", "x"], ["logs"], ["replay"], ["trace", "syscalls"],
             ["get", "runs"], ["doctor"])  # fmt: skip
    with open("/dev/full", "wb") as full:
        for one in words:
            ended = subprocess.run(
                [*EBB, *one], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE_S
            )
            assert (ended.returncode, ended.stderr) == (125, said), one


@pytest.mark.parametrize(
    ("closed", "code", "out", "err"),
    [
        ("<&-", 0, b"hi\n", b""),
        (">&-", 125, b"", b"ebb: the output cannot be written: Bad file descriptor\n"),
        ("2>&-", 0, b"hi\n", b""),
        ("<&- 2>&-", 0, b"hi\n", b""),
    ],
)
def test_a_stream_that_was_closed_is_empty_or_a_failure(
    closed: str, code: int, out: bytes, err: bytes
) -> None:
    for words in ("run -q -- echo hi", "logs"):
        command = f"{' '.join(EBB)} {words} {closed}"
        ended = subprocess.run(["sh", "-c", command], capture_output=True, timeout=PATIENCE_S)
        assert (ended.returncode, ended.stdout, ended.stderr) == (code, out, err), words


def test_what_cannot_be_said_does_not_change_how_a_program_ended(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        for words, code in (
            (["run", "--", "true"], 0),
            (["run", "--stats", "--strace", "--", "sh", "-c", "exit 3"], 3),
            (["run", "--max-output", "1", "--", "echo", "hi"], 153),
            (["run", "--", "no-such-command"], 127),
            (["run", "--image", "debain", "--", "true"], 125),
            (["run", "--id-file", "/dev/full", "--", "true"], 125),  # it was asked for
            (["run", "--timeuot", "3", "ls"], 2),
            (["nonsense"], 2),
            (["verify"], 0),
        ):
            ended = subprocess.run(
                [*EBB, *words], stdout=subprocess.PIPE, stderr=full, timeout=PATIENCE_S
            )
            assert ended.returncode == code, words
        assert ebb("run", "-q", "--", "sh", "-c", "echo err >&2").stderr == b"err\n"
        for words in (["logs"], ["replay"]):  # there it is what was asked for
            ended = subprocess.run([*EBB, *words], stderr=full, timeout=PATIENCE_S)
            assert ended.returncode == 125, words


def test_a_reader_that_goes_away_is_no_mistake() -> None:
    assert ebb("run", "-q", "--", "seq", "100000").returncode == 0
    for one in ("logs", "replay", "trace syscalls"):
        command = f"{' '.join(EBB)} {one} | head -1"
        ended = subprocess.run(["sh", "-c", command], capture_output=True, timeout=PATIENCE_S)
        assert ended.stdout.count(b"\n") == 1 and ended.stderr == b"", one


def test_a_terminal_for_input_that_is_none_is_refused() -> None:
    ended = ebb("run", "-it", "--", "bash")
    assert ended.returncode == 125 and b"the input is no terminal" in ended.stderr
    assert ebb("run", "-q", "-t", "--", "tty").stdout == b"/dev/pts/0\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_ignores_a_signal_to_us_is_ended(number: signal.Signals) -> None:
    script = "trap '' TERM HUP; echo ready; while :; do sleep 1000 & wait; done"
    with subprocess.Popen(
        [*EBB, "run", "-q", "--", "bash", "-c", script], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout
        running.stdout.readline()
        running.send_signal(number)
        _, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 128 + number
    assert errors.decode() == f"ebb: bash goes on after {number.name}; the machine is ended\n"


def test_a_signal_ends_us_though_nobody_reads_our_output() -> None:
    """The pipe is full, and its reader reads no more of it but does not go."""
    with subprocess.Popen(
        [*EBB, "run", "-q", "--", "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout
        running.stdout.read(1)
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_what_fails_before_a_program_could_start_leaves_no_run() -> None:
    before = ebb("get", "runs").stdout
    ended = ebb("run", "--user", "nobody-of-that-name", "--", "true")
    assert ended.returncode == 125
    assert ended.stderr == b"ebb: the image has no user 'nobody-of-that-name'\n"
    assert ebb("get", "runs").stdout == before


def test_a_port_that_is_taken_leaves_no_run() -> None:
    last = ebb("get", "runs").stdout
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = ebb("run", "-p", f"{port}:80", "--", "true")
    assert ended.returncode == 125 and f"-p {port}: " in ended.stderr.decode()
    assert ebb("get", "runs").stdout == last


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--image debain", 125, "did you mean debian?"),
        ("--harts 0", 125, "from 1 to"),
        ("--harts 99", 125, "from 1 to"),
        ("--memory 64", 125, "did you mean 64M?"),
        ("--memory 1M", 125, "at least 16M"),
        ("--memory 8G", 125, "at most 3968M"),
        ("--disk 0", 2, "'0' is no size; write 512M or 1G"),
        ("--seed 18446744073709551616", 2, "is no number from 0 to 2**64 - 1"),
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


def test_a_port_that_cannot_be_is_told_by_every_command() -> None:
    for command in ("gdb", "dap"):
        ended = ebb(command, "--port", "99999")
        assert ended.returncode == 2 and b"'99999' is no port: it is 0 to 65535" in ended.stderr


def test_what_cannot_be_served_is_named(tmp_path: Path) -> None:
    ended = ebb("serve", "--tls", str(tmp_path / "cert"), str(tmp_path / "key"))
    said = f"ebb serve: {tmp_path / 'cert'}: there is no such file\n"
    assert (ended.returncode, ended.stderr.decode()) == (1, said)
    ended = ebb("image", "check", "zzzzzzzz")
    assert b"there is no image zzzzzzzz; `ebb image ls` lists them" in ended.stderr


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
        "-q",
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
            assert running.poll() is None
            with suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return answer.read()

    url = f"http://127.0.0.1:{port}/debian_version"
    assert ask()
    with socket.create_connection(("127.0.0.1", port)):  # one that is open at the end
        assert ask()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, said) == (130, b"")


@pytest.mark.parametrize(
    ("limit", "script", "code", "said"),
    [
        ("--memory 64M", "echo out; exec tail /dev/zero", 137, "--memory: a process was killed"),
        ("--pids 5", "echo out; for i in 1 2 3 4 5; do sleep 1000 & done; exit 0", 2, "--pids: "),
        ("--disk 1M", "echo out; head -c 2M /dev/zero > /tmp/file", 1, "--disk: a write was refused"),
        ("--max-output 4", "echo out; yes", 153, "--max-output: sh wrote more than 4 bytes"),
        ("--files 4", "echo out; exec 3<&0; cat /etc/hostname", 127, "Error 24"),  # EMFILE
    ],
)  # fmt: skip
def test_a_limit_that_ends_a_run_is_named(limit: str, script: str, code: int, said: str) -> None:
    ended = ebb("run", *limit.split(), "--", "sh", "-c", script)
    assert (ended.returncode, ended.stdout[:4]) == (code, b"out\n"), ended
    assert len(ended.stdout) == 4 and said in ended.stderr.decode()


@pytest.mark.parametrize("loop", ["sleep 1000", "trap '' TERM; while :; do :; done"])
def test_a_timeout_that_ends_a_run_is_named(loop: str) -> None:
    """It gets longer until a busy host has let the program say something."""
    ms, said = 200, b""
    while not said:
        ended = ebb("run", "--timeout", f"{ms}ms", "--", "sh", "-c", f"echo out; {loop}")
        assert ended.returncode == 124
        assert f"--timeout: sh did not end within {ms / 1000:g} s" in ended.stderr.decode()
        ms, said = 4 * ms, ended.stdout
    assert said == b"out\n"


def test_limits_that_are_not_met_are_silent() -> None:
    limits = [
        "--timeout",
        "10m",
        "--memory",
        "128M",
        "--pids",
        "9",
        "--disk",
        "1M",
        "--max-output",
        "1M",
        "--files",
        "99",
    ]
    ended = ebb("run", "-q", *limits, "--", "sh", "-c", "echo x > /tmp/f; cat /tmp/f")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"x\n", b"")


def test_a_guest_is_shown_nothing_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "unmistakable-secret")
    (tmp_path / "unmistakable-file").touch()
    monkeypatch.chdir(tmp_path)
    script = """
        env; set; pwd; hostname; uname -a; id; groups; cat /proc/version /proc/mounts /proc/cmdline
        cat /proc/1/environ /proc/self/environ /proc/*/cmdline | tr '\\0' '\\n'
        ls -a / /root /home /tmp /mnt /srv /run; cat /etc/passwd /etc/hosts /etc/resolv.conf
        cat /proc/cpuinfo /proc/net/dev /proc/net/route; ls /sys/class/net /dev /dev/disk 2>&1
        find / -xdev -name 'unmistakable*'; ls -l /proc/*/fd; dmesg"""
    ended = ebb("run", "--", "bash", "-c", f"{{ {script}\n}} 2>&1")
    seen = ended.stdout.decode()
    hidden = ["unmistakable-s", str(tmp_path), platform.release(), str(Path(sys.executable).parent)]
    if platform.node() not in ("", "ebb", "localhost"):
        hidden.append(platform.node())
    for word in hidden:
        assert word not in seen.replace("'unmistakable*'", ""), word
    environment = ebb("run", "--", "env").stdout.split()
    assert {line.partition(b"=")[0] for line in environment} == {b"PATH", b"HOME", b"USER", b"LANG"}
    devices = set(ebb("run", "--", "find", "/dev", "-type", "b").stdout.split())
    assert devices == set()


def test_a_guest_has_no_network_of_the_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"for to in 127.0.0.1 192.0.2.1 8.8.8.8; do (: > /dev/tcp/$to/{port}); done"
        ended = ebb("run", "--", "bash", "-c", script)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    said = [line.rpartition(b": ")[2] for line in ended.stderr.splitlines() if b"/dev/tcp" in line]
    assert said == [b"Connection refused", b"Network is unreachable", b"Network is unreachable"]


def test_timeout_takes_a_unit() -> None:
    ended = ebb("run", "--timeout", "200ms", "--", "sleep", "1000")
    assert (ended.returncode, ended.stdout) == (124, b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "ebb: which command? See ebb --help"),
        (("run", "--timeuot", "3", "ls"), "unrecognized arguments: --timeuot; did you mean --timeout?"),
        (("run", "--goto", "3", "ls"), "unrecognized arguments: --goto"),
        (("trace", "files", "--form"), "ebb trace files: error: unrecognized arguments: --form; did you mean --from?"),
        (("replay", "--goto", "10h"), "'10h' is no tick, no time and no event; write 123456, 1.5s or e17"),
        (("rm", "--older-than", "old"), "'old' is no time; write 7d, 12h or 30m"),
        (("verify", "--key", "00"), "'00' is no key; write its 64 digits from 0 to f"),
        (("export", "last", "file"), "usage: ebb export run RUN FILE"),
        (("snapshot",), "ACTION, one of create, fork, restore, list, export, import, verify, rm"),
        (("snapshot", "fork", "last"), "Write it after --, as in: ebb snapshot fork last -- ls -l /"),
        (("replay", "lsat"), "ebb: there is no run lsat; did you mean last?"),
        (("run", "lsat"), "ebb: lsat: command not found; a recorded run is run again by: ebb replay last"),
        (("replay", "/etc/passwd"), "/etc/passwd is neither a run nor an exported one"),
        (("run", "--", ""), "ebb: '': command not found"),
        (("run", "--no-record", "--id-file", "id", "--", "true"), "ebb: --id-file needs a recording: else there is no id"),
        (("run", "--no-reseed", "--", "true"), "ebb: --no-reseed goes with --snapshot"),
        (("serve", "--port", "first"), "ebb serve: first is no port: it is 0 to 65535"),
        (("run", "--jit-dump", "/dev/null", "--", "true"), "ebb: --jit-dump: /dev/null is not a folder"),
        (("run", "--jit-dump", "/dev/null/x", "--", "true"), "ebb: --jit-dump: /dev/null/x cannot be made: Not a directory"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_told_what_is_right(words: tuple[str, ...], said: str) -> None:
    ended = ebb(*words)
    lines = ended.stderr.decode().splitlines()
    assert ended.returncode in (2, 125, 127) and any(
        line.endswith(said) or line.startswith(said) for line in lines
    ), lines


def test_a_program_ends_though_nobody_reads_its_trace() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer):
        ended = subprocess.run(
            [*EBB, "run", "-q", "--strace", "--", "sh", "-c", "echo on; exit 5"],
            stdout=subprocess.PIPE,
            stderr=writer,
            timeout=PATIENCE_S,
        )
    assert (ended.returncode, ended.stdout) == (5, b"on\n")


def test_strace_names_the_calls() -> None:
    ended = ebb("run", "--strace", "--", "true")
    assert ended.returncode == 0 and b"exit_group(0)" in ended.stderr


class Seat:
    """`ebb run` on a terminal of this machine, and who sits at it."""

    def __init__(self, *args: str) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.all = self.seen = b""
        self.ebb = subprocess.Popen(
            [*EBB, "run", "-e", "PS1=PROMPT ", *args],
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def until(self, wanted: bytes) -> None:
        while wanted not in self.seen:
            assert select.select([self.master], [], [], PATIENCE_S)[0], self.all
            self._read()
        self.seen = self.seen.partition(wanted)[2]

    def _read(self) -> None:
        data = os.read(self.master, 65536)
        self.seen += data
        self.all += data

    def end(self) -> int:
        """Wait for the end, reading what is still shown; return the exit code."""
        while self.ebb.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                self._read()
        while select.select([self.master], [], [], 0)[0]:
            self._read()
        return self.ebb.returncode

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before


@pytest.fixture
def seat() -> Iterator[Callable[..., Seat]]:
    seats: list[Seat] = []

    def sit(*args: str) -> Seat:
        seats.append(Seat(*args))
        return seats[-1]

    yield sit
    for one in seats:
        one.ebb.kill()
        one.ebb.wait()
        os.close(one.master)
        os.close(one.slave)


SHELL = ("--", "bash", "--norc", "-i")


def test_what_was_typed_before_the_guest_reads_is_its_own(seat: Callable[..., Seat]) -> None:
    at = seat("-it", *SHELL)
    at.type(b"exit 7\n")
    assert at.end() == 7 and at.restored()


def test_on_a_terminal_the_guest_has_one(seat: Callable[..., Seat]) -> None:
    at = seat("-it", *SHELL)
    at.until(b"PROMPT ")
    assert not at.restored()  # raw: every key is the guest's
    at.type(b"sh -c 'tty; read line'\r")
    at.until(b"/dev/pts/0")
    at.type(b"\x03")
    at.until(b"PROMPT ")
    at.type(b"exit 9\r")
    assert at.end() == 9 and at.restored()


def test_on_a_terminal_control_c_is_the_foregrounds(seat: Callable[..., Seat]) -> None:
    at = seat("-it", *SHELL)
    at.until(b"PROMPT ")
    for _ in range(3):  # a shell may be interrupted for ever
        at.type(b"\x03")
        at.until(b"PROMPT ")
    at.type(b"trap 'echo mine' INT; bash -c 'trap \"echo child; exit 7\" INT; echo up; read'\r")
    at.until(b"up\r\n")
    at.type(b"\x03")
    at.until(b"child\r\n")
    at.until(b"PROMPT ")
    at.type(b"exit $?\r")
    assert at.end() == 7


def test_on_a_terminal_a_second_control_c_ends_what_does_not_answer(
    seat: Callable[..., Seat],
) -> None:
    at = seat("-it", "--", "bash", "-c", "trap '' INT; echo ready; while :; do :; done")
    at.until(b"ready")
    at.type(b"\x03")
    at.until(b"^C")
    at.type(b"\x03")
    assert at.end() == 130 and at.restored()
    assert b"ebb: interrupted twice; the machine is ended\r\n" in at.all


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_us_ends_the_guest_and_restores_the_terminal(
    seat: Callable[..., Seat], number: signal.Signals
) -> None:
    # The shell itself waits: dash loses an interrupt that comes while it starts a program.
    at = seat("-it", "--", "sh", "-c", "printf '\\033[?1049h\\033[?1000h'; echo ready; read line")
    at.until(b"ready")
    at.ebb.send_signal(number)
    assert at.end() == 128 + number and at.restored()
    assert b"\x1b[?1000l" in at.all and b"\x1b[?1049l" in at.all


def test_the_terminal_is_restored_even_if_we_are_killed(seat: Callable[..., Seat]) -> None:
    at = seat("-it", "--", "sh", "-c", "echo ready; sleep 1000")
    at.until(b"ready")
    at.ebb.kill()
    at.ebb.wait()
    end = time.monotonic() + PATIENCE_S
    while not at.restored() and time.monotonic() < end:
        os.sched_yield()
    assert at.restored()


def test_a_terminal_that_goes_away_ends_the_guest(seat: Callable[..., Seat]) -> None:
    at = seat("-it", "--", "sh", "-c", "echo ready; while :; do echo more; done")
    at.until(b"ready")
    os.close(at.master)
    at.master = os.open("/dev/null", os.O_RDWR)
    assert at.ebb.wait(PATIENCE_S) != 0


def test_the_terminal_is_restored_after_a_failure_of_ours(
    seat: Callable[..., Seat], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import ebbtide.cli_run as run\n"
        "def broken(*_): raise RuntimeError('broken on purpose')\n"
        "run._Interrupts.wrote = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    at = seat("-it", "--", "sh", "-c", "echo ready; exit 3")
    assert at.end() and at.restored() and b"broken on purpose" in at.all


def test_what_was_typed_for_the_guest_is_not_left_to_the_shell(seat: Callable[..., Seat]) -> None:
    at = seat(
        "-it", "--", "sh", "-c", "stty raw -echo; echo ready; dd bs=1 count=1 2>/dev/null; exit 0"
    )
    at.until(b"ready")
    at.type(b"x" + b"rm -rf everything\r")
    assert at.end() == 0
    os.set_blocking(at.slave, False)
    with pytest.raises(BlockingIOError):
        os.read(at.slave, 100)


ASKING = b"\033[c\033[6n\033]52;c;aGVsbG8=\007\033]0;title\007\005\033P$qm\033\\\\seen"


@pytest.mark.parametrize("how", [("-it",), ("-T",)])
def test_output_on_a_terminal_asks_and_takes_nothing(
    seat: Callable[..., Seat], how: tuple[str, ...]
) -> None:
    at = seat("-q", *how, "--", "printf", ASKING.decode().replace("\x1b", "\\033"))
    assert at.end() == 0
    assert at.all.startswith(b"seen") and b"52;" not in at.all and b"title" not in at.all


def test_output_elsewhere_is_untouched() -> None:
    assert ebb("run", "--", "printf", "\\033[c\\033]0;t\\007").stdout == b"\x1b[c\x1b]0;t\x07"
    ended = ebb("run", "-t", "--", "printf", "\\033[c\\033]0;t\\007")
    assert ended.stdout == b"\x1b[c\x1b]0;t\x07"


def interrupted(script: str, times: int) -> tuple[int, bytes, bytes]:
    """Run a script that says "ready", interrupt it so often, each time after what it says."""
    with subprocess.Popen(
        [*EBB, "run", "--", "bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout and running.stderr
        for _ in range(times):
            assert running.stdout.readline()
            running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=PATIENCE_S)
    return running.returncode, output, errors


def test_an_interrupt_ends_us_without_a_word_as_soon_as_we_begin(tmp_path: Path) -> None:
    """It comes while the first thing is imported that the command needs."""
    (tmp_path / "argparse.py").write_text("import os; os.kill(os.getpid(), 2)")
    path = os.pathsep.join((str(tmp_path), os.environ["PYTHONPATH"]))
    command = [sys.executable, "-m", "ebbtide", "doctor"]
    env = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(command, capture_output=True, env=env, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize("content", [b"root:x:0:0", b"\0asm\1\0\0\0broken"])
def test_a_file_that_is_no_kernel_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kernel.wasm"
    file.write_bytes(content)
    monkeypatch.setenv("EBB_KERNEL", str(file))
    ended = ebb("run", "--no-record", "--", "true")
    assert ended.returncode == 125
    assert ended.stderr.decode() == (
        f"ebb: {file} is no kernel; build one with: python3 build.py kernel\n"
    )
    assert b"is no kernel" in ebb("doctor").stderr


def test_what_one_run_alone_can_have_is_not_offered_to_many() -> None:
    assert b"verify" in ebb("run", "--help").stdout
    offered = ebb("explore", "--help").stdout
    assert b"--jit" in offered and b"{on,off}" in offered and b"compare the machines" not in offered


def test_a_dump_that_cannot_be_written_ends_and_the_run_goes_on(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 9000 ]; do i=$((i + 1)); done; echo $i; exit 3"
    folder = tmp_path / "dump"
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]  # no file has more than 8 KiB
    ended = subprocess.run(
        [*limited, *EBB, "run", "--no-record", "--jit-dump", str(folder), "--", "sh", "-c", script],
        capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (3, b"9000\n")
    said = f"ebb: --jit-dump: {folder} cannot be written: File too large; what is compiled from now on is not in it\n"
    assert ended.stderr.decode() == said


def test_what_was_run_is_told_in_columns() -> None:
    ended = ebb("run", "-q", "--stats", "--", "seq", "3")
    lines = ended.stderr.decode().splitlines()[1:]
    rows = [re.fullmatch(r"([a-z' ]{16}) +([\d,.]+)  (\S.*)", line) for line in lines]
    assert len(rows) == 13 and all(rows)
    assert len({row.end(2) for row in rows if row}) == 1  # the numbers' right end


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


def test_help_is_a_word_too() -> None:
    for words in ([], ["run"], ["image"], ["snapshot", "create"]):
        assert ebb("help", *words).stdout == ebb(*words, "--help").stdout != b""


def test_unknown_names_get_a_suggestion() -> None:
    for words, meant in (
        (["rnu"], b"did you mean run?"),
        (["run", "--imgae", "base", "--", "true"], b"did you mean --image?"),
        (["image", "check", "bsae"], b"Did you mean base?"),
        (["image", "biuld"], b"did you mean build?"),
        (["serve", "--prot", "1"], b"did you mean --port?"),
        (["run", "--timeuot", "1", "--", "true"], b"did you mean --timeout?"),
        (["run", "--policy", "clon=EAGAIN", "--", "true"], b"did you mean clone?"),
        (["completion", "bsh"], b"did you mean bash?"),
    ):
        ended = ebb(*words)
        assert ended.returncode != 0 and meant in ended.stderr, ended.stderr


def test_what_nobody_can_have_meant_is_not_suggested() -> None:
    for words, said in (
        (["run", "--limits", "--", "true"], "ebb run: error: unrecognized arguments: --limits"),
        (["run", "-w", "/no/such", "--", "ls"], "ebb: /no/such: no such directory"),
    ):
        assert ebb(*words).stderr.decode().splitlines()[-1] == said


def test_a_file_that_cannot_be_imported_is_named() -> None:
    ended = ebb("import", "/etc/passwd")
    said = "ebb: /etc/passwd: this is no exported run: it does not begin with EBBR, version 1\n"
    assert (ended.returncode, ended.stderr.decode()) == (3, said)


def test_doctor_says_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = json.loads(ebb("doctor", "-o", "json").stdout)
    assert found["features"]["shared memory"] and found["features"]["processors"] == os.cpu_count()
    assert found["mirror"]["from"] and {row["use"] for row in found["folders"]} == {
        "cache",
        "images",
        "runs",
    }
    assert found["kernel"]["runs"] and found["versions"]["wasmtime"].startswith("50.")
    assert "base" in [image["name"] for image in found["images"] if image["built"]]
    monkeypatch.setenv("EBB_KERNEL", str(tmp_path / "kernel.wasm"))
    monkeypatch.setenv("EBB_IMAGES", str(tmp_path))
    ended = ebb("doctor")
    assert ended.returncode == 1
    assert b"problem: there is no kernel" in ended.stderr
    assert b"problem: no image is built; build one with: ebb image build base" in ended.stderr
    monkeypatch.setenv("EBB_RUNS", "/proc/runs")  # a disk without room
    assert (
        b"problem: /proc/runs has 0 MB left; set EBB_RUNS to another disk" in ebb("doctor").stderr
    )


def test_listings_come_as_json_and_ids_may_be_shortened() -> None:
    (base,) = [
        row for row in json.loads(ebb("image", "ls", "-o", "json").stdout) if row["name"] == "base"
    ]
    names = json.loads(ebb("image", "commands", base["id"][:8], "-o", "json").stdout)
    assert base["built"] and "ls" in names
    assert ebb("image", "commands", "base").stdout.decode().split() == names


def test_completion_knows_commands_options_and_images() -> None:
    assert ebb("__complete", "ru").stdout == b"run\n"
    assert ebb("__complete", "run", "--im").stdout == b"--image\n"
    assert b"base\n" in ebb("__complete", "run", "--image", "").stdout
    assert ebb("__complete", "run", "--", "l").stdout == b"\n"
    script = ebb("completion", "bash").stdout
    asked = subprocess.run(
        ["bash", "-c", script.decode() + "complete -p ebb"], capture_output=True, check=True
    )
    assert b"-F _ebb ebb" in asked.stdout


def test_completion_knows_the_words_of_every_command() -> None:
    for words, wanted in (
        (["image", "b"], b"build\n"),
        (["image", "check", "ba"], b"base\n"),
        (["image", "ls", "-o", "j"], b"json\n"),
        (["serve", "--po"], b"--port\n"),
        (["run", "--time", "v"], b"virtual\n"),
        (["run", "--dis"], b"--disk\n"),
        (["doctor", "--output", ""], b"json\ntext\n"),
    ):
        assert ebb("__complete", *words).stdout == wanted, words


def test_an_image_runs_by_the_beginning_of_its_id() -> None:
    rows = json.loads(ebb("image", "ls", "-o", "json").stdout)
    (id,) = [row["id"] for row in rows if row["name"] == "base"]
    assert ebb("run", "--image", id[:6], "--", "echo", "hi").stdout == b"hi\n"
    ended = ebb("run", "--image", "ffffffff", "--", "true")
    assert ended.returncode == 125 and b"there is no image ffffffff" in ended.stderr


def test_processes_share_an_empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both compile the kernel, at the same time; a third one finds it compiled, and nothing else."""
    monkeypatch.setenv("EBB_IMAGES", str(images_folder()))
    monkeypatch.setenv("EBB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EBB_CACHE", raising=False)
    command = [*EBB, "run", "-q", "--", "echo", "hi"]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdout=pipe, stderr=pipe) for _ in range(2)]
    for one in running:
        assert one.communicate(timeout=PATIENCE_S) == (b"hi\n", b"") and one.returncode == 0
    compiled = list((tmp_path / "home" / "cache" / "compiled").iterdir())
    assert [path.suffix for path in compiled] == [".cwasm"]
    before = compiled[0].stat().st_ino, compiled[0].stat().st_mtime_ns
    assert ebb("run", "--", "echo", "hi").stdout == b"hi\n"
    assert (compiled[0].stat().st_ino, compiled[0].stat().st_mtime_ns) == before


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
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
