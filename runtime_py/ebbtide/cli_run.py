"""`ebb run`: one program with this process's input, output, terminal and exit code.

The terminal's state is restored whatever happens. Messages of our own go to stderr and begin with
"ebb:".
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import linux
from .errors import EbbError, JitDiffers, MachinePanic
from .events import Log
from .machine import Machine
from .owner_role import Process
from .placement import JIT, Mount, Progress
from .process import end
from .recording import Tape
from .stream import READ_SIZE, ByteReader, ByteWriter, Pty

T = TypeVar("T")

EXIT_DIFFERS = 4  # --jit=verify found a difference
EXIT_TIMEOUT = 124  # as timeout(1) has it
EXIT_FAILED = 125  # we, not the program, failed; as container tools have it


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        return asyncio.run(_run(options))
    except MachinePanic as panic:
        print(f"ebb: {panic}\nebb: the report is in {_save(panic)}", file=sys.stderr)
        return EXIT_FAILED
    except JitDiffers as error:
        print(f"ebb: {error}", file=sys.stderr)
        return EXIT_DIFFERS
    except (EbbError, ValueError) as error:
        print(f"ebb: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + linux.SIGINT


def _save(panic: MachinePanic) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="ebb-panic-", suffix=".json", delete=False
    ) as file:
        json.dump({"message": str(panic), "report": panic.report}, file, indent=1)
    return file.name


async def _run(options: argparse.Namespace) -> int:
    tty = not options.no_tty and (options.tty or (sys.stdin.isatty() and sys.stdout.isatty()))
    rows, cols = _window() if tty else (0, 0)
    args = tuple(options.args)
    machine = await Machine.boot(
        options.image,
        harts=options.harts,
        memory=options.memory,
        user=options.user,
        limits=dict(options.limit),
        policy=dict(options.policy) or None,
        strace=options.strace,
        time=options.time,
        record=bool(options.record),
        jit=options.jit or JIT,
        mounts=tuple(Mount(*item) for item in options.volume),
        on_log=partial(_log, everything=options.log),
        on_progress=_progress(),
    )
    async with machine:
        async with contextlib.AsyncExitStack() as servers:
            for host, guest in options.publish:
                await servers.enter_async_context(_published(machine, host, guest))
            try:
                process = await machine.spawn(
                    *args,
                    env=dict(filter(None, options.env)),
                    cwd=options.workdir,
                    pty=(rows, cols) if tty else None,
                )
            except OSError as error:
                code, message = await machine.not_started(args, options.workdir, error)
                print(message, file=sys.stderr)
                return code
            with _raw() if tty else contextlib.nullcontext():
                code = await _attached(process, options.timeout)
        if options.stats:
            print(f"\n{await machine.stats()}", file=sys.stderr)
        tape: Tape | None = getattr(machine.placement, "tape", None)
        if options.record and tape:
            tape.save(Path(options.record))
        return code


def _progress() -> Progress:
    from .image.__main__ import print_progress

    return print_progress()


def _log(record: Log, *, everything: bool) -> None:
    if not everything and record.level not in ("STRACE", "ERROR"):
        return
    lines = record.text.rstrip("\n")
    end = "\r\n" if sys.stderr.isatty() else "\n"  # the terminal may be raw
    print(lines if record.level == "STRACE" else f"ebb: {lines}", file=sys.stderr, end=end)


async def _attached(process: Process, timeout: float | None) -> int:
    """Pass streams through until the program has ended."""
    signals = _Signals()
    interrupts = 0
    enough = asyncio.Event()

    async def interrupt() -> None:
        """The first goes to the guest's foreground group, the second ends the machine."""
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            enough.set()
        else:
            await process.kill(linux.SIGINT, tree=True)

    readers: list[tuple[ByteReader | Pty, int]]
    if process.pty:
        pty = process.pty
        readers = [(pty, 1)]
        feed = asyncio.ensure_future(_feed_pty(pty))
        signals.on(signal.SIGWINCH, lambda: _resize(pty))
    else:
        assert process.stdin and process.stdout and process.stderr
        readers = [(process.stdout, 1), (process.stderr, 2)]
        feed = asyncio.ensure_future(_feed(process.stdin))
        signals.on(signal.SIGINT, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signals.on(number, partial(process.kill, int(number), tree=True))
    outputs = [asyncio.ensure_future(_copy(reader, fd)) for reader, fd in readers]
    try:
        try:
            exit = await asyncio.wait_for(_unless(enough, process.wait()), timeout)
            if exit is None:
                print("ebb: interrupted twice; the machine is ended", file=sys.stderr)
                return 128 + linux.SIGINT
        except TimeoutError:
            print(f"ebb: {process.args[0]} did not end within {timeout:g} s", file=sys.stderr)
            await end(process)
            return EXIT_TIMEOUT
        # A background job may hold the streams open: take what is there, then go.
        for reader, _ in readers:
            with contextlib.suppress(OSError):
                await reader.stop_waiting()
        await asyncio.gather(*outputs)
        return exit.exit_code
    finally:
        for task in [feed, *outputs]:
            task.cancel()
        await asyncio.gather(feed, *outputs, return_exceptions=True)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Wait for `work`, or give None as soon as the event is set."""
    working, given_up = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({working, given_up}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        given_up.cancel()


class _Signals:
    """What signals to this process do while a guest runs; a handler cannot wait, so it begins."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[None]] = set()

    def on(self, number: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin `work` at each such signal; where signals cannot be had, never."""

        def begin() -> None:
            task = asyncio.ensure_future(work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, begin)


async def _copy(reader: ByteReader | Pty, fd: int) -> None:
    while data := await reader.read(READ_SIZE):
        try:
            await asyncio.to_thread(_write_all, fd, data)
        except BrokenPipeError:
            await reader.close()  # nobody reads us: the guest's writer gets SIGPIPE
            return


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def _host_input(chunk: Callable[[bytes], object]) -> None:
    """Read our stdin in a thread, one chunk ahead of nobody, and hand it on; returns at its end."""
    loop = asyncio.get_running_loop()
    stop_read, stop_write = os.pipe()
    fd = sys.stdin.fileno()
    wanted = threading.Semaphore(1)
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        while True:
            wanted.acquire()
            ready, _, _ = select.select([fd, stop_read], [], [])
            if stop_read in ready:
                break
            try:
                data = os.read(fd, READ_SIZE)
            except OSError:
                data = b""
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(queue.put_nowait, data)
            if not data:
                break
        os.close(stop_read)

    thread = threading.Thread(target=read, name="ebb-stdin", daemon=True)
    thread.start()
    try:
        while data := await queue.get():
            result = chunk(data)
            if asyncio.iscoroutine(result):
                await result
            wanted.release()
    finally:
        os.close(stop_write)
        wanted.release()


async def _feed(stdin: ByteWriter) -> None:
    try:
        await _host_input(stdin.write)
    except BrokenPipeError:
        pass
    finally:
        with contextlib.suppress(EbbError, OSError):
            await asyncio.shield(stdin.close())


async def _feed_pty(pty: Pty) -> None:
    with contextlib.suppress(OSError):
        await _host_input(pty.write)
        await pty.write(b"\x04")  # the end of our input is the end of the terminal's


async def _resize(pty: Pty) -> None:
    with contextlib.suppress(OSError, EbbError):
        await pty.resize(*_window())


def _window() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 24, 80
    return size.lines or 24, size.columns or 80


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Hold the terminal in raw mode."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.asynccontextmanager
async def _published(machine: Machine, host: int, guest: int) -> AsyncIterator[None]:
    """Hold a port of the host open; each connection becomes one to the guest."""
    clients: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(client(reader, writer))
        clients.add(task)
        task.add_done_callback(clients.discard)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await machine.connect(guest)
        except OSError:
            writer.transport.abort()
            return

        async def up() -> None:
            while data := await reader.read(READ_SIZE):
                await stream.write(data)
            await stream.end()

        async def down() -> None:
            while data := await stream.read(READ_SIZE):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        try:
            await asyncio.gather(up(), down())
        except (OSError, EbbError):
            writer.transport.abort()
        finally:
            with contextlib.suppress(EbbError, OSError):
                await stream.close()
            writer.close()

    try:
        server = await asyncio.start_server(begin, ("127.0.0.1", "::1"), host)
    except OSError as error:
        raise EbbError(f"port {host} cannot be opened: {error.strerror or error}") from None
    try:
        yield
    finally:
        server.close()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
