"""The wasmtime ports and the native placement over a kernel of 70 lines that echoes events as log
records.

It shows that the crossing, the shared memory, parking and waking across threads, and stopping are
right, without the kernel.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

wasmtime = pytest.importorskip("wasmtime")

from ebbtide.errors import InternalError, KernelMissing  # noqa: E402
from ebbtide.events import Log  # noqa: E402
from ebbtide.fake_port import fake_abi_text  # noqa: E402
from ebbtide.placement import Options  # noqa: E402
from ebbtide.placement_native import NativePlacement  # noqa: E402
from ebbtide.port import Wake  # noqa: E402
from ebbtide.wasmtime_kernel import KernelModule, SharedMemory, kernel_path  # noqa: E402
from ebbtide.wasmtime_port import WasmtimeHostPort, WasmtimePort  # noqa: E402

ABI = fake_abi_text() + "\nconst.MACHINE_BASE 0x100000\nconst.HART_MAX 2\nconst.PAGE_SIZE 4096\n"

# Words: 16 heap, 20/24 inbox head/tail, 28/32 outbox head/tail, 36 outbox bell, 40 doorbell, 44 the
# lock of harts. Hart h's report is at 512 + 256 h. A step looks at the inbox after it has taken
# `seen`: mail that came after the loop's own look has rung already.
ECHO = """(module
  (import "env" "memory" (memory 16 4096 shared))
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))
  (data (i32.const 131072) "%s\\00")
  (func $ring (param $a i32)
    (drop (i32.atomic.rmw.add (local.get $a) (i32.const 1)))
    (drop (memory.atomic.notify (local.get $a) (i32.const -1))))
  (func (export "k_abi") (result i32) i32.const 131072)
  (func (export "k_attach") (param i32 i32) (i32.atomic.store (i32.const 16) (i32.const 262144)))
  (func $report (export "k_hart") (param i32) (result i32)
    (i32.add (i32.const 512) (i32.shl (local.get 0) (i32.const 8))))
  (func $lock (loop $again
    (br_if $again (i32.atomic.rmw.cmpxchg (i32.const 44) (i32.const 0) (i32.const 1)))))
  (func $unlock (i32.atomic.store (i32.const 44) (i32.const 0)))
  (func (export "k_stack") (param i32) (result i32) i32.const 65536)
  (func $alloc (export "k_mail_alloc") (param i32) (result i32)
    (i32.atomic.rmw.add (i32.const 16)
      (i32.and (i32.add (local.get 0) (i32.const 15)) (i32.const -8))))
  (func (export "k_mail_free") (param i32))
  (func (export "k_out_free") (param i32))
  (func (export "k_mail_post") (param i32)
    (i32.atomic.store (i32.add (i32.const 4096)
        (i32.shl (i32.atomic.load (i32.const 24)) (i32.const 2))) (local.get 0))
    (drop (i32.atomic.rmw.add (i32.const 24) (i32.const 1)))
    (call $ring (i32.const 40)))
  (func $empty (result i32)
    (i32.eq (i32.atomic.load (i32.const 20)) (i32.atomic.load (i32.const 24))))
  (func (export "k_mail_take") (param i32) (result i32) (local $event i32)
    (call $lock)
    (if (i32.eqz (call $empty)) (then
      (local.set $event (i32.atomic.load (i32.add (i32.const 4096)
        (i32.shl (i32.atomic.rmw.add (i32.const 20) (i32.const 1)) (i32.const 2)))))))
    (call $unlock)
    (local.get $event))
  (func (export "k_deliver") (param $hart i32) (param $event i32) (result i32) (local $record i32)
    (local.set $record (call $alloc (i32.load offset=4 (local.get $event))))
    (memory.copy (local.get $record) (local.get $event) (i32.load offset=4 (local.get $event)))
    (i32.store (local.get $record) (i32.const %d))
    (call $lock)
    (i32.atomic.store
      (i32.add (i32.const 8192) (i32.shl (i32.atomic.load (i32.const 32)) (i32.const 2)))
      (local.get $record))
    (drop (i32.atomic.rmw.add (i32.const 32) (i32.const 1)))
    (call $unlock)
    (call $ring (i32.const 36))
    i32.const 0)
  (func (export "k_out_take") (result i32)
    (if (i32.eq (i32.atomic.load (i32.const 28)) (i32.atomic.load (i32.const 32)))
      (then (return (i32.const 0))))
    (i32.atomic.load (i32.add (i32.const 8192)
        (i32.shl (i32.atomic.rmw.add (i32.const 28) (i32.const 1)) (i32.const 2)))))
  (func (export "k_out_bell") (result i32) i32.const 36)
  (func (export "k_out_wait") (param i32 i32 i32) (result i32)
    (memory.atomic.wait32 (i32.const 36) (local.get 0)
      (i64.or (i64.extend_i32_u (local.get 1))
        (i64.shl (i64.extend_i32_u (local.get 2)) (i64.const 32)))))
  (func (export "k_step") (param $hart i32) (param $low i32) (param i32) (result i32)
    (local $status i32)
    (if (i32.eq (local.get $low) (i32.const 0x7ABCDEF0)) (then unreachable))
    (i32.store offset=%d (call $report (local.get $hart)) (i32.atomic.load (i32.const 40)))
    (i64.store offset=%d (call $report (local.get $hart)) (i64.const -1))
    (local.set $status (select (i32.const %d) (i32.const %d) (call $empty)))
    (i32.store (call $report (local.get $hart)) (local.get $status))
    (local.get $status))
  (func (export "k_park") (param i32 i32 i32 i32) (result i32)
    (memory.atomic.wait32 (i32.const 40) (local.get 1)
      (i64.or (i64.extend_i32_u (local.get 2))
        (i64.shl (i64.extend_i32_u (local.get 3)) (i64.const 32)))))
  (func (export "k_ring") (param i32) (call $ring (i32.const 40)))
  (func (export "k_freeze") (param i32) (result i32) i32.const 0)
  (func (export "k_high") (result i32) i32.const 0x80000001))
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch) -> KernelModule:
    monkeypatch.setenv("EBB_CACHE", str(tmp_path / "cache"))
    lines = dict(line.rsplit(" ", 1) for line in ABI.splitlines())
    text = ABI.replace("\n", "\\0a")
    wat = ECHO % (text, int(lines["out.LOG"]), int(lines["offset.report.seen"]),
                  int(lines["offset.report.deadline_ns"]), int(lines["status.SLEEP"]),
                  int(lines["status.READY"]))  # fmt: skip
    path = tmp_path / "kernel.wasm"
    path.write_bytes(wasmtime.wat2wasm(wat))
    return KernelModule(path)


def test_compiled_code_is_cached_by_hash(kernel, tmp_path):
    cached = list((tmp_path / "cache" / "compiled").iterdir())
    assert len(cached) == 1 and kernel.hash[:32] in cached[0].name
    again = KernelModule(kernel.path)
    assert again.abi.text == kernel.abi.text
    cached[0].unlink()  # the old bytes are mapped: a new file, not new bytes
    cached[0].write_bytes(b"broken")
    assert KernelModule(kernel.path).abi.text == kernel.abi.text


def test_high_results_arrive_unsigned(kernel):
    from ebbtide.wasmtime_kernel import Instance

    memory = SharedMemory(kernel, 16)
    assert Instance(kernel, memory, 0x80001000).call("k_high") == 0x80000001


def test_a_missing_kernel_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("EBB_KERNEL", str(tmp_path / "none"))
    with pytest.raises(KernelMissing, match="none"):
        kernel_path()


def test_parked_thread_is_woken_by_mail_and_times_out_alone(kernel):
    memory = SharedMemory(kernel, 16)
    host = WasmtimeHostPort(kernel, memory)
    host.attach(16, 1)
    port = WasmtimePort(kernel, memory, host.seat(0))
    port.step(1)
    seen = port.report().seen
    assert port.park(seen, 1_000) is Wake.TIMED_OUT
    wakes: list[Wake] = []
    thread = threading.Thread(target=lambda: wakes.append(port.park(seen, None)))
    thread.start()
    event = kernel.abi.structs["event_cancel"].pack()
    host.post(bytes(event))
    thread.join(120)
    assert wakes and wakes[0] in (Wake.WOKEN, Wake.MOVED)


def test_trap_in_a_step_is_an_internal_error(kernel):
    memory = SharedMemory(kernel, 16)
    host = WasmtimeHostPort(kernel, memory)
    host.attach(16, 1)
    with pytest.raises(InternalError, match="trapped"):
        WasmtimePort(kernel, memory, host.seat(0)).step(0x7ABCDEF0)


class Told:
    """A listener that keeps log records."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.some = asyncio.Event()

    def log(self, record: Log) -> None:
        self.logs.append(record)
        self.some.set()

    def ended(self, record) -> None: ...
    def notice(self, record) -> None: ...
    def trouble(self, error) -> None: ...
    def panicked(self, error) -> None: ...


def test_native_placement_carries_events_in_and_records_out_and_stops(kernel):
    async def run() -> None:
        before = threading.active_count()
        for _ in range(3):
            told = Told()
            placement = NativePlacement(kernel)
            await placement.start(Options(image=None, harts=2, memory=1 << 20, jit="off"), told)
            text = "x" * 100_000
            head = kernel.abi.structs["out_log"]
            event = bytearray(head.size) + text.encode()
            event[:8] = kernel.abi.structs["event"].pack(kind=1, len=len(event))
            event[8:12] = kernel.abi.const["LOG_INFO"].to_bytes(4, "little")
            placement.post(bytes(event))
            while not any(log.text == text for log in told.logs):
                told.some.clear()
                await asyncio.wait_for(told.some.wait(), 120)
            await placement.close()
        await asyncio.get_running_loop().shutdown_default_executor()
        assert threading.active_count() <= before + 1

    interval = sys.getswitchinterval()
    try:
        asyncio.run(run())
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    "imports",
    [
        '(import "env" "memory" (memory 1 1 shared)) (import "env" "now" (func (result i32)))',
        '(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))',
        "",
    ],
)
def test_a_kernel_that_asks_for_more_than_its_memory_is_refused(imports, tmp_path, monkeypatch):
    monkeypatch.setenv("EBB_CACHE", str(tmp_path / "cache"))
    kernel = tmp_path / "kernel.wasm"
    kernel.write_bytes(wasmtime.wat2wasm(f"(module {imports})"))
    with pytest.raises(InternalError, match="its memory and nothing else"):
        KernelModule(kernel)
