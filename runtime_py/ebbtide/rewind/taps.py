"""Taps as Python values, and the replay that gathers them.

Which taps there are, and what their arguments mean, stands in the kernel's abi.h.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from ..abi import Abi
from .moment import Moment
from .replay import Replay


@dataclass(frozen=True, slots=True)
class Tap:
    """One thing that a program did."""

    what: str
    tick: int
    now_ns: int  # since boot
    real_ns: int  # since 1970
    pid: int
    tid: int
    args: tuple[int, ...]
    data: bytes


class Taps:
    """Decodes the outbox's TAP records."""

    def __init__(self, abi: Abi) -> None:
        self._struct = abi.structs["out_tap"]
        self._number = abi.out["TAP"]
        self._names = {number: name for name, number in abi.groups["tap"].items()}

    def decode(self, record: bytes) -> Tap | None:
        """Return the tap; None if the record is of another kind."""
        if int.from_bytes(record[:4], "little") != self._number:
            return None
        words = self._struct.integers(record)
        raw = self._struct.raw(record, "args")
        args = tuple(
            int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)
        )
        begin = self._struct.size
        return Tap(
            self._names[words["what"]],
            words["tick"],
            words["now_ns"],
            words["real_ns"],
            words["pid"],
            words["tid"],
            args,
            record[begin : begin + words["data_len"]],
        )


class Enough(Exception):
    """The rest of a replay is not wanted."""


def watch(
    replay: Replay,
    names: tuple[str, ...],
    see: Callable[[Tap], object],
    until: Moment | None = None,
) -> None:
    """Replay a run from its beginning to `until` or its end, and hand each tap of these to `see`."""
    taps = Taps(replay.abi)

    def record(_: int, data: bytes) -> None:
        tap = taps.decode(data)
        if tap is None:
            return
        if until is not None and not until.after(tap):
            raise Enough
        see(tap)

    replay.on_record = record
    replay.tap(*names)
    with contextlib.suppress(Enough):
        replay.run()


def seconds(now_ns: int) -> str:
    """Write a time since boot."""
    return f"{now_ns // 10**9}.{now_ns // 1000 % 10**6:06}"
