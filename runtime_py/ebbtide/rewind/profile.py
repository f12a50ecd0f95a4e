"""Profiles of a past run. Processor time: what ran at every P-th tick; waiting: who waited how long, and where.

A replay cannot disturb its program, and ticks are the run's own: the same run and the same P give the
same profile, to the last bit.
"""

from __future__ import annotations

import bisect
import contextlib
import struct
from collections.abc import Callable, Container
from dataclasses import dataclass

from ..errors import EbbError
from .cfi import FP, RA, SP, Frames
from .elf import Elf
from .moment import Moment
from .processes import PROCESS_TAPS, Processes
from .replay import Replay
from .taps import Enough, Tap, Taps

PERIOD = 99_991  # a prime, so that no loop keeps step with it
DEPTH_MAX = 200
_REGISTERS = struct.Struct("<32Q")
_WORD = struct.Struct("<Q")


@dataclass(frozen=True)
class Frame:
    """A function; address is where it begins in its file."""

    name: str
    file: str
    address: int


@dataclass
class Profile:
    """Stacks, outermost frame first, with what they weigh."""

    kind: str  # cpu, offcpu
    unit: str  # count of ticks, or nanoseconds
    period: int
    stacks: list[tuple[tuple[Frame, ...], int]]
    samples: int
    real_ns: int  # since 1970, of the first
    duration_ns: int

    @property
    def total(self) -> int:
        """What all stacks weigh."""
        return sum(weight for _, weight in self.stacks)


@dataclass(frozen=True, slots=True)
class _Map:
    start: int
    end: int
    offset: int
    key: tuple[str, str]  # number and mtime
    path: str


class _File:
    """A file's functions and frames."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.elf = Elf(data)
        self.frames = Frames(self.elf)
        self._short = path.rpartition("/")[2].removesuffix(" (deleted)")

    def frame(self, address: int | None) -> Frame:
        """Name the function at an address of the file's own."""
        if address is None:
            return Frame(f"[{self._short}]", self.path, 0)
        if function := self.elf.function(address):
            return Frame(function.name, self.path, function.start)
        if span := self.frames.span(address):
            return Frame(f"{self._short}+{span[0]:#x}", self.path, span[0])
        for section in self.elf.sections:  # .plt and the like
            if section.address <= address < section.address + section.size:
                return Frame(f"{self._short}:{section.name}", self.path, section.address)
        return Frame(f"[{self._short}]", self.path, 0)


class _NotNow(Exception):
    """A file cannot be read at this moment."""


class Stacks:
    """Makes stacks of samples. `read` gives a file as it is at this moment; raises OSError, or
    EbbError if that takes another moment; `last`: there will be none.
    """

    def __init__(self, read: Callable[[str], bytes], call_name: Callable[[int], str]) -> None:
        self._read = read
        self._call_name = call_name
        self._maps: dict[tuple[int, int], list[_Map]] = {}
        self._files: dict[tuple[str, tuple[str, str]], _File] = {}
        self.last = False

    def maps(self, tap: Tap) -> None:
        """Take an address space's mappings."""
        rows = []
        for line in tap.data.decode("utf-8", "surrogateescape").splitlines():
            start, end, offset, number, mtime, path = line.split(" ", 5)
            key = number, mtime
            rows.append(_Map(int(start, 16), int(end, 16), int(offset, 16), key, path))
        self._maps[tap.args[0], tap.args[1]] = rows

    def stack(self, tap: Tap) -> list[Frame]:
        """Return the frames of a sample, innermost first."""
        pc, space, version, call = tap.args[:4]
        mask = (1 << 64) - 1
        maps = self._maps.get((space, version), [])
        registers = list(_REGISTERS.unpack_from(tap.data))
        memory = _Memory(registers[SP], tap.data[_REGISTERS.size :])
        frames = [Frame(f"[{self._call_name(call)}]", "[kernel]", call)] if call >= 0 else []
        pc &= mask
        for depth in range(DEPTH_MAX):
            found = self._at(maps, pc - (depth > 0))  # a call may be a function's last instruction
            if found is None:
                break
            file, address = found
            frames.append(file.frame(address))
            caller = _unwind(file, address, registers, memory, first=depth == 0)
            if not caller:
                break
            pc = caller
        return frames or [Frame("[unknown]", "", 0)]

    def _at(self, maps: list[_Map], pc: int) -> tuple[_File, int | None] | None:
        at = bisect.bisect_right(maps, pc, key=lambda one: one.start) - 1
        if at < 0 or pc >= maps[at].end:
            return None
        found = maps[at]
        key = found.path, found.key
        if key not in self._files:
            data = b""
            if found.path.startswith("/"):
                data = self._file(found.path)
            self._files[key] = _File(found.path or "[anonymous]", data)
        file = self._files[key]
        return file, file.elf.address(pc - found.start + found.offset)

    def _file(self, path: str) -> bytes:
        try:
            return self._read(path)
        except OSError:
            return b""  # it has no name any more
        except EbbError as error:
            if self.last:
                return b""
            raise _NotNow from error


class _Memory:
    """The part of a stack that a sample has."""

    def __init__(self, start: int, data: bytes) -> None:
        self._start, self._data = start, data

    def word(self, address: int) -> int | None:
        at = address - self._start
        if not 0 <= at <= len(self._data) - 8:
            return None
        return int(_WORD.unpack_from(self._data, at)[0])


def _unwind(
    file: _File, address: int | None, registers: list[int], memory: _Memory, *, first: bool
) -> int | None:
    """Put the caller's registers in place; returns its pc, None if that is not known."""
    row = file.frames.row(address) if address is not None else None
    if row is None:
        return _by_frame_pointer(registers, memory, first=first)
    frame = registers[row.register] + row.offset
    if RA not in row.saved and not first:
        return None
    for register, offset in row.saved.items():
        value = memory.word(frame + offset)
        if value is None or register > 31:
            return None
        registers[register] = value
    if frame <= registers[SP] and not first:
        return None
    registers[SP] = frame
    return registers[RA]


def _by_frame_pointer(registers: list[int], memory: _Memory, *, first: bool) -> int | None:
    """Without rules: what a function keeps that has a frame pointer."""
    pointer = registers[FP]
    back, before = memory.word(pointer - 8), memory.word(pointer - 16)
    if pointer <= registers[SP] or back is None or before is None:
        return None
    registers[SP], registers[FP], registers[RA] = pointer, before, back
    return back


class Profiler:
    """Makes one profile of a replay that stands at its beginning."""

    def __init__(
        self,
        replay: Replay,
        read: Callable[[str], bytes],
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        pids: Container[int] = (),
    ) -> None:
        self._replay = replay
        self._taps = Taps(replay.abi)
        names = {number: name for name, number in replay.abi.nr.items()}
        self._stacks = Stacks(read, lambda number: names.get(number, str(number)))
        self._since, self._until, self._pids = since, until, pids
        self._processes = Processes()
        self._weights: dict[tuple[Frame, ...], int] = {}
        self._samples = 0
        self._first = self._last = (0, 0)  # real, since boot
        self._waits: dict[int, Tap] = {}
        self._later: list[tuple[Tap, str, int]] = []  # samples, of which program, what they weigh
        self._weight = 0
        replay.on_record = self._record

    def cpu(self, period: int) -> Profile:
        """Look every `period` ticks."""
        replay = self._replay
        replay.tap(*PROCESS_TAPS, "SAMPLE", "MAPS")
        due = period
        begin = self._since.tick if self._since and self._since.tick else 0
        end = replay.end
        if self._until and self._until.tick is not None:
            end = min(end, self._until.tick)
        due = max(period, -(-begin // period) * period)
        try:
            while due <= end:
                replay.seek(due)
                passed = replay.tick // period * period  # a pass may go on beyond
                self._weight = max(passed - due, 0) + period
                replay.sample()
                due += self._weight
        except Enough:
            pass
        return self._made("cpu", "ticks", period)

    def offcpu(self) -> Profile:
        """Add up how long tasks waited in system calls."""
        self._replay.tap(*PROCESS_TAPS, "BLOCKED", "RESUMED", "MAPS")
        with contextlib.suppress(Enough):
            self._replay.run()
        for begun in self._waits.values():
            self._add(begun, max(0, self._last[1] - begun.now_ns))
        return self._made("offcpu", "nanoseconds", 0)

    def _made(self, kind: str, unit: str, period: int) -> Profile:
        self._stacks.last = True
        self._work_off()
        stacks = sorted(self._weights.items(), key=lambda item: _order(item[0]))
        duration = self._last[1] - self._first[1]
        return Profile(kind, unit, period, stacks, self._samples, self._first[0], duration)

    def _record(self, _: int, record: bytes) -> None:
        tap = self._taps.decode(record)
        if tap is None:
            return
        if tap.what in PROCESS_TAPS:
            self._processes.see(tap)
            if tap.what == "EXIT":
                self._waits.pop(tap.tid, None)
        elif tap.what == "MAPS":
            self._stacks.maps(tap)
        elif self._until and not self._until.after(tap):
            raise Enough
        elif not (self._since and self._since.after(tap)):
            self._sample(tap)

    def _sample(self, tap: Tap) -> None:
        self._last = tap.real_ns, tap.now_ns
        if self._first == (0, 0):
            self._first = self._last
        if self._pids and tap.pid not in self._pids:
            return
        if tap.what == "SAMPLE":
            self._add(tap, self._weight)
        elif tap.what == "BLOCKED":
            self._waits[tap.tid] = tap
        elif begun := self._waits.pop(tap.tid, None):
            self._add(begun, tap.now_ns - begun.now_ns)

    def _add(self, tap: Tap, weight: int) -> None:
        process = self._processes.find(tap.pid)
        command = process.command[0] if process and process.command else "?"
        self._samples += 1
        self._later.append((tap, command.rpartition("/")[2] or command, weight))
        self._work_off()

    def _work_off(self) -> None:
        """Make stacks of the samples that wait for one; some files can only be read later."""
        left = []
        for tap, command, weight in self._later:
            try:
                frames = self._stacks.stack(tap)
            except _NotNow:
                left.append((tap, command, weight))
                continue
            stack = Frame(command, "[process]", 0), *reversed(frames)
            self._weights[stack] = self._weights.get(stack, 0) + weight
        self._later = left


def _order(stack: tuple[Frame, ...]) -> list[tuple[str, str, int]]:
    return [(frame.name, frame.file, frame.address) for frame in stack]
