"""Both ends of the ring (sdk/src/worker/tape_ring.ts) by which harts say what they have delivered.

A hart writes and goes on. The kernel worker has the bytes of all that it posted, in the order of
the inbox, so of those events the ring holds only the ticks.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..order import OrderedRecordingPort, OrderLog
from ..port import Port
from ..recording import EVENT, Entry, RecordingPort

if TYPE_CHECKING:
    from .pyodide_port import PyodidePort

_ENTRY = struct.Struct("<dII")
_FROM_INBOX = 0xFFFFFFFF
_MORE = 0x100  # of the kind: the piece goes on in the next entry


class _Held:
    """What an event's hart holds from when it tells of it until it is delivered."""

    def __init__(self, ring: Any) -> None:
        self._hold = ring.hold
        self._release = ring.release

    def __enter__(self) -> None:
        self._hold()

    def __exit__(self, *exc: object) -> None:
        self._release()


class _Teller:
    """Tells the ring of what goes to the tape."""

    def __init__(self, ring: Any) -> None:
        self._own = ring.own
        self._room = ring.own.length
        self._inbox = ring.inbox
        self._put = ring.put
        self.taken: bytes | None = None  # from the inbox, last

    def append(self, entry: Entry) -> None:
        """Take an event that is about to be delivered, or has just been, or a piece of the order."""
        if entry.data is self.taken:
            self._inbox(float(entry.tick))
            return
        for at in range(0, len(entry.data), self._room):
            part = entry.data[at : at + self._room]
            more = _MORE if at + len(part) < len(entry.data) else 0
            self._own.assign(part.ljust(self._room, b"\0"))
            self._put(float(entry.tick), len(part), entry.kind | more)


class RingPort(RecordingPort):
    """A Port that tells a ring of each event it delivers."""

    def __init__(self, port: Port, ring: Any) -> None:
        self._tell = _Teller(ring)
        super().__init__(port, self._tell, _Held(ring))

    def mail_take(self) -> bytes | None:
        self._tell.taken = self._port.mail_take()
        return self._tell.taken


class OrderedRingPort(OrderedRecordingPort):
    """The same for one of several harts. What one takes from the inbox is delivered before another one
    delivers anything: the ring names such events by their order in the inbox.
    """

    def __init__(self, port: PyodidePort, ring: Any, order: int) -> None:
        self._tell = _Teller(ring)
        log = OrderLog(port.abi, port.memory, order, self._tell)
        super().__init__(port, self._tell, _Held(ring), log)

    def mail_take(self) -> bytes | None:
        self._order.__enter__()
        self._tell.taken = self._port.mail_take()
        if self._tell.taken is None:
            self._order.__exit__(None, None, None)
        return self._tell.taken

    def deliver(self, event: bytes) -> None:
        if event is not self._tell.taken:
            super().deliver(event)
            return
        try:
            self._delivered(event)
        finally:
            self._tell.taken = None
            self._order.__exit__(None, None, None)


class RingReader:
    """The kernel worker's end; `posted` is told of all that goes into the inbox."""

    def __init__(self, ring: Any, begin: int) -> None:
        self._ring = ring
        self.begin = begin  # of a machine that was there before; its hart knows when it has stepped
        self._posted: deque[bytes] = deque()
        self._part = b""  # of a piece that goes on
        self._data, self._at = b"", 0  # taken off the ring, and how much of it was given

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
        """Whether harts had more to say than there was room for."""
        return bool(self._ring.lost())

    def entries(self) -> Iterator[Entry]:
        """Take what has been delivered since the last call; what is not asked for is there at the next."""
        while self._at < len(self._data) or self._refilled():
            tick, length, kind = _ENTRY.unpack_from(self._data, self._at)
            self._at += _ENTRY.size
            if length == _FROM_INBOX:
                yield Entry(EVENT, max(self.begin, int(tick)), self._posted.popleft())
                continue
            self._part += self._data[self._at : self._at + length]
            self._at += length + -length % 8
            if not kind & _MORE:
                whole, self._part = self._part, b""
                yield Entry(kind, max(self.begin, int(tick)), whole)

    def _refilled(self) -> bool:
        self._data, self._at = self._ring.take().to_bytes(), 0
        return bool(self._data)
