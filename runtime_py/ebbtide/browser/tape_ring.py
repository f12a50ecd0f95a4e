"""Both ends of the ring (sdk/src/worker/tape_ring.ts) by which a hart says what it has delivered.

The hart writes and goes on. The kernel worker has the bytes of all that it posted, in the order of
the inbox, so of those events the ring holds only the ticks.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..port import Port
from ..recording import EVENT, Entry, RecordingPort

_ENTRY = struct.Struct("<dII")
_FROM_INBOX = 0xFFFFFFFF


class _Held:
    """What an event's hart holds from when it tells of it until it is delivered."""

    def __init__(self, ring: Any) -> None:
        self._hold = ring.hold
        self._release = ring.release

    def __enter__(self) -> None:
        self._hold()

    def __exit__(self, *exc: object) -> None:
        self._release()


class RingPort(RecordingPort):
    """A Port that tells a ring of each event it delivers."""

    def __init__(self, port: Port, ring: Any) -> None:
        super().__init__(port, self, _Held(ring))
        self._own = ring.own
        self._own_bytes = ring.own.length
        self._inbox = ring.inbox
        self._put = ring.put
        self._taken: bytes | None = None

    def mail_take(self) -> bytes | None:
        self._taken = self._port.mail_take()
        return self._taken

    def append(self, entry: Entry) -> None:
        """Take an event that is about to be delivered."""
        if entry.data is self._taken:
            self._inbox(float(entry.tick))
        else:
            self._own.assign(entry.data.ljust(self._own_bytes, b"\0"))
            self._put(float(entry.tick), len(entry.data))


class RingReader:
    """The kernel worker's end; `posted` is told of all that goes into the inbox."""

    def __init__(self, ring: Any, begin: int) -> None:
        self._ring = ring
        self.begin = begin  # of a machine that was there before; its hart knows when it has stepped
        self._posted: deque[bytes] = deque()

    def posted(self, event: bytes) -> None:
        """Note the next event of the inbox."""
        self._posted.append(event)

    def try_hold(self) -> bool:
        """Tell whether no event is on its way into the machine; then none is until `release`."""
        return bool(self._ring.tryHold())

    def release(self) -> None:
        """Let events through again."""
        self._ring.release()

    @property
    def lost(self) -> bool:
        """Whether the hart had more to say than there was room for."""
        return bool(self._ring.lost())

    def entries(self) -> Iterator[Entry]:
        """Take what has been delivered since the last call."""
        data, at = self._ring.take().to_bytes(), 0
        while at < len(data):
            tick, length, _ = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            if length == _FROM_INBOX:
                event = self._posted.popleft()
            else:
                event = data[at : at + length]
                at += length + -length % 8
            yield Entry(EVENT, max(self.begin, int(tick)), event)
