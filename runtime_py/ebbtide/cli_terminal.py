"""The user's own terminal while a guest writes to it: what may pass, raw mode, and its restoration.

A terminal does more than show: it answers questions (and the answers are typed input, for whoever
reads next), takes clipboard contents, titles and files. `Screen` lets through what draws, by lists
of what is known to be harmless, and drops the rest; what is not a terminal gets every byte. The
terminal's state comes back whatever happens, even if this process is killed.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

# Final letters of control sequences without a mark: cursor, erasing, scrolling, colours, tabs.
DRAWING = frozenset("ABCDEFGHIJKLMPSTXZ@`abdefgmrsu")
ANSI_MODES = frozenset((4, 20))
# Modes that change how things look or which keys and clicks are sent, each with its reset.
MODES = frozenset(
    (1, 5, 6, 7, 12, 25, 45, 47, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016)
    + (1047, 1048, 1049, 2004, 2026)
)
ON_AT_FIRST = frozenset((7, 25))
PLAIN_ESCAPES = frozenset("78=>DEHMc")
LINKS = re.compile(r"8;[^;]*;(?:(?:https?|mailto):[\x20-\x7e]*)?")
HELD_MOST = 4096  # characters of a sequence that has not ended; a longer one is dropped

_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]+|[\a\b\t\n\v\f\r\x0e\x0f]+")
_CSI = re.compile(r"\x1b\[([<=>?]?)([0-9;:]*)([ -/]*)([@-~])")
_CSI_BEGUN = re.compile(r"\x1b\[[<-?]?[0-9;:]*[ -/]*\Z")
_STRING = re.compile(r"\x1b[\]PX^_k]")  # ends by ST, some by BEL, all by CAN or SUB
_STRING_END = re.compile(r"\a|\x1b\\|[\x18\x1a]|(?=\x1b[^\\])")
_CHARSET = re.compile(r"\x1b(?:[()*+][0-9A-Z]|#[3-8])")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return text for a message, control characters written out."""
    return _UNSEEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class Screen:
    """The way of one guest stream to a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._dropping = False  # inside a string that is too long
        self._changed: set[int] = set()  # modes that are not as at first
        self._ansi: set[int] = set()
        self._drawn = self._region = self._shape = self._link = False

    def let(self, data: bytes) -> bytes:
        """Return what of the data may reach the terminal."""
        text = self._held + self._decoder.decode(data)
        self._held = ""
        out: list[str] = []
        at = 0
        while at < len(text):
            if self._dropping:
                end = _STRING_END.search(text, at)
                if not end:
                    self._held = text[-1] if text[-1] == "\x1b" else ""
                    break
                at, self._dropping = end.end(), False
            elif found := _TEXT.match(text, at):
                out.append(found[0])
                at = found.end()
            elif text[at] != "\x1b":
                at += 1  # a control that draws nothing, a C1 control
            else:
                at = self._escape(text, at, out)
                if at < 0:
                    break
        return "".join(out).encode()

    def _escape(self, text: str, at: int, out: list[str]) -> int:
        """Take one escape sequence; return where it ends, or -1 if more of it is to come."""
        self._drawn = True
        if found := _CSI.match(text, at):
            if self._control(*found.groups()):
                out.append(found[0])
            return found.end()
        if _STRING.match(text, at):
            end = _STRING_END.search(text, at + 2)
            if not end:
                return self._hold(text, at, string=True)
            body = text[at + 2 : end.start()]
            if text[at + 1] == "]" and end[0] in ("\a", "\x1b\\") and LINKS.fullmatch(body):
                out.append(f"\x1b]{body}\x1b\\")
                self._link = not body.endswith(";")
            return end.end()
        if found := _CHARSET.match(text, at):
            out.append(found[0])
            return found.end()
        after = text[at + 1 : at + 2]
        if not after or _CSI_BEGUN.match(text, at) or after in "()*+#" and len(text) == at + 2:
            return self._hold(text, at)
        if after in PLAIN_ESCAPES:
            out.append(text[at : at + 2])
            if after == "c":
                self._changed.clear()
            return at + 2
        return at + 1  # the rest of an unknown one is text, which harms nobody

    def _hold(self, text: str, at: int, string: bool = False) -> int:
        if len(text) - at <= HELD_MOST:
            self._held = text[at:]
            return -1
        self._dropping = string
        if string and text[-1] == "\x1b":
            self._held = "\x1b"
        return -1

    def _control(self, mark: str, numbers: str, between: str, final: str) -> bool:
        """Tell whether a control sequence may pass."""
        if between:
            self._shape = self._shape or (between, final) == (" ", "q")
            return not mark and (between, final) in ((" ", "q"), ("!", "p"))
        if final in "hl":
            modes = {int(number) for number in numbers.split(";") if number.isdecimal()}
            known, changed = {"": (ANSI_MODES, self._ansi), "?": (MODES, self._changed)}.get(
                mark, (frozenset[int](), set[int]())
            )
            if not modes or not modes <= known:
                return False
            for mode in modes:
                first = mark == "?" and mode in ON_AT_FIRST
                (changed.discard if (final == "h") == first else changed.add)(mode)
            return True
        if mark == "?":
            return final in "JK"
        if final == "r":
            self._region = True
        return not mark and final in DRAWING and (final != "T" or ";" not in numbers)

    def reset(self) -> bytes:
        """Return what brings the terminal back to what it was before the guest wrote."""
        if not self._drawn:
            return b""
        back = ["\x1b]8;;\x1b\\"] if self._link else []
        back += [f"\x1b[{mode}l" for mode in sorted(self._ansi)]
        back += [
            f"\x1b[?{mode}{'h' if mode in ON_AT_FIRST else 'l'}" for mode in sorted(self._changed)
        ]
        back += ["\x1b7\x1b[r\x1b8"] if self._region else []
        back += ["\x1b[0 q"] if self._shape else []
        return "".join([*back, "\x1b>\x1b(B\x0f\x1b[0m"]).encode()


# ---- Raw mode ------------------------------------------------------------------------------------


def window() -> tuple[int, int]:
    """Return rows and columns of our terminal."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 24, 80
    return size.lines or 24, size.columns or 80


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Hold the terminal in raw mode; what was typed for the guest is not left to the shell."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    with _guarded(fd):
        tty.setraw(fd, termios.TCSADRAIN)  # what was typed ahead is the guest's
        try:
            yield
        finally:
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)


# Waits for a word; at the end of its input without one it restores the terminal.
_GUARD = (
    'trap "" HUP INT TERM; s=$(stty -g <"$1") && echo && read -r x; [ "$x" ] || stty "$s" <"$1"'
)


@contextlib.contextmanager
def _guarded(fd: int) -> Iterator[None]:
    """Have a process of its own restore the terminal if this one is killed."""
    guard = None
    with contextlib.suppress(OSError):
        guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", os.ttyname(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert guard.stdout
        guard.stdout.readline()  # it knows the state now
    try:
        yield
    finally:
        if guard:
            guard.communicate(b"done\n")
