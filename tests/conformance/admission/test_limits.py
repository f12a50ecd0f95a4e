"""The limits of a machine, by the names of `Machine.boot(limits=)`: each holds, and is named when it is met."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ebbtide import Machine
from ebbtide.assets import images_folder
from ebbtide.errors import OutputLimit, ProcessTimeout

pytestmark = pytest.mark.native


@pytest.fixture
def limited(kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a coroutine with a machine that has these limits."""
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    if not (images_folder() / "base" / "manifest.json").is_file():
        pytest.skip("image base is not built; build it with: ebb image build base")

    def run(work: Callable[[Machine], Awaitable[None]], **options: Any) -> None:
        async def booted() -> None:
            async with await Machine.boot(harts=1, **options) as machine:
                await work(machine)

        asyncio.run(booted())

    return run


def test_memory_kills_and_is_named(limited: Callable[..., None]) -> None:
    async def work(m: Machine) -> None:
        assert m.options.memory == 64 << 20
        hungry = await m.run("tail", "/dev/zero")
        assert (hungry.exit_code, hungry.signal, hungry.limit) == (137, 9, "memory")
        within = await m.run("sh", "-c", "tail /dev/zero; echo $?")
        assert (within.exit_code, within.stdout, within.limit) == (0, "137\n", "memory")
        modest = await m.run("echo", "hi")
        assert (modest.exit_code, modest.limit) == (0, None)

    limited(work, limits={"memory": 64 << 20})


def test_pids_and_disk_are_named_for_who_met_them(limited: Callable[..., None]) -> None:
    async def work(m: Machine) -> None:
        bomb = await m.run("bash", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; kill %1")
        assert bomb.limit == "pids"
        writer = await m.run(
            "sh", "-c", "head -c 3000000 /dev/zero > /tmp/big; stat -c %s /tmp/big"
        )
        assert writer.limit == "disk" and int(writer.stdout) <= 1 << 20
        assert m.limits_met == {"pids", "disk"}
        assert (await m.run("true")).limit is None
        # What is deleted is given back.
        again = await m.run("sh", "-c", "rm /tmp/big; head -c 900000 /dev/zero > /tmp/big")
        assert (again.exit_code, again.limit) == (0, None)

    limited(work, time="virtual", limits={"pids": 6, "disk": 1 << 20})


DISK = """
free() { stat -f -c %a /; }
start=$(free)
echo changed >> /etc/passwd; head -c 100000 /dev/zero > /root/a; cp /root/a /dev/shm/b
mkdir /root/d; mv /root/a /root/d; ln /root/d/a /root/c; truncate -s 10M /root/sparse
echo used $((start - $(free)))
rm -r /root/* /dev/shm/b
echo kept $((start - $(free)))
dd if=/dev/zero of=/root/e bs=4096 count=1000 2>/dev/null; echo status $?; free
fallocate -l 2M /root/f; echo status $?
cat /usr/bin/* > /dev/null; echo read $?
echo $(wc -c < /root/e)
"""


def test_disk_counts_what_files_hold_beyond_the_image(limited: Callable[..., None]) -> None:
    async def work(m: Machine) -> None:
        said = (await m.run("bash", "-c", DISK)).stdout.splitlines()
        assert said[0] == "used 51"  # twice 25 pages, and the one of the file that was changed
        assert said[1] == "kept 1"
        assert said[2:4] == ["status 1", "0"] and said[4] == "status 1"
        assert said[5:] == ["read 0", str(255 * 4096)]

    limited(work, limits={"disk": 1 << 20})


def test_a_mapped_file_beyond_the_limit_is_a_bus_error(
    limited: Callable[..., None], guest_folder: Path
) -> None:
    """As on a full tmpfs; memory is left, so nobody else is killed for it."""

    async def work(m: Machine) -> None:
        program = (guest_folder / "conformance/admission/mapper").read_bytes()
        await m.fs.write_file("/dev/shm/mapper", program, mode=0o755)
        ended = await m.run("/dev/shm/mapper", "4096")
        assert (ended.signal, ended.limit) == (7, "disk")

    limited(work, limits={"disk": 4 << 20})


def test_timeout_ends_runs_and_spawned_programs(limited: Callable[..., None]) -> None:
    """It gets longer until a busy host has let programs do what they do before it."""
    done: list[bool] = []

    async def work(m: Machine) -> None:
        with pytest.raises(ProcessTimeout) as caught:
            await m.run("sh", "-c", "echo out; sleep 1000")
        assert caught.value.limit == "timeout"
        said = caught.value.stdout
        assert said in ("", "out\n")
        with pytest.raises(ProcessTimeout):
            await m.run("sleep", "1000", timeout=500)  # the smaller of the two
        process = await m.spawn("sleep", "1000")
        assert (await process.wait()).exit_code == 143 and process.limit == "timeout"
        await process.close()
        with suppress(ProcessTimeout):
            assert (await m.run("true")).limit is None
            done.append(bool(said))

    limit = 0.3
    while not any(done):
        limited(work, limits={"timeout": limit})
        limit *= 4


def test_max_output_ends_a_run(limited: Callable[..., None]) -> None:
    async def work(m: Machine) -> None:
        for most in (None, 1000):
            with pytest.raises(OutputLimit) as caught:
                await m.run("yes", max_output=most)
            assert (len(caught.value.stdout), caught.value.limit) == (10, "max_output")
        with pytest.raises(OutputLimit) as caught:
            await m.run("yes", max_output="4")
        assert caught.value.stdout == "y\ny\n"
        assert (await m.run("echo", "123456789")).stdout == "123456789\n"

    limited(work, limits={"max_output": 10})


def test_files_bounds_root_too(limited: Callable[..., None]) -> None:
    async def work(m: Machine) -> None:
        ended = await m.run("bash", "-c", "ulimit -n; ulimit -Hn; ulimit -n 41")
        assert ended.stdout == "40\n40\n" and "permitted" in ended.stderr

    limited(work, limits={"files": 40})


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"tasks": 1}, "'tasks' is not known; known are timeout, memory, pids,"),
        ({"max_ouput": 1}, "did you mean max_output?"),
        ({"timeout": -1}, "timeout is a number of seconds"),
        ({"disk": -1}, "disk is a whole number"),
        ({"disk": "much"}, "disk: 'much' is no size"),
        ({"memory": 1000}, "at least 16M"),
    ],
)
def test_nonsense_is_refused(
    limited: Callable[..., None], limits: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match="limits|memory") as caught:
        limited(lambda m: asyncio.sleep(0), limits=limits)
    assert said in str(caught.value)
