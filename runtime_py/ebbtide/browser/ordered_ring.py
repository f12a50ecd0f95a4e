"""The ring of several harts that are recorded; only workers of such machines load it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..order import OrderedRecordingPort, OrderLog
from .tape_ring import Held, Teller

if TYPE_CHECKING:
    from .pyodide_port import PyodidePort


class OrderedRingPort(OrderedRecordingPort):
    """A Port that tells a ring of each event it delivers, and of the order of what it does. What one takes from the inbox is delivered before another one
    delivers anything: the ring names such events by their order in the inbox.
    """

    def __init__(self, port: PyodidePort, ring: Any, order: int) -> None:
        self._tell = Teller(ring)
        log = OrderLog(port.abi, port.memory, order, self._tell)
        super().__init__(port, self._tell, Held(ring), log)

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
