"""gdb's `monitor` commands: where we are, and going elsewhere."""

from __future__ import annotations

from argparse import ArgumentTypeError

from ..errors import EbbError
from .moment import moment
from .timeline import Interrupted, Timeline

HELP = """when                 where we are: tick, time, event, thread, instructions it has retired
seek WHEN            go to a tick, a time since boot (1.5s, 200ms), or before an event (e17)
back                 go where we were before the last seek, restart or back
checkpoint           make this moment one to return to
info checkpoints     list those
restart N            go to checkpoint N
end                  go to the process's end
elapsed-time         virtual seconds since the machine booted
"""
KNOWN = {line.split()[0] for line in HELP.splitlines()} | {"help"}


class Monitor:
    """Those of one session."""

    def __init__(self, timeline: Timeline, pid: int) -> None:
        self._timeline = timeline
        self._pid = pid
        self._marks: list[int] = []
        self._last: int | None = None

    def begin(self) -> int:
        """Return the first tick at which the program is there."""
        return self._timeline.start_of(self._pid)

    def run(self, line: str) -> str:
        """Carry out one; returns what is to be shown."""
        words = line.split()
        try:
            match words:
                case ["when"]:
                    return self._when()
                case ["elapsed-time"]:
                    return f"{self._timeline.replay.now() / 1e9:.9f} s\n"
                case ["seek", when]:
                    replay = self._timeline.replay
                    return self._go(replay.place(moment(when.replace("_", ""))))
                case ["end"]:
                    return self._go(self._timeline.end_of(self._pid))
                case ["back"]:
                    return (
                        self._go(self._last)
                        if self._last is not None
                        else "There was no seek to go back from.\n"
                    )
                case ["checkpoint"]:
                    self._timeline.replay.checkpoint()
                    self._marks.append(self._timeline.tick)
                    return f"Checkpoint {len(self._marks)} at tick {self._timeline.tick}\n"
                case ["info", "checkpoints"]:
                    rows = [f"{n} at tick {tick}\n" for n, tick in enumerate(self._marks, 1)]
                    return "".join(rows) or "No checkpoints.\n"
                case ["restart", number]:
                    return self._restart(number)
                case ["help"] | []:
                    return HELP
                case [word, *_]:
                    wrong = "takes other words" if word in KNOWN else "is not known"
                    return f"monitor {word} {wrong}; see `monitor help`\n"
            raise AssertionError  # all words are taken
        except Interrupted:
            return "Interrupted.\n"
        except (EbbError, ValueError, ArgumentTypeError) as error:
            return f"{error}\n"

    def _restart(self, number: str) -> str:
        made = len(self._marks)
        if not number.isdecimal() or not 0 < int(number) <= made:
            return f"There is no checkpoint {number}; `monitor info checkpoints` lists them\n"
        return self._go(self._marks[int(number) - 1])

    def _go(self, tick: int) -> str:
        self._last = self._timeline.tick
        said = self._timeline.within(self._pid, tick)
        return said + self._when()

    def _when(self) -> str:
        tasks = self._timeline.tasks(self._pid)
        current = [task for task in tasks if task.current]
        who = f", thread {current[0].tid}, instruction {current[0].instret}" if current else ""
        where = self._timeline.replay.where()
        return f"{where[0].upper()}{where[1:]}{who}\n"
