"""What a Machine is booted with, and what it needs from whoever runs its roles.

A placement maps roles to workers. Machine knows only this protocol, so the same class runs over OS
threads and inside a browser's kernel worker.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from .abi import Abi
from .chaos import Chaos
from .kernel_role import Listener
from .policy import Limits, Policy
from .recording import Recorder
from .stats import Stats

Progress: TypeAlias = Callable[[str, int, int], None]
IMAGE = "base"  # unless another is named
MEMORY = 1 << 30
MEMORY_LEAST = 256 << 20  # of what a host refuses, half is asked for, down to this
MEMORY_MIN = 16 << 20  # less holds no image
HARTS_MOST = 4  # unless more are asked for
JIT_MODES = ("on", "off", "verify")
JIT = "on"  # unless a machine is booted otherwise


@dataclass(frozen=True)
class Mount:
    """A directory of the host that the guest sees."""

    host: str
    guest: str
    read_only: bool = False

    def checked(self) -> Self:
        """Return it with the host's path made absolute, or raise ValueError."""
        host = os.path.abspath(self.host)
        if not os.path.exists(host):
            raise ValueError(f"volume {self.host}: the host has no such directory ({host})")
        if not os.path.isdir(host):
            raise ValueError(
                f"volume {self.host}: this is a file, and only a directory can be shown; "
                f"show the one it is in: {os.path.dirname(host)}"
            )
        if not self.guest.startswith("/"):
            raise ValueError(
                f"volume {self.host}: the guest's path must begin with /, not {self.guest!r}"
            )
        return replace(self, host=host)


def check_env(env: object) -> None:
    """Refuse what is no mapping, and variables that a program would read as others."""
    if not isinstance(env, Mapping):
        raise TypeError(f"env is a mapping of names to values, not {env!r}")
    for name, value in env.items():
        if not name or "=" in str(name) or "\0" in f"{name}{value}":
            raise ValueError(
                f"env: no variable can be {name!r} with the value {value!r}: a name is not empty "
                "and has no =, and neither has a NUL"
            )


@dataclass(frozen=True)
class Options:
    """How a machine is booted; the same names everywhere."""

    image: str | None = IMAGE
    harts: int | None = None
    cpus: int | None = None
    memory: int = MEMORY
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | int = "root"
    limits: Limits = field(default_factory=Limits)
    record: bool | Recorder = False  # into the store of runs, or into something of the caller's
    about: Mapping[str, Any] = field(default_factory=dict)  # goes to the tape's first entry
    strace: bool = False
    time: str = "host"
    hostname: str = "ebb"
    seed: bytes | None = None
    chaos: Chaos | None = None  # what is to go wrong
    snapshot: str | None = None  # go on from it instead of booting
    reseed: bool = True  # then: as another machine, which draws other random numbers
    policy: Policy | None = None
    mounts: tuple[Mount, ...] = ()
    budget: int | None = None
    jit: str = JIT
    jit_threshold: int | None = None  # entries that make code worth compiling
    keep_code: bool = True  # compiled code is kept for later machines
    jit_dump: str | None = None  # folder for compiled code as text; natively
    on_progress: Progress | None = None

    def checked(self, harts_most: int, memory_most: int) -> Self:
        """Return the options with paths made absolute, or raise ValueError."""
        harts = self.harts
        if harts is not None and (type(harts) is not int or not 1 <= harts <= harts_most):
            raise ValueError(f"harts is a whole number from 1 to {harts_most}, not {harts!r}")
        if self.jit not in JIT_MODES:
            raise ValueError(f"jit is on, off or verify, not {self.jit!r}")
        check_env(self.env)
        if type(self.record) is not bool and not hasattr(self.record, "append"):
            raise TypeError(f"record is True or False, not {self.record!r}")
        if self.seed is not None and type(self.seed) is not bytes:
            raise TypeError(f"seed is a whole number, not {self.seed!r}")
        memory = min(self.memory, self.limits.memory or self.memory)
        if memory < MEMORY_MIN:
            raise ValueError(
                f"memory is at least {MEMORY_MIN >> 20}M, not {memory} bytes"
                + (
                    f"; a bare number is bytes: did you mean {memory}M?"
                    if MEMORY_MIN >> 20 <= memory <= 4096
                    else ""
                )
            )
        if memory > memory_most:
            raise ValueError(f"memory is at most {memory_most >> 20}M, not {memory} bytes")
        for mount in self.mounts:
            if not isinstance(mount, Mount):
                raise TypeError(f"mounts has Mount(host, guest, read_only=False), not {mount!r}")
        mounts = tuple(mount.checked() for mount in self.mounts)
        return replace(self, memory=memory, mounts=mounts)

    def harts_wanted(self, cores: int) -> int:
        """Return how many harts step: one to verify, and in virtual time; and unless more are asked for,
        one with a seed or chaos, for what they choose is to come out the same each time.
        """
        one = self.jit == "verify" or self.time == "virtual"
        if self.time not in ("host", "virtual"):
            raise ValueError(f"time is host or virtual, not {self.time!r}")
        if one and self.harts not in (None, 1):
            raise ValueError("a verified machine, and one in virtual time, has one hart")
        chosen = self.seed is not None or self.chaos is not None
        return 1 if one else self.harts or (1 if chosen else min(cores, HARTS_MOST))


def about_chaos(options: Options) -> dict[str, Any]:
    """Return what a tape says of what was to go wrong."""
    chaos = options.chaos
    return {"chaos": str(chaos), "seed": chaos.seed} if chaos else {}


class Placement(Protocol):
    """Runs the roles of one machine."""

    abi: Abi

    async def start(self, options: Options, listener: Listener) -> None:
        """Make memory and workers, and deliver BOOT."""

    def post(self, event: bytes) -> None:
        """Append an event to the inbox."""

    async def hint(self, command: str) -> str | None:
        """Name another image that has a command, if one is known."""

    async def stats(self) -> Stats:
        """Freeze, read what the harts have done, thaw."""

    async def digest(self) -> bytes:
        """Freeze, hash all machine pages, thaw."""

    async def close(self) -> None:
        """Stop the harts and give everything back."""


@runtime_checkable
class SnapshotPlacement(Protocol):
    """A placement whose machines can be kept and gone on with."""

    async def snapshot(
        self, ping: Callable[[], Awaitable[tuple[int, tuple[int, ...]]]], options: Options
    ) -> str:
        """Freeze, keep all pages, thaw; `ping` goes through the inbox and says what calls wait."""

    def left_over(self) -> tuple[int, tuple[int, ...]]:
        """Return the last id of an agent call, and those that wait, of the snapshot begun with."""
