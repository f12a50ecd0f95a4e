"""Byte streams over agent descriptors: pipes, terminals, sockets.

A read or write is one agent call that waits in the guest, so back-pressure is the guest's own:
nothing is read ahead of the reader, and a write returns when the guest has taken it.
"""

from __future__ import annotations

import asyncio
import errno
import struct
from collections.abc import AsyncIterator
from typing import Literal, NoReturn

from . import linux
from .agent import Agent, Call, Out

READ_SIZE = 65536
WRITE_SIZE = 262144


class Descriptor:
    """An agent's descriptor; closed once, and never used after that."""

    def __init__(self, agent: Agent, fd: int) -> None:
        self.agent = agent
        self.fd = fd
        self.closed = False

    async def close(self) -> None:
        """Close it; closing again does nothing."""
        if not self.closed:
            self.closed = True
            await self.agent.call("close", self.fd)

    def close_later(self) -> None:
        """Close it without waiting: nothing can come of it any more."""
        if not self.closed:
            self.closed = True
            self.agent.close_later(self.fd)


class Chunked:
    """What all readers are to whoever iterates: chunks, or lines."""

    async def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, b"" at the end; without a size, everything up to the end."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read(READ_SIZE):
            yield chunk

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield lines with their newline; the last one may lack it."""
        rest = b""
        async for chunk in self:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
        if rest:
            yield rest


class ByteReader(Chunked):
    """The reading end of a stream; a pipe's is closed when its end has been read."""

    def __init__(self, descriptor: Descriptor, *, close_at_end: bool = True) -> None:
        self._descriptor = descriptor
        self._close_at_end = close_at_end
        self._kept = bytearray()  # more than a read asked for
        self._ended = False
        self._without_waiting = False
        self._reading: Call | None = None
        self._lock = asyncio.Lock()

    async def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, b"" at the end; without a size, everything up to the end."""
        if size < 0:
            return await self._everything()
        async with self._lock:
            if self._kept:
                data = bytes(self._kept[:size])
                del self._kept[:size]
                return data
            if self._ended or self._descriptor.closed or size == 0:
                return b""
            data = await self._read(size)
            if not data:
                self._ended = True
                if self._close_at_end:
                    self._descriptor.close_later()
            return data

    async def _everything(self) -> bytes:
        chunks: list[bytes] = []
        try:
            async for chunk in self:
                chunks.append(chunk)
        except asyncio.CancelledError:
            self._kept[:0] = b"".join(chunks)  # whoever reads next takes it
            raise
        return b"".join(chunks)

    async def _read(self, size: int) -> bytes:
        # A read whose caller is cancelled goes on; the next one takes what it brings.
        while True:
            if self._reading is None:
                room = Out(READ_SIZE, by_result=True)
                self._reading = self._descriptor.agent.begin(
                    "read", self._descriptor.fd, room, room.length
                )
            reading = self._reading.future
            await asyncio.wait([reading])
            self._reading = None
            try:
                data = reading.result().data
            except InterruptedError:
                if not self._descriptor.closed:
                    continue
                data = b""
            except BlockingIOError:
                if not self._without_waiting:
                    raise
                data = b""
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                data = b""  # the other side of a terminal is gone
            self._kept += data[size:]
            return data[:size]

    async def stop_waiting(self) -> None:
        """Make reads find the end where they would wait: a read under way, too."""
        if not self._ended and not self._descriptor.closed:
            self._without_waiting = True
            call, fd = self._descriptor.agent.call, self._descriptor.fd
            flags = (await call("fcntl", fd, linux.F_GETFL, 0)).result
            await call("fcntl", fd, linux.F_SETFL, flags | linux.O_NONBLOCK)
            if self._reading:
                self._reading.interrupt()

    async def close(self) -> None:
        """Close this end; a read that waits, and later ones, find the end."""
        await self._descriptor.close()
        if self._reading:
            self._reading.interrupt()


class ByteWriter:
    """The writing end of a stream."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._lock = asyncio.Lock()

    async def write(self, data: bytes | bytearray | memoryview | str) -> None:
        """Write all of `data`; text is UTF-8. Raises BrokenPipeError when nobody can read it."""
        view = memoryview(data.encode() if isinstance(data, str) else data).cast("B")
        async with self._lock:
            while view:
                if self._descriptor.closed:
                    raise BrokenPipeError(errno.EPIPE, "the stream is closed")
                chunk = view[:WRITE_SIZE]
                ended = await self._descriptor.agent.call(
                    "write", self._descriptor.fd, chunk, len(chunk)
                )
                view = view[ended.result :]

    async def close(self) -> None:
        """Close this end: the reader sees the end of the stream."""
        await self._descriptor.close()


NO_TERMINAL = "the program runs on no terminal: spawn it with pty=(rows, cols)"
ON_TERMINAL = "the program runs on a terminal: use pty"
NOT_ASKED = "the program was spawned without this stream"


class NoStream:
    """Stands for a stream that a process does not have: it is false, and using it says why."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __bool__(self) -> Literal[False]:
        return False

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(vars(self).get("why", name))

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise TypeError(self.why)


def window_size(size: object) -> tuple[int, int]:
    """Return rows and columns of a terminal; raises ValueError if it cannot have that size."""
    match size:
        case (int(rows), int(cols)) if 0 <= rows < 1 << 16 and 0 <= cols < 1 << 16:
            return rows, cols
    raise ValueError(
        f"a terminal's size is rows and columns, such as (24, 80), at most 65535, not {size!r}"
    )


class Pty:
    """The master of a terminal."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._reader = ByteReader(descriptor, close_at_end=False)
        self._writer = ByteWriter(descriptor)

    @property
    def fd(self) -> int:
        """The agent's descriptor."""
        return self._descriptor.fd

    @property
    def closed(self) -> bool:
        """Whether it was hung up."""
        return self._descriptor.closed

    async def read(self, size: int = READ_SIZE) -> bytes:
        """Read what the terminal shows; b"" when nobody has it open any more."""
        return await self._reader.read(size)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reader.__aiter__()

    async def write(self, data: bytes | str) -> None:
        """Type."""
        await self._writer.write(data)

    async def resize(self, rows: int, cols: int) -> None:
        """Change the window's size; the foreground job gets SIGWINCH."""
        size = struct.pack("<4H", *window_size((rows, cols)), 0, 0)
        await self._descriptor.agent.call("ioctl", self._descriptor.fd, linux.TIOCSWINSZ, size)

    async def stop_waiting(self) -> None:
        """Make reads find the end where they would wait."""
        await self._reader.stop_waiting()

    async def close(self) -> None:
        """Hang up."""
        await self._reader.close()


class SocketStream:
    """A connected stream socket: a reader and a writer over one descriptor."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._reader = ByteReader(descriptor, close_at_end=False)
        self._writer = ByteWriter(descriptor)

    async def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, b"" at the end; without a size, everything up to the end."""
        return await self._reader.read(size)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reader.__aiter__()

    async def write(self, data: bytes | str) -> None:
        """Write all of `data`."""
        await self._writer.write(data)

    async def end(self) -> None:
        """Close the sending side only: the other side sees the end of the stream."""
        if not self._descriptor.closed:
            await self._descriptor.agent.call("shutdown", self._descriptor.fd, linux.SHUT_WR)

    async def close(self) -> None:
        """Close both sides."""
        await self._reader.close()
