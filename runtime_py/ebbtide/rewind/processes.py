"""Processes of a run: who made whom, what they ran, when and how they ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import linux
from ..errors import EbbError
from .taps import Tap

PROCESS_TAPS = ("CLONE", "EXEC", "EXIT")
CLONE_THREAD = 0x10000
COMM = 15  # bytes of a program's name that a process has
TICK_NS = 2  # of processor time that a tick counts as (kernel/task/itimer.h)


def no_process(word: str, known: Mapping[int, str]) -> EbbError:
    """Return what is said of a process that was not there; `known` are those that were."""
    named = ", ".join(f"{pid} {name}" for pid, name in known.items())
    there = f"there were: {named}" if named else "no program was started in this run"
    return EbbError(f"there was no process {word}; {there}")


@dataclass
class Ran:
    """A program that a process ran, from its exec on."""

    tick: int
    now_ns: int
    path: str
    args: list[str]


@dataclass
class Process:
    """One process."""

    pid: int
    parent: int  # pid; 1 is the host's
    tick: int
    now_ns: int
    real_ns: int
    ran: list[Ran] = field(default_factory=list)
    threads: int = 1  # that it ever had
    cpu_ticks: int | None = None  # of all its tasks, to the same moment
    spent: int = 0  # ticks, of its tasks that have ended
    end_tick: int | None = None
    end_ns: int | None = None
    took_ns: int | None = None  # to its end, or to that of the run
    status: int | None = None  # as of wait(2)
    children: list[Process] = field(default_factory=list)

    @property
    def command(self) -> list[str]:
        """What it ran last; of a fork, what its parent had run."""
        return self.ran[-1].args if self.ran else []

    @property
    def name(self) -> str:
        """The name of what it ran last."""
        return self.ran[-1].path.rpartition("/")[2] if self.ran else ""

    def ended(self) -> str:
        """Say how it ended."""
        if self.status is None:
            return "running"
        code, signal = linux.wait_status(self.status)
        return f"exit {code}" if signal is None else linux.signal_name(signal)


def strings(data: bytes) -> list[str]:
    """Split what has a NUL behind each."""
    return [part.decode("utf-8", "backslashreplace") for part in data.split(b"\0")[:-1]]


class Processes:
    """Takes taps; has the processes, the first ones of each tree in `roots`."""

    def __init__(self) -> None:
        self.roots: list[Process] = []
        self.all: list[Process] = []
        self._now: dict[int, Process] = {}

    def see(self, tap: Tap) -> None:
        """Take the next tap."""
        if tap.what == "CLONE":
            self._clone(tap)
        elif tap.what == "EXEC":
            process = self._now.get(tap.pid) or self._new(tap, tap.args[0])
            path, *args = strings(tap.data)
            process.ran.append(Ran(tap.tick, tap.now_ns, path, args))
        elif tap.what == "EXIT" and (ending := self._now.get(tap.pid)):
            ending.spent += tap.args[2]
            if tap.args[1]:
                ending.cpu_ticks = ending.spent
                ending.status = tap.args[0]
                ending.end_tick, ending.end_ns = tap.tick, tap.now_ns
                ending.took_ns = tap.now_ns - ending.now_ns
                del self._now[tap.pid]

    def finish(self, now_ns: int, cpu_ns: Callable[[int], int | None]) -> None:
        """Take the end of the run, at which `cpu_ns` answers what a process has used."""
        for process in self._now.values():
            process.took_ns = now_ns - process.now_ns
            used = cpu_ns(process.pid)
            process.cpu_ticks = None if used is None else used // TICK_NS

    def find(self, pid: int) -> Process | None:
        """Return the process that has this number now."""
        return self._now.get(pid)

    def named(self, word: str) -> list[int]:
        """Return the pids that a word means: a pid, or a program's name. Raises EbbError if there were none."""
        if word.isdecimal():
            return [int(word)]
        found = [one.pid for one in self.all if word in (one.name, one.name[:COMM])]
        if not found:
            raise no_process(word, {one.pid: one.name for one in self.all})
        return found

    def _clone(self, tap: Tap) -> None:
        parent = self._now.get(tap.args[0])
        if tap.args[2] & CLONE_THREAD and parent:
            parent.threads += 1
            return
        made = self._new(tap, tap.args[0])
        if parent and parent.ran:
            made.ran.append(parent.ran[-1])

    def _new(self, tap: Tap, parent: int) -> Process:
        made = Process(tap.pid, parent, tap.tick, tap.now_ns, tap.real_ns)
        above = self._now.get(parent)
        (above.children if above else self.roots).append(made)
        self.all.append(made)
        self._now[tap.pid] = made
        return made


def as_json(process: Process) -> dict[str, Any]:
    """Return a process with its children as plain data."""
    return {
        "pid": process.pid,
        "parent": process.parent,
        "start": {"tick": process.tick, "ns": process.now_ns},
        "end": None
        if process.end_tick is None
        else {"tick": process.end_tick, "ns": process.end_ns},
        "exec": [{"tick": ran.tick, "path": ran.path, "args": ran.args} for ran in process.ran],
        "threads": process.threads,
        "cpu_ticks": process.cpu_ticks,
        "status": process.status,
        "ended": process.ended(),
        "children": [as_json(child) for child in process.children],
    }
