"""A process of a run as an ELF core, as Linux leaves one: notes about its threads, and its memory.

It is made from a replay, so it costs nothing while the program runs. What is nowhere in memory because
nobody touched it is read from its file, as the file was then.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO

from .debug_view import DebugView, Mapping, Registers, Status, Task

PAGE = 4096
ET_CORE, EM_RISCV, PT_LOAD, PT_NOTE = 4, 243, 1, 4
FLAGS = 0x5  # compressed instructions, double-float ABI
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
NT_PRSTATUS, NT_FPREGSET, NT_PRPSINFO, NT_AUXV = 1, 2, 3, 6
NT_FILE, NT_SIGINFO = 0x46494C45, 0x53494749
AT_PHDR, AT_PHENT, AT_PHNUM = 3, 4, 5
PT_DYNAMIC, PT_PHDR, DT_DEBUG = 2, 6, 21
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_WORD = struct.Struct("<Q")
# siginfo's first three, signal, pending and held ones, whose it is, four times, registers, fp valid
_STATUS = struct.Struct("<3ih2xQQ4i8q32Qi4x")
# State, its letter, zombie, nice; flags; user, group; whose it is; name, arguments
_INFO = struct.Struct("<BBBbxxxxQ2I4i16s80s")
_SIGINFO = struct.Struct("<3i4xQ104x")
_FLOATS = struct.Struct("<32QIxxxx")


@dataclass(frozen=True)
class Signal:
    """What ended the process."""

    number: int
    code: int = 0
    address: int = 0


def write_core(
    file: IO[bytes],
    view: DebugView,
    pid: int,
    first: int,
    signal: Signal,
    page: Callable[[int], bytes],
) -> None:
    """Write the core of a process; thread `first` is the one it is about, `page` gives its memory."""
    maps = list(view.mappings(pid))
    notes = _notes(view, pid, first, signal, maps)
    segments = [_Segment.of(one) for one in maps]
    start = _HEADER.size + _SEGMENT.size * (1 + len(segments))
    at = -(-(start + len(notes)) // PAGE) * PAGE
    file.write(
        _HEADER.pack(
            b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), ET_CORE, EM_RISCV, 1, 0, _HEADER.size, 0, FLAGS,
            _HEADER.size, _SEGMENT.size, 1 + len(segments), 0, 0, 0,
        )
    )  # fmt: skip
    file.write(_SEGMENT.pack(PT_NOTE, 0, start, 0, 0, len(notes), 0, 4))
    for one in segments:
        size = one.size if one.kept else 0
        file.write(_SEGMENT.pack(PT_LOAD, one.flags, at, one.start, 0, size, one.size, PAGE))
        at += size
    file.write(notes)
    file.write(bytes(-file.tell() % PAGE))
    for one in segments:
        if not one.kept:
            continue
        for va in range(one.start, one.start + one.size, PAGE):
            if data := page(va):
                file.write(data.ljust(PAGE, b"\0"))
            else:
                file.seek(PAGE, 1)  # a hole reads as zeros
    file.truncate()


@dataclass(frozen=True)
class _Segment:
    start: int
    size: int
    flags: int  # PF_*
    kept: bool

    @staticmethod
    def of(one: Mapping) -> _Segment:
        flags = sum(
            bit
            for prot, bit in ((PROT_READ, 4), (PROT_WRITE, 2), (PROT_EXEC, 1))
            if one.prot & prot
        )
        return _Segment(one.start, one.end - one.start, flags, bool(one.prot))


# ---- Notes --------------------------------------------------------------------------------------


def _notes(view: DebugView, pid: int, first: int, signal: Signal, maps: list[Mapping]) -> bytes:
    tasks = sorted(view.tasks(pid), key=lambda task: (task.tid != first, task.tid))
    auxv = view.auxv(pid)
    notes = []
    for task in tasks:
        registers = view.registers(task.tid)
        assert registers is not None
        status = view.status(task.tid)
        deadly = signal if task.tid == first else Signal(0)
        notes.append(_note(NT_PRSTATUS, _thread(task, status, registers, signal, deadly)))
        if task is tasks[0]:
            words = arguments(view, pid, maps, auxv) or [task.name.encode()]
            notes.append(_note(NT_PRPSINFO, _process(task, status, words)))
            siginfo = _SIGINFO.pack(signal.number, 0, signal.code, signal.address)
            notes.append(_note(NT_SIGINFO, siginfo))
            notes.append(_note(NT_AUXV, auxv))
            notes.append(_note(NT_FILE, _files(maps)))
        notes.append(_note(NT_FPREGSET, _FLOATS.pack(*registers.f, registers.fcsr)))
    return b"".join(notes)


def _note(kind: int, data: bytes) -> bytes:
    head = _NOTE.pack(5, len(data), kind) + b"CORE\0\0\0\0"
    return head + data + bytes(-len(data) % 4)


def _thread(
    task: Task, status: Status, registers: Registers, signal: Signal, deadly: Signal
) -> bytes:
    number = signal.number
    pending = status.pending & ~(1 << deadly.number >> 1)  # it has been taken by then
    times = status.utime, status.stime, status.child_utime, status.child_stime
    timevals = [part for time in times for part in divmod(time // 1000, 1_000_000)]
    return _STATUS.pack(
        number, 0, 0, number, pending, status.blocked, task.tid, task.ppid, status.pgid, status.sid,
        *timevals, registers.pc, *registers.x[1:], 1,
    )  # fmt: skip


def _process(task: Task, status: Status, words: Iterable[bytes]) -> bytes:
    return _INFO.pack(
        0, ord("R"), 0, status.nice, 0, status.uid, status.gid, task.pid, task.ppid, status.pgid, status.sid, task.name.encode()[:15], b" ".join(words)[:79],
    )  # fmt: skip


def _files(maps: list[Mapping]) -> bytes:
    found = [one for one in maps if one.name.startswith("/")]
    rows = [struct.pack("<3Q", one.start, one.end, one.offset // PAGE) for one in found]
    names = [one.name.encode(errors="surrogateescape") + b"\0" for one in found]
    return struct.pack("<2Q", len(found), PAGE) + b"".join(rows) + b"".join(names)


def arguments(view: DebugView, pid: int, maps: list[Mapping], auxv: bytes) -> list[bytes]:
    """Return the words a process was started with: they stand before the auxiliary vector, behind
    their count and before the environment. None if the program has overwritten them.
    """
    for stack in (one for one in maps if one.name == "[stack]"):
        size = min(stack.end - stack.start, 1 << 20)
        memory = b"".join(
            view.memory(pid, va, PAGE).ljust(PAGE, b"\0")
            for va in range(stack.end - size, stack.end, PAGE)
        )
        at = memory.rfind(auxv)
        if at < 0:
            continue
        words = [word for (word,) in _WORD.iter_unpack(memory[at % 8 : at])]
        if not words or words.pop():
            continue
        while words and words[-1]:  # the environment
            words.pop()
        if words:
            words.pop()
        pointers: list[int] = []
        while words and words[-1] != len(pointers):
            pointers.insert(0, words.pop())
        return [view.memory(pid, one, PAGE).partition(b"\0")[0] for one in pointers if words]
    return []


def libraries(view: DebugView, pid: int) -> list[str]:
    """Return the paths by which the program's dynamic linker knows what it has loaded."""
    pairs = dict(struct.iter_unpack("<QQ", view.auxv(pid)))
    read = _Words(view, pid)
    found: list[str] = []
    at, size, count = (pairs.get(kind, 0) for kind in (AT_PHDR, AT_PHENT, AT_PHNUM))
    heads = [read.bytes(at + size * number, 56) for number in range(min(count, 64))]
    rows = [struct.unpack("<II6Q", head) for head in heads if len(head) == 56]
    moved = next((at - row[3] for row in rows if row[0] == PT_PHDR), 0)
    dynamic = next((moved + row[3] for row in rows if row[0] == PT_DYNAMIC), 0)
    while dynamic and (tag := read.word(dynamic)) and tag != DT_DEBUG:
        dynamic += 16
    link = read.word(read.word(dynamic + 8) + 8) if dynamic and tag == DT_DEBUG else 0
    while link and len(found) < 1000:
        name = read.bytes(read.word(link + 8), PAGE).partition(b"\0")[0]
        found.append(name.decode(errors="surrogateescape"))
        link = read.word(link + 24)
    return [name for name in found if name.startswith("/")]


class _Words:
    """A process's memory, in words; what is not there is zero."""

    def __init__(self, view: DebugView, pid: int) -> None:
        self._view, self._pid = view, pid

    def bytes(self, at: int, size: int) -> bytes:
        return self._view.memory(self._pid, at, size)

    def word(self, at: int) -> int:
        return int.from_bytes(self.bytes(at, 8), "little")
