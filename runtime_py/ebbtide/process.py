"""Running a program to its end: feeding it, collecting its output, ending it when it takes too
long.

A run ends when the program has ended and its output is closed, as with `subprocess.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from . import linux
from .errors import (
    CommandFailed,
    MachineClosed,
    OutputLimit,
    ProcessAborted,
    ProcessError,
    ProcessTimeout,
)
from .owner_role import Exit, Process
from .stream import ByteReader, ByteWriter, NoStream

MAX_OUTPUT = 64 << 20
GRACE_S = 2.0  # from TERM to KILL
Output: TypeAlias = str | bytes
_CAPTURED = "all that the program writes is in stdout and stderr of what this returns"
# What `subprocess.run` can be given, and what does that here.
INSTEAD = {
    "capture_output": _CAPTURED,
    "stdout": _CAPTURED,
    "stderr": _CAPTURED,
    "shell": "a shell is a program like others: 'sh', '-c', '…'",
    "executable": "the first word names the program",
}


@dataclass(frozen=True)
class CompletedProcess:
    """A program that has ended; death by a signal is exit code 128 + signal."""

    args: tuple[str, ...]
    exit_code: int
    signal: int | None
    stdout: Output
    stderr: Output
    limit: str | None = None  # of the machine's, that it met: memory, pids or disk

    def __getattr__(self, name: str) -> NoReturn:
        wanted = {"returncode": "exit_code", "check_returncode": "check"}.get(name)
        hint = f"; here it is {wanted}" if wanted else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def check(self) -> None:
        """Raise CommandFailed if the exit code is not 0."""
        if self.exit_code:
            how = (
                f"died of {linux.signal_name(self.signal)}"
                if self.signal
                else (f"ended with exit code {self.exit_code}")
            )
            raise CommandFailed(
                f"{self.args[0]} {how}",
                args=self.args,
                stdout=self.stdout,
                stderr=self.stderr,
                exit_code=self.exit_code,
                signal=self.signal,
            )


class Collector:
    """The output of one process, up to a limit."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding
        self._left = limit
        self._chunks: tuple[list[bytes], list[bytes]] = ([], [])
        self.full = asyncio.Event()

    async def collect(self, reader: ByteReader | NoStream, which: int) -> None:
        """Read a stream to its end, or until there is too much."""
        if not reader:
            return
        async for chunk in reader:
            self._chunks[which].append(chunk[: max(0, self._left)])
            self._left -= len(chunk)
            if self._left < 0:
                self.full.set()
                return

    def output(self, which: int) -> Output:
        """Return what has come so far."""
        data = b"".join(self._chunks[which])
        return data if self._encoding == "bytes" else data.decode(self._encoding, "replace")


async def _feed(writer: ByteWriter | NoStream, data: bytes) -> None:
    if writer:
        with contextlib.suppress(BrokenPipeError):
            await writer.write(data)
        await writer.close()


async def end(process: Process) -> None:
    """End a process and all that it started: TERM, and KILL after a while."""
    await process.kill(linux.SIGTERM, tree=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE_S)
    await process.kill(linux.SIGKILL, tree=True)
    await process.wait()


async def complete(
    process: Process,
    *,
    stdin: bytes,
    timeout: float | None,
    encoding: str,
    max_output: int,
    abort: asyncio.Event | None,
) -> CompletedProcess:
    """Run a process to its end."""
    collector = Collector(encoding, max_output)
    work = asyncio.ensure_future(_work(process, collector, stdin))
    full = asyncio.ensure_future(collector.full.wait())
    aborted = asyncio.ensure_future((abort or asyncio.Event()).wait())
    try:
        await asyncio.wait(
            {work, full, aborted}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if work.done():
            exit = work.result()
            return CompletedProcess(
                process.args,
                exit.exit_code,
                exit.signal,
                collector.output(0),
                collector.output(1),
                process.limit,
            )
        await end(process)
        # What the process wrote before it died still stands in its pipes.
        with contextlib.suppress(TimeoutError):
            if not full.done():
                await asyncio.wait_for(asyncio.shield(work), GRACE_S)
        kind: type[ProcessError]
        if full.done():
            kind, why = OutputLimit, f"wrote more than {max_output} bytes"
        elif aborted.done():
            kind, why = ProcessAborted, "was aborted"
        else:
            kind, why = ProcessTimeout, f"did not end within {timeout:g} s"
        raise kind(
            f"{process.args[0]} {why}",
            args=process.args,
            stdout=collector.output(0),
            stderr=collector.output(1),
        )
    except asyncio.CancelledError:
        with contextlib.suppress(MachineClosed):  # and the process is gone with it
            await process.kill(linux.SIGKILL, tree=True)
        raise
    finally:
        for task in (work, full, aborted):
            task.cancel()
        await asyncio.gather(work, full, aborted, return_exceptions=True)
        with contextlib.suppress(MachineClosed):
            await process.close()


async def _work(process: Process, collector: Collector, stdin: bytes) -> Exit:
    await asyncio.gather(
        _feed(process.stdin, stdin),
        collector.collect(process.stdout, 0),
        collector.collect(process.stderr, 1),
    )
    return await process.wait()
