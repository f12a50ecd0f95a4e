"""For how long a program waits while others compute: a machine of one hart, stepped by the test.

Time is ticks. What reads a byte and answers it stands for a shell that somebody types to.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.cpu.generate import DATA, addi, elf, j, load_address, u32

from ebbtide.agent import Agent
from ebbtide.filesystem import FileSystem
from ebbtide.image_store import empty_index
from ebbtide.owner_role import OwnerRole, User
from ebbtide.process import Process
from ebbtide.wasmtime_kernel import KernelModule

from .conftest import RAM, SteppedMachine

pytestmark = pytest.mark.native
STEP = 1000  # ticks; what the host does between two steps takes none
TURN = 4_000_000  # QUANTUM of kernel/step.c
TURN_NS = 10_000_000
READ, WRITE, SCHED_YIELD = 63, 64, 124
SPIN = elf(j(0), b"")


def system_call(number: int) -> bytes:
    return addi(17, 0, number) + u32(0x73)


def answers(before: bytes = b"") -> bytes:
    """A program that answers each byte it reads, and does something before that."""
    one = addi(10, 0, 0) + load_address(11, DATA) + addi(12, 0, 1) + system_call(READ) + before
    one += addi(10, 0, 1) + load_address(11, DATA) + addi(12, 0, 1) + system_call(WRITE)
    return elf(one + j(-len(one)), bytes(8))


class Turns(SteppedMachine):
    """A booted machine whose clock runs at so many ns per tick."""

    def __init__(self, kernel: KernelModule, ns: int) -> None:
        super().__init__(kernel)
        boot = self.events.boot(
            ram_bytes=RAM, realtime_ns=0, cpus=1, harts=1, seed=bytes(32), index=empty_index()
        )
        self.port.deliver(boot)
        self.port.deliver(self.events.clock(0, ns << 24))
        self.agent = Agent(self.abi, self.port.deliver)

    async def run(self) -> None:
        """Step for ever."""
        while True:
            self.port.step(STEP)
            self.drain()
            while self.ended:
                self.agent.ended(self.ended.pop(0))
            await asyncio.sleep(0)

    async def start(self, name: str, program: bytes) -> Process:
        await FileSystem(self.agent).write_file(name, program, mode=0o755)
        user = User("root", 0, 0, "/")
        return await OwnerRole(self.agent).spawn([name], env={}, cwd="/", user=user, stdin=True)

    async def answer(self, process: Process) -> int:
        """Return after how many ticks it answers."""
        await asyncio.sleep(0)
        assert process.stdin and process.stdout
        begin = self.port.report().tick
        reading = asyncio.ensure_future(process.stdout.read(1))
        await process.stdin.write(b"x")
        assert await reading == b"x"
        return self.port.report().tick - begin


def longest(kernel: KernelModule, program: bytes, ns: int) -> int:
    """Return the longest wait for an answer of a program while two others compute."""

    async def measured() -> int:
        machine = Turns(kernel, ns)
        running = asyncio.ensure_future(machine.run())
        try:
            answering = await machine.start("/answers", program)
            for name in ("/first", "/second"):
                await machine.start(name, SPIN)
            return max([await machine.answer(answering) for _ in range(8)])
        finally:
            running.cancel()

    return asyncio.run(measured())


def test_who_is_typed_to_waits_for_no_turn_to_end(kernel: KernelModule) -> None:
    assert longest(kernel, answers(), 1) < TURN / 8


def test_turns_are_shorter_where_guest_code_is_slow(kernel: KernelModule) -> None:
    yields = answers(system_call(SCHED_YIELD))  # and waits for both
    assert TURN < longest(kernel, yields, 1) < 3 * TURN
    slow = 50
    assert TURN_NS / slow < longest(kernel, yields, slow) < 3 * TURN_NS / slow
