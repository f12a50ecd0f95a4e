"""The order of what several harts do, while they are recorded (docs/parallel-recording.md).

The kernel writes it to a ring, a byte or so for each of its passes; whoever delivers an event, or ends a
step, moves it to the tape. A tape then has pieces of the order between its events, each up to where the
next event goes. rewind/ordered.py follows them.
"""

from __future__ import annotations

from typing import Protocol

from .abi import Abi, Status
from .port import Port, Report
from .recording import EVENT, ORDER, Entry, Order, Recorder, RecordingPort

RING = 1 << 18  # bytes; a hart whose step finds it nearly full comes back
RECORD, FOLLOW, SETTLE = 1, 2, 3  # k_order


class Memory(Protocol):
    """What is shared with the kernel."""

    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...


class OrderLog:
    """The ring that the kernel writes; `move` is called by who holds the order of the tape."""

    def __init__(self, abi: Abi, memory: Memory, address: int, recorder: Recorder) -> None:
        self._layout = abi.structs["order_log"]
        self._memory = memory
        self._address = address
        self._recorder = recorder
        self.bytes = 0

    def _values(self) -> dict[str, int]:
        return self._layout.integers(self._memory.read(self._address, self._layout.size))

    def stepped(self, report: Report) -> None:
        """Bring to the tape what there was at the end of a step; what others wrote since is for them to bring."""
        self._move(self._values(), report.order, report.moment)

    def rest(self, moment: int) -> None:
        """Bring to the tape what there is; no hart is in a step, and none has brought its last."""
        values = self._values()
        self._move(values, values["head"], moment)

    def delivered(self, event: bytes) -> None:
        """Put an event on the tape, behind the order up to it: it has just been delivered."""
        values = self._values()
        self._move(values, values["delivered"], values["delivered_moment"])
        self._recorder.append(Entry(EVENT, values["delivered_moment"], event))

    def _move(self, values: dict[str, int], head: int, moment: int) -> None:
        """Bring what there is up to `head`, after which the run was at `moment`: a replay gets to the same."""
        memory, tail, size, data = self._memory, values["tail"], values["size"], values["data"]
        length = (head - tail) & 0xFFFFFFFF
        if not 0 < length <= size:  # another hart was here after us, and has brought it
            return
        begin = tail % size
        first = memory.read(data + begin, min(length, size - begin))
        taken = first + memory.read(data, length - len(first))
        at = self._address + self._layout.fields["tail"].offset
        memory.write(at, head.to_bytes(4, "little"))
        self.bytes += length
        self._recorder.append(Entry(ORDER, moment, taken))


class OrderedRecordingPort(RecordingPort):
    """A port of one of several harts: the tape has the order of their passes, too."""

    def __init__(self, port: Port, recorder: Recorder, order: Order, log: OrderLog) -> None:
        super().__init__(port, recorder, order)
        self._log = log

    def step(self, budget: int) -> Status:
        status = self._port.step(budget)
        with self._order:
            self._log.stepped(self._port.report())
        return status

    def deliver(self, event: bytes) -> None:
        with self._order:
            self._delivered(event)

    def _delivered(self, event: bytes) -> None:
        self._port.deliver(event)
        self._log.delivered(event)
