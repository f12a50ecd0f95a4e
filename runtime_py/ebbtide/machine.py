"""A Linux machine: boot it, run programs in it, use its files, close it.

The same class in CPython and in Pyodide; it does not know which placement runs its roles.

    async with await Machine.boot(image="base") as m:
        r = await m.run("ls", "-l", "/")
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Self
from weakref import WeakValueDictionary

from . import http, linux
from .agent import Agent, Living, refuse_forked
from .chaos import chaos_from, chosen
from .errors import EbbError, MachineClosed, UserUnknown
from .events import CallEnded, Events, Log, Notice
from .filesystem import FileSystem
from .meant import keywords, refuse_unknown
from .owner_role import ROOT, OwnerRole, Process, User, environment
from .placement import MEMORY, Options, Placement, SnapshotPlacement, check_env
from .policy import limits_from, policy_from, seconds, size
from .process import INSTEAD, MAX_OUTPUT, CompletedProcess, complete, end
from .stats import Stats
from .stream import Descriptor, SocketStream, window_size

SKIPPED = 1 << 20  # ids of agent calls between a run's and those of a machine that branched from it
SESSIONS_KEPT = 4096  # of the guest's own, that have met a limit
LOOPBACK = bytes((127, 0, 0, 1))


def _snapshots(placement: Placement) -> SnapshotPlacement:
    if not isinstance(placement, SnapshotPlacement):
        raise EbbError("snapshots of machines are not kept here")
    return placement


class Machine(Living, http.Client):
    """One machine; made by `Machine.boot`."""

    def __init__(self, placement: Placement, options: Options) -> None:
        self.placement = placement
        self.options = options
        self.agent = Agent(placement.abi, placement.post)
        self.fs = FileSystem(self.agent)
        self.owner = OwnerRole(self.agent)
        self.events = Events(placement.abi)
        self.on_log: Callable[[Log], None] | None = None
        self._users: dict[str, User] = {ROOT.name: ROOT}
        self._closed = False
        self.panic: EbbError | None = None
        self.trouble_seen: list[Exception] = []
        self.limits_met: set[str] = set()  # by anything since boot
        self._met: dict[int, str] = {}  # by session, of those not in _spawned
        self._spawned: WeakValueDictionary[int, Process] = WeakValueDictionary()
        self._watching: set[asyncio.Task[None]] = set()

    @classmethod
    async def boot(
        cls,
        image: str | None = "base",
        *,
        placement: Placement | None = None,
        on_log: Callable[[Log], None] | None = None,
        **options: Any,
    ) -> Self:
        """Boot a machine; `help(ebbtide.Options)` lists what can be given."""
        known = {field.name for field in fields(Options)} | {"placement", "on_log"}
        refuse_unknown("Machine.boot", options, known)
        refuse_forked()
        if placement is None:
            from .placement_native import NativePlacement

            placement = NativePlacement.beginning(options.get("snapshot"))
        options["memory"] = size(options.get("memory", MEMORY), "memory")
        options["limits"] = limits_from(options.get("limits"))
        options["chaos"] = chaos_from(options.get("chaos"))
        if type(seed := options.get("seed")) is int:
            options |= chosen(options["chaos"], seed)
        options["policy"] = policy_from(options.get("policy"), placement.abi.errno)
        const = placement.abi.const
        memory_most = (1 << 32) - const["MACHINE_BASE"]
        wanted = Options(image=image, **options).checked(const["HART_MAX"], memory_most)
        machine = cls(placement, wanted)
        machine.on_log = on_log
        branch = getattr(placement, "branch", None)
        if branch:
            machine.agent.skip(branch["last_call"] + SKIPPED)
        try:
            await placement.start(wanted, machine)
            if wanted.snapshot:
                await machine.agent.take_over(*_snapshots(placement).left_over())
            await machine.agent.call("getpid")
            if branch and "snapshot" in branch:
                await machine._close_left_over([one["fd"] for one in branch["terminals"]])
            await machine.user(wanted.user)
            await machine._mount_host_directories()
        except BaseException:
            await machine.close()
            raise
        return machine

    async def _close_left_over(self, kept: list[int]) -> None:
        """Close what the host that took a snapshot had open, but for these."""
        begin = 0
        for fd in (*sorted(kept), 0x80000000):
            if fd > begin:
                await self.agent.call("close_range", begin, fd - 1, 0)
            begin = fd + 1

    async def _mount_host_directories(self) -> None:
        for number, mount in enumerate(self.options.mounts):
            await self.fs.mkdir(mount.guest, parents=True)
            flags = linux.MS_NOSUID | linux.MS_NODEV | (linux.MS_RDONLY if mount.read_only else 0)
            await self.agent.call(
                "mount", mount.host, mount.guest, "hostfs", flags, f"mount={number}"
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the machine and give back its memory and workers."""
        if not self._closed:
            self._closed = True
            self.agent.fail(MachineClosed("the machine is closed"))
            await self.placement.close()

    @property
    def run_id(self) -> str | None:
        """The id under which this machine's run is recorded, if it is."""
        recorder = getattr(self.placement, "recorder", None)
        begun = getattr(recorder, "begun", None)
        return getattr(recorder, "id", None) if begun is None or begun() else None

    async def snapshot(self) -> str:
        """Keep the machine as it is now; returns the id to boot with: `Machine.boot(snapshot=id)`."""

        async def ping() -> tuple[int, tuple[int, ...]]:
            await self.agent.call("getpid")  # all that was posted before has been delivered
            return self.agent.waiting()

        return await _snapshots(self.placement).snapshot(ping, self.options)

    async def digest(self) -> bytes:
        """Return the SHA-256 over all machine pages at this moment."""
        return await self.placement.digest()

    async def stats(self) -> Stats:
        """Return what the machine has done so far, and how much of it in compiled code."""
        return await self.placement.stats()

    # ---- Programs --------------------------------------------------------------------------------

    @keywords(INSTEAD | {
        "input": "stdin is what the program reads",
        "text": "encoding is 'utf-8', or 'bytes' for bytes",
    })  # fmt: skip
    async def run(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes | str | None = None,
        timeout: float | None = None,
        user: str | int | None = None,
        encoding: str | None = "utf-8",
        max_output: int | str | None = None,
        check: bool = False,
        abort: asyncio.Event | None = None,
    ) -> CompletedProcess:
        """Run a program to its end. A name that is not found gives exit code 127, as in a shell.

        The machine's limits hold where none is given here, and where a larger one is.
        """
        if timeout is not None:
            seconds("timeout", timeout)
        limits = self.options.limits
        most = limits.max_output or MAX_OUTPUT
        if max_output is not None:
            asked = size(max_output, "max_output")
            most = min(asked, limits.max_output or asked)
        encoding = encoding or "bytes"
        if not isinstance(stdin, (str, bytes, bytearray, memoryview, type(None))):
            raise TypeError(f"what the program reads is text or bytes, not {stdin!r}")
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            process = await self._spawn(args, env, cwd, user, stdin=data is not None)
        except (FileNotFoundError, PermissionError, NotADirectoryError, OSError) as error:
            completed = await self._not_started(args, cwd, error, encoding)
        else:
            completed = await complete(
                process,
                stdin=data or b"",
                timeout=min(filter(None, (timeout, limits.timeout)), default=timeout),
                encoding=encoding,
                max_output=most,
                abort=abort,
            )
        if check:
            completed.check()
        return completed

    @keywords()
    async def spawn(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        pty: tuple[int, int] | None = None,
        stdin: bool = True,
        stderr_to_stdout: bool = False,
    ) -> Process:
        """Start a program with streams, or on a terminal of (rows, cols)."""
        process = await self._spawn(args, env, cwd, user, stdin, pty, stderr_to_stdout)
        if self.options.limits.timeout:
            task = asyncio.ensure_future(self._end_in_time(process, self.options.limits.timeout))
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)
        return process

    async def _end_in_time(self, process: Process, most: float) -> None:
        with contextlib.suppress(EbbError):  # the machine was closed
            try:
                await asyncio.wait_for(process.wait(), most)
            except TimeoutError:
                process.limit = "timeout"
                await end(process)

    async def _spawn(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        cwd: str | None,
        user: str | int | None,
        stdin: bool,
        pty: tuple[int, int] | None = None,
        stderr_to_stdout: bool = False,
    ) -> Process:
        if not args:
            raise ValueError("no program was named")
        if not all(isinstance(word, (str, bytes)) for word in args):
            raise TypeError(f"a program is named by words, as in run('ls', '-l'), not {args!r}")
        check_env(env or {})
        size = None if pty is None else window_size(pty)
        who = await self.user(self.options.user if user is None else user)
        try:
            process = await self.owner.spawn(
                args,
                env=environment(who, size is not None, self.options.env, env),
                cwd=cwd or "/",
                user=who,
                stdin=stdin,
                pty=size,
                stderr_to_stdout=stderr_to_stdout,
            )
        except OSError as error:
            error.filename = cwd if cwd and not await self.fs.exists(cwd) else args[0]
            raise
        process.limit = self._met.pop(process.pid, None)
        self._spawned[process.pid] = process
        recorder = getattr(self.placement, "recorder", None)
        if (programs := getattr(recorder, "programs", None)) is not None:
            programs.append(args)
        return process

    async def not_started(
        self, args: tuple[str, ...], cwd: str | None, error: OSError
    ) -> tuple[int, str]:
        """Return the exit code and the message for a program that could not be started."""
        if cwd and error.filename == cwd:
            return 127, f"ebb: {cwd}: no such directory"
        name = args[0] or "''"
        if isinstance(error, FileNotFoundError) or not args[0]:
            if "/" in name:
                return 127, f"ebb: {name}: no such file or directory"
            hint = await self.placement.hint(name)
            where = f" (it is in image {hint})" if hint else ""
            if " " in name:
                where = "; a program and its arguments are words of their own"
            return 127, f"ebb: {name}: command not found{where}"
        return 126, f"ebb: {name}: {(error.strerror or str(error)).lower()}"

    async def _not_started(
        self, args: tuple[str, ...], cwd: str | None, error: OSError, encoding: str
    ) -> CompletedProcess:
        code, text = await self.not_started(args, cwd, error)
        message = text + "\n"
        if encoding == "bytes":
            return CompletedProcess(args, code, None, b"", message.encode())
        return CompletedProcess(args, code, None, "", message)

    async def user(self, name: str | int) -> User:
        """Look a user up in the guest's /etc/passwd, by name or number."""
        name = str(name)
        if name not in self._users:
            for line in (await self.fs.read_text("/etc/passwd")).splitlines():
                fields = line.split(":")
                if len(fields) >= 6 and name in (fields[0], fields[2]):
                    self._users[name] = User(fields[0], int(fields[2]), int(fields[3]), fields[5])
                    break
            else:
                raise UserUnknown(f"the image has no user {name!r}")
        return self._users[name]

    # ---- Network ---------------------------------------------------------------------------------

    async def connect(self, port: int) -> SocketStream:
        """Connect to a TCP port on which a guest program listens."""
        if type(port) is not int:
            raise TypeError(f"a port is a number from 1 to 65535, not {port!r}")
        if not 1 <= port <= 65535:
            raise ValueError(f"a port is a number from 1 to 65535, not {port}")
        ended = await self.agent.call(
            "socket",
            linux.AF_INET,
            linux.SOCK_STREAM | linux.SOCK_CLOEXEC,
            0,
            late=lambda late: self.agent.close_later(late.result),
        )
        descriptor = Descriptor(self.agent, ended.result)
        address = (
            linux.AF_INET.to_bytes(2, "little") + port.to_bytes(2, "big") + LOOPBACK + bytes(8)
        )
        try:
            await self.agent.call("connect", descriptor.fd, address, len(address))
        except BaseException:
            with contextlib.suppress(EbbError):
                self.agent.close_later(descriptor.fd)
            raise
        return SocketStream(descriptor)

    # ---- What the machine says (Listener) --------------------------------------------------------

    def ended(self, record: CallEnded) -> None:
        self.agent.ended(record)

    def log(self, record: Log) -> None:
        if self.on_log:
            try:
                self.on_log(record)
            except (
                Exception
            ) as error:  # the caller's: what the machine says behind it must be heard
                told = {"message": "on_log raised an exception", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)

    def notice(self, record: Notice) -> None:
        if record.what == "LIMIT":
            self._limit_met(record.ppid, self.events.limits_met[record.status].lower())

    def _limit_met(self, session: int, limit: str) -> None:
        """Remember what a program met, perhaps before it is known that it was started."""
        self.limits_met.add(limit)
        if process := self._spawned.get(session):
            if limit == "memory" or process.limit is None:
                process.limit = limit
        elif len(self._met) < SESSIONS_KEPT:
            self._met[session] = limit

    def limit(self, name: str) -> None:
        self.limits_met.add(name)

    def trouble(self, error: Exception) -> None:
        self.trouble_seen.append(error)
        self.log(Log("ERROR", str(error)))

    def panicked(self, error: EbbError) -> None:
        """The kernel or its runtime stopped: everything that waits ends with `error`."""
        self.panic = self.panic or error
        self.agent.fail(error)
