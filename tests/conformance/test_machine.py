"""The Python API over the real kernel and image `base`: what the README promises."""

from __future__ import annotations

import asyncio
import errno
import io
import tarfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import ebbtide
from ebbtide import CommandFailed, Machine, OutputLimit, ProcessTimeout, blocking
from ebbtide.assets import images_folder
from ebbtide.stream import Pty, SocketStream
from ebbtide.wasmtime_kernel import Instance
from support.patience import said_in_time

pytestmark = pytest.mark.native


@pytest.fixture(autouse=True)
def places(kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    if not (images_folder() / "base" / "manifest.json").is_file():
        pytest.skip("image base is not built; build it with: ebb image build base")


@asynccontextmanager
async def booted(**options: Any) -> AsyncIterator[Machine]:
    options = {"harts": 1, "memory": 512 << 20, **options}
    async with await Machine.boot("base", **options) as machine:
        yield machine


def in_machine(work: Callable[[Machine], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with booted(**options) as machine:
            await asyncio.wait_for(work(machine), 600)
            assert machine.panic is None

    asyncio.run(run())


def test_run_gives_output_and_exit_code() -> None:
    async def work(m: Machine) -> None:
        result = await m.run("ls", "-d", "/usr/bin")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "/usr/bin\n", "")
        result = await m.run("sh", "-c", "echo out; echo err >&2; exit 3")
        assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")
        result = await m.run("bash", "-c", "seq 100000 | sort -rn | head -3 | wc -c", stdin="")
        assert (result.stdout, result.stderr) == ("19\n", "")

    in_machine(work)


def test_stdin_is_at_its_end_unless_given() -> None:
    async def work(m: Machine) -> None:
        assert (await m.run("cat")).stdout == ""
        data = bytes(range(256)) * 5000
        result = await m.run("cat", stdin=data, encoding="bytes")
        assert result.stdout == data

    in_machine(work)


def test_death_by_a_signal_is_128_plus_its_number() -> None:
    async def work(m: Machine) -> None:
        result = await m.run("sh", "-c", "kill -KILL $$")
        assert (result.exit_code, result.signal) == (137, 9)

    in_machine(work)


def test_timeout_ends_a_loop_and_its_children_and_keeps_the_output() -> None:
    async def work(m: Machine) -> None:
        said = await said_in_time(m, "sh", "-c", "echo begun; sleep 1000 & while :; do :; done")
        assert said == "begun\n"
        assert (await m.run("sh", "-c", "echo still here")).stdout == "still here\n"

    in_machine(work)


def test_runaway_output_is_ended() -> None:
    async def work(m: Machine) -> None:
        with pytest.raises(OutputLimit) as caught:
            await m.run("yes", max_output=1_000_000)
        assert caught.value.stdout == "y\n" * 500_000

    in_machine(work)


def test_environment_user_and_directory() -> None:
    async def work(m: Machine) -> None:
        result = await m.run("env", env={"A": "1"}, cwd="/tmp")
        lines = set(result.stdout.split())
        assert {"A=1", "HOME=/root", "USER=root", "LANG=C.UTF-8"} <= lines
        assert not any(line.startswith("TERM=") for line in lines)
        result = await m.run("sh", "-c", "id -u; echo $HOME; pwd", user="user", cwd="/tmp")
        assert result.stdout == "1000\n/home/user\n/tmp\n"
        assert (await m.run("id", "-u", user=1000)).stdout == "1000\n"
        assert (await m.run("id", "-u", user=0)).stdout == "0\n"
        with pytest.raises(ebbtide.UserUnknown, match="nobody-at-all"):
            await m.run("true", user="nobody-at-all")

    in_machine(work)
    with pytest.raises(ebbtide.UserUnknown, match="nobody-at-all"):
        in_machine(work, user="nobody-at-all")


def test_names_that_cannot_be_run() -> None:
    async def work(m: Machine) -> None:
        result = await m.run("no-such-command")
        assert (result.exit_code, result.stderr) == (
            127,
            "ebb: no-such-command: command not found\n",
        )
        assert "in image debian" in (await m.run("python3")).stderr
        said = "ebb: ls -l: command not found; a program and its arguments are words of their own\n"
        assert (await m.run("ls -l")).stderr == said
        assert (await m.run("/etc/passwd")).exit_code == 126
        await m.fs.write_file("/tmp/other", b"\x7fELF\x02\x01\x01" + bytes(57), mode=0o755)
        result = await m.run("/tmp/other")
        assert result.exit_code == 126 and "exec format error" in result.stderr
        result = await m.run("ls", cwd="/nowhere")
        assert (result.exit_code, result.stderr) == (127, "ebb: /nowhere: no such directory\n")
        with pytest.raises(FileNotFoundError, match="'no-such-command'"):
            await m.spawn("no-such-command")

    in_machine(work)


def test_spawned_streams_and_kill() -> None:
    async def work(m: Machine) -> None:
        p = await m.spawn("cat")
        await p.stdin.write("one\n")
        assert await p.stdout.read(100) == b"one\n"
        await p.kill("TERM")
        exit = await p.wait()
        assert (exit.exit_code, exit.signal) == (143, 15)
        await p.close()
        p = await m.spawn("sh", "-c", "sleep 1000 & echo begun; wait")
        assert await p.stdout.read(100) == b"begun\n"
        await p.kill()
        assert await p.stdout.read() == b""  # its child has gone, too
        await p.close()
        runs = await asyncio.gather(*(m.run("sh", "-c", f"echo {n}") for n in range(8)))
        assert [run.stdout for run in runs] == [f"{n}\n" for n in range(8)]

    in_machine(work)


class Screen:
    """What a terminal has shown and nobody has looked at yet."""

    def __init__(self, pty: Pty) -> None:
        self._pty = pty
        self._seen = b""

    async def until(self, wanted: bytes) -> bytes:
        """Read up to some bytes; returns what came before and they."""
        while wanted not in self._seen:
            data = await self._pty.read(4096)
            assert data, self._seen
            self._seen += data
        before, found, self._seen = self._seen.partition(wanted)
        return before + found


def test_closing_a_terminal_hangs_its_shell_up() -> None:
    async def work(m: Machine) -> None:
        p = await m.spawn("bash", "--norc", "-i", env={"PS1": "PROMPT "}, pty=(24, 80))
        await Screen(p.pty).until(b"PROMPT ")
        await p.pty.close()
        ended = await p.wait()
        assert ended.exit_code == 129, ended  # SIGHUP
        assert await m.fs.readdir("/dev/pts") == ["ptmx"]

    in_machine(work)


def test_terminal_edits_lines_resizes_and_interrupts() -> None:
    async def work(m: Machine) -> None:
        p = await m.spawn("bash", "--norc", "-i", env={"PS1": "PROMPT "}, pty=(24, 80))
        screen = Screen(p.pty)
        await screen.until(b"PROMPT ")
        await p.pty.write("echo wrnog\x7f\x7f\x7fong; tty; stty size; echo $TERM\n")
        seen = await screen.until(b"xterm-256color\r\n")
        assert b"wrong\r\n/dev/pts/0\r\n24 80\r\n" in seen
        await screen.until(b"PROMPT ")
        await p.pty.resize(30, 100)
        await p.pty.write("stty size\n")
        await screen.until(b"30 100\r\n")
        await p.pty.write("sh -c 'echo fore''ground; read line'\n")
        await screen.until(b"foreground\r\n")  # said by the job itself: Ctrl-C is for it
        await p.pty.write("\x03")
        await screen.until(b"PROMPT ")
        await p.pty.write("exit 5\n")
        assert (await p.wait()).exit_code == 5
        await p.close()

    in_machine(work)


def test_files() -> None:
    async def work(m: Machine) -> None:
        data = bytes(range(256)) * 4096
        await m.fs.mkdir("/tmp/a/b", parents=True)
        await m.fs.write_file("/tmp/a/b/file", data, mode=0o640)
        assert await m.fs.read_file("/tmp/a/b/file") == data
        stat = await m.fs.stat("/tmp/a/b/file")
        assert (stat.kind, stat.size, stat.mode & 0o7777) == ("file", len(data), 0o640)
        await m.fs.symlink("b/file", "/tmp/a/link")
        assert await m.fs.readlink("/tmp/a/link") == "b/file"
        assert (await m.fs.stat("/tmp/a/link", follow=False)).kind == "symlink"
        assert await m.fs.readdir("/tmp/a") == ["b", "link"]
        await m.fs.rename("/tmp/a/link", "/tmp/a/c")
        assert (await m.run("sha256sum", "/tmp/a/c")).stdout == (
            (await m.run("sha256sum", stdin=data)).stdout.replace("-", "/tmp/a/c")
        )
        await m.fs.remove_tree("/tmp/a")
        assert not await m.fs.exists("/tmp/a")
        with pytest.raises(FileNotFoundError) as caught:
            await m.fs.read_file("/tmp/a/b")
        assert caught.value.filename == "/tmp/a/b"
        with pytest.raises(IsADirectoryError, match="'/tmp'"):
            await m.fs.read_file("/tmp")
        with pytest.raises(OSError, match="'/dev/full'") as caught:
            await m.fs.write_file("/dev/full", "x")
        assert caught.value.errno == errno.ENOSPC
        for call in (m.fs.rename, m.fs.link):
            with pytest.raises(FileNotFoundError, match="'/tmp/none' -> '/tmp/to'"):
                await call("/tmp/none", "/tmp/to")
        await m.fs.write_files({f"/tmp/many/{n}": f"{n}" for n in range(100)})
        assert await m.fs.read_files([f"/tmp/many/{n}" for n in range(100)]) == [
            str(n).encode() for n in range(100)
        ]

    in_machine(work)


def test_tar_goes_in_and_comes_out() -> None:
    async def work(m: Machine) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, data in (("d/one", b"1"), ("d/two", b"22")):
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = len(data), 1_000_000_000, 0o755
                archive.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo("d/link")
            link.type, link.linkname = tarfile.SYMTYPE, "one"
            archive.addfile(link)
            hard = tarfile.TarInfo("d/hard")
            hard.type, hard.linkname = tarfile.LNKTYPE, "d/two"
            archive.addfile(hard)
        await m.fs.unpack("/tmp/t", buffer.getvalue())
        listing = await m.run("sh", "-c", "cd /tmp/t/d && cat one two link hard && stat -c %Y one")
        assert listing.stdout == "1221221000000000\n"
        with tarfile.open(fileobj=io.BytesIO(await m.fs.pack("/tmp/t"))) as archive:
            kinds = {member.name: member.type for member in archive}
        assert kinds == {
            "d": tarfile.DIRTYPE,
            "d/one": tarfile.REGTYPE,
            "d/two": kinds["d/two"],
            "d/hard": kinds["d/hard"],
            "d/link": tarfile.SYMTYPE,
        }
        assert {kinds["d/two"], kinds["d/hard"]} == {tarfile.REGTYPE, tarfile.LNKTYPE}

    in_machine(work)


def test_policy_refuses_clones_and_execs() -> None:
    async def refused(m: Machine) -> None:
        result = await m.run("sh", "-c", "ls; echo $?", stdin="")
        assert "Resource temporarily unavailable" in result.stderr or "fork" in result.stderr

    in_machine(refused, policy={"clone": "EAGAIN"})

    async def no_exec(m: Machine) -> None:
        result = await m.run("sh", "-c", "ls; echo $?")
        assert result.stdout == "126\n" and "Permission denied" in result.stderr

    in_machine(no_exec, policy={"exec": "EACCES"})

    async def admitted(m: Machine) -> None:
        assert (await m.run("sh", "-c", "ls -d /usr | cat")).stdout == "/usr\n"

    in_machine(admitted, policy={"clone": "admit", "exec": "admit"})


def test_two_machines_know_nothing_of_each_other() -> None:
    async def run() -> None:
        async with booted() as one, booted(hostname="other") as two:
            await one.fs.write_file("/tmp/x", "1")
            assert not await two.fs.exists("/tmp/x")
            assert (await two.run("uname", "-n")).stdout == "other\n"

    asyncio.run(run())


def test_nproc_and_memory_are_what_was_asked() -> None:
    async def work(m: Machine) -> None:
        assert (await m.run("nproc")).stdout == "3\n"
        total = (await m.run("sh", "-c", "grep MemTotal /proc/meminfo")).stdout.split()[1]
        assert 0.9 * (512 << 10) < int(total) <= 512 << 10

    in_machine(work, cpus=3)


def test_virtual_time_does_not_wait() -> None:
    async def work(m: Machine) -> None:
        script = "a=$(date +%s); sleep 1000; b=$(date +%s); echo $((b - a))"
        assert (await m.run("sh", "-c", script)).stdout == "1000\n"

    in_machine(work, time="virtual")


def test_load_average_is_one_for_what_runs_all_the_time(guests: Any) -> None:
    """Computed by hand: after t of load 1, 1 - e^-t/1, 5 and 15 min; in virtual time, to the last digit."""

    async def work(m: Machine) -> None:
        program = guests.program("conformance/proc/load").read_bytes()
        await m.fs.write_file("/tmp/load", program, mode=0o755)
        assert (await m.run("/tmp/load", "62")).stdout == "0.63 0.18 0.06\nok\n"
        await m.run("sleep", "60")
        idle = (await m.run("cat", "/proc/loadavg")).stdout.split()
        assert idle[:3] == ["0.23", "0.15", "0.06"]
        await m.run("sleep", "36000")
        assert (await m.run("cat", "/proc/loadavg")).stdout.startswith("0.00 0.00 0.00 ")

    in_machine(work, time="virtual")


def test_no_instance_is_used_by_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was made for a thread may be handed to it, and is never taken back."""
    users: dict[Instance, list[int]] = {}
    call = Instance.call

    def noted(self: Instance, name: str, *args: int) -> int:
        threads, own = users.setdefault(self, []), threading.get_ident()
        if threads[-1:] != [own]:
            threads.append(own)
        return call(self, name, *args)

    async def work(m: Machine) -> None:
        await m.run("seq", "100")
        await m.stats()
        await m.run("seq", "100")
        await m.digest()
        await m.run("true")

    with monkeypatch.context() as patch:
        patch.setattr(Instance, "call", noted)
        in_machine(work, harts=2)
    assert len(users) >= 4  # the kernel role's, the outbox's watcher's, two harts'
    assert max(map(len, users.values())) <= 2, users


def test_blocking_twin_and_run() -> None:
    with blocking.Machine.boot("base", harts=1, memory=512 << 20) as m:
        assert m.run("echo", "hi").stdout == "hi\n"
        p = m.spawn("cat")
        p.stdin.write("x")
        p.stdin.close()
        assert p.stdout.read() == b"x"
        assert p.wait().exit_code == 0
    result = ebbtide.run(["cat"], input="in", check=True, harts=1)
    assert (result.exit_code, result.stdout) == (0, "in")
    with pytest.raises(CommandFailed) as failed:
        ebbtide.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=True, harts=1)
    error = failed.value
    assert (error.exit_code, error.stdout, error.stderr) == (3, "out\n", "err\n")
    with pytest.raises(ProcessTimeout):
        ebbtide.run(["sleep", "1000"], timeout=0.1, harts=1)
    result = ebbtide.run(["sh", "-c", "kill $$"], text=False, harts=1)
    assert (result.exit_code, result.signal, result.stdout) == (143, 15, b"")


async def connected(m: Machine, port: int) -> SocketStream:
    """Connect as soon as a guest listens."""
    while True:
        with suppress(ConnectionRefusedError):
            return await m.connect(port)
        await asyncio.sleep(0)


def test_connect_is_a_byte_stream_with_half_close_and_refusal() -> None:
    async def work(m: Machine) -> None:
        with pytest.raises(ConnectionRefusedError):
            await m.connect(7000)
        server = await m.spawn("busybox", "nc", "-l", "-p", "7000", "-e", "tr", "a-z", "A-Z")
        stream = await connected(m, 7000)
        await stream.write(b"hello " * 20_000)
        await stream.end()
        assert await stream.read() == b"HELLO " * 20_000
        await stream.close()
        await stream.end()  # nothing is left to end
        await server.wait()
        await server.close()

    in_machine(work)


def test_fetch_is_an_http_exchange() -> None:
    async def work(m: Machine) -> None:
        await m.fs.write_files(
            {"/tmp/www/index.html": "<p>it works", "/tmp/www/big": "x" * 300_000}
        )
        server = await m.spawn("busybox", "httpd", "-f", "-p", "8000", "-h", "/tmp/www")
        await (await connected(m, 8000)).close()
        response = await m.fetch(8000, "/")
        assert (response.status, response.text) == (200, "<p>it works")
        assert len((await m.fetch(8000, "/big")).body) == 300_000
        assert (await m.fetch(8000, "/none")).status == 404
        await server.kill("KILL")
        await server.close()

    in_machine(work)


def test_two_harts_run_many_programs() -> None:
    async def work(m: Machine) -> None:
        script = "for i in 1 2 3 4 5; do echo $i | cat | tr 1-5 a-e; done"
        runs = await asyncio.gather(*(m.run("bash", "-c", script) for _ in range(6)))
        assert {(run.exit_code, run.stdout, run.stderr) for run in runs} == {
            (0, "a\nb\nc\nd\ne\n", "")
        }

    in_machine(work, harts=2)
