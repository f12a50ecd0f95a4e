"""The ports over wasmtime: a hart's side, the kernel role's side, and the outbox's watcher.

Each is used by one thread only and owns its own instance; no call here holds the GIL while it
waits.
"""

from __future__ import annotations

from collections.abc import Iterator

import wasmtime

from .abi import Abi, Status
from .errors import InternalError, MemoryRefused
from .machine_pages import page_hashes
from .port import (
    JIT_REST_NS,
    Control,
    HostPort,
    Port,
    Report,
    Seat,
    Wake,
    park_compiling,
    signed32,
    split64,
)
from .wasmtime_jit import CompiledCode, Compiler
from .wasmtime_kernel import Instance, KernelModule, Ringer, SharedMemory


class WasmtimePort(Port):
    """One hart; with a compiler it runs compiled code, without it only interprets."""

    def __init__(
        self,
        kernel: KernelModule,
        memory: SharedMemory,
        seat: Seat,
        compiler: Compiler | None = None,
    ) -> None:
        self.abi = kernel.abi
        self.hart = seat.hart
        self._memory = memory
        self._seat = seat
        self._instance = Instance(kernel, memory, seat.stack)
        self._report = self.abi.structs["report"]
        self._event = self.abi.structs["event"]
        self._taken: tuple[bytes, int] | None = None  # lies in the inbox's memory until delivered
        self._code: CompiledCode | None = None
        if compiler is not None:
            code = CompiledCode(self._instance, seat.hart, compiler)
            self._code = code if code.start() else None

    def step(self, budget: int) -> Status:
        if self._code is not None:
            self._code.hear()
        if self._code is not None and self._code.pending:
            self._code.install_ready()
        try:
            number = self._instance.call("k_step", self.hart, *split64(budget))
        except wasmtime.Trap as trap:
            raise InternalError(f"the kernel trapped in a step: {trap}") from trap
        return self.abi.status(number)

    def report(self) -> Report:
        at = self._seat.report
        return Report.read(self.abi, self._report, self._memory.bytes[at : at + self._report.size])

    def deliver(self, event: bytes) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and taken[0] is event:
            address = taken[1]
        else:
            address = self._instance.call("k_mail_alloc", len(event))
            self._memory.write(address, event)
        try:
            refused = self._instance.call("k_deliver", self.hart, address)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            name = self.abi.event_name(event)
            raise InternalError(f"the kernel trapped when it was given {name}") from error
        self._instance.call("k_mail_free", address)
        if refused:
            name = self.abi.event_name(event)
            if name == "BOOT" and self.abi.errno_name(signed32(refused)) == "ENOMEM":
                raise MemoryRefused("the machine's memory is too small for this image")
            raise InternalError(
                f"the kernel refused {name}: {self.abi.errno_name(signed32(refused))}"
            )

    def mail_take(self) -> bytes | None:
        address = self._instance.call("k_mail_take", self.hart)
        if not address:
            return None
        header = self._memory.read(address, self._event.size)
        event = self._memory.read(address, self._event.integer(header, "len"))
        self._taken = (event, address)  # no other hart takes the next one before this is delivered
        return event

    def park(self, seen: int, timeout_ns: int | None) -> Wake:
        return park_compiling(self._park, self._code, JIT_REST_NS, seen, timeout_ns)

    def _park(self, seen: int, timeout_ns: int | None) -> Wake:
        low, high = split64(-1 if timeout_ns is None else timeout_ns)
        return Wake(self._instance.call("k_park", self.hart, seen, low, high))

    def control(self) -> Control:
        return Control(self._memory.word(self._seat.control))

    def fail(self) -> None:
        self._instance.call("k_fail")

    def page_hashes(self) -> bytes:
        """Hash each machine page in use; only between the steps of a machine's only hart."""
        return _page_hashes(self._instance, self.abi)

    def pages_used(self) -> int:
        """Return how many pages `page_hashes` would hash."""
        heap, low, end = _span(self._instance)
        return heap + end - low

    def jit_install(self, module: int) -> None:
        if self._code is None:
            raise InternalError("JIT_READY was raised by a hart that interprets")
        self._code.submit(module)

    def jit_settle(self) -> None:
        """Wait for all modules on their way and install them: then steps depend on no thread."""
        if self._code is not None:
            self._code.install_all()

    def read(self, address: int, length: int) -> bytes:
        return self._memory.read(address, length)


class WasmtimeHostPort(HostPort):
    """The kernel role's side. The first instance over its memory, so it also builds the private
    region.
    """

    def __init__(self, kernel: KernelModule, memory: SharedMemory) -> None:
        self.abi = kernel.abi
        self.memory = memory
        self._instance = Instance(kernel, memory, None)
        self._ringer = Ringer(kernel, memory)
        self._out = self.abi.structs["out"]
        self._scratch = 0

    def attach(self, ram_pages: int, harts: int) -> None:
        try:
            self._instance.call("k_attach", ram_pages, harts)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise InternalError(
                f"the kernel did not take {ram_pages} pages of memory and {harts} harts"
            ) from error
        own = self.abi.const["HART_MAX"]  # the seat after the harts' is the kernel role's
        self._instance.stack_set(self._instance.call("k_stack", own))
        self._scratch = self._instance.call("k_mail_alloc", 64)

    def seat(self, hart: int) -> Seat:
        report = self._instance.call("k_hart", hart)
        stack = self._instance.call("k_stack", hart)
        control = self._instance.call("k_mail_alloc", 4)
        self.memory.write(control, Control.RUN.value.to_bytes(4, "little"))
        return Seat(hart, stack, report, control)

    def post(self, event: bytes) -> None:
        address = self._instance.call("k_mail_alloc", len(event))
        if not address:
            raise InternalError(f"no room in the inbox for {len(event)} bytes")
        self.memory.write(address, event)
        self._instance.call("k_mail_post", address)

    def outbox(self) -> Iterator[bytes]:
        while address := self._instance.call("k_out_take"):
            header = self.memory.read(address, self._out.size)
            record = self.memory.read(address, self._out.integer(header, "len"))
            self._instance.call("k_out_free", address)
            yield record

    def control_set(self, seat: Seat, control: Control) -> None:
        self.memory.write(seat.control, control.value.to_bytes(4, "little"))
        self._instance.call("k_ring", seat.hart)

    def jit_counters(self, hart: int) -> dict[str, int]:
        layout = self.abi.structs["jit_counters"]
        address = self._instance.call("k_jit_counters", hart)
        return layout.integers(self.read(address, layout.size) if address else bytes(layout.size))

    def freeze(self, on: bool) -> int:
        return self._instance.call("k_freeze", int(on))

    def digest(self) -> bytes:
        self._instance.call("k_digest", self._scratch)
        return self.memory.read(self._scratch, 32)

    def read(self, address: int, length: int) -> bytes:
        return self.memory.read(address, length)

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)

    def page_hashes(self) -> bytes:
        """Hash each machine page in use; only while frozen, or when no hart runs any more."""
        return _page_hashes(self._instance, self.abi)

    def pages_used(self) -> int:
        """Return how many pages `page_hashes` would hash."""
        heap, low, end = self.span()
        return heap + end - low

    def span(self) -> tuple[int, int, int]:
        """Return the extent of machine memory in use, in pages: end of the heap, first frame, end."""
        return _span(self._instance)

    def order(self, mode: int, size: int) -> int:
        """Have the order of passes written, or follow one; returns the address of struct order_log."""
        return self._instance.call("k_order", mode, size)

    def tap(self, mask: int) -> None:
        """Ask for records of taps: bit n for the n-th."""
        self._instance.call("k_tap", mask)

    def sample(self, hart: int) -> None:
        """Ask for a record of what a hart's task does; only between its steps."""
        self._instance.call("k_sample", hart)

    def cpu_ns(self, pid: int) -> int | None:
        """Return the processor time of a process; None if there is none, or the kernel cannot say."""
        layout = self.abi.structs.get("debug_status")
        at = self._instance.call("k_debug_status", pid) if layout else 0
        if not layout or not at:
            return None
        words = layout.integers(self.read(at, layout.size))
        return words["utime"] + words["stime"]

    def injected(self) -> dict[str, int]:
        """Return how often each kind of chaos has struck; empty if there is none."""
        if not (address := self._instance.call("k_chaos")):
            return {}
        return {
            kind.lower(): int.from_bytes(self.read(address + 8 * number, 8), "little")
            for kind, number in self.abi.groups["chaos"].items()
        }

    def call(self, name: str, *args: int) -> int:
        """Call an export that only this kernel role uses."""
        return self._instance.call(name, *args)

    def private_alloc(self, size: int) -> int:
        """Take private memory; nothing in the machine may depend on where things lie there."""
        return self._instance.call("k_mail_alloc", size)

    def bell_ring(self) -> None:
        """Wake the watcher of the outbox."""
        self._ringer.ring(self._instance.call("k_out_bell"))


def _span(instance: Instance) -> tuple[int, int, int]:
    heap, low, end = (instance.call("k_span", which) for which in range(3))
    return heap, low, end


def _page_hashes(instance: Instance, abi: Abi) -> bytes:
    view = instance.memory.bytes
    return page_hashes(abi, _span(instance), lambda at, length: view[at : at + length])


class OutboxWatcher:
    """Waits for the outbox in a thread of its own."""

    def __init__(self, kernel: KernelModule, memory: SharedMemory) -> None:
        self._memory = memory
        self._instance = Instance(kernel, memory, None)
        self._bell = self._instance.call("k_out_bell")

    def bell(self) -> int:
        """Read the bell; take it before draining, wait with it afterwards."""
        return self._memory.word(self._bell)

    def wait(self, seen: int) -> None:
        """Return when the bell differs from `seen`."""
        self._instance.call("k_out_wait", seen, *split64(-1))
