"""`ebb run`: one program with this process's input, output, terminal and exit code.

The terminal's state is restored whatever happens. Messages of our own go to stderr and begin with
"ebb:".
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import os
import select
import signal
import socket
import sqlite3
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import assets, linux
from .chaos import chosen
from .cli_output import LOST, need_folder, trouble
from .cli_output import Progress as Line
from .cli_terminal import Screen, printable, raw, window
from .errors import EbbError, MachinePanic
from .events import Log
from .machine import Machine
from .meant import meant
from .owner_role import Process
from .placement import IMAGE, JIT, Mount, Progress
from .placement_native import NativePlacement
from .process import GRACE_S, end
from .rewind.recorder import RunRecorder
from .rewind.store import LAST, RunStore
from .stream import READ_SIZE, ByteReader, ByteWriter, Pty

T = TypeVar("T")

EXIT_TIMEOUT = 124  # as timeout(1) has it
EXIT_FAILED = 125  # we, not the program, failed; as container tools have it
EXIT_OUTPUT = 128 + 25  # as SIGXFSZ, which ends who writes too much to a file
CTRL_C, ECHO = b"\x03", b"^C"
NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
LIMITS = ("timeout", "pids", "files", "disk")  # max_output is ours to count
MET = {
    "memory": "--memory: a process was killed, for the machine had no memory left",
    "pids": "--pids: a process or thread was refused (EAGAIN)",
    "disk": "--disk: a write was refused (ENOSPC)",
}


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        code = asyncio.run(_run(options))
        if options.core and options.run_id:
            from .cli_core import of_crash

            of_crash(options.run_id, options.core, quiet=options.quiet)
        return code
    except MachinePanic as panic:
        print(f"ebb: {panic}\nebb: the report is in {_save(panic)}", file=sys.stderr)
        return EXIT_FAILED
    except (EbbError, LookupError, OSError, ValueError, sqlite3.Error) as error:
        print(f"ebb: {trouble(error)}", file=sys.stderr)
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
    if tty and options.interactive and not sys.stdin.isatty():  # whose keys would it wait for?
        raise EbbError(
            "-it: the input is no terminal; leave -t out, and the program reads what comes there"
        )
    # What can fail for reasons of the host does so before a run begins.
    if options.record is None:
        options.record = options.jit != "verify"
    if options.core and not options.record:
        raise EbbError("--core needs a recording: the core is made from it")
    if options.id_file and not options.record:
        raise EbbError("--id-file needs a recording: else there is no id")
    if options.no_reseed and not options.snapshot:
        raise EbbError("--no-reseed goes with --snapshot")
    if options.id_file:
        Path(options.id_file).touch()
    if options.jit_dump:
        if options.jit == "off":
            raise EbbError("--jit-dump: with --jit=off nothing is compiled")
        _empty_folder(Path(options.jit_dump))
    if options.core:
        need_folder(options.core)
    with contextlib.ExitStack() as held:
        doors = [
            (held.enter_context(door), guest)
            for host, guest in options.publish
            for door in _doors(host)
        ]
        line = Line("comparing with the interpreter")
        held.callback(line.clear)
        return await _booted(options, window() if tty else None, doors, line)


def _empty_folder(folder: Path) -> None:
    """Make the folder of --jit-dump, or take one that is empty: regions of two runs would mix."""
    if folder.exists() and not folder.is_dir():
        raise EbbError(f"--jit-dump: {folder} is not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EbbError(f"--jit-dump: {folder} cannot be made: {error.strerror}") from None
    if any(folder.iterdir()):
        raise EbbError(f"--jit-dump: {folder} is not empty; name a folder that is, or a new one")


async def _booted(
    options: argparse.Namespace,
    size: tuple[int, int] | None,
    doors: list[tuple[socket.socket, int]],
    line: Line,
) -> int:
    """Boot a machine and run the program in it, on a terminal of this size if there is one; `line` is of --jit=verify."""
    args = tuple(options.args)
    placement = NativePlacement.beginning(options.snapshot)
    placement.on_verify = line.show
    if options.image is not None:
        placement.refuse_other(options.image)
    async with (
        _begun(options, placement, options.record, {"args": args, "tty": size}) as machine,
        contextlib.AsyncExitStack() as servers,
    ):
        recorder = placement.recorder
        options.run_id = None
        if isinstance(recorder, RunRecorder) and await asyncio.to_thread(recorder.begun):
            options.run_id = recorder.id
            _say_id(recorder.id, options)
        for door, guest in doors:
            await servers.enter_async_context(_published(machine, door, guest))
        code = await _program(machine, args, size, options)
        if isinstance(recorder, RunRecorder):
            recorder.exit_code = code
        if options.stats:
            print(f"\n{await machine.stats()}", file=sys.stderr)
    line.clear()
    if placement.verified and not options.quiet:
        ticks, times = placement.verified
        print(f"ebb: verified: in {ticks} ticks the interpreter made the same machine as compiled code, by "
              f"all pages, compared {'once' if times == 1 else f'{times} times'}", file=sys.stderr)  # fmt: skip
    return code


@contextlib.asynccontextmanager
async def _begun(
    options: argparse.Namespace, placement: NativePlacement, record: bool, about: dict[str, Any]
) -> AsyncIterator[Machine]:
    """Hold a machine; what fails before a program could be started leaves no run."""
    ready = False
    try:
        async with await Machine.boot(
            IMAGE if options.image is None else options.image,
            placement=placement,
            harts=options.harts,
            memory=options.memory,
            user=options.user,
            limits={name: getattr(options, name) for name in LIMITS if getattr(options, name)},
            policy=dict(options.policy) or None,
            strace=options.strace,
            time=options.time,
            record=record,
            snapshot=options.snapshot,
            reseed=not options.no_reseed,
            **chosen(options.chaos, options.seed),
            about=about,
            jit=options.jit or JIT,
            keep_code=not options.no_keep_code,
            jit_dump=options.jit_dump,
            mounts=tuple(Mount(*item) for item in options.volume),
            on_log=partial(_log, everything=options.log),
            on_progress=_progress(),
        ) as machine:
            await machine.user(options.user)
            ready = True
            yield machine
    finally:
        if not ready and isinstance(placement.recorder, RunRecorder):
            _forget(placement.recorder.id)


def _forget(id: str) -> None:
    with (
        contextlib.suppress(EbbError, OSError, sqlite3.Error),
        contextlib.closing(RunStore(assets.runs_folder())) as store,
    ):
        store.remove([id])


def _say_id(id: str, options: argparse.Namespace) -> None:
    if options.id_file:
        Path(options.id_file).write_text(id + "\n")
    elif not options.quiet:
        print(id, file=sys.stderr)


async def _program(
    machine: Machine,
    args: tuple[str, ...],
    size: tuple[int, int] | None,
    options: argparse.Namespace,
) -> int:
    try:
        process = await machine.spawn(
            *args,
            env=dict(filter(None, options.env)),
            cwd=options.workdir,
            pty=size,
            stderr_to_stdout=not size and _one_output(),
        )
    except OSError as error:
        code, message = await machine.not_started(args, options.workdir, error)
        sought = code == 127 and error.filename != options.workdir
        print(message + (_meant_run(args[0]) if sought else ""), file=sys.stderr)
        return code
    with raw() if size else contextlib.nullcontext():
        code, said = await _attached(process, options)
    met = [text for name, text in MET.items() if name in machine.limits_met]
    for text in [*said, *met]:
        print(f"ebb: {text}", file=sys.stderr)
    return code


def _meant_run(name: str) -> str:
    """Return the hint that a recorded run was meant, if one has that name, or nearly so."""
    with contextlib.suppress(EbbError, OSError, sqlite3.Error):
        with contextlib.closing(RunStore(assets.runs_folder())) as store:
            id = LAST if meant(name, (LAST,)) else store.find(name)
        return f"; a recorded run is run again by: ebb replay {id}"
    return ""


def _one_output() -> bool:
    """Whether both of our outputs lead to one place, which then has the guest's in the order of its writes."""
    one, other = os.fstat(1), os.fstat(2)
    same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    return same and (os.isatty(1) or not stat.S_ISCHR(one.st_mode))  # /dev/null has no order


def _progress() -> Progress:
    from .image.progress import print_progress

    return print_progress()


def _log(record: Log, *, everything: bool) -> None:
    if not everything and record.level not in ("STRACE", "ERROR"):
        return
    lines = record.text.rstrip("\n")
    if record.level == "STRACE":
        from .rewind.syscalls import aligned

        lines = aligned(lines)
    if sys.stderr.isatty():
        lines = printable(lines)
    end = "\r\n" if sys.stderr.isatty() else "\n"  # the terminal may be raw
    print(lines if record.level == "STRACE" else f"ebb: {lines}", file=sys.stderr, end=end)


async def _attached(process: Process, options: argparse.Namespace) -> tuple[int, list[str]]:
    """Pass streams through until the program has ended; give the exit code and what to say."""
    signals = _Signals()
    enough: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
    interrupts = _Interrupts(enough)
    budget = _Budget(options.max_output)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signals.on(number, partial(interrupts.signalled, process, number))
    readers: list[tuple[ByteReader | Pty, int]]
    if process.pty:
        pty = process.pty
        readers = [(pty, 1)]
        feed = asyncio.ensure_future(_feed_pty(pty, interrupts))
        signals.on(signal.SIGWINCH, lambda: _resize(pty))
    else:
        assert process.stdin and process.stdout
        readers = [(process.stdout, 1)]
        if process.stderr:  # else it goes where the other does
            readers.append((process.stderr, 2))
        feed = asyncio.ensure_future(_feed(process.stdin))
    outputs = [
        asyncio.ensure_future(_copy(reader, fd, budget, interrupts.wrote)) for reader, fd in readers
    ]
    name = process.args[0]
    try:
        exit = await _first(process.wait(), enough, budget.spent)
        if enough.done():
            code, why = enough.result()
            return code, [f"{why}; the machine is ended"]
        if exit is None:
            await end(process)
        # A background job may hold the streams open: take what is there, then go.
        for reader, _ in readers:
            with contextlib.suppress(OSError):
                await reader.stop_waiting()
        await _first(asyncio.wait(outputs), enough)
        lost = [text for one in outputs if one.done() and (text := one.result())]
        if budget.spent.done():
            text = f"--max-output: {name} wrote more than {options.max_output} bytes"
            return EXIT_OUTPUT, [text]
        if process.limit == "timeout":
            text = f"--timeout: {name} did not end within {options.timeout:g} s"
            return EXIT_TIMEOUT, [text]
        assert exit
        return exit.exit_code or (EXIT_FAILED if lost else 0), lost
    finally:
        for task in [feed, *outputs]:
            task.cancel()
        await asyncio.gather(feed, *outputs, return_exceptions=True)


async def _first(work: Coroutine[Any, Any, T], *events: asyncio.Future[Any]) -> T | None:
    """Wait for `work`, or give None as soon as one of the events is there."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({working, *events}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()


class _Budget:
    """The bytes that both outputs together may still have."""

    def __init__(self, most: int | None) -> None:
        self._left = most
        self.spent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes) -> bytes:
        """Return as much of the data as there is room for."""
        if self._left is None:
            return data
        taken = data[: self._left]
        self._left -= len(taken)
        if len(taken) < len(data) and not self.spent.done():
            self.spent.set_result(None)
        return taken


class _Interrupts:
    """What ends the machine before its program has ended.

    A signal to us is first the guest's. A second one of its kind ends the machine, and so does TERM or
    HUP by itself after a while: who sends it wants an end, whatever the program makes of it.

    On a terminal Ctrl-C is a key of the guest's, which a shell takes any number of times; there the
    second one counts if the guest has shown nothing but the echo of the first.
    """

    def __init__(self, enough: asyncio.Future[tuple[int, str]]) -> None:
        self._enough = enough
        self._seen: set[signal.Signals] = set()
        self._shown: bytes | None = None  # since a Ctrl-C that nothing has answered

    def _end(self, number: signal.Signals, why: str) -> None:
        if not self._enough.done():
            self._enough.set_result((128 + number, why))

    async def signalled(self, process: Process, number: signal.Signals) -> None:
        """A signal has come: pass it on to the guest's foreground, or end the machine."""
        if number in self._seen:
            self._end(number, "interrupted twice")
            return
        self._seen.add(number)
        await process.kill(int(number), tree=True)
        if number != signal.SIGINT:
            await asyncio.sleep(GRACE_S)
            self._end(number, f"{process.args[0]} goes on after {number.name}")

    def typed(self, keys: bytes) -> None:
        """Keys are on their way to the guest's terminal."""
        if keys.strip(CTRL_C):
            self._shown = None
        elif self._shown is None:
            self._shown = b""
        else:
            self._end(signal.SIGINT, "interrupted twice")

    def wrote(self, data: bytes) -> None:
        """The guest's terminal has shown something."""
        if self._shown is not None:
            self._shown += data[: len(ECHO) + 1]
            if self._shown != ECHO[: len(self._shown)]:
                self._shown = None


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


async def _copy(
    reader: ByteReader | Pty, fd: int, budget: _Budget, wrote: Callable[[bytes], None]
) -> str:
    """Pass a stream on to its end; returns what to say if not all of it could be."""
    screen = Screen() if os.isatty(fd) else None
    try:
        while data := budget.take(await reader.read(READ_SIZE)):
            wrote(data)
            await _write_all(fd, screen.let(data) if screen else data)
    except OSError as error:
        await reader.close()  # the guest's writer gets SIGPIPE
        if error.errno not in (errno.EPIPE, errno.EIO):  # nobody reads us any more
            return f"{LOST}: {error.strerror}"
    finally:
        if screen and (back := screen.reset()):
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(_write_all(fd, back), GRACE_S)
    return ""


async def _write_all(fd: int, data: bytes) -> None:
    """Write in a thread that nobody waits for at our end: its reader may never read on."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: OSError | None) -> None:
        if done.cancelled():
            return
        done.set_exception(error) if error else done.set_result(None)

    def write() -> None:
        view, failed = memoryview(data), None
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, failed)

    threading.Thread(target=write, name="ebb-output", daemon=True).start()
    await done


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
        closing = asyncio.ensure_future(stdin.close())  # whatever becomes of us
        closing.add_done_callback(lambda task: task.cancelled() or task.exception())
        with contextlib.suppress(EbbError, OSError):
            await asyncio.shield(closing)


async def _feed_pty(pty: Pty, interrupts: _Interrupts) -> None:
    async def typed(keys: bytes) -> None:
        interrupts.typed(keys)
        await pty.write(keys)

    with contextlib.suppress(OSError):
        await _host_input(typed)
        await pty.write(b"\x04")  # the end of our input is the end of the terminal's


async def _resize(pty: Pty) -> None:
    with contextlib.suppress(OSError, EbbError):
        await pty.resize(*window())


def _doors(port: int) -> Iterator[socket.socket]:
    """Open a port of the host, in each kind of address that it has."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            yield socket.create_server((address, port), family=family)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in NO_IPV6:
                return
            reason = os.strerror(error.errno or 0)
            raise EbbError(f"-p {port}: the port cannot be opened: {reason}") from None


@contextlib.asynccontextmanager
async def _published(machine: Machine, door: socket.socket, guest: int) -> AsyncIterator[None]:
    """Make each connection at a port of the host one to the guest."""
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

    server = await asyncio.start_server(begin, sock=door)
    try:
        yield
    finally:
        server.close()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
