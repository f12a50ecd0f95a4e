"""The wire between an editor and us: JSON messages, each after a header with its length."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from ..errors import EbbError

Message = dict[str, Any]


class DapLink:
    """One connection; messages that we send are numbered here."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], object]) -> None:
        self._reader = reader
        self._write = write
        self._sent = 0

    @staticmethod
    async def stdio() -> DapLink:
        """Speak through this process's standard input and output."""
        kind = os.fstat(sys.stdin.fileno()).st_mode
        if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
            raise EbbError(
                "no editor is at standard input: one must start `ebb dap`, or give --port N"
            )
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

        def write(data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]

        return DapLink(reader, write)

    async def receive(self) -> Message | None:
        """Wait for the next message; None: there will be none."""
        length = 0
        try:
            while line := (await self._reader.readuntil(b"\n")).strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            found: Message = json.loads(await self._reader.readexactly(length))
            return found
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def send(self, message: Message) -> None:
        """Send a message."""
        self._sent += 1
        data = json.dumps({"seq": self._sent, **message}).encode()
        self._write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    def event(self, name: str, **body: object) -> None:
        """Send an event; parts that are None are left out."""
        body = {key: value for key, value in body.items() if value is not None}
        self.send({"type": "event", "event": name, "body": body})
