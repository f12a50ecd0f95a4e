"""An editor as `ebb dap` sees it: asks, waits for answers, and keeps events in their order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO


class Editor:
    """One session, over the adapter's standard input and output unless other pipes are given."""

    def __init__(
        self, *args: str, pipes: tuple[BinaryIO, BinaryIO] | None = None, cwd: Path | None = None
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self._sent = 0
        self.process: subprocess.Popen[bytes] | None = None
        if pipes is None:
            command = [sys.executable, "-m", "ebbtide.cli", "dap", *args]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
            )
            assert self.process.stdin and self.process.stdout
            pipes = self.process.stdout, self.process.stdin
        self._in, self._out = pipes

    def send(self, command: str, **arguments: Any) -> int:
        """Send a request; returns its number."""
        self._sent += 1
        asked = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments}
        data = json.dumps(asked).encode()
        self._out.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self._out.flush()
        return self._sent

    def receive(self) -> dict[str, Any]:
        """Wait for the next message."""
        length = 0
        while line := self._in.readline().strip():
            length = int(line.partition(b":")[2])
        assert length, "the adapter has ended"
        found: dict[str, Any] = json.loads(self._in.read(length))
        return found

    def answer(self, number: int) -> dict[str, Any]:
        """Wait for a request's answer; events that come first are kept."""
        while (message := self.receive())["type"] == "event":
            self.events.append(message)
        assert message["request_seq"] == number, message
        return message

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a request and wait for its answer, which must be a good one."""
        answer = self.answer(self.send(command, **arguments))
        assert answer["success"], answer
        return answer.get("body")

    def event(self, name: str) -> dict[str, Any]:
        """Return the next event of that name; those before it are dropped."""
        while True:
            message = self.events.pop(0) if self.events else self.receive()
            assert message["type"] == "event", message
            if message["event"] == name:
                body: dict[str, Any] = message["body"]
                return body

    def move(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Let the program move; returns why it stopped."""
        self.ask(command, **arguments)
        return self.event("stopped")

    def top(self, thread: int) -> dict[str, Any]:
        """Return a thread's innermost frame."""
        frames = self.ask("stackTrace", threadId=thread, levels=1)["stackFrames"]
        found: dict[str, Any] = frames[0]
        return found

    def close(self) -> None:
        """End the session."""
        try:
            number = self.send("disconnect")
            while (message := self.receive()).get("request_seq") != number:
                pass
            assert message["success"], message
        finally:
            if self.process is not None:
                try:
                    _, errors = self.process.communicate(timeout=60)
                finally:
                    self.process.kill()
                assert self.process.returncode == 0, errors
