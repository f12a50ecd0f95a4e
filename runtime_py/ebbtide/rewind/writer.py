"""Which system call of which process has put out a byte of a run's output.

A tape has what the host has read, and not who wrote it. So the byte is looked for in what the writes are seen
to have written, and the last one that has it counts: a likely answer, and none if no write shows it.
"""

from __future__ import annotations

import ast
import contextlib
import re
import shlex

from .moment import Moment
from .processes import PROCESS_TAPS, Processes
from .replay import Replay
from .syscalls import call_name
from .taps import Tap, watch

_CALLS = ("write", "writev")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_COMMAND = 60  # characters of it that are shown


def writer_of(replay: Replay, stream: bytes, at: int, tick: int, *, tty: bool = False) -> str:
    """Name the process and its call that put out byte `at` of a stream, which the host had by a tick; "" if
    none is seen to.
    """
    processes, said = Processes(), ""

    def see(tap: Tap) -> None:
        nonlocal said
        if tap.what != "RETURN":
            processes.see(tap)
            return
        text = tap.data.decode("utf-8", "backslashreplace")
        if call_name(text) in _CALLS and _has(stream, at, text, tap.args[1], tty):
            process = processes.find(tap.pid)
            command = shlex.join(process.command) if process else ""
            if len(command) > _COMMAND:
                command = command[:_COMMAND] + "…"
            said = f"process {tap.pid} ({command}): {text}"

    watch(replay, (*PROCESS_TAPS, "RETURN"), see, Moment(tick=tick + 1))
    return said


def _has(stream: bytes, at: int, text: str, size: int, tty: bool) -> bool:
    """Tell whether a write of `size` bytes, of which its text shows the first, may be where byte `at` is from."""
    shown = _shown(text)[: max(0, size)]
    if tty:  # which shows each end of a line as two
        size += shown.count(b"\n")
        shown = shown.replace(b"\n", b"\r\n")
    return bool(shown) and stream.find(shown, max(0, at - size + 1), at + len(shown)) >= 0


def _shown(text: str) -> bytes:
    """Return the bytes that a call's text shows, up to the first that it leaves out."""
    found = b""
    for match in _TEXT.finditer(text):
        with contextlib.suppress(SyntaxError, ValueError):
            found += ast.literal_eval(f'b"{match[1]}"')
        if match[2]:
            break
    return found
