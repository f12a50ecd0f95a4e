"""The two borders of the kernel as the runtime sees them.

`Port` is one hart's side, used by a thread role only: step and deliver, nothing else can change the
guest's future. `HostPort` is the kernel role's side: it appends to the inbox, drains the outbox and
never enters the machine. Implementations: wasmtime_port (CPython), browser/pyodide_port, fake_port
(tests); recording wraps any Port.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from .abi import Abi, Buffer, Status, Struct

NO_DEADLINE = (1 << 64) - 1
JIT_SLOTS = 32768  # of a hart's function table, for compiled code
JIT_THRESHOLD = 10000  # entries that make guest code worth an optimising compiler, three times as many while it is at work
JIT_THRESHOLD_KEPT = 1000  # the same if later runs profit, too
JIT_EARLY = 1  # the same for code that was kept from an earlier run: it only must be loaded
JIT_THRESHOLD_TIERED = 3000  # the same for an engine that compiles quickly at first
JIT_REST_NS = 10_000_000  # parked for so long, a hart looks whether there is something to compile
JIT_REST_TIERED_NS = 50_000_000  # the same in a page, which fetches what programs read
JIT_PACE = 3_000  # ticks for each instruction compiled: such an engine's threads compete with harts
JIT_EARLY_TIERED = 100  # such an engine compiles kept code anew, but not in the hart


class Wake(enum.Enum):
    """How a park ended, in the order of k_park's answers."""

    WOKEN = 0
    MOVED = 1
    TIMED_OUT = 2


class Control(enum.Enum):
    """What a hart's control word asks of its loop; the kernel role writes it, then rings."""

    RUN = 0
    FREEZE = 1
    STOP = 2


@dataclass(frozen=True)
class Seat:
    """What a worker needs to become a hart; plain integers, made by the kernel role."""

    hart: int
    stack: int  # value for __stack_pointer, set before any other call
    report: int  # address of struct report
    control: int  # address of the control word
    order: int = 0  # address of struct order_log, if several harts are recorded


@dataclass(frozen=True)
class Report:
    """What the kernel says about the last step of a hart."""

    status: Status
    tid: int = 0
    pid: int = 0
    nr: int = 0
    pc: int = 0
    tick: int = 0
    now_ns: int = 0
    deadline_ns: int = NO_DEADLINE
    retired: int = 0
    steps: int = 0
    seen: int = 0
    call_seq: int = 0
    outbox: int = 0
    detail: int = 0
    moment: int = 0
    order: int = 0

    @staticmethod
    def read(abi: Abi, layout: Struct, data: Buffer) -> Report:
        """Decode struct report."""
        values = layout.integers(data)
        return Report(abi.status(values.pop("status")), **values)


class Port(Protocol):
    """One hart's side of the kernel."""

    abi: Abi
    hart: int

    def step(self, budget: int) -> Status:
        """Run for at most `budget` ticks."""

    def report(self) -> Report:
        """Read the report of the last step."""

    def deliver(self, event: bytes) -> None:
        """Hand one event to the machine; only between steps."""

    def mail_take(self) -> bytes | None:
        """Take the oldest event of the inbox."""

    def park(self, seen: int, timeout_ns: int | None) -> Wake:
        """Sleep until the doorbell differs from `seen` or the time is over."""

    def control(self) -> Control:
        """Read the control word."""

    def fail(self) -> None:
        """Tell the other harts that this one's step ended in a trap: nobody may wait for it."""

    def read(self, address: int, length: int) -> bytes:
        """Copy memory out, for a panic's message."""

    def jit_install(self, module: int) -> None:
        """Compile the module that JIT_READY names and install it in this hart's instance, at once
        or before a later step. Not an event: no machine page depends on it.
        """


class HostPort(Protocol):
    """The kernel role's side of the kernel."""

    abi: Abi

    def attach(self, ram_pages: int, harts: int) -> None:
        """Build the private region; once per memory."""

    def seat(self, hart: int) -> Seat:
        """Prepare a hart's stack, caches and control word."""

    def post(self, event: bytes) -> None:
        """Append an event to the inbox; a hart will deliver it."""

    def outbox(self) -> Iterator[bytes]:
        """Take records out of the outbox until it is empty."""

    def control_set(self, seat: Seat, control: Control) -> None:
        """Write a hart's control word and ring it."""

    def jit_counters(self, hart: int) -> dict[str, int]:
        """Read what a hart's compiler has done; zeros if there is none."""

    def freeze(self, on: bool) -> int:
        """Keep harts out of their steps; answers how many are still inside."""

    def digest(self) -> bytes:
        """Return the SHA-256 over all machine pages; only while frozen."""

    def read(self, address: int, length: int) -> bytes:
        """Copy memory out."""


class Compiling(Protocol):
    """A hart's compiled code."""

    def rest(self) -> bool:
        """While no guest code runs: install what is there, send what waits. False: there is nothing to do."""


def park_compiling(
    park: Callable[[int, int | None], Wake],
    code: Compiling | None,
    rest_ns: int,
    seen: int,
    timeout_ns: int | None,
) -> Wake:
    """Park a hart; each `rest_ns` of that, as long as there is something to compile, send more."""
    until = None if timeout_ns is None else time.monotonic_ns() + timeout_ns
    while code and (timeout_ns is None or timeout_ns > rest_ns):
        wake = park(seen, rest_ns)
        if wake is not Wake.TIMED_OUT:
            return wake
        timeout_ns = until and max(0, until - time.monotonic_ns())
        if not code.rest():
            break
    return park(seen, timeout_ns)


def signed32(value: int) -> int:
    """Make an address or an unsigned word passable as wasm i32."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def unsigned32(value: int) -> int:
    """Undo the sign that an i32 result of 2^31 or more arrives with."""
    return value & 0xFFFFFFFF


def split64(value: int) -> tuple[int, int]:
    """Pass a 64-bit value as two i32 (low, high)."""
    return signed32(value), signed32(value >> 32)
