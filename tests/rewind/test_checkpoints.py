"""What opening a run in a debugger leaves behind: the second time it is there at once, and the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ebbtide import assets
from ebbtide.cli_rewind import open_replay
from ebbtide.errors import EbbError
from ebbtide.rewind import checkpoints
from ebbtide.rewind.gdb_command import open_timeline
from ebbtide.rewind.snapshots import SnapshotStore
from ebbtide.rewind.store import Run, RunStore
from ebbtide.rewind.tape import TapeDamaged
from ebbtide.rewind.timeline import Timeline
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
    replay = open_replay(run)
    if often:
        replay.checkpoint_s = 0.01
    return open_timeline(store, run, replay, None)


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
    replay = open_replay(run)
    line = Timeline(replay)
    assert checkpoints.KeptCheckpoints(store).take(run, line)
    ebb("rm", "--checkpoints", run.id)
    with pytest.raises(TapeDamaged, match="open it again"):
        line.seek(line.end_of(pid))
    replay.close()
    assert issubclass(TapeDamaged, EbbError)
