"""A browser that tests start themselves and drive over a WebSocket: JSON, each command answered by its id.

What the protocols of Firefox (bidi.py) and Chromium (devtools.py) share. All of it blocks, with a limit
on each wait.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ANSWER_S = START_S = UNTIL_S = 240  # a quiet machine takes seconds
LOOK_S = 0.02
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MASK = 0x55  # any but 0, which Firefox refuses


class DriverError(Exception):
    """The browser refused a command, or a script in it threw."""


class Socket:
    """A WebSocket: whole text messages, out and in."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._stream = socket.create_connection((host, port), ANSWER_S)
        self._file = self._stream.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        head = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self._stream.sendall("\r\n".join([*head, "", ""]).encode())
        status = self._file.readline()
        if b" 101 " not in status:
            raise DriverError(f"no WebSocket at {host}:{port}{path}: {status.decode().strip()}")
        while self._file.readline().strip():
            pass

    def send(self, data: bytes, kind: int = TEXT) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | kind, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, size)
        masked = bytes(byte ^ MASK for byte in data)
        self._stream.sendall(head + bytes([MASK] * 4) + masked)

    def receive(self) -> bytes:
        whole = b""
        while True:
            first, size = self._read(2)
            if size == 126:
                (size,) = struct.unpack(">H", self._read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._read(8))
            data = self._read(size)
            kind = first & 15
            if kind == PING:
                self.send(data, PONG)
            elif kind == CLOSE:
                raise DriverError("the browser closed the connection")
            else:
                whole += data
                if first & 0x80:
                    return whole

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise DriverError("the browser is gone")
        return data

    def close(self) -> None:
        self._file.close()
        self._stream.close()


class Driver:
    """A browser process and the socket to it. It ends with all its children, however a test ends."""

    def __init__(self, command: Sequence[str], log: Path, listening: str) -> None:
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._numbers = itertools.count(1)
        self._common: dict[str, Any] = {}  # in every message
        try:
            self._socket = Socket(*self._address(log, listening))
            self._open()
        except BaseException:
            self._end()
            raise

    def _address(self, log: Path, listening: str) -> tuple[str, int, str]:
        """Wait until it says where it listens."""
        limit = time.monotonic() + START_S
        while time.monotonic() < limit and self._process.poll() is None:
            said = log.read_text("utf-8", "replace")
            if found := re.search(rf"{listening} listening on ws://([^:]+):(\d+)(\S*)\n", said):
                return found[1], int(found[2]), found[3]
            time.sleep(LOOK_S)
        raise DriverError(f"the browser did not start:\n{log.read_text('utf-8', 'replace')}")

    def command(self, method: str, **params: Any) -> Any:
        """Give a command and wait for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **self._common}
        self._socket.send(json.dumps(message).encode())
        while True:
            answer = json.loads(self._socket.receive())
            if answer.get("id") == number:
                if "error" in answer:
                    raise DriverError(f"{method}: {json.dumps(answer)}")
                return answer["result"]
            self._event(answer.get("method", ""), answer.get("params", {}))

    def js(self, body: str) -> Any:
        """Run the body of an async function in the page; what it returns passes as JSON."""
        text = self._evaluate(
            f"(async () => JSON.stringify(await (async () => {{ {body} }})()) ?? 'null')()"
        )
        return json.loads(text)

    def until(self, condition: str) -> Any:
        """Wait until an expression in the page is true, and give it; the page may change meanwhile."""
        limit = time.monotonic() + UNTIL_S
        last: Any = None
        while time.monotonic() < limit:
            try:
                if last := self.js(f"return {condition}"):
                    return last
            except DriverError as error:  # a document goes and takes the question with it
                last = error
            time.sleep(LOOK_S)
        raise DriverError(f"never came true: {condition} (at last {last!r})")

    def _open(self) -> None:
        """Begin a session with one tab."""
        raise NotImplementedError

    def _evaluate(self, expression: str) -> str:
        """Await an expression in the page that gives a string."""
        raise NotImplementedError

    def _event(self, name: str, params: dict[str, Any]) -> None:
        """Take what the browser tells unasked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
