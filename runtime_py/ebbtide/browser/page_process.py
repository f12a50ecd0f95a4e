"""A guest process that Python in a page has spawned: the SDK's under the names of `owner_role.Process`."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import linux
from ..owner_role import Exit
from ..stream import NO_TERMINAL, ON_TERMINAL, NoStream
from .page_sdk import asked, exit_of, js_value
from .page_streams import Duplex, Reader, Writer


class Terminal(Duplex):
    """The master of a process's terminal."""

    def __init__(self, process: Any) -> None:
        super().__init__(process.stdout, process.stdin)
        self._process = process

    async def resize(self, rows: int, cols: int) -> None:
        """Change the window's size; the foreground job gets SIGWINCH."""
        await asked(self._process.resize(js_value({"rows": rows, "cols": cols})))


class Process:
    """Its streams are `stdin`, `stdout` and `stderr`, or `pty` if it was spawned on a terminal."""

    def __init__(self, process: Any, args: tuple[str, ...]) -> None:
        self.pid: int = process.pid
        self.args = args
        none = NoStream(ON_TERMINAL)
        self.pty: Terminal | NoStream = Terminal(process) if process.pty else NoStream(NO_TERMINAL)
        self.stdin: Writer | NoStream = none if process.pty else Writer(process.stdin)
        self.stdout: Reader | NoStream = none if process.pty else Reader(process.stdout)
        self.stderr: Reader | NoStream = none if process.pty else Reader(process.stderr)
        self.limit: str | None = None  # which of the machine's limits it met
        self._process = process
        self._exit = asyncio.ensure_future(self._reap())
        self._exit.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _reap(self) -> Exit:
        status = await asked(self._process.exit)
        self.limit = getattr(status, "limit", None)
        return Exit(*exit_of(status))

    async def wait(self) -> Exit:
        """Wait until the process has ended."""
        return await asyncio.shield(self._exit)

    @property
    def exit(self) -> Exit | None:
        """How it ended, or None while it runs."""
        return self._exit.result() if self._exit.done() else None

    async def kill(self, signal: int | str = linux.SIGTERM) -> None:
        """Send a signal to this one process. A process that is gone is fine."""
        if not self._exit.done():
            await asked(self._process.kill(linux.signal_number(signal)))

    async def close(self) -> None:
        """Close the page's ends of its streams."""
        for stream in (self.stdin, self.stdout, self.stderr, self.pty):
            if stream:
                await stream.close()
