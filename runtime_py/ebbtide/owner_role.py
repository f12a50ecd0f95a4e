"""The process owner role: what belongs to processes from outside.

It spawns, hands out the host's ends of their streams, reaps them, and signals them. All of it is
agent calls; it keeps no table of what the guest does by itself.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import linux
from .agent import Agent, Ended, Living, Out, path_bytes
from .stream import (
    NO_TERMINAL,
    NOT_ASKED,
    ON_TERMINAL,
    ByteReader,
    ByteWriter,
    Descriptor,
    NoStream,
    Pty,
)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TERM = "xterm-256color"


@dataclass(frozen=True)
class User:
    """Whom a process runs as."""

    name: str
    uid: int
    gid: int
    home: str


ROOT = User("root", 0, 0, "/root")


def environment(user: User, pty: bool, *additions: Mapping[str, str] | None) -> dict[str, str]:
    """Return the fixed environment plus additions; nothing of the host's ever gets in."""
    env = {"PATH": PATH, "HOME": user.home, "USER": user.name, "LANG": "C.UTF-8"}
    if pty:
        env["TERM"] = TERM
    for addition in additions:
        env.update(addition or {})
    return env


@dataclass(frozen=True)
class Exit:
    """How a process ended; death by a signal is exit code 128 + signal."""

    exit_code: int
    signal: int | None


class Process(Living):
    """A guest process that the host has spawned."""

    def __init__(
        self,
        agent: Agent,
        pid: int,
        args: tuple[str, ...],
        stdin: ByteWriter | None,
        stdout: ByteReader | None,
        stderr: ByteReader | None,
        pty: Pty | None,
    ) -> None:
        self.pid = pid
        self.args = args
        none = NoStream(ON_TERMINAL if pty else NOT_ASKED)
        self.stdin = stdin or none
        self.stdout = stdout or none
        self.stderr = stderr or none
        self.pty = pty or NoStream(NO_TERMINAL)
        self.limit: str | None = None  # which of the machine's limits it met
        self._agent = agent
        self._exit: asyncio.Task[Exit] = asyncio.ensure_future(self._reap())
        self._exit.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _reap(self) -> Exit:
        ended = await self._agent.call("wait4", self.pid, Out(4), 0, 0)
        return Exit(*linux.wait_status(int.from_bytes(ended.data[:4], "little")))

    async def wait(self) -> Exit:
        """Wait until the process has ended."""
        return await asyncio.shield(self._exit)

    @property
    def exit(self) -> Exit | None:
        """How it ended, or None while it runs."""
        return self._exit.result() if self._exit.done() else None

    async def kill(self, signal: int | str = linux.SIGTERM, *, tree: bool = False) -> None:
        """Send a signal to its process group; with `tree`, to all its descendants too. A process that
        is gone is fine.
        """
        number = linux.signal_number(signal)
        if self._exit.done() and not tree:
            return
        try:
            if tree:
                await self._agent.call("KILL_TREE", self.pid, number)
            else:
                await self._agent.call("kill", -self.pid, number)
        except ProcessLookupError:
            pass

    async def close(self) -> None:
        """Close the host's ends of its streams."""
        for stream in (self.stdin, self.stdout, self.stderr, self.pty):
            if stream:
                await stream.close()


class OwnerRole:
    """Spawns processes for the host."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._ending: set[asyncio.Task[None]] = set()

    async def spawn(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        user: User,
        stdin: bool,
        stdout: bool = True,
        stderr: bool = True,
        stderr_to_stdout: bool = False,
        pty: tuple[int, int] | None = None,
    ) -> Process:
        """Start a program in a session of its own; streams not asked for are /dev/null."""
        abi = self.agent.abi
        block = self._block(args, env, cwd, user, (stdin, stdout, stderr), stderr_to_stdout, pty)
        room = Out(abi.structs["spawn"].fields["fds"].width)
        starting = self.agent.begin("SPAWN", block, len(block), room).future
        try:  # never cancelled: half a spawn would leave a process that nobody knows
            ended = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._unwanted)
            raise
        fds = struct.unpack("<3i", ended.data)
        if pty:
            master = Pty(Descriptor(self.agent, fds[0]))
            return Process(self.agent, ended.result, tuple(args), None, None, None, master)
        return Process(
            self.agent,
            ended.result,
            tuple(args),
            ByteWriter(Descriptor(self.agent, fds[0])) if fds[0] >= 0 else None,
            ByteReader(Descriptor(self.agent, fds[1])) if fds[1] >= 0 else None,
            ByteReader(Descriptor(self.agent, fds[2])) if fds[2] >= 0 else None,
            None,
        )

    def _block(
        self,
        args: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        user: User,
        piped: tuple[bool, bool, bool],
        stderr_to_stdout: bool,
        pty: tuple[int, int] | None,
    ) -> bytes:
        const, layout = self.agent.abi.const, self.agent.abi.structs["spawn"]
        argv = b"".join(path_bytes(arg) for arg in args)
        envp = b"".join(path_bytes(f"{name}={value}") for name, value in env.items())
        flags = const["SPAWN_NEW_SESSION"]
        flags |= const["SPAWN_PTY"] if pty else 0
        flags |= const["SPAWN_STDERR_TO_STDOUT"] if stderr_to_stdout else 0
        fds = [const["SPAWN_FD_PIPE"] if pipe else const["SPAWN_FD_NULL"] for pipe in piped]
        rows, cols = pty or (0, 0)
        head = layout.pack(
            flags=flags,
            uid=user.uid,
            gid=user.gid,
            argc=len(args),
            argv_off=layout.size,
            envc=len(env),
            envp_off=layout.size + len(argv),
            cwd_off=layout.size + len(argv) + len(envp),
            rows=rows,
            cols=cols,
            fds=struct.pack("<3i", *fds),
        )
        return bytes(head) + argv + envp + path_bytes(cwd)

    def _unwanted(self, starting: asyncio.Future[Ended]) -> None:
        # Spawned for a caller that has gone away: it must not live on unseen.
        if starting.cancelled() or starting.exception():
            return
        ended = starting.result()

        async def end() -> None:
            for fd in set(struct.unpack("<3i", ended.data)) - {-1}:
                self.agent.close_later(fd)
            process = Process(self.agent, ended.result, (), None, None, None, None)
            await process.kill(linux.SIGKILL, tree=True)
            await process.wait()

        self._ending.add(task := asyncio.ensure_future(end()))
        task.add_done_callback(self._ending.discard)
