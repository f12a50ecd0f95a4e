"""Linux's constants for riscv64 that host operations pass through: stable, not of our border.

System call numbers and errnos are not here: the kernel's text has them.
"""

from __future__ import annotations

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200

O_RDONLY = 0
O_WRONLY = 1
O_RDWR = 2
O_CREAT = 0o100
O_EXCL = 0o200
O_TRUNC = 0o1000
O_APPEND = 0o2000
O_NONBLOCK = 0o4000
O_DIRECTORY = 0o200000
O_CLOEXEC = 0o2000000

MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4

F_GETFL = 3
F_SETFL = 4

AF_INET = 2
SOCK_STREAM = 1
SOCK_CLOEXEC = 0o2000000
SHUT_WR = 1

TIOCSWINSZ = 0x5414

SIGINT = 2
SIGKILL = 9
SIGTERM = 15

UTIME_OMIT = (1 << 30) - 2

STATX_BASIC_STATS = 0x7FF
STATX_SIZE = 256

_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
SIGNALS = _NAMES.split()


def signal_number(signal: int | str) -> int:
    """Return the number of a signal given by number or by name, with or without SIG."""
    if isinstance(signal, int):
        return signal
    name = signal.upper().removeprefix("SIG")
    if name.isdigit():
        return int(name)
    if name not in SIGNALS:
        raise ValueError(f"unknown signal {signal!r}")
    return SIGNALS.index(name) + 1


def signal_name(number: int) -> str:
    """Return the name of a signal, with SIG."""
    return f"SIG{SIGNALS[number - 1]}" if 0 < number <= len(SIGNALS) else f"SIGRT{number}"


def wait_status(status: int) -> tuple[int, int | None]:
    """Return (exit code, signal or None) of a wait status; death by a signal is 128 + signal."""
    signal = status & 0x7F
    if signal:
        return 128 + signal, signal
    return status >> 8 & 0xFF, None
