"""Snapshots: pages once each, restored as they were, and gone with the last that has them."""

from __future__ import annotations

import asyncio
import ctypes
import json
import mmap
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebbtide import Machine
from ebbtide.image.build import build_from
from ebbtide.rewind.bundle import Bundle
from ebbtide.rewind.snapshots import NODE, PAGE, PLACED, Extent, Snapshot, SnapshotStore, Tracker
from ebbtide.rewind.store import RunStore
from ebbtide.rewind.tape import TapeDamaged
from ebbtide.wasmtime_kernel import SharedMemory

pytestmark = pytest.mark.native

PAGES, BASE = 3000, 8192
EXTENT = Extent(900, 1700, PAGES)
KERNEL = "ab" * 32


@pytest.fixture
def store(tmp_path: Path):
    store = RunStore(tmp_path)
    yield store
    store.close()


def machine(chance: random.Random) -> bytearray:
    memory = bytearray(BASE + PAGES * PAGE)
    for first, end in ((0, EXTENT.heap), (EXTENT.low, PAGES)):
        for page in range(first, end, chance.choice((1, 2, 3))):
            memory[BASE + page * PAGE : BASE + (page + 1) * PAGE] = chance.randbytes(PAGE)
    return memory


def restored(snapshots: SnapshotStore, one: Snapshot) -> bytearray:
    memory = bytearray(BASE + PAGES * PAGE)
    view = memoryview(memory)
    snapshots.restore(one, lambda page, n: view[BASE + page * PAGE : BASE + (page + n) * PAGE])
    return memory


def test_what_changes_is_kept_and_the_rest_is_shared(store) -> None:
    chance = random.Random(1)
    memory, snapshots = machine(chance), SnapshotStore(store)
    tracker = Tracker(SimpleNamespace(bytes=memoryview(memory)), BASE, PAGES)
    made, copies, sizes = [], [], []
    for number in range(4):
        tracker.look(EXTENT)
        made.append(snapshots.create(tracker, EXTENT, KERNEL, number, {"number": number}))
        copies.append(bytes(memory))
        sizes.append((store.root / "pages").stat().st_size)
        for page in chance.sample(range(EXTENT.heap), 20):
            at = BASE + page * PAGE
            memory[at : at + 8] = chance.randbytes(8)

    assert sizes[1:] == [sizes[0] + 20 * PAGE * n for n in (1, 2, 3)]
    for one, copy in zip(made, copies, strict=True):
        assert restored(snapshots, one) == copy
        assert snapshots.check(one) > 1000
    assert [one.about["number"] for one in snapshots.rows()] == [3, 2, 1, 0]
    other = Tracker(SimpleNamespace(bytes=memoryview(bytearray(copies[2]))), BASE, PAGES)
    other.look(EXTENT)
    assert snapshots.create(other, EXTENT, KERNEL, 2, {}).id == made[2].id
    snapshots.remove([made[3].id])
    holes = store.database.execute("SELECT COUNT(*) FROM hole").fetchone()[0]
    assert holes == 20
    tracker.look(EXTENT)
    made[3] = snapshots.create(tracker, EXTENT, KERNEL, 9, {})
    copies[3] = bytes(memory)
    assert (store.root / "pages").stat().st_size <= sizes[-1] + 20 * PAGE
    for one, copy in zip(made, copies, strict=True):
        assert restored(snapshots, one) == copy
    snapshots.remove([one.id for one in made])
    counts = (store.database.execute(f"SELECT COUNT(*) FROM {name}") for name in ("page", "node"))
    assert [count.fetchone() for count in counts] == [(0,), (0,)]


def test_rows_of_pages_are_placed_and_stay_as_long_as_who_has_them(store) -> None:
    chance = random.Random(4)
    memory = bytearray(BASE + PAGES * PAGE)
    for page in (1, *range(NODE - 20, 2 * NODE), *range(2 * NODE, 3 * NODE, 4)):
        memory[BASE + page * PAGE : BASE + (page + 1) * PAGE] = chance.randbytes(PAGE)
    snapshots, whole = SnapshotStore(store), Extent(PAGES, PAGES, PAGES)

    def taken() -> Snapshot:
        tracker = Tracker(SimpleNamespace(bytes=memoryview(memory)), BASE, PAGES)
        tracker.look(whole)
        return snapshots.create(tracker, whole, KERNEL, 1, {})

    one, back = taken(), mmap.mmap(-1, BASE + PAGES * PAGE)
    view, rows = memoryview(back), []
    holder = SharedMemory.__new__(SharedMemory)  # of another memory
    at = ctypes.c_ubyte.from_buffer(back)
    holder._address = ctypes.addressof(at)
    del at

    def place(page: int, number: int, file: int, offset: int) -> bool:
        rows.append((page, number))
        return holder.place(BASE + page * PAGE, number * PAGE, file, offset)

    def room(page: int, number: int) -> memoryview:
        assert number < PLACED
        return view[BASE + page * PAGE : BASE + (page + number) * PAGE]

    old = bytes(memory)
    snapshots.restore(one, room, place)
    assert rows == [(NODE - 20, 20), (NODE, NODE)]
    back[BASE + NODE * PAGE] ^= 1  # is its own
    snapshots.remove([one.id])
    for page in range(NODE - 20, 2 * NODE):
        memory[BASE + page * PAGE : BASE + (page + 1) * PAGE] = chance.randbytes(PAGE)
    size = (store.root / "pages").stat().st_size
    two = taken()  # in other places than those that came free
    assert (store.root / "pages").stat().st_size > size
    back[BASE + NODE * PAGE] ^= 1
    assert back[:] == old
    size = (store.root / "pages").stat().st_size
    view.release()
    back.close()  # which nobody has any more
    assert restored(snapshots, two) == memory
    memory[BASE + NODE * PAGE] ^= 1
    assert restored(snapshots, taken()) == memory
    assert (store.root / "pages").stat().st_size == size


def test_a_damaged_page_is_found(store) -> None:
    memory, snapshots = machine(random.Random(2)), SnapshotStore(store)
    tracker = Tracker(SimpleNamespace(bytes=memoryview(memory)), BASE, PAGES)
    tracker.look(EXTENT)
    one = snapshots.create(tracker, EXTENT, KERNEL, 1, {})
    with (store.root / "pages").open("r+b") as file:
        file.seek(77 * PAGE + 9)
        file.write(b"damage")
    with pytest.raises(TapeDamaged, match=r"page \d+ of snapshot"):
        snapshots.check(one)


def test_a_live_machine_is_kept_and_gone_on_with(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EBB_RUNS", str(tmp_path))

    async def first() -> tuple[str, float]:
        async with await Machine.boot("base") as machine:
            await machine.run("sh", "-c", "echo kept > /f")
            await machine.spawn("sh", "-c", "sleep 1000")
            cat = await machine.spawn("cat")  # its answer has not come
            id = await machine.snapshot()
            assert cat.stdin and cat.stdout
            await cat.stdin.write(b"goes on\n")
            assert await cat.stdout.read(100) == b"goes on\n"
            uptime = float((await machine.run("cat", "/proc/uptime")).stdout.split()[0])
            await machine.run("rm", "/f")
            assert await machine.snapshot() != id
            return id, uptime

    async def again(id: str) -> tuple[str, list[str], float]:
        async with await Machine.boot(snapshot=id) as machine:
            said = await machine.run(
                "sh", "-c", "cat /f; date +%s; cat /proc/uptime; ps -e -o args"
            )
            drawn = await machine.run("od", "-An", "-N16", "-tx1", "/dev/urandom")
            lines = said.stdout.splitlines()
            assert lines[0] == "kept" and abs(int(lines[1]) - time.time()) < 60
            assert await machine.fs.read_text("/f") == "kept\n"
            return drawn.stdout, lines[3:], float(lines[2].split()[0])

    id, uptime = asyncio.run(first())
    one, two = (asyncio.run(again(id)) for _ in range(2))
    assert "sleep 1000" in one[1]
    assert one[0] != two[0]  # two copies of a machine do not draw the same numbers
    assert two[2] > 0 and uptime > 0


def test_a_moment_of_a_run_is_gone_on_with(ebb) -> None:
    script = "echo one > /f; sync; read line; echo two > /f; read line"
    ebb("run", "-q", "--", "sh", "-c", script, input=b"a\nb\n")
    described = json.loads(ebb("describe", "run", "-o", "json").stdout)
    run, end = described["id"], described["ticks"]
    seen = set()
    for tick in (end // 2, end):
        made = ebb("snapshot", "create", f"{run}@{tick}")
        assert made.returncode == 0, made.stderr
        id = made.stdout.decode().strip()
        ran = ebb("run", "-q", "--snapshot", id[:12], "--", "sh", "-c", "cat /f; uname")
        assert ran.stdout.endswith(b"Linux\n"), ran.stderr
        seen.add(ran.stdout)
    assert b"two\nLinux\n" in seen
    listed = ebb("snapshot", "list").stdout.decode()
    assert id in listed and id in ebb("get", "snapshots").stdout.decode()
    assert ebb("snapshot", "verify", id).returncode == 0
    assert ebb("snapshot", "rm", id[:12]).returncode == 0
    assert ebb("run", "-q", "--snapshot", id, "--", "true").returncode == 125


def test_what_goes_on_from_a_snapshot_is_recorded(ebb, tmp_path) -> None:
    ebb("run", "-q", "--", "sh", "-c", "echo one > /f")
    id = ebb("snapshot", "create", "last").stdout.decode().strip()
    script = "cat /f; head -c 8 /dev/urandom | od -An -tx1; read line; echo $line | tee /f"
    ran = ebb("snapshot", "fork", id, "-q", "--", "sh", "-c", script, input=b"two\n")
    lines = ran.stdout.decode().splitlines()
    assert lines[0] == "one" and lines[2] == "two", ran.stderr
    assert ebb("replay").stdout == ran.stdout
    assert json.loads(ebb("describe", "run", "-o", "json").stdout)["goes_on_from"] == {
        "snapshot": id
    }
    tree = ebb("trace", "process").stdout.decode()
    assert "exit 0" in tree and "cat /f" in tree and "echo one" not in tree
    made = ebb("snapshot", "create", "last").stdout.decode().strip()  # of a run that goes on
    assert ebb("snapshot", "fork", made, "-q", "--", "cat", "/f").stdout == b"two\n"
    assert ebb("replay", "--goto", "1").returncode == 0  # before it begins is where it begins

    run = json.loads(ebb("get", "runs", "-o", "json").stdout)[1]["id"]
    ebb("snapshot", "rm", id, made)
    assert ebb("export", "run", run, str(tmp_path / "file")).returncode == 0
    assert ebb("rm", run).returncode == 0
    assert ebb("replay", str(tmp_path / "file")).stdout == ran.stdout
    assert ebb("import", str(tmp_path / "file")).returncode == 0
    assert ebb("verify", run, "--objects", "--replay").returncode == 0
    ebb("export", "run", run, str(tmp_path / "shown"), "--redact")
    assert ebb("replay", str(tmp_path / "shown")).returncode == 125
    assert b"two" not in Bundle((tmp_path / "shown").read_bytes()).tape


def test_restored_a_machine_draws_the_numbers_it_would_have_drawn(ebb) -> None:
    ebb("run", "-q", "--time", "virtual", "--", "true")
    id = ebb("snapshot", "create", "last").stdout.decode().strip()
    draw = "-q", "--time", "virtual", "--", "head", "-c", "16", "/dev/urandom"
    one, two = (ebb("snapshot", "restore", id, *draw).stdout for _ in range(2))
    other = ebb("snapshot", "fork", id, *draw).stdout
    assert one == two != other and len(other) == 16


def test_a_machine_that_is_gone_on_with_has_its_own_image(ebb, tmp_path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one").write_text("1")
    images = tmp_path / "images"
    build_from(tmp_path / "files", "small", images)
    build_from(tmp_path / "files", "same", images)
    (tmp_path / "files" / "one").write_text("2")
    build_from(tmp_path / "files", "other", images)
    env = {"EBB_RUNS": str(tmp_path / "runs"), "EBB_IMAGES": str(images)}
    ran = ebb("run", "-q", "--image", "small", "--", "nothing", env=env)
    assert ran.returncode == 127, ran.stderr
    id = ebb("snapshot", "create", "last").stdout.decode().strip()
    assert ebb("run", "-q", "--snapshot", id, "--", "nothing", env=env).returncode == 127
    known = json.loads(ebb("describe", "run", "-o", "json").stdout)
    assert known["image"] == "small"
    for image, code in (("same", 127), ("small", 127), ("other", 125)):
        ran = ebb("run", "-q", "--snapshot", id, "--image", image, "--", "nothing", env=env)
        assert ran.returncode == code, ran.stderr
    assert b"the snapshot is of image small, not of other" in ran.stderr
