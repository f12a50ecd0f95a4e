"""gdb as a program drives it: its machine interface, version 3. Commands go in, and each has one result;
all else that gdb says comes as records in between, in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import EbbError

LINE_MOST = 1 << 26
LEAVE_S = 10.0  # that it may take to end when told to
_HEAD = re.compile(r"(\d*)([\^*+=~@&])")
_ASYNC = re.compile(r"([\w-]+),?")
_NAME = re.compile(r"([\w-]+)=")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.S)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"f": b"\f", b"v": b"\v", b"a": b"\a",
            b"b": b"\b", b"e": b"\x1b"}  # fmt: skip


class GdbSaid(EbbError):
    """gdb refused a command."""


class GdbGone(EbbError):
    """gdb has ended."""


@dataclass(frozen=True)
class Record:
    """One line: `sign` is ^ for a result, * and = for news, ~ @ & for text."""

    sign: str
    name: str  # of a result or of news; the text itself
    data: dict[str, Any] = field(default_factory=dict)
    token: int | None = None


def parse(line: str) -> Record | None:
    """Read a line; None for the prompt and what is none of gdb's."""
    head = _HEAD.match(line)
    if not head:
        return None
    sign, at = head[2], head.end()
    token = int(head[1]) if head[1] else None
    if sign in "~@&":
        text = _STRING.match(line, at)
        return Record(sign, _text(text[1]) if text else "")
    name = _ASYNC.match(line, at)
    if not name:
        return None
    data, _ = _results(line, name.end(), "")
    return Record(sign, name[1], data, token)


def _text(raw: str) -> str:
    def one(match: re.Match[bytes]) -> bytes:
        word = match[1]
        return bytes([int(word, 8) & 255]) if word.isdigit() else _ESCAPES.get(word, word)

    return _ESCAPE.sub(one, raw.encode(errors="surrogateescape")).decode(errors="replace")


def _results(line: str, at: int, end: str) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while at < len(line) and line[at] != end:
        name = _NAME.match(line, at)
        if not name:
            break
        found[name[1]], at = _value(line, name.end())
        at += line[at : at + 1] == ","
    return found, at + 1


def _value(line: str, at: int) -> tuple[Any, int]:
    if line[at] == "{":
        return _results(line, at + 1, "}")
    if line[at] == "[":
        items: list[Any] = []
        at += 1
        while line[at] != "]":
            name = _NAME.match(line, at)  # in a list of results all have the same name
            value, at = _value(line, name.end() if name else at)
            items.append(value)
            at += line[at] == ","
        return items, at + 1
    text = _STRING.match(line, at)
    if not text:
        raise EbbError(
            f"gdb said something that is not its machine interface: {line[at : at + 80]}"
        )
    return _text(text[1]), text.end()


def quote(text: str) -> str:
    """Write text as an argument of a command."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Gdb:
    """A gdb in a process of its own; `news` gets every record that is no command's result."""

    def __init__(self, process: asyncio.subprocess.Process, news: Callable[[Record], None]) -> None:
        self._process = process
        self._news = news
        self._tokens = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Record]] = {}
        self._said: list[str] | None = None  # text of the console command that runs
        self._errors = bytearray()
        self.ready = asyncio.get_running_loop().create_future()  # it has stopped somewhere
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._listen())]

    @staticmethod
    async def start(command: Sequence[str], news: Callable[[Record], None]) -> Gdb:
        """Start one; `command` ends up in a gdb with -i=mi3."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE_MOST, start_new_session=True
        )
        return Gdb(process, news)

    async def command(self, text: str) -> dict[str, Any]:
        """Give a command; returns its result, or raises GdbSaid."""
        token = next(self._tokens)
        future = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        assert self._process.stdin is not None
        if self._process.returncode is not None or self._tasks[0].done():
            raise GdbGone(self.why())
        self._process.stdin.write(f"{token}{text}\n".encode(errors="surrogateescape"))
        record: Record = await future
        if record.name == "error":
            raise GdbSaid(str(record.data.get("msg", "gdb refused it")))
        return record.data

    async def console(self, text: str) -> str:
        """Give a command as a user types it; returns what gdb prints."""
        self._said = []
        try:
            await self.command(f"-interpreter-exec console {quote(text)}")
            return "".join(self._said)
        finally:
            self._said = None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                if record := parse(line.decode(errors="surrogateescape").rstrip("\r\n")):
                    self._take(record)
        finally:
            await self._process.wait()
            await self._tasks[1]
            gone = GdbGone(self.why())
            for future in (*self._waiting.values(), self.ready):
                if not future.done():
                    future.set_exception(gone)
                    future.exception()  # somebody may have stopped waiting
            self._news(Record("=", "gone"))

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(4096):
            self._errors += data
            del self._errors[:-4096]

    def _take(self, record: Record) -> None:
        if record.sign == "^":
            future = self._waiting.pop(record.token or 0, None)
            if future is not None and not future.done():
                future.set_result(record)
            return
        if record.sign in "~@" and self._said is not None:
            self._said.append(record.name)
            return
        if record.name == "stopped" and not self.ready.done():
            self.ready.set_result(record)
            return
        self._news(record)

    def why(self) -> str:
        """Return the last that was said on stderr."""
        lines = self._errors.decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("ebb: ") if lines else "gdb has ended"

    async def close(self) -> None:
        """End it, and what it was started by."""
        process = self._process
        assert process.stdin is not None
        polite = self.ready.done() and not self.ready.cancelled() and not self.ready.exception()
        if polite:
            process.stdin.write(b"-gdb-exit\n")
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), LEAVE_S if polite else 0)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        await asyncio.gather(*self._tasks, return_exceptions=True)
