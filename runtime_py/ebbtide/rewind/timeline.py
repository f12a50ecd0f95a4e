"""A recorded run as a debugger moves in it: forwards and backwards, to what it looks for.

A moment is a tick. Backwards means: return to a checkpoint, run on to where we were and note what is
met; the last note is the place. If there is none, the same from the checkpoint before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import EbbError
from .debug_view import DebugView, Note, Registers, Stop, Task
from .processes import no_process
from .replay import Replay

BUDGET = 1 << 22  # ticks between two looks at the user
NEAR = (1 << 20, 1 << 15)  # ticks before a place from where steps back are made
JUMP = 1 << 22  # ticks that take longer than to go to a checkpoint
# Signals that stand for a mistake of the program: where such a process ended is worth looking at.
CRASHES = (3, 4, 5, 6, 7, 8, 11, 31)


class Interrupted(Exception):
    """The user wants it to end here."""


@dataclass(frozen=True)
class Ending:
    """How a process ended, or began to: by itself or by a signal."""

    pid: int
    tid: int
    tick: int
    signal: int  # 0: by itself


@dataclass(frozen=True)
class Start:
    """A process became a program, which is there from this tick on."""

    pid: int
    tick: int
    name: str


@dataclass
class Timeline:
    """One run under a debugger; `stops` are what continuing stops at."""

    replay: Replay
    stops: list[Stop] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    interrupted: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.replay.budget = BUDGET
        self.replay.on_slice = self._look_up

    def _look_up(self) -> None:
        if self.interrupted():
            raise Interrupted

    @property
    def tick(self) -> int:
        """Where we are."""
        return self.replay.tick

    @property
    def view(self) -> DebugView:
        """Look at the machine as it is there."""
        return self.replay.stage.debug()

    def tasks(self, pid: int) -> list[Task]:
        """List a process's threads."""
        return self.view.tasks(pid)

    def registers(self, tid: int) -> Registers | None:
        """Read a thread's registers."""
        return self.view.registers(tid)

    # ---- Going somewhere ------------------------------------------------------------------------

    def scan(self) -> None:
        """Run through all of it once, noting how processes ended; leaves checkpoints behind."""
        end = self.replay.end
        while self.tick < end:
            self.view.look_for(kinds=("FATAL", "EXIT", "EXEC"), halt=True)
            stopped = self.replay.go(end)
            for note in self.view.notes():
                if note.kind == "EXEC":
                    names = [task.name for task in self.tasks(note.pid)]
                    self.starts.append(Start(note.pid, note.after, names[0] if names else ""))
                else:
                    signal = note.va & 0x7F if note.kind == "FATAL" else 0
                    self.endings.append(Ending(note.pid, note.tid, note.tick, signal))
            if not stopped:
                break
        self.view.nothing()

    def start_of(self, pid: int) -> int:
        """Return the first tick of a process's last program."""
        return max(
            (start.tick for start in self.starts if start.pid == pid), default=self.replay.begin
        )

    def choose(self, name: str | None) -> int:
        """Return the process to look at: by its number, its program's name, or else what crashed
        last, or else what was started last by the host.
        """
        pids = {ending.pid: "(fork)" for ending in self.endings}  # without a program of its own
        pids |= {start.pid: start.name for start in self.starts}
        if name is not None:
            found = [pid for pid, of in pids.items() if name in (str(pid), of)]
            if not found:
                raise no_process(name, pids)
            return found[-1]
        crashed = [one.pid for one in self.endings if one.signal in CRASHES]
        if crashed:
            return crashed[-1]
        if not self.starts and self.replay.begin == 0:  # of what was there before, nothing is known
            raise EbbError("no program was started in this run")
        return min(pids)

    def seek(self, tick: int) -> None:
        """Go to a tick."""
        self.view.nothing()
        tick = max(self.replay.begin, tick)
        if (ahead := self.replay.nearest(tick)).tick > self.tick + JUMP:
            self.replay.restore(ahead)
        self.replay.seek(tick)

    def end_of(self, pid: int) -> int:
        """Return the tick before which a process is there."""
        ends = [ending.tick for ending in self.endings if ending.pid == pid]
        return ends[0] if ends else self.replay.end

    def within(self, pid: int, tick: int) -> str:
        """Go to a tick of a process, or to the nearest at which it is there; returns what to say."""
        first, last = self.start_of(pid), self.end_of(pid)
        self.near(min(max(tick, first), last))
        if first <= tick <= last:
            return ""
        where = "before the program begins" if tick < first else "behind its end"
        return f"Tick {tick} is {where}: at tick {self.tick} instead (of {first} to {last}).\n"

    def forward(self, limit: int) -> Note | None:
        """Continue to the next stop, or to a tick."""
        if self.tick >= limit:
            return None
        self.view.look_for(self.stops, halt=True)
        stopped = self.replay.go(limit)
        notes = self.view.notes()
        self.view.nothing()
        return notes[0] if stopped and notes else None

    def backward(self, limit: int = 0) -> Note | None:
        """Continue to the stop before this moment; None: there is none, and we are at `limit`."""
        return self._back(limit, self.stops, lambda note: True)

    def _back(
        self, limit: int, stops: Sequence[Stop], wanted: Callable[[Note], bool]
    ) -> Note | None:
        limit = max(limit, self.replay.begin)
        here = high = self.tick
        while stops and high > limit:
            start = self.replay.nearest(high - 1)
            self.replay.restore(start)
            if start.tick < limit:
                self.seek(limit)
            found = self._last_before(high, here, stops, wanted)
            if found is not None:
                self.near(found.tick)
                return found
            high = start.tick
        self.near(limit)
        return None

    def _last_before(
        self, high: int, here: int, stops: Iterable[Stop], wanted: Callable[[Note], bool]
    ) -> Note | None:
        """Run on to `high`; return the last note before `here`."""
        view = self.view
        view.look_for(stops, halt=False, here=True)
        self.replay.go(high)
        notes = [note for note in view.notes() if note.tick < here and wanted(note)]
        view.nothing()
        return max(notes, key=lambda note: note.tick, default=None)

    def near(self, tick: int) -> None:
        """Go to a tick by way of checkpoints from which the next steps back are short."""
        tick = max(self.replay.begin, tick)
        before = max(
            self.replay.begin, tick - 1
        )  # a checkpoint of this moment is none to step back from
        for distance in NEAR:
            if (at := tick - distance) > self.replay.nearest(before).tick:
                self.seek(at)
                self.replay.checkpoint()
        self.seek(tick)

    def _until(self, limit: int, tid: int, instret: int) -> None:
        self.view.look_for(halt=True)
        self.view.until(tid, instret)
        self.replay.go(limit)
        self.view.nothing()

    def step_forward(self, tid: int, limit: int) -> bool:
        """Let a thread retire one instruction; False at the limit."""
        registers = self.registers(tid)
        if registers is None or self.tick >= limit:
            return False
        self._until(limit, tid, registers.instret + 1)
        return self.tick < limit

    def step_back(self, tid: int, limit: int = 0) -> bool:
        """Go to before the last instruction that a thread has retired; False: there is none."""
        limit = max(limit, self.replay.begin)
        registers = self.registers(tid)
        here, target = self.tick, registers.instret - 1 if registers else -1
        high = here
        while target >= 0 and high > limit:
            start = self.replay.nearest(high - 1)
            if here - start.tick > NEAR[0] * 2:  # the next ones shall be quicker
                self.near(here)
                start = self.replay.nearest(high - 1)
            self.replay.restore(start)
            if start.tick < limit:
                self.replay.go(limit)
            then = self.registers(tid)
            if then is None or then.instret <= target:  # none: the thread begins on the way
                self._until(here, tid, target)
                then = self.registers(tid)
                if then is not None and then.instret == target:
                    return True
                break  # it was its first instruction
            high = start.tick
        self.seek(limit)
        return False
