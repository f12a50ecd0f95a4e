"""Firefox through WebDriver BiDi, as far as tests need it: one browser, one tab, script in it, keys.

Playwright drives only a Firefox of its own build; any Firefox speaks BiDi: JSON over a WebSocket, a
command answered by its id, events in between. All of it blocks, with a limit on each wait.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COMMAND_S = 60
START_S = 60
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MASK = 0x55  # any but 0, which Firefox refuses

# On top of what Firefox sets for itself when it is driven: nothing is asked of any other server.
PREFERENCES = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
"""


class BidiError(Exception):
    """The browser refused a command, or a script in it threw."""


class Socket:
    """A WebSocket: whole text messages, out and in."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._stream = socket.create_connection((host, port), COMMAND_S)
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
            raise BidiError(f"no WebSocket at {host}:{port}{path}: {status.decode().strip()}")
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
                raise BidiError("the browser closed the connection")
            else:
                whole += data
                if first & 0x80:
                    return whole

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise BidiError("the browser is gone")
        return data

    def close(self) -> None:
        self._file.close()
        self._stream.close()


class Firefox:
    """A headless Firefox with a new profile in `folder`, and its one tab."""

    def __init__(self, binary: str, folder: Path, preferences: str = "") -> None:
        profile = folder / "profile"
        profile.mkdir()
        (profile / "user.js").write_text(PREFERENCES + preferences)
        self._log = folder / "firefox.log"
        command = [binary, "--headless", "--no-remote", "--profile", str(profile)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--remote-debugging-port", "0", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it has children, which end with it
            )
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        try:
            host, port = self._address()
            self._socket = Socket(host, port, "/session")
            self.version: str = self.command("session.new", capabilities={})["capabilities"][
                "browserVersion"
            ]
            self.command("session.subscribe", events=["log.entryAdded"])
            self.tab: str = self.command("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self._end()
            raise

    def _address(self) -> tuple[str, int]:
        """Wait until it says where it listens."""
        limit = time.monotonic() + START_S
        while time.monotonic() < limit and self._process.poll() is None:
            said = self._log.read_text("utf-8", "replace")
            if found := re.search(r"BiDi listening on ws://([^:]+):(\d+)", said):
                return found[1], int(found[2])
            time.sleep(0.02)
        raise BidiError(f"Firefox did not start:\n{self._log.read_text('utf-8', 'replace')}")

    def command(self, method: str, **params: Any) -> Any:
        """Give a command and wait for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(message).encode())
        while True:
            answer = json.loads(self._socket.receive())
            if answer.get("id") == number:
                if answer["type"] == "error":
                    raise BidiError(f"{method}: {answer['error']}: {answer['message']}")
                return answer["result"]
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.errors.append(str(answer["params"]["text"]))

    def goto(self, url: str, wait: str = "complete") -> None:
        self.command("browsingContext.navigate", context=self.tab, url=url, wait=wait)

    def back(self, steps: int = -1) -> None:
        """Go through the history; returns at once."""
        self.command("browsingContext.traverseHistory", context=self.tab, delta=steps)

    def js(self, body: str) -> Any:
        """Run the body of an async function in the page; what it returns passes as JSON."""
        result = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await (async () => {{ {body} }})()))()",
            target={"context": self.tab},
            awaitPromise=True,
        )
        if result["type"] == "exception":
            raise BidiError(result["exceptionDetails"]["text"])
        value = result["result"]
        return json.loads(value["value"]) if value["type"] == "string" else None

    def until(self, condition: str) -> Any:
        """Wait until an expression in the page is true; the page looks, at each of its frames."""
        return self.js(
            f"""for (;;) {{
                const value = await ({condition});
                if (value) return value;
                await new Promise((resolve) => setTimeout(resolve, 20));
            }}"""
        )

    def type(self, text: str) -> None:
        """Press keys, one for each character."""
        keys = {"\n": "\ue007"}
        actions = [
            {"type": kind, "value": keys.get(letter, letter)}
            for letter in text
            for kind in ("keyDown", "keyUp")
        ]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self.command("input.performActions", context=self.tab, actions=[source])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
