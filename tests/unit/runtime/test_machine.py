"""Machine, processes and streams over a fake guest: output, limits, ends, nothing left open."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import warnings

import pytest
from fake_guest import FakeGuest

import ebbtide
import ebbtide.blocking
from ebbtide import (
    CommandFailed,
    CompletedProcess,
    Machine,
    MachineClosed,
    OutputLimit,
    ProcessAborted,
    ProcessTimeout,
)
from ebbtide.events import Log


async def cat(argv, stdin, stdout, stderr) -> int:
    while data := await stdin.read(65536):
        view = data
        while view:
            view = view[await stdout.write(view) :]
    return 0


async def fail(argv, stdin, stdout, stderr) -> int:
    await stderr.write(b"no\xff\n")
    return 3


async def yes(argv, stdin, stdout, stderr) -> int:
    while True:
        await stdout.write(b"y\n" * 1000)


async def hang(argv, stdin, stdout, stderr) -> int:
    await stdout.write(b"so far")
    await asyncio.Event().wait()
    return 0


def guest() -> FakeGuest:
    return FakeGuest({"cat": cat, "fail": fail, "yes": yes, "hang": hang})


def machine_test(work):
    """Run `work(machine, guest)` and check that nothing stays open."""

    def test() -> None:
        async def run() -> None:
            fake = guest()
            async with await Machine.boot(placement=fake) as machine:
                await work(machine, fake)
                await asyncio.sleep(0)
                assert fake.open_fds == 0
            assert fake.closed

        asyncio.run(run())

    test.__name__ = work.__name__
    test.__doc__ = work.__doc__
    return test


@machine_test
async def test_stdin_defaults_to_the_end_of_file(m, fake):
    result = await m.run("cat")
    assert (result.exit_code, result.signal, result.stdout, result.stderr) == (0, None, "", "")


@machine_test
async def test_input_larger_than_a_pipe_comes_back(m, fake):
    data = bytes(range(256)) * 4000
    result = await m.run("cat", stdin=data, encoding="bytes")
    assert result.stdout == data


@machine_test
async def test_exit_code_and_bad_utf8(m, fake):
    result = await m.run("fail")
    assert (result.exit_code, result.stderr) == (3, "no�\n")
    with pytest.raises(CommandFailed) as caught:
        await m.run("fail", check=True)
    assert caught.value.exit_code == 3 and "fail" in str(caught.value)


@machine_test
async def test_a_name_not_found_is_127_with_a_hint(m, fake):
    result = await m.run("nothing")
    assert (result.exit_code, result.stderr) == (127, "ebb: nothing: command not found\n")
    result = await m.run("python3")
    assert "in image debian" in result.stderr
    with pytest.raises(FileNotFoundError):
        await m.spawn("nothing")


@machine_test
async def test_timeout_kills_the_tree_and_keeps_the_output(m, fake):
    with pytest.raises(ProcessTimeout) as caught:
        await m.run("hang", timeout=0)
    assert caught.value.command == ("hang",)
    assert [number for _, number in fake.signals] == [15, 9]


@machine_test
async def test_abort_keeps_the_output(m, fake):
    abort = asyncio.Event()
    run = asyncio.ensure_future(m.run("hang", abort=abort))
    while not fake.spawned:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    abort.set()
    with pytest.raises(ProcessAborted) as caught:
        await run
    assert caught.value.stdout == "so far"


@machine_test
async def test_runaway_output_is_ended(m, fake):
    with pytest.raises(OutputLimit) as caught:
        await m.run("yes", max_output=100_001)
    assert len(caught.value.stdout) == 100_001


@machine_test
async def test_cancelled_run_leaves_no_process(m, fake):
    run = asyncio.ensure_future(m.run("hang"))
    while not fake.spawned:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert [number for _, number in fake.signals] == [9]


@machine_test
async def test_spawned_streams_have_backpressure(m, fake):
    p = await m.spawn("cat")
    writing = asyncio.ensure_future(p.stdin.write(bytes(1_000_000)))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not writing.done()
    total = 0
    while total < 1_000_000:
        total += len(await p.stdout.read(65536))
    await writing
    await p.stdin.close()
    assert await p.stdout.read() == b""
    assert (await p.wait()).exit_code == 0
    await p.close()


@machine_test
async def test_killed_process_reports_its_signal(m, fake):
    p = await m.spawn("hang")
    await p.kill("TERM")
    exit = await p.wait()
    assert (exit.exit_code, exit.signal) == (143, 15)
    await p.kill()  # gone already: fine
    await p.close()


@machine_test
async def test_a_cancelled_read_loses_nothing(m, fake):
    p = await m.spawn("cat")
    read = asyncio.ensure_future(p.stdout.read(10))
    for _ in range(10):
        await asyncio.sleep(0)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    await p.stdin.write("hello")
    assert await p.stdout.read(10) == b"hello"
    await p.stdin.close()
    assert await p.stdout.read() == b""
    await p.wait()
    await p.close()


@machine_test
async def test_what_a_cancelled_read_of_everything_has_come_by_is_left_to_the_next(m, fake):
    p = await m.spawn("cat")
    everything = asyncio.ensure_future(p.stdout.read())
    await p.stdin.write("hello ")
    for _ in range(100):
        await asyncio.sleep(0)
    everything.cancel()
    with pytest.raises(asyncio.CancelledError):
        await everything
    await p.stdin.write("again")
    assert await p.stdout.read(5) == b"hello"
    await p.stdin.close()
    assert await p.stdout.read() == b" again"
    await p.wait()
    await p.close()


@machine_test
async def test_a_read_cancelled_just_as_it_ends_loses_nothing(m, fake):
    for turns in range(40):
        p = await m.spawn("cat")
        read = asyncio.ensure_future(p.stdout.read(10))
        await p.stdin.write("hello")
        for _ in range(turns):
            await asyncio.sleep(0)
        done = read.done()
        read.cancel()
        result = await asyncio.gather(read, return_exceptions=True)
        if not done:
            result = [await p.stdout.read(10)]
        assert result == [b"hello"]
        await p.stdin.close()
        await p.wait()
        await p.stdout.stop_waiting()
        assert await p.stdout.read() == b""
        await p.close()


@machine_test
async def test_stop_waiting_brings_what_is_there_and_then_the_end(m, fake):
    p = await m.spawn("hang")
    reading = asyncio.ensure_future(p.stdout.read())
    for _ in range(10):
        await asyncio.sleep(0)
    await p.stdout.stop_waiting()
    assert await reading == b"so far"
    await p.kill("KILL")
    await p.wait()
    await p.close()


@machine_test
async def test_closing_a_stream_ends_a_read_that_waits(m, fake):
    p = await m.spawn("hang")
    assert await p.stdout.read(100) == b"so far"
    read = asyncio.ensure_future(p.stdout.read(100))
    for _ in range(10):
        await asyncio.sleep(0)
    await p.stdout.close()
    assert await read == b""
    await p.kill("KILL")
    await p.wait()
    await p.close()


@machine_test
async def test_environment_is_fixed_plus_what_was_given(m, fake):
    await m.run("cat", env={"A": "b=c", "LANG": "C"})
    assert sorted(fake.spawned[0]["env"]) == [
        "A=b=c",
        "HOME=/root",
        "LANG=C",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "USER=root",
    ]


async def _a_callback_raises(m, fake):
    said = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: said.append(context["exception"])
    )
    m.on_log = {}.__getitem__
    m.log(Log("INFO", "hello"))  # what stands behind it in the outbox is served
    assert [type(error) for error in said] == [KeyError]


test_a_callback_that_raises_is_told_of_and_no_more = machine_test(_a_callback_raises)


def test_closing_the_machine_ends_what_waits() -> None:
    async def run() -> None:
        fake = guest()
        machine = await Machine.boot(placement=fake)
        p = await machine.spawn("hang")
        await machine.close()
        with pytest.raises(MachineClosed):
            await p.wait()
        with pytest.raises(MachineClosed):
            await machine.run("cat")

    asyncio.run(run())


def test_a_closed_blocking_machine_says_so() -> None:
    with ebbtide.blocking.Machine.boot(placement=guest()) as machine:
        process = machine.spawn("cat")
    for call in (lambda: machine.run("cat"), process.wait, lambda: list(process.stdout)):
        with pytest.raises(MachineClosed, match="the machine is closed"):
            call()
    machine.close()


def test_a_run_that_is_given_up_ends_as_such_though_the_machine_is_closed_at_once() -> None:
    """As an interrupt in `ebbtide.run` does: nobody asks any more how the run has ended."""
    told: list[dict] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        fake = guest()
        machine = await Machine.boot(placement=fake)
        running = asyncio.ensure_future(machine.run("hang"))
        while not fake.spawned:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()
        await machine.close()
        await asyncio.wait([running])
        assert running.cancelled()
        del running, machine

    asyncio.run(run())
    gc.collect()
    assert told == []


def in_a_fork(work) -> str:
    """Return what `work` raises in a child process."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: as is meant
        pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # it ends in any case
        try:
            work()
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as said:
        text = said.read()
    os.waitpid(pid, 0)
    return text


def test_a_forked_process_is_told_to_be_spawned() -> None:
    with ebbtide.blocking.Machine.boot(placement=guest()) as machine:
        for work in (
            lambda: machine.run("cat"),
            lambda: ebbtide.blocking.Machine.boot(placement=guest()),
            lambda: asyncio.run(Machine.boot(placement=guest())),
        ):
            said = in_a_fork(work)
            assert said.startswith("RuntimeError: this process was forked") and "spawn" in said
        assert machine.run("cat", stdin="on").stdout == "on"


def test_another_event_loop_is_refused_at_once() -> None:
    fake = guest()

    async def boot() -> Machine:
        machine = await Machine.boot(placement=fake)
        await machine.spawn("hang")  # whose end is waited for in this loop
        return machine

    machine = asyncio.run(boot())
    refused = "belongs to another event loop; .*ebbtide.blocking"
    with pytest.raises(RuntimeError, match=refused):
        asyncio.run(machine.run("cat"))
    with pytest.raises(RuntimeError, match=refused):
        asyncio.run(machine.fs.exists("/etc"))
    asyncio.run(machine.close())  # gives back all that it has, from wherever
    with pytest.raises(MachineClosed):
        asyncio.run(machine.run("cat"))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"imag": "base"}, TypeError, "Machine.boot.*did you mean image"),
        ({"harts": 0}, ValueError, "from 1 to 5, not 0"),
        ({"harts": 6}, ValueError, "from 1 to 5, not 6"),
        ({"memory": 64}, ValueError, "did you mean 64M"),
        ({"memory": "much"}, ValueError, "memory: 'much' is no size; write 512M or 1G"),
        ({"memory": "1M"}, ValueError, "at least 16M"),
        ({"memory": "8G"}, ValueError, "memory is at most 3968M, not 8589934592 bytes"),
        ({"memory": "infG"}, ValueError, "'infG' is no size"),
        ({"mounts": ["/tmp:/mnt"]}, TypeError, r"mounts has Mount\(host, guest"),
        ({"mounts": {"/mnt": "/tmp"}}, TypeError, r"mounts has Mount\(host, guest"),
        ({"env": ["A=b"]}, TypeError, "env is a mapping"),
        ({"env": {"A=": "b"}}, ValueError, "env: no variable can be 'A='"),
        ({"env": {"": "b"}}, ValueError, "env: no variable can be ''"),
        ({"env": {"A": "b\0"}}, ValueError, r"env: .* with the value 'b\\x00'"),
        ({"seed": "7"}, TypeError, "seed is a whole number, not '7'"),
        ({"seed": -1}, ValueError, r"seed is a whole number from 0 to 2\*\*64 - 1, not -1"),
        ({"seed": 2**64}, ValueError, r"seed .* to 2\*\*64 - 1, not 18446744073709551616"),
        ({"record": "yes"}, TypeError, "record is True or False, not 'yes'"),
        ({"limits": {"disk": "much"}}, ValueError, "'much' is no size; write 512M or 1G"),
    ],
)
def test_boot_refuses_what_cannot_be(options, error, said) -> None:
    fake = guest()
    with pytest.raises(error, match=said):
        asyncio.run(Machine.boot(placement=fake, **options))


async def _unknown_keywords(machine, fake) -> None:
    with pytest.raises(TypeError, match=r"Machine\.run.*did you mean env\?"):
        await machine.run("cat", evn={})
    with pytest.raises(TypeError, match=r"Machine\.spawn.*did you mean pty\?"):
        await machine.spawn("cat", ptty=(24, 80))
    for name in ("capture_output", "stdout", "stderr"):
        with pytest.raises(
            TypeError, match=f"no option '{name}'; all that the program writes is in"
        ):
            await machine.run("cat", **{name: True})
    with pytest.raises(TypeError, match="'text'; encoding is 'utf-8', or 'bytes' for bytes"):
        await machine.run("cat", text=True)
    with pytest.raises(TypeError, match="'input'; stdin is what the program reads"):
        await machine.run("cat", input="x")
    with pytest.raises(TypeError, match="what the program reads is text or bytes, not -1"):
        await machine.run("cat", stdin=-1)
    for size in (True, (24,), (70000, 80), "24x80"):
        with pytest.raises(ValueError, match="a terminal's size is rows and columns"):
            await machine.spawn("cat", pty=size)
    with pytest.raises(TypeError, match=r"by words, as in run\('ls', '-l'\), not \(\['ls'\],\)"):
        await machine.run(["ls"])
    with pytest.raises(TypeError, match=r"env is a mapping of names to values, not \['A=1'\]"):
        await machine.run("cat", env=["A=1"])
    with pytest.raises(ValueError, match="env: no variable can be 'A='"):
        await machine.run("cat", env={"A=": "1"})
    with pytest.raises(ValueError, match="timeout is a number of seconds, not '1'"):
        await machine.run("cat", timeout="1")
    with pytest.raises(TypeError, match="a port is a number from 1 to 65535, not 'http"):
        await machine.fetch("http://localhost:80/")
    for port in (-1, 0, 65536):
        with pytest.raises(ValueError, match=f"a port is a number from 1 to 65535, not {port}$"):
            await machine.connect(port)


test_unknown_keywords_are_named = machine_test(_unknown_keywords)


def test_run_takes_words_and_names_unknown_options() -> None:
    with pytest.raises(TypeError, match=r"run\(\['sh', '-c', 'echo hi'\]\)"):
        ebbtide.run("echo hi")
    with pytest.raises(TypeError, match="did you mean input"):
        ebbtide.run(["cat"], inptu="x")
    for name, said in (
        ("capture_output", "stdout and stderr of what this returns"),
        ("shell", "'sh', '-c', '…'"),
        ("stdin", "input is what the program reads"),
        ("encoding", "text=False gives bytes"),
    ):
        with pytest.raises(TypeError, match=f"no option '{name}'; .*{said}"):
            ebbtide.run(["cat"], **{name: True})


def test_a_result_names_what_subprocess_calls_otherwise() -> None:
    done = CompletedProcess(("true",), 0, None, "", "")
    with pytest.raises(AttributeError, match="no attribute 'returncode'; here it is exit_code"):
        _ = done.returncode
    with pytest.raises(AttributeError, match="no attribute 'check_returncode'; here it is check"):
        done.check_returncode()
    with pytest.raises(AttributeError, match="no attribute 'other'$"):
        _ = done.other
    assert pickle.loads(pickle.dumps(done)) == done == copy.copy(done)


async def _lonely(machine, fake) -> None:
    process = await machine.spawn("cat")
    for one in (machine, process, machine.fs):
        for work in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="can be neither pickled nor copied"):
                work(one)
    with pytest.raises(TypeError, match="can be neither pickled nor copied"):
        copy.copy(machine)
    await process.stdin.close()
    await process.wait()
    await process.close()


test_a_machine_is_neither_pickled_nor_copied = machine_test(_lonely)


def test_a_blocking_machine_is_neither_pickled_nor_copied() -> None:
    with ebbtide.blocking.Machine.boot(placement=guest()) as machine:
        for work in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="can be neither pickled nor copied"):
                work(machine)


async def _streams(machine, fake) -> None:
    process = await machine.spawn("cat")
    assert not process.pty
    with pytest.raises(
        AttributeError, match=r"runs on no terminal: spawn it with pty=\(rows, cols\)"
    ):
        await process.pty.resize(40, 100)
    await process.stdin.close()
    await process.wait()
    await process.close()
    process = await machine.spawn("cat", stdin=False)
    with pytest.raises(AttributeError, match="was spawned without this stream"):
        await process.stdin.write(b"x")
    await process.wait()
    await process.close()


test_a_stream_that_a_process_does_not_have_says_so = machine_test(_streams)


def test_a_read_that_nobody_waits_for_ends_silently_with_the_machine() -> None:
    told: list[dict] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        async with await Machine.boot(placement=guest()) as machine:
            process = await machine.spawn("cat")
            reading = asyncio.ensure_future(process.stdout.read(10))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        del machine, process, reading
        gc.collect()

    asyncio.run(run())
    gc.collect()
    assert told == []
