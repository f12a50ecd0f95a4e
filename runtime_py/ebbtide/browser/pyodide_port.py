"""The two borders of the kernel over an instance in this worker.

`kernel` is the small JavaScript object of sdk/src/worker/kernel.ts: exports, views and copies. Exported
functions and fixed windows are fetched once, because a lookup through JavaScript costs more than a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..abi import Abi, Status
from ..port import Control, Report, Seat, Wake, signed32, split64, unsigned32

FOREVER = (1 << 64) - 1
ABI_TEXT_MAX = 1 << 18
_WAKES = (Wake.WOKEN, Wake.MOVED, Wake.TIMED_OUT)
_CONTROLS = {control.value: control for control in Control}


def read_abi(kernel: Any) -> Abi:
    """Read the kernel's constants."""
    address = unsigned32(kernel.exports.k_abi())
    text = kernel.read(address, ABI_TEXT_MAX).to_bytes()
    return Abi(text.partition(b"\0")[0].decode())


class PyodidePort:
    """One hart's side of the kernel, in its own worker."""

    def __init__(self, kernel: Any, seat: Seat) -> None:
        self.abi = read_abi(kernel)
        self.hart = seat.hart
        exports = kernel.exports
        self._kernel = kernel
        self._step = exports.k_step
        self._deliver = exports.k_deliver
        self._park = exports.k_park
        self._mail_alloc = exports.k_mail_alloc
        self._mail_take = exports.k_mail_take
        self._mail_free = exports.k_mail_free
        self._layout = self.abi.structs["report"]
        self._report = kernel.view(seat.report, self._layout.size)
        self._control = kernel.view(seat.control, 4)
        self._header = self.abi.structs["event"]
        self._taken: tuple[bytes, int] | None = None  # an event that still lies in the inbox's memory

    def step(self, budget: int) -> Status:
        return self.abi.status(self._step(self.hart, *split64(budget)))

    def report(self) -> Report:
        return Report.read(self.abi, self._layout, self._report.to_bytes())

    def mail_take(self) -> bytes | None:
        address = unsigned32(self._mail_take(self.hart))
        if address == 0:
            return None
        length = self._header.integer(self._read(address, self._header.size), "len")
        event = self._read(address, length)
        self._taken = (event, address)
        return event

    def deliver(self, event: bytes) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and taken[0] is event:
            address = taken[1]
        else:
            address = unsigned32(self._mail_alloc(len(event)))
            self._kernel.view(address, len(event)).assign(event)
        self._deliver(self.hart, signed32(address))
        self._mail_free(signed32(address))

    def park(self, seen: int, timeout_ns: int | None) -> Wake:
        low, high = split64(FOREVER if timeout_ns is None else timeout_ns)
        return _WAKES[self._park(self.hart, signed32(seen), low, high)]

    def control(self) -> Control:
        return _CONTROLS[self._control.to_bytes()[0]]

    def read(self, address: int, length: int) -> bytes:
        return self._read(address, length)

    def _read(self, address: int, length: int) -> bytes:
        data: bytes = self._kernel.read(address, length).to_bytes()
        return data


class PyodideHostPort:
    """The kernel role's side of the kernel, in the kernel worker."""

    def __init__(self, kernel: Any) -> None:
        self.abi = read_abi(kernel)
        self._kernel = kernel
        exports = kernel.exports
        self._exports = exports
        self._mail_alloc = exports.k_mail_alloc
        self._mail_post = exports.k_mail_post
        self._out_take = exports.k_out_take
        self._out_free = exports.k_out_free
        self._header = self.abi.structs["out"]
        self._bell = 0

    def attach(self, ram_pages: int, harts: int) -> None:
        self._exports.k_attach(ram_pages, harts)
        self._bell = unsigned32(self._exports.k_out_bell())

    def seat(self, hart: int) -> Seat:
        report = unsigned32(self._exports.k_hart(hart))
        stack = unsigned32(self._exports.k_stack(hart))
        control = unsigned32(self._mail_alloc(4))
        self._write(control, Control.RUN)
        return Seat(hart, stack, report, control)

    def post(self, event: bytes) -> None:
        address = signed32(self._mail_alloc(len(event)))
        self._kernel.view(address, len(event)).assign(event)
        self._mail_post(address)

    def outbox(self) -> Iterator[bytes]:
        while (address := unsigned32(self._out_take())) != 0:
            header = self.read(address, self._header.size)
            record = self.read(address, self._header.integer(header, "len"))
            self._out_free(signed32(address))
            yield record

    def bell(self) -> int:
        """Read the outbox's doorbell, before draining it."""
        return int(self._kernel.load(self._bell))

    async def bell_moved(self, seen: int) -> None:
        """Wait until the outbox's doorbell is no longer `seen`."""
        await self._kernel.wait(self._bell, signed32(seen))

    def control_set(self, seat: Seat, control: Control) -> None:
        self._write(seat.control, control)
        self._exports.k_ring(seat.hart)

    def freeze(self, on: bool) -> int:
        return int(self._exports.k_freeze(int(on)))

    def digest(self) -> bytes:
        address = unsigned32(self._mail_alloc(32))
        self._exports.k_digest(signed32(address))
        digest = self.read(address, 32)
        self._exports.k_mail_free(signed32(address))
        return digest

    def read(self, address: int, length: int) -> bytes:
        data: bytes = self._kernel.read(address, length).to_bytes()
        return data

    def _write(self, address: int, control: Control) -> None:
        self._kernel.view(address, 4).assign(control.value.to_bytes(4, "little"))
