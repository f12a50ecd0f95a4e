"""The two borders of the kernel over an instance in this worker.

`kernel` is the small JavaScript object of sdk/src/worker/kernel.ts: exports, views and copies. Exported
functions and fixed windows are fetched once, because a lookup through JavaScript costs more than a step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from pyodide.ffi import create_proxy

from ..abi import Abi, Status, Struct
from ..errors import InternalError
from ..machine_pages import page_hashes
from ..port import (
    JIT_EARLY_TIERED,
    JIT_PACE,
    JIT_REST_TIERED_NS,
    JIT_SLOTS,
    Control,
    Report,
    Seat,
    Wake,
    park_compiling,
    signed32,
    split64,
    unsigned32,
)

FOREVER = (1 << 64) - 1
ABI_TEXT_MAX = 1 << 18
_WAKES = (Wake.WOKEN, Wake.MOVED, Wake.TIMED_OUT)
_CONTROLS = {control.value: control for control in Control}


class SharedBytes:
    """The machine's memory, as bytes for Python.

    Bytes pass through buffers that stay (`stages` of kernel.ts), for making a JavaScript object costs
    more than all the rest of a small copy.
    """

    def __init__(self, kernel: Any) -> None:
        self._fetch = kernel.fetch
        self._store = kernel.store
        self._stages = list(kernel.stages)
        self._sizes = [stage.length for stage in self._stages]
        self._most = self._sizes[-1]

    def _stage(self, length: int) -> int:
        for number, size in enumerate(self._sizes):
            if length <= size:
                return number
        raise ValueError(f"{length} bytes do not fit into a stage")

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out."""
        if length > self._most:
            return self.read(address, self._most) + self.read(
                address + self._most, length - self._most
            )
        number = self._stage(length)
        self._fetch(number, signed32(address), length)
        data: bytes = self._stages[number].to_bytes()
        return data[:length]

    def record(self, address: int, header: Struct) -> bytes:
        """Copy out an event or a record, whose length stands in its header."""
        start = self.read(address, self._sizes[0])
        length = header.integer(start, "len")
        return start[:length] if length <= len(start) else self.read(address, length)

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in."""
        for at in range(0, len(data), self._most):
            part = data[at : at + self._most]
            number = self._stage(len(part))
            self._stages[number].assign(part.ljust(self._sizes[number], b"\0"))
            self._store(number, signed32(address + at), len(part))


def read_abi(kernel: Any, memory: SharedBytes) -> Abi:
    """Read the kernel's constants."""
    text = memory.read(unsigned32(kernel.exports.k_abi()), ABI_TEXT_MAX)
    return Abi(text.partition(b"\0")[0].decode())


class PyodidePort:
    """One hart's side of the kernel, in its own worker; with `threshold` it runs compiled code."""

    def __init__(self, kernel: Any, seat: Seat, threshold: int | None = None) -> None:
        self.memory = SharedBytes(kernel)
        self.abi = read_abi(kernel, self.memory)
        self.hart = seat.hart
        exports = kernel.exports
        self.read = self.memory.read
        self._step = exports.k_step
        self._deliver = exports.k_deliver
        self._park = exports.k_park
        self._fail = exports.k_fail
        self._mail_alloc = exports.k_mail_alloc
        self._mail_take = exports.k_mail_take
        self._mail_free = exports.k_mail_free
        self._layout = self.abi.structs["report"]
        self._report = kernel.view(seat.report, self._layout.size)
        self._control = kernel.view(seat.control, 4)
        self._header = self.abi.structs["event"]
        self._taken: tuple[bytes, int] | None = (
            None  # an event that still lies in the inbox's memory
        )
        self._compiled = None if threshold is None else CompiledCode(kernel, self, threshold)

    def step(self, budget: int) -> Status:
        if self._compiled is not None and self._compiled.pending:
            self._compiled.install_ready()
        return self.abi.status(self._step(self.hart, *split64(budget)))

    def report(self) -> Report:
        return Report.read(self.abi, self._layout, self._report.to_bytes())

    def mail_take(self) -> bytes | None:
        address = unsigned32(self._mail_take(self.hart))
        if address == 0:
            return None
        event = self.memory.record(address, self._header)
        self._taken = (event, address)
        return event

    def deliver(self, event: bytes) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and taken[0] is event:
            address = taken[1]
        else:
            address = unsigned32(self._mail_alloc(len(event)))
            self.memory.write(address, event)
        self._deliver(self.hart, signed32(address))
        self._mail_free(signed32(address))

    def park(self, seen: int, timeout_ns: int | None) -> Wake:
        return park_compiling(self._sleep, self._compiled, JIT_REST_TIERED_NS, seen, timeout_ns)

    def _sleep(self, seen: int, timeout_ns: int | None) -> Wake:
        low, high = split64(FOREVER if timeout_ns is None else timeout_ns)
        return _WAKES[self._park(self.hart, signed32(seen), low, high)]

    def control(self) -> Control:
        return _CONTROLS[self._control.to_bytes()[0]]

    def fail(self) -> None:
        self._fail()

    def jit_install(self, module: int) -> None:
        if self._compiled is None:
            raise InternalError("JIT_READY was raised by a hart that interprets")
        self._compiled.submit(module)


class CompiledCode:
    """One hart's compiled code. A worker beside it compiles modules first; the hart goes on, and takes
    what is ready before its next step.
    """

    def __init__(self, kernel: Any, port: PyodidePort, threshold: int) -> None:
        self._code = kernel.code
        self._done = kernel.exports.k_jit_done
        self._rest = kernel.exports.k_jit_rest
        self._hart = port.hart
        self._memory = SharedBytes(kernel)
        self._layout = port.abi.structs["jit_module"]
        self._start(kernel, port.abi, threshold)
        self._spent_at = (
            unsigned32(kernel.exports.k_jit_counters(port.hart))
            + port.abi.structs["jit_counters"].fields["compile_ns"].offset
        )
        self._spent_ns = 0
        self.pending: list[dict[str, int]] = []

    def _start(self, kernel: Any, abi: Abi, threshold: int) -> None:
        """Give the kernel slots of the table; if there are none, the hart interprets."""
        code, features = kernel.code, 0
        if code.tailCalls():
            features |= abi.const["JIT_TAIL_CALLS"]
        if code.fusedMadd():
            features |= abi.const["JIT_RELAXED_MADD"]
        if code.coldCalls():
            features |= abi.const["JIT_COLD_CALLS"]
        slot = code.grow(JIT_SLOTS)
        if slot >= 0:
            kernel.exports.k_jit_start(self._hart, slot, JIT_SLOTS, threshold, features)
            kernel.exports.k_jit_pace(self._hart, JIT_PACE)
            code.remember(self._hart, min(threshold, JIT_EARLY_TIERED))

    def submit(self, address: int) -> None:
        """Have the module that a struct jit_module names compiled, or install it at once."""
        module = self._layout.integers(self._memory.read(address, self._layout.size))
        ready = address + self._layout.fields["ready"].offset
        which = self._hart, module["id"], module["count"], signed32(ready)
        if kept := module["kept"]:
            asked = self._code.recallLater(*which, kept - 1)
        else:
            asked = self._code.ask(*which, signed32(module["bytes"]), module["len"])
        if asked:
            self.pending.append(module)
        else:
            self._install(module)

    def install_ready(self) -> None:
        """Install what has been compiled."""
        while self.pending and self._code.ready(self._hart, self.pending[0]["id"]):
            self._install(self.pending.pop(0))

    def rest(self) -> bool:
        """While no guest code runs: install what is there, send what waits. False: there is nothing to do."""
        self.install_ready()
        if not self.pending and (module := unsigned32(self._rest(self._hart))):
            self.submit(module)
        return bool(self.pending)

    def _install(self, module: dict[str, int]) -> None:
        begin = time.perf_counter_ns()
        at, length, record = signed32(module["bytes"]), module["len"], module["record"]
        if kept := module["kept"]:
            error = self._code.recall(kept - 1, module["slot"])
        else:
            error = self._code.install(at, length, module["slot"])
            if record and not error:
                self._code.keep(at, length, signed32(record), module["record_len"])
        self._done(self._hart, module["id"], int(not error))
        self._spent_ns += time.perf_counter_ns() - begin
        self._memory.write(self._spent_at, self._spent_ns.to_bytes(8, "little"))
        if error and not kept:
            print(f"module {module['id']} of compiled code: {error}", file=sys.stderr)


class PyodideHostPort:
    """The kernel role's side of the kernel, in the kernel worker."""

    def __init__(self, kernel: Any) -> None:
        self._memory = SharedBytes(kernel)
        self.abi = read_abi(kernel, self._memory)
        self.read, self.write = self._memory.read, self._memory.write
        self._serve = kernel.serve
        exports = kernel.exports
        self._exports = exports
        self._mail_alloc = exports.k_mail_alloc
        self._mail_post = exports.k_mail_post
        self._out_take = exports.k_out_take
        self._out_free = exports.k_out_free
        self._header = self.abi.structs["out"]
        self._counters = self.abi.structs["counters"]
        self.on_post: Callable[[bytes], None] = lambda event: None  # a recording keeps its bytes

    def attach(self, ram_pages: int, harts: int) -> None:
        """JavaScript has done it, before this port could read the kernel's constants."""

    def seat(self, hart: int) -> Seat:
        report = unsigned32(self._exports.k_hart(hart))
        stack = unsigned32(self._exports.k_stack(hart))
        control = unsigned32(self._mail_alloc(4))
        self._write(control, Control.RUN)
        return Seat(hart, stack, report, control)

    def post(self, event: bytes) -> None:
        address = unsigned32(self._mail_alloc(len(event)))
        if not address:
            raise InternalError(f"no room in the inbox for {len(event)} bytes")
        self._memory.write(address, event)
        self.on_post(event)
        self._mail_post(signed32(address))

    def outbox(self) -> Iterator[bytes]:
        while (address := unsigned32(self._out_take())) != 0:
            record = self._memory.record(address, self._header)
            self._out_free(signed32(address))
            yield record

    def serve(self, drain: Callable[[], None]) -> None:
        """Call `drain` now and whenever the outbox's doorbell has moved since it was called last."""
        self._serve(signed32(self._exports.k_out_bell()), create_proxy(drain))

    def control_set(self, seat: Seat, control: Control) -> None:
        self._write(seat.control, control)
        self._exports.k_ring(seat.hart)

    def counters(self) -> dict[str, int]:
        """Read the private counters."""
        data = self.read(unsigned32(self._exports.k_counters()), self._counters.size)
        return self._counters.integers(data)

    def jit_counters(self, hart: int) -> dict[str, int]:
        layout = self.abi.structs["jit_counters"]
        address = unsigned32(self._exports.k_jit_counters(hart))
        return layout.integers(self.read(address, layout.size) if address else bytes(layout.size))

    def freeze(self, on: bool) -> int:
        return int(self._exports.k_freeze(int(on)))

    def span(self) -> tuple[int, int, int]:
        """Return the heap's end, the first frame and the frames' end, in machine pages."""
        heap, low, end = (unsigned32(self._exports.k_span(which)) for which in range(3))
        return heap, low, end

    def order(self, mode: int, size: int) -> int:
        """Have the order of passes written, or follow one; returns the address of struct order_log."""
        return unsigned32(self._exports.k_order(mode, size))

    def tap(self, mask: int) -> None:
        """Ask for records of taps: bit n for the n-th."""
        self._exports.k_tap(mask)

    def sample(self, hart: int) -> None:
        """Ask for a record of what a hart's task does; only between its steps."""
        self._exports.k_sample(hart)

    def cpu_ns(self, pid: int) -> int | None:
        """Return the processor time of a process; None if there is none, or the kernel cannot say."""
        layout = self.abi.structs.get("debug_status")
        at = unsigned32(self._exports.k_debug_status(pid)) if layout else 0
        if not layout or not at:
            return None
        words = layout.integers(self.read(at, layout.size))
        return words["utime"] + words["stime"]

    def private_alloc(self, size: int) -> int:
        """Take private memory; nothing in the machine may depend on where things lie there."""
        return unsigned32(self._mail_alloc(size))

    def digest(self) -> bytes:
        address = unsigned32(self._mail_alloc(32))
        self._exports.k_digest(signed32(address))
        digest = self.read(address, 32)
        self._exports.k_mail_free(signed32(address))
        return digest

    def page_hashes(self) -> bytes:
        """Hash each machine page in use; only between steps."""
        return page_hashes(self.abi, self.span(), self.read)

    def _write(self, address: int, control: Control) -> None:
        self._memory.write(address, control.value.to_bytes(4, "little"))
