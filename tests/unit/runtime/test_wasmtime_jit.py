"""Modules of compiled code are installed in the hart's own instance, over a kernel of 30 lines that
asks for one module and calls what it put into the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

wasmtime = pytest.importorskip("wasmtime")

from ebbtide.abi import Status  # noqa: E402
from ebbtide.code_store import CodeStore  # noqa: E402
from ebbtide.errors import InternalError  # noqa: E402
from ebbtide.fake_port import fake_abi_text  # noqa: E402
from ebbtide.port import (  # noqa: E402
    JIT_REST_NS,
    JIT_SLOTS,
    Seat,
    Wake,
)
from ebbtide.wasmtime_jit import AHEAD, Compiler, features  # noqa: E402
from ebbtide.wasmtime_kernel import KernelModule, SharedMemory  # noqa: E402
from ebbtide.wasmtime_port import WasmtimePort  # noqa: E402

ABI = fake_abi_text() + "\nconst.MACHINE_BASE 0x100000\nconst.PAGE_SIZE 4096\n"
REPORT, MODULE, COUNTERS, CODE = 512, 1024, 2048, 4096
SEAT = Seat(0, 65536, REPORT, 256)

# Words: 16 the first slot, 20 how many, 24 threshold, 28 features; 32 what k_jit_start answers; 36 the module was asked
# for, 40/44 id and ok of k_jit_done; 56 what k_park answers, 60 how often it was asked, 64 the last timeout, 68 what k_jit_rest
# answers, once, 72 how often that was asked. A step that finds it installed reports what its second function makes of 21.
KERNEL = """(module
  (import "env" "memory" (memory 16 4096 shared))
  (global (export "__stack_pointer") (mut i32) (i32.const 65536))
  (table (export "__indirect_function_table") 3 funcref)
  (type $code (func (param i32) (result i32)))
  (data (i32.const 131072) "%s\\00")
  (func (export "k_abi") (result i32) i32.const 131072)
  (func (export "k_attach") (param i32 i32))
  (func (export "j_twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "k_jit_start") (param i32 i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 1)) (i32.store (i32.const 20) (local.get 2))
    (i32.store (i32.const 24) (local.get 3)) (i32.store (i32.const 28) (local.get 4))
    (i32.load (i32.const 32)))
  (func (export "k_jit_done") (param i32 i32 i32) (result i32)
    (i32.store (i32.const 40) (local.get 1)) (i32.store (i32.const 44) (local.get 2))
    i32.const 0)
  (func (export "k_jit_keep") (param i32 i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 76) (i32.const 1)) i32.const 0)
  (func (export "k_jit_rest") (param i32) (result i32)
    (i32.store (i32.const 72) (i32.add (i32.load (i32.const 72)) (i32.const 1)))
    (i32.load (i32.const 68)) (i32.store (i32.const 68) (i32.const 0)))
  (func (export "k_park") (param i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 60) (i32.add (i32.load (i32.const 60)) (i32.const 1)))
    (i32.store (i32.const 64) (local.get 2))
    (i32.load (i32.const 56)))
  (func (export "k_jit_counters") (param i32) (result i32) i32.const %d)
  (func (export "k_step") (param i32 i32 i32) (result i32) (local $status i32)
    (i32.store (i32.const 48) (local.get 1))
    (local.set $status (i32.const %d))
    (if (i32.load (i32.const 44)) (then
      (i32.store offset=%d (i32.const %d)
        (call_indirect (type $code) (i32.const 21) (i32.add (i32.load (i32.const 16)) (i32.const 1))))))
    (if (i32.eqz (i32.load (i32.const 36))) (then
      (i32.store (i32.const 36) (i32.const 1))
      (i32.store offset=%d (i32.const %d) (i32.const %d))
      (local.set $status (i32.const %d))))
    (i32.store (i32.const %d) (local.get $status))
    (local.get $status)))
"""

GUEST = """(module
  (import "env" "memory" (memory 0 65536 shared))
  (import "env" "table" (table 0 funcref))
  (import "env" "slot" (global $slot i32))
  (import "env" "j_twice" (func $twice (param i32) (result i32)))
  (type $code (func (param i32) (result i32)))
  (elem (global.get $slot) $one $two)
  (func $one (type $code) (i32.add (call $twice (local.get 0)) (i32.const 1)))
  (func $two (type $code)
    (i32.store (i32.const 52) (i32.const 77))
    (return_call_indirect (type $code) (local.get 0) (global.get $slot))))
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch) -> KernelModule:
    monkeypatch.setenv("EBB_CACHE", str(tmp_path / "cache"))
    lines = dict(line.rsplit(" ", 1) for line in ABI.splitlines())
    text = ABI.replace("\n", "\\0a")
    detail, ready = int(lines["offset.report.detail"]), int(lines["status.READY"])
    wat = KERNEL % (text, COUNTERS, ready, detail, REPORT, detail, REPORT, MODULE,
                    int(lines["status.JIT_READY"]), REPORT)  # fmt: skip
    path = tmp_path / "kernel.wasm"
    path.write_bytes(wasmtime.wat2wasm(wat))
    return KernelModule(path)


class Ground:
    """A memory, a compiler and a hart's port; the module that the kernel will name."""

    def __init__(self, kernel: KernelModule, code: bytes, answer: int = 0) -> None:
        self.memory = SharedMemory(kernel, 16)
        self.said: list[str] = []
        self.memory.write(32, answer.to_bytes(4, "little"))
        self.compiler = Compiler(kernel, threshold=9, on_refused=self.said.append)
        self.port = WasmtimePort(kernel, self.memory, SEAT, self.compiler)
        self.memory.write(CODE, code)
        layout = kernel.abi.structs["jit_module"]
        fields = {
            "id": 5,
            "bytes": CODE,
            "len": len(code),
            "slot": self.memory.word(16),
            "count": 2,
            "record": 0,
            "record_len": 0,
            "kept": 0,
        }
        self.memory.write(MODULE, bytes(layout.pack(**fields)))

    def install(self) -> None:
        assert self.port.step(1000) is Status.JIT_READY
        self.port.jit_install(self.port.report().detail)
        assert self.word(40) == 0
        self.port.jit_settle()

    def word(self, address: int) -> int:
        return self.memory.word(address)


@pytest.fixture
def ground(kernel) -> Iterator[Callable[..., Ground]]:
    made: list[Ground] = []

    def make(code: bytes, answer: int = 0) -> Ground:
        made.append(Ground(kernel, code, answer))
        return made[-1]

    yield make
    for one in made:
        one.compiler.close()


def test_the_kernel_gets_slots_behind_its_own_functions(ground, kernel):
    hart = ground(b"")
    assert [hart.word(at) for at in (16, 20, 24)] == [3, JIT_SLOTS, 9]
    assert hart.word(28) == features(kernel)
    assert hart.word(28) & kernel.abi.const["JIT_TAIL_CALLS"]


def test_a_module_is_installed_before_a_later_step_and_called_through_the_table(ground, kernel):
    hart = ground(bytes(wasmtime.wat2wasm(GUEST)))
    hart.install()
    assert (hart.word(40), hart.word(44)) == (5, 1)
    assert hart.port.step(1000) is Status.READY
    assert hart.port.report().detail == 43 and hart.word(52) == 77
    layout = kernel.abi.structs["jit_counters"]
    data = hart.memory.read(COUNTERS, layout.size)
    assert layout.integer(data, "compile_ns") > 0
    assert hart.said == []


@pytest.mark.parametrize(
    "code",
    [
        b"\0asm\1\0\0\0\1",
        wasmtime.wat2wasm('(module (import "env" "j_none" (func)))'),
        wasmtime.wat2wasm('(module (import "env" "j_twice" (func)))'),
        wasmtime.wat2wasm(GUEST.replace("(global.get $slot) $one", "(i32.const 99999) $one")),
    ],
    ids=["broken", "unknown-import", "other-type", "outside-the-table"],
)
def test_a_module_that_is_refused_is_reported_and_the_hart_goes_on(ground, code):
    hart = ground(bytes(code))
    hart.install()
    assert (hart.word(40), hart.word(44)) == (5, 0)
    assert hart.port.step(1000) is Status.READY
    assert len(hart.said) == 1 and "module 5" in hart.said[0]


def test_the_kernel_is_told_when_a_module_can_be_installed(ground, kernel):
    hart = ground(bytes(wasmtime.wat2wasm(GUEST)))
    at = MODULE + kernel.abi.structs["jit_module"].fields["ready"].offset
    assert hart.port.step(1 << 31) is Status.JIT_READY and hart.word(at) == 0
    hart.port.jit_install(MODULE)
    while hart.word(at) != 5:
        assert hart.word(44) == 0
    hart.port.step(1 << 31)
    assert (hart.word(40), hart.word(44)) == (5, 1)
    assert hart.word(48) == 1 << 31 and hart.port.report().detail == 43


def test_a_kernel_that_takes_no_slots_interprets(ground, kernel):
    hart = ground(b"", answer=0xFFFFFFDA)
    with pytest.raises(InternalError, match="interprets"):
        hart.port.jit_install(MODULE)


def test_a_port_without_a_compiler_starts_nothing(kernel):
    memory = SharedMemory(kernel, 16)
    WasmtimePort(kernel, memory, SEAT)
    assert memory.word(20) == 0


def test_a_hart_that_rests_has_compiled_what_waits(ground, kernel):
    hart = ground(bytes(wasmtime.wat2wasm(GUEST)))
    hart.memory.write(56, Wake.TIMED_OUT.value.to_bytes(4, "little"))
    hart.memory.write(68, MODULE.to_bytes(4, "little"))
    assert hart.port.park(0, None) is Wake.TIMED_OUT
    assert (hart.word(40), hart.word(44)) == (5, 1)  # installed before it slept for good
    assert hart.word(72) == 2 and hart.word(64) == 0xFFFFFFFF
    assert hart.port.step(1000) is Status.JIT_READY and hart.port.report().detail == MODULE


def test_a_hart_that_is_woken_soon_looks_for_nothing(ground, kernel):
    hart = ground(bytes(wasmtime.wat2wasm(GUEST)))
    for answer, timeout, parks in (
        (Wake.WOKEN, None, 1),
        (Wake.MOVED, 10 * JIT_REST_NS, 2),
        (Wake.TIMED_OUT, JIT_REST_NS, 3),
        (Wake.TIMED_OUT, 5, 4),
    ):
        hart.memory.write(56, answer.value.to_bytes(4, "little"))
        assert hart.port.park(0, timeout) is answer
        assert (hart.word(60), hart.word(72)) == (parks, 0)
    assert hart.word(64) == 5


def test_a_kernel_is_told_that_code_is_for_later_though_none_is_kept_yet(kernel, tmp_path):
    for store, told in ((None, 0), (CodeStore(tmp_path), 1)):
        memory = SharedMemory(kernel, 16)
        compiler = Compiler(kernel, threshold=9, store=store)
        WasmtimePort(kernel, memory, SEAT, compiler)
        assert memory.word(76) == told
        compiler.close()


def test_what_was_made_after_a_kept_module_is_loaded_beside_it(kernel, tmp_path):
    code = bytes(wasmtime.Module(kernel.engine, GUEST).serialize())
    CodeStore(tmp_path).save({b"record %d" % n: code for n in range(2 * AHEAD)})
    compiler = Compiler(kernel, threshold=9, store=CodeStore(tmp_path))
    assert compiler.kept(3) is not None
    while len(compiler._loaded) < AHEAD:
        pass
    assert sorted(compiler._loaded) == list(range(3, 3 + AHEAD))
    assert compiler.kept(2 * AHEAD) is None
    compiler.close()
