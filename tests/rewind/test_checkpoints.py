"""What opening a run in a debugger leaves behind: the second time it is there at once, and the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ebbtide import assets
from ebbtide.cli_replay import open_replay
from ebbtide.errors import EbbError
from ebbtide.rewind import checkpoints, replay
from ebbtide.rewind.gdb_command import open_timeline
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.snapshots import SnapshotStore
from ebbtide.rewind.store import Run, RunStore
from ebbtide.rewind.tape import TapeDamaged
from ebbtide.rewind.timeline import NEAR, Timeline
from support.command import ebb, recorded

pytestmark = pytest.mark.native
PROGRAM = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done > /tmp/n; kill -SEGV $$"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """A store of its own with one run that ends badly."""
    monkeypatch.setenv("EBB_RUNS", str(tmp_path / "runs"))
    recorded(tmp_path, "--", "sh", "-c", PROGRAM, code=139)
    with closing(RunStore(assets.runs_folder())) as made:
        yield made


def opened(store: RunStore, run: Run, often: bool = True) -> tuple[Timeline, int]:
    made = open_replay(run)
    if often:
        made.checkpoint_s = 0.01
    return open_timeline(store, run, made, None)


def test_the_second_time_a_run_is_not_gone_through_and_is_the_same(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    run = store.open("last")
    first, pid = opened(store, run)
    end = first.end_of(pid)
    places = [end, end // 2, end // 3, end - 1]
    digests = []
    for tick in places:
        first.seek(tick)
        digests.append((first.tick, first.replay.next, first.replay.stage.host.digest()))
    first.replay.close()
    number, size = store.checkpoints(run.id)
    assert number > 3 and size > 1 << 20

    monkeypatch.setattr(Timeline, "scan", None)
    second, again = opened(store, store.open(run.id), often=False)
    assert (again, second.starts, second.endings) == (pid, first.starts, first.endings)
    for tick, digest in zip(places, digests, strict=True):
        second.seek(tick)
        assert (second.tick, second.replay.next, second.replay.stage.host.digest()) == digest
    begin = second.start_of(pid)
    assert second.step_back(pid, begin)
    second.seek(0)
    second.replay.run()  # outputs are counted, and compared again once all of them are known
    second.replay.close()


def test_they_are_counted_described_dropped_first_and_gone_with_their_run(store: RunStore):
    run = store.open("last")
    opened(store, run)[0].replay.close()
    number, size = store.checkpoints(run.id)
    assert f"{number} ({size} bytes)" in ebb("describe", "run").stdout
    assert SnapshotStore(store).rows() == []
    counted = store.size()
    assert counted > size

    assert store.retain(most=counted - 1) == []  # the run itself can stay
    assert store.checkpoints(run.id) == (0, 0)
    assert store.database.execute("SELECT COUNT(*) FROM page").fetchone() == (0,)

    opened(store, run)[0].replay.close()
    assert ebb("rm", "--checkpoints", run.id).returncode == 0
    assert store.checkpoints(run.id) == (0, 0) and store.find("last") == run.id

    opened(store, run)[0].replay.close()
    assert store.checkpoints(run.id)[0] > 0
    store.remove([run.id])
    for table in ("page", "node", "checkpoint", "scanned"):
        assert store.database.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)


def test_what_was_dropped_meanwhile_is_said_and_what_is_too_much_is_thinned(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoints, "KEPT_MOST", 4)
    run = store.open("last")
    first, pid = opened(store, run)
    assert store.checkpoints(run.id)[0] == 4
    first.replay.close()
    made = open_replay(run)
    line = Timeline(made)
    assert checkpoints.KeptCheckpoints(store).take(run, line)
    ebb("rm", "--checkpoints", run.id)
    with pytest.raises(TapeDamaged, match="open it again"):
        line.seek(line.end_of(pid))
    made.close()
    assert issubclass(TapeDamaged, EbbError)


def test_a_place_where_a_checkpoint_is_has_others_shortly_before_it(store: RunStore):
    line, pid = opened(store, store.open("last"), often=False)
    middle = (line.start_of(pid) + line.end_of(pid)) // 2
    line.seek(middle)
    line.replay.checkpoint()
    line.near(middle)
    assert middle - line.replay.nearest(middle - 1).tick == NEAR[-1]
    line.replay.close()


def test_checkpoints_take_so_much_memory_and_no_more(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    def held(made: Replay) -> int:
        pieces = [piece for one in made.checkpoints for piece in one.pages.pieces.values()]
        return sum({id(piece): len(piece) for piece in pieces}.values())

    made = open_replay(store.open("last"))
    for part in range(1, 13):
        made.seek(made.end * part // 12)
        made.checkpoint()
    assert len(made.checkpoints) > 12 and made.bytes == held(made)
    monkeypatch.setattr(replay, "CHECKPOINT_BYTES", made.bytes // 2)
    made.checkpoint()
    assert made.bytes == held(made) <= replay.CHECKPOINT_BYTES
    assert [made.checkpoints[0].tick, made.checkpoints[-1].tick] == [made.begin, made.end]
    made.close()


def test_of_machines_in_a_store_few_are_in_memory(store: RunStore):
    run = store.open("last")
    opened(store, run)[0].replay.close()
    line, _ = opened(store, run, often=False)
    kept = [one for one in line.replay.checkpoints if one.pages.stored]
    assert len(kept) > checkpoints.READ_MOST
    for one in kept:
        line.replay.restore(one)
    assert sum(one.pages.pieces.read for one in kept) == checkpoints.READ_MOST
    line.replay.restore(kept[0])  # and is read again
    assert line.replay.tick == kept[0].tick
    line.replay.close()
