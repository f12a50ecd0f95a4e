"""Finds in a run which programs the host has started, how large their terminals were, and how they
ended: with the output itself (output.py) all that is needed to draw a session again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import linux
from ..abi import Abi
from ..events import CallEnded
from ..recording import Written
from .output import AgentCall, agent_call


@dataclass(frozen=True)
class Started:
    """A program was started; `rows` is 0 unless on a terminal."""

    pid: int
    args: tuple[str, ...]
    rows: int
    cols: int
    fds: tuple[int, ...]


@dataclass(frozen=True)
class Resized:
    """A program's terminal has another size."""

    pid: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Ended:
    """A program has ended."""

    pid: int
    exit_code: int


Change = Started | Resized | Ended


class Screens:
    """Follows the agent calls of one replay."""

    def __init__(self, abi: Abi, terminals: Sequence[dict[str, Any]] = ()) -> None:
        self._abi = abi
        self._spawn = abi.structs["spawn"]
        self._followed = {abi.nr[name] for name in ("SPAWN", "ioctl", "wait4")}
        self._calls: dict[int, AgentCall] = {}
        # Agent descriptor of a terminal -> pid; a machine that was there before has some.
        self._masters: dict[int, int] = {one["fd"]: one["pid"] for one in terminals}

    def event(self, entry: Written) -> None:
        """Note an agent call that begins."""
        call = agent_call(self._abi, entry)
        if call is not None and call.nr in self._followed:
            self._calls[call.id] = call

    def ended(self, ended: CallEnded) -> Change | None:
        """Take an agent call's answer; returns what it changes."""
        call = self._calls.pop(ended.id, None)
        if call is None or ended.result < 0:
            return None
        if call.nr == self._abi.nr["SPAWN"]:
            return self._started(call, ended)
        if call.nr == self._abi.nr["wait4"]:
            code, _ = linux.wait_status(int.from_bytes(ended.data[:4], "little"))
            return Ended(ended.result, code)
        pid = self._masters.get(call.args[0])
        if pid is None or call.args[1] != linux.TIOCSWINSZ:
            return None
        rows, cols = struct.unpack_from("<2H", call.data)
        return Resized(pid, rows, cols)

    def _started(self, call: AgentCall, ended: CallEnded) -> Started:
        words = self._spawn.integers(call.data)
        pty = bool(words["flags"] & self._abi.const["SPAWN_PTY"])
        fds = struct.unpack("<3i", ended.data[:12])
        if pty:
            self._masters[fds[0]] = ended.result
        at = words["argv_off"]
        args = call.data[at:].split(b"\0")[: words["argc"]]
        size = (words["rows"], words["cols"]) if pty else (0, 0)
        words_of = tuple(arg.decode(errors="replace") for arg in args)
        return Started(ended.result, words_of, *size, fds)
