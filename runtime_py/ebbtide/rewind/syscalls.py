"""System calls of a run in strace's format, and what of them concerns files and signals."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from typing import Any

from .. import linux
from .processes import CLONE_THREAD, strings
from .taps import Tap, seconds

SYSCALL_TAPS = ("CALL", "RETURN", "CLONE", "EXEC", "EXIT", "DELIVERED")
FILE_TAPS = ("OPEN", "RETURN", "EXEC")
SIGNAL_TAPS = ("SENT", "DELIVERED")

# Calls that name a file, besides those that open one.
FILE_CALLS = frozenset(
    [
        "mknodat",
        "mkdirat",
        "unlinkat",
        "symlinkat",
        "linkat",
        "renameat2",
        "truncate",
        "fchmodat",
        "fchmodat2",
        "fchownat",
        "utimensat",
        "faccessat",
        "faccessat2",
        "readlinkat",
        "newfstatat",
        "statx",
        "chdir",
        "chroot",
        "execve",
        "execveat",
        "mount",
        "umount2",
        "setxattr",
        "lsetxattr",
        "removexattr",
        "lremovexattr",
        "statfs",
    ]
)
_OPEN_WORDS = {
    0o100: "O_CREAT",
    0o200: "O_EXCL",
    0o1000: "O_TRUNC",
    0o2000: "O_APPEND",
    0o4000: "O_NONBLOCK",
    0o200000: "O_DIRECTORY",
    0o400000: "O_NOFOLLOW",
    0o2000000: "O_CLOEXEC",
    0o10000000: "O_PATH",
}
_CODES = {0: "SI_USER", 128: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -6: "SI_TKILL"}
_CODES_OF = {
    "SIGCHLD": [
        "CLD_EXITED",
        "CLD_KILLED",
        "CLD_DUMPED",
        "CLD_TRAPPED",
        "CLD_STOPPED",
        "CLD_CONTINUED",
    ],
    "SIGSEGV": ["SEGV_MAPERR", "SEGV_ACCERR"],
    "SIGBUS": ["BUS_ADRALN", "BUS_ADRERR"],
    "SIGTRAP": ["TRAP_BRKPT"],
    "SIGILL": ["ILL_ILLOPC"],
}


def _code(signal: str, code: int) -> str:
    names = _CODES_OF.get(signal, [])
    return names[code - 1] if 0 < code <= len(names) else _CODES.get(code, str(code))


def aligned(line: str) -> str:
    """Return a line of a trace with the call's result in column 40, as strace has it."""
    call, equals, result = line.rpartition(") = ")
    return f"{call + ')':<39} = {result}" if equals else line


def call_name(text: str) -> str:
    """Return a call's name of its text."""
    return text.partition("(")[0]


class Syscalls:
    """Takes taps; hands each finished call, and each end and signal, to `line` as text and data.

    Without `follow` only the processes that the host has started are shown, as strace has it.
    """

    def __init__(
        self,
        line: Callable[[Tap, str, dict[str, Any]], None],
        *,
        follow: bool = True,
        pids: Container[int] = (),
        calls: Container[str] = (),
    ) -> None:
        self._line = line
        self._follow = follow
        self._pids = pids
        self._calls = calls
        self._begun: dict[int, Tap] = {}  # by tid
        self._children: set[int] = set()  # pids that a program has made

    def see(self, tap: Tap) -> None:
        """Take the next tap."""
        if tap.what == "CLONE":
            if not tap.args[2] & CLONE_THREAD:
                self._children.add(tap.pid)
            return
        if tap.what == "CALL":
            self._begun[tap.tid] = tap
        elif tap.what == "RETURN":
            self._call(self._begun.pop(tap.tid, tap), tap, tap.data.decode(), tap.args[1])
        elif tap.what == "EXEC":
            self._exec(tap)
        elif tap.what == "DELIVERED":
            name = linux.signal_name(tap.args[0])
            code = _code(name, tap.args[1])
            self._other(tap, f"--- {name} {{si_signo={name}, si_code={code}}} ---", "signal")
        elif tap.what == "EXIT":
            if begun := self._begun.pop(tap.tid, None):
                text = begun.data.decode()
                if not call_name(text).startswith("exit"):
                    text = text.removesuffix(") = ?") + " <unfinished ...>"
                self._call(begun, tap, text, None)
            status, signal = linux.wait_status(tap.args[0])
            how = (
                f"exited with {status}"
                if signal is None
                else f"killed by {linux.signal_name(signal)}"
            )
            self._other(tap, f"+++ {how} +++", "exit")

    def finish(self) -> None:
        """Show what had not ended when the run did."""
        for begun in sorted(self._begun.values(), key=lambda tap: tap.tick):
            text = begun.data.decode().removesuffix(") = ?") + " <unfinished ...>"
            self._call(begun, begun, text, None)
        self._begun.clear()

    def _shown(self, tap: Tap) -> bool:
        if self._pids:
            return tap.pid in self._pids or tap.tid in self._pids
        return self._follow or tap.pid not in self._children

    def _call(self, begun: Tap, ended: Tap, text: str, result: int | None) -> None:
        name = call_name(text)
        if not self._shown(begun) or (self._calls and name not in self._calls):
            return
        said: dict[str, Any] = {"call": name, "text": text, "result": result}
        said["end"] = {"tick": ended.tick, "ns": ended.now_ns}
        self._line(begun, text, said)

    def _exec(self, tap: Tap) -> None:
        begun = self._begun.pop(tap.tid, None) or self._begun.pop(tap.pid, tap)
        path, *args = strings(tap.data)
        shown = ", ".join(json.dumps(text, ensure_ascii=False) for text in args)
        text = f"execve({json.dumps(path, ensure_ascii=False)}, [{shown}], …) = 0"
        self._call(begun, tap, text, 0)

    def _other(self, tap: Tap, text: str, kind: str) -> None:
        if self._shown(tap) and not self._calls:
            self._line(tap, text, {kind: text[4:-4]})


def file_line(tap: Tap, errno_name: Callable[[int], str]) -> tuple[str, dict[str, Any]] | None:
    """Return what a tap of FILE_TAPS says of a file as text and as data."""
    if tap.what == "OPEN":
        directory, flags, mode, result = tap.args[:4]
        path = tap.data.decode("utf-8", "backslashreplace")
        words = [("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[flags & 3]]
        words += [word for bit, word in _OPEN_WORDS.items() if flags & bit]
        at = "" if path.startswith("/") or directory == linux.AT_FDCWD else f"[{directory}]/"
        ended = "" if result >= 0 else f" = {errno_name(result)}"
        said = {"call": "open", "path": path, "directory": directory, "flags": flags}
        said |= {"mode": mode, "result": result}
        return f"open {'|'.join(words)} {at}{path}{ended}", said
    if tap.what == "EXEC":
        path, *args = strings(tap.data)
        return f"exec {path}", {"call": "exec", "path": path, "args": args, "result": 0}
    text = tap.data.decode("utf-8", "backslashreplace")
    if tap.what != "RETURN" or (name := call_name(text)) not in FILE_CALLS:
        return None
    return text, {"call": name, "text": text, "result": tap.args[1]}


def signal_line(tap: Tap) -> tuple[str, dict[str, Any]]:
    """Return what a tap of SIGNAL_TAPS says as text and as data."""
    name = linux.signal_name(tap.args[0])
    code = _code(name, tap.args[1])
    said: dict[str, Any] = {"signal": name, "code": code}
    if tap.what == "SENT":
        sender = f" by {tap.args[2]}" if tap.args[2] else ""
        whom = f"task {tap.tid}" if tap.args[3] else f"process {tap.pid}"
        said |= {"event": "sent", "sender": tap.args[2] or None, "to": whom}
        return f"{name} sent to {whom}{sender} ({code})", said
    handler = tap.args[2]
    how = {0: "default action", 1: "ignored", -1: "taken by a wait"}.get(
        handler, f"handler {handler:#x}"
    )
    said |= {"event": "delivered", "action": how}
    fault = f", address {tap.args[3] & (1 << 64) - 1:#x}" if tap.args[1] > 0 and tap.args[3] else ""
    return f"{name} delivered ({code}): {how}{fault}", said


def stamp(tap: Tap) -> dict[str, Any]:
    """Return when a tap was, and whose, as data."""
    return {"tick": tap.tick, "ns": tap.now_ns, "pid": tap.pid, "tid": tap.tid}


def when(tap: Tap) -> str:
    """Return when a tap was as text."""
    return seconds(tap.now_ns)
