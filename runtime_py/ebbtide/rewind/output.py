"""What a machine has put out: a running hash that recording and replay compare, and the streams of
the programs that the host has started.

Every record of the outbox counts but those that only a replay asks for. One OUTPUT entry is a count
and the first bytes of the hash over so many records.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..abi import Abi
from ..events import CallEnded
from ..recording import EVENT, OUTPUT, ReplayDiverged, Written

_OUTPUT = struct.Struct("<Q16s")
COUNTED = ("CALL", "BLOCK", "HOSTFS", "NOTICE")


class OutputHash:
    """The hash over all records so far."""

    def __init__(self, abi: Abi) -> None:
        self.count = 0
        self.known = True
        self._hash = hashlib.sha256()
        self._counted = {abi.out[name] for name in COUNTED}

    @staticmethod
    def unknown(abi: Abi, count: int) -> OutputHash:
        """Return one over so many records that nobody has; it goes on counting."""
        made = OutputHash(abi)
        made.count, made.known = count, False
        return made

    def add(self, record: bytes) -> bool:
        """Take the next record; False if it is of a kind that does not count."""
        if int.from_bytes(record[:4], "little") not in self._counted:
            return False
        self.count += 1
        self._hash.update(record)
        return True

    def entry(self) -> bytes:
        """Return it as the data of an OUTPUT entry."""
        return _OUTPUT.pack(self.count, self._hash.digest()[:16])

    def copy(self) -> OutputHash:
        """Return one that goes on from here by itself."""
        other = OutputHash.__new__(OutputHash)
        other.count, other._hash, other._counted = self.count, self._hash.copy(), self._counted
        other.known = self.known
        return other


class OutputCheck:
    """Compares what a replay puts out with a tape's OUTPUT entries."""

    def __init__(self, abi: Abi, entries: Iterable[Written]) -> None:
        self.hash = OutputHash(abi)
        self._expected = deque(entry.data for entry in entries if entry.kind == OUTPUT)
        self._all = list(self._expected)

    def add(self, record: bytes, tick: int) -> None:
        """Take the next record; raises ReplayDiverged where the tape has other bytes."""
        if not self.hash.add(record):
            return
        while self._expected and _OUTPUT.unpack(self._expected[0])[0] <= self.hash.count:
            expected = self._expected.popleft()
            same_count = _OUTPUT.unpack(expected)[0] == self.hash.count and self.hash.known
            if same_count and expected != self.hash.entry():
                raise ReplayDiverged(
                    f"the machine's output differs by tick {tick}: of the first {self.hash.count} "
                    f"records expected the hash {expected[8:].hex()}, "
                    f"got {self.hash.entry()[8:].hex()}"
                )

    def finish(self) -> None:
        """Say that the tape is at its end."""
        if self._expected:
            expected, _ = _OUTPUT.unpack(self._expected[-1])
            raise ReplayDiverged(
                f"the machine has put out {self.hash.count} records, and the tape {expected}"
            )

    def restore(self, hash: OutputHash) -> None:
        """Go on from an earlier moment."""
        self.hash = hash.copy()
        self._expected = deque(data for data in self._all if _OUTPUT.unpack(data)[0] > hash.count)


@dataclass(frozen=True)
class Chunk:
    """Bytes of a program's output as the host took them; `stream` is stdout, stderr or tty."""

    tick: int
    pid: int
    stream: str
    data: bytes


@dataclass(frozen=True)
class AgentCall:
    """A system call that the host asked for; `data` is what lies in the agent's window."""

    id: int
    nr: int
    args: tuple[int, ...]
    data: bytes


def agent_call(abi: Abi, entry: Written) -> AgentCall | None:
    """Read the agent call that begins with an entry, if one does."""
    if entry.kind != EVENT or int.from_bytes(entry.head[:4], "little") != abi.event["CALL"]:
        return None
    layout, data = abi.structs["event_call"], entry.data
    words = layout.integers(data)
    args = struct.unpack_from("<6Q", layout.raw(data, "args"))
    return AgentCall(words["id"], words["nr"], args, data[layout.size :])


class Streams:
    """Finds the programs' output among the answers to agent calls."""

    def __init__(self, abi: Abi) -> None:
        self._abi = abi
        self._spawn = abi.structs["spawn"]
        self._calls: dict[
            int, tuple[int, int, int]
        ] = {}  # id -> nr, first argument, second or, of SPAWN, whether on a terminal
        self._open: dict[int, tuple[int, str]] = {}  # agent descriptor -> pid, stream

    def event(self, entry: Written) -> None:
        """Note an agent call that begins."""
        call = agent_call(self._abi, entry)
        if call is None:
            return
        second = call.args[1]
        if call.nr == self._abi.nr["SPAWN"]:
            flags = self._spawn.integer(call.data, "flags")
            second = flags & self._abi.const["SPAWN_PTY"]
        self._calls[call.id] = call.nr, call.args[0], second

    def ended(self, tick: int, ended: CallEnded) -> Chunk | None:
        """Take an agent call's answer; returns the output it brings, if it does."""
        nr, first, second = self._calls.pop(ended.id, (0, 0, 0))
        if ended.result < 0:
            return None
        if nr == self._abi.nr["SPAWN"]:
            fds = struct.unpack("<3i", ended.data[:12])
            names = ("tty", "", "") if second else ("", "stdout", "stderr")
            for fd, name in zip(fds, names, strict=True):
                if name and fd >= 0:
                    self._open[fd] = ended.result, name
        elif nr == self._abi.nr["close"]:
            self._open.pop(first, None)
        elif nr == self._abi.nr["close_range"]:
            self._open = {fd: one for fd, one in self._open.items() if not first <= fd <= second}
        elif nr == self._abi.nr["read"] and first in self._open and ended.data:
            return Chunk(tick, *self._open[first], ended.data)
        return None

    def calls(self) -> list[int]:
        """Return the ids of agent calls that are under way."""
        return list(self._calls)

    def terminals(self) -> dict[int, tuple[int, str]]:
        """Return the agent's descriptors of terminals that are open."""
        return {fd: one for fd, one in self._open.items() if one[1] == "tty"}

    @staticmethod
    def begun(abi: Abi, start: dict[str, Any] | None) -> Streams:
        """Return what a tape begins with: of a machine that was there before, what it had open."""
        made = Streams(abi)
        if start:
            made._calls = dict.fromkeys(start.get("calls", ()), (0, 0, 0))
            made._open = {one["fd"]: (one["pid"], "tty") for one in start.get("terminals", ())}
        return made

    def state(self) -> Any:
        """Return it as plain data."""
        return [list(self._calls.items()), list(self._open.items())]

    @staticmethod
    def of(abi: Abi, state: Any) -> Streams:
        """Return one from plain data."""
        made = Streams(abi)
        made._calls = {id: tuple(call) for id, call in state[0]}
        made._open = {fd: tuple(one) for fd, one in state[1]}
        return made

    def copy(self) -> Streams:
        """Return one that goes on from here by itself."""
        other = Streams(self._abi)
        other._calls, other._open = dict(self._calls), dict(self._open)
        return other
