"""What guest programs say under policies: the same lines in both ports, on one hart and on two.

The programs do not know the policy; each line is the name of an attempt and what it answered. On Linux, where
nothing is refused, they say what they say here when all is admitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ADMIT = {"clone": "admit", "exec": "admit"}
EXEC_ERRORS = """\
exec of nothing: ENOENT
exec of text: ENOEXEC
exec below a file: ENOTDIR
exec without interpreter: ENOENT
exec of half a program: ENOEXEC
exec without permission: EACCES
exec of a directory: EACCES
"""
WAYS = (
    "vfork",
    "vfork and exec",
    "vfork and exec of nothing",
    "vfork without sharing",
    "fork",
    "clone3",
    "clone3 with a pidfd",
    "thread",
)
DESCRIPTORS = (
    "separate descriptors",
    "separate descriptors, one memory",
    "one table of descriptors",
    "the end of a pipe",
)
BECOMING = ("fork and exec", "vfork and exec")
FUTEXES = ("the one that waits", "the one that wakes")


def lines(names: tuple[str, ...], answer: str) -> str:
    return "".join(f"{name}: {answer}\n" for name in names)


def calls(clone: str = "ok", exec: str = "ok") -> str:
    said = lines(WAYS, clone)
    if clone == "ok":
        said = said.replace("vfork and exec: ok\n", f"vfork and exec: ok, its exec: {exec}\n")
    return f"{said}{EXEC_ERRORS}exec: {exec}\nok\n"


def isolation(clone: str = "ok", exec: str = "ok") -> str:
    became = clone if clone != "ok" or exec == "ok" else f"its exec: {exec}"
    return lines(DESCRIPTORS, clone) + lines(BECOMING, became) + "ok\n"


def threads(clone: str = "ok", exec: str = "ok") -> str:
    thread = "ok" if clone == "ok" else "EAGAIN"  # libc's word for whatever the errno was
    said = f"{lines(('fork', 'vfork'), clone)}thread: {thread}\nthen\nexec: {exec}\n"
    return said + ("ok\n" if exec == "ok" else "the threads went on\nok\n")


def futexes(first: str = "ok", second: str = "ok") -> str:
    return lines(FUTEXES[:1], first) + lines(FUTEXES[1:], second) + "ok\n"


@dataclass(frozen=True)
class Case:
    """One machine: its policy, the programs that run in it in this order, and what they print."""

    name: str
    policy: dict[str, Any] | None
    says: dict[str, str]


OF_OTHERS = ("process/vfork", "process/exec", "process/fork", "process/clone", "process/threads",
             "futex/words", "futex/locks", "futex/robust")  # fmt: skip
CASES = (
    Case(
        "all admitted",
        ADMIT,
        {
            "admission/calls": calls(),
            "admission/isolation": isolation(),
            "admission/threads": threads(),
            "admission/futexes": futexes(),
            **dict.fromkeys(OF_OTHERS, "ok\n"),
        },
    ),
    Case(
        "clones refused",
        {"clone": "EAGAIN"},
        {
            "admission/calls": calls("EAGAIN"),
            "admission/isolation": isolation("EAGAIN"),
            "admission/futexes": futexes("EAGAIN", "EAGAIN"),
        },
    ),
    Case(
        "execs refused",
        {"exec": "EPERM"},
        {
            "admission/calls": calls(exec="EPERM"),
            "admission/isolation": isolation(exec="EPERM"),
            "admission/threads": threads(exec="EPERM"),
        },
    ),
    Case(
        "refused while two threads run",
        {"clone": {"error": "ENOMEM", "after": 2}, "exec": "EACCES"},
        {
            "admission/threads": threads("ENOMEM", "EACCES"),
            "admission/calls": calls("ENOMEM", "EACCES"),
        },
    ),
    Case(
        "the second clone refused, and no other",
        {"clone": {"error": "EPERM", "after": 1, "times": 1}},
        {"admission/futexes": futexes("ok", "EPERM"), "admission/calls": calls()},
    ),
)
