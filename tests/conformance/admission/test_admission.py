"""Admission under CPython: every case of support/admissions.py, policies as objects, limits.

The browser's half is tests/e2e/test_admission.py: the same binaries, the same lines.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ebbtide import Machine
from ebbtide.port import Report
from support.admissions import ADMIT, CASES, Case, calls, futexes
from support.patience import said_in_time

pytestmark = pytest.mark.native
HARTS = pytest.mark.parametrize("harts", [1, 2])
SOON = 600.0  # only what hangs meets it


@pytest.fixture
def booted(guests: Any) -> Any:
    """Boot a machine that has the guest programs below /t."""

    @asynccontextmanager
    async def boot(*programs: str, **options: Any) -> AsyncIterator[Machine]:
        options = {"memory": 256 << 20, **options}
        async with await Machine.boot(None, **options) as machine:
            await machine.fs.mkdir("/tmp", 0o1777)
            for name in programs:
                path = f"/t/{name}"
                await machine.fs.mkdir(path.rpartition("/")[0], parents=True)
                data = guests.program(f"conformance/{name}").read_bytes()
                await machine.fs.write_file(path, data, mode=0o755)
            yield machine
            assert machine.panic is None

    return boot


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), SOON))


@HARTS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_programs_say_what_the_policy_makes_of_them(booted: Any, case: Case, harts: int) -> None:
    async def work() -> None:
        async with booted(*case.says, policy=case.policy, harts=harts) as m:
            for program, expected in case.says.items():
                result = await m.run(f"/t/{program}", cwd="/tmp")
                assert (result.stdout, result.exit_code) == (expected, 0), program

    run(work)


# ---- Policies that are objects -------------------------------------------------------------------


class Seen:
    """Admits everything and writes down what it was asked."""

    def __init__(self) -> None:
        self.clones: list[Report] = []
        self.execs: list[Report] = []

    def clone(self, report: Report) -> str | None:
        self.clones.append(report)
        return None

    def exec(self, report: Report) -> str | None:
        self.execs.append(report)
        return None


@HARTS
def test_object_is_asked_once_for_each_request_and_not_for_the_hosts(
    booted: Any, harts: int
) -> None:
    seen = Seen()

    async def work() -> None:
        async with booted("admission/calls", policy=seen, harts=harts) as m:
            assert (await m.run("/t/admission/calls")).stdout == calls()

    run(work)
    assert sorted(report.detail for report in seen.clones) == list(range(1, 9))
    assert [report.detail for report in seen.execs] == [1, 2]  # what cannot be run is not asked
    assert all(report.nr and report.tid and report.pid for report in seen.clones + seen.execs)
    assert len({report.pid for report in seen.clones}) == 1


class Hold(Seen):
    """Holds the answer to a clone back, and with it one hart, until it is told."""

    def __init__(self, answer: str | None) -> None:
        super().__init__()
        self.answer = answer
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def clone(self, report: Report) -> str | None:
        self.asked.set()
        assert self.go_on.wait(SOON)
        return self.answer


@pytest.mark.parametrize("answer", [None, "EAGAIN"])
def test_handler_runs_when_the_answer_has_come(booted: Any, answer: str | None) -> None:
    hold = Hold(answer)

    async def work() -> None:
        async with booted("admission/waiting", policy=hold, harts=2) as m:
            p = await m.spawn("/t/admission/waiting")
            assert await asyncio.to_thread(hold.asked.wait, SOON)
            await p.kill("USR1")
            hold.go_on.set()
            expected = f"begun\nfork: {answer or 'ok'}\nok\n"
            assert await p.stdout.read() == expected.encode()
            assert (await p.wait()).exit_code == 0
            await p.close()

    run(work)


@pytest.mark.parametrize("answer", [None, "EAGAIN"])
def test_kill_does_not_wait_for_the_answer(booted: Any, answer: str | None) -> None:
    hold = Hold(answer)

    async def work() -> None:
        async with booted("admission/waiting", policy=hold, harts=2) as m:
            p = await m.spawn("/t/admission/waiting", "now")
            assert await asyncio.to_thread(hold.asked.wait, SOON)
            await p.kill("KILL")
            assert (await p.wait()).signal == 9  # the answer is still owed
            assert await p.stdout.read() == b"begun\n"  # no child holds the pipe open
            await p.close()
            hold.go_on.set()
            said = f"begun\nfork: {answer or 'ok'}\nok\n"
            assert (await m.run("/t/admission/waiting", "now")).stdout == said

    run(work)


def test_only_the_caller_waits_for_the_answer(booted: Any) -> None:
    hold = Hold(None)

    async def work() -> None:
        async with booted("admission/waiting", "admission/calls", policy=hold, harts=2) as m:
            p = await m.spawn("/t/admission/waiting", "now")
            assert await asyncio.to_thread(hold.asked.wait, SOON)
            assert (await m.run("/t/admission/calls", "child")).exit_code == 11
            hold.go_on.set()
            assert (await p.wait()).exit_code == 0
            await p.close()

    run(work)


@pytest.mark.parametrize(
    "options",
    [
        {"policy": {"fork": "EAGAIN"}},
        {"policy": {"clone": "EWHAT"}},
        {"policy": {"exec": {"error": "EPERM", "before": 1}}},
        {"policy": {"exec": {"error": "EPERM", "after": -1}}},
        {"limits": {"pids": "many"}},
        {"limits": {"processes": 1}},
    ],
)
def test_nonsense_is_refused_before_boot(booted: Any, options: dict[str, Any]) -> None:
    async def work() -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            async with booted(**options):
                pass

    run(work)


# ---- Limits --------------------------------------------------------------------------------------


async def usable(m: Machine) -> None:
    """All of a bomb is gone in the end, and there is room for as many processes as there may be."""
    while (result := await m.run("/t/admission/bomb", "38")).exit_code:
        assert "errno 11" in result.stdout  # some are still dying
    assert result.stdout == "ok\n"


@HARTS
@pytest.mark.parametrize("policy", [None, ADMIT], ids=["nobody asked", "all admitted"])
def test_fork_bomb_meets_the_limit_and_ends_by_ctrl_c(
    booted: Any, harts: int, policy: dict[str, Any] | None
) -> None:
    async def work() -> None:
        options = {"limits": {"pids": 40}, "policy": policy, "harts": harts}
        async with booted("admission/bomb", "admission/futexes", **options) as m:
            p = await m.spawn("/t/admission/bomb", pty=(24, 80))
            seen = b""
            while b"fork: EAGAIN" not in seen:
                seen += await p.pty.read(4096)
            # The host may still start programs; they may not fork.
            assert (await m.run("/t/admission/futexes")).stdout == futexes("EAGAIN", "EAGAIN")
            await p.pty.write("\x03")
            assert (await p.wait()).signal == 2
            await p.close()
            await usable(m)

    run(work)


@HARTS
def test_out_of_memory_is_enomem_and_then_the_end_of_the_largest(booted: Any, harts: int) -> None:
    async def work() -> None:
        async with booted("admission/eater", memory=48 << 20, harts=harts) as m:
            small = await m.run("/t/admission/eater", "8")
            assert small.stdout == "it ended by signal 0\nok\n"
            for _ in range(2):
                result = await m.run("/t/admission/eater", "100")
                assert result.stdout == "write: ENOSPC\nfork: ENOMEM\nit ended by signal 9\nok\n"
            assert (await m.run("/t/admission/eater", "8")).stdout == small.stdout

    run(work)


@HARTS
def test_fork_bomb_without_ctrl_c_ends_by_its_timeout(booted: Any, harts: int) -> None:
    async def work() -> None:
        async with booted("admission/bomb", limits={"pids": 40}, harts=harts) as m:
            assert await said_in_time(m, "/t/admission/bomb") == "fork: EAGAIN\n"
            await usable(m)

    run(work)
