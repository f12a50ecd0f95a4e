"""The kernel role: appends to the inbox, serves the outbox; its event loop is always free.

Chunks of the image and requests to host mounts are answered here; agent calls, log lines and
notices go to the listener. It never enters the machine and takes no kernel lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from .errors import EbbError, ImageCorrupt, ImageError
from .events import BlockWanted, CallEnded, Events, HostFs, Log, Notice
from .port import HostPort


class ChunkSource(Protocol):
    """Where an image's chunks come from, by hash; verified."""

    async def chunk(self, hash: str, size: int) -> bytes:
        """Return the bytes whose SHA-256 is `hash`."""


class HostMounts(Protocol):
    """What answers the guest's requests to mounts of the host."""

    async def serve(self, request: HostFs) -> tuple[int, int, bytes]:
        """Return (error, value, data); the error is 0 or an errno of the guest."""


class Listener(Protocol):
    """Who is told what the machine says."""

    def ended(self, record: CallEnded) -> None:
        """An agent call has ended."""

    def log(self, record: Log) -> None:
        """The kernel says something."""

    def notice(self, record: Notice) -> None:
        """A process met a limit."""

    def limit(self, name: str) -> None:
        """The host refused more, for a limit of the machine's."""

    def trouble(self, error: Exception) -> None:
        """The host could not give what the guest needed; the guest has its errno."""

    def panicked(self, error: EbbError) -> None:
        """The kernel or its runtime stopped; nothing more will come."""


class KernelRole:
    """One machine's kernel role, over the port of its worker."""

    def __init__(
        self,
        port: HostPort,
        listener: Listener,
        chunks: ChunkSource | None = None,
        mounts: HostMounts | None = None,
        seen: Callable[[bytes], None] = lambda record: None,
    ) -> None:
        self.port = port
        self.events = Events(port.abi)
        self._listener = listener
        self._chunks = chunks
        self._mounts = mounts
        self._seen = seen  # a recorder counts what comes out
        self._working: set[asyncio.Task[None]] = set()
        self.answered = 0

    def post(self, event: bytes) -> None:
        """Append an event to the inbox; harts see it at their next safepoint."""
        self.port.post(event)

    def drain(self) -> None:
        """Serve everything that stands in the outbox."""
        for data in self.port.outbox():
            self._seen(data)
            self.serve(data)

    def serve(self, data: bytes) -> None:
        """Serve one record."""
        match self.events.decode(data):
            case CallEnded() as record:
                self._listener.ended(record)
            case BlockWanted() as record:
                self._begin(self._block(record))
            case HostFs() as record:
                self._begin(self._hostfs(record))
            case Log() as record:
                self._listener.log(record)
            case Notice() as record:
                self._listener.notice(record)

    async def idle(self) -> None:
        """Wait until all that the machine has asked for is on its way to it."""
        while self._working:
            await asyncio.wait(self._working)

    def close(self) -> None:
        """Drop what is still being fetched."""
        for task in self._working:
            task.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.answered += 1
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _block(self, wanted: BlockWanted) -> None:
        try:
            if self._chunks is None:
                raise ImageCorrupt("the machine asks for file data and has no image")
            data = await self._chunks.chunk(wanted.hash, wanted.size)
        except (ImageError, OSError) as error:
            self.post(self.events.block(wanted.chunk, error=-self.port.abi.errno["EIO"]))
            self._listener.trouble(error)
        else:
            self.post(self.events.block(wanted.chunk, data))

    async def _hostfs(self, request: HostFs) -> None:
        if self._mounts is None:
            self.post(self.events.hostfs(request.id, error=-self.port.abi.errno["EIO"]))
            return
        error, value, data = await self._mounts.serve(request)
        self.post(self.events.hostfs(request.id, error=-error, value=value, data=data))
