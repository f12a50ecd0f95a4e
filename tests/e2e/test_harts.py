"""The harts of a page: as many as the browser has processors. One boots the machine, the others come when it rests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.machines import MachinePage
from ebbtide.recording import DIGEST, ORDER
from ebbtide.rewind.bundle import Bundle
from ebbtide.rewind.tape import TapeReader
from support.command import ebb

HOLD = """
    const { boot } = await import("./ebbtide.js");
    const { Worker } = window;
    let held = []; // what workers of harts beside the first are told, until `release` is called
    window.asked = new Promise((resolve) => {
        window.Worker = class extends Worker {
            constructor(url, options) {
                const late = /^ebb hart [1-9]$/.test(options.name);
                super(late && arg.lost ? `${url}.missing` : url, options);
                this.late = late;
                if (late) resolve();
            }
            postMessage(...message) {
                if (this.late && held !== null) held.push(() => super.postMessage(...message));
                else super.postMessage(...message);
            }
        };
    });
    window.release = () => {
        window.Worker = Worker;
        for (const send of held ?? []) send();
        held = null;
    };
    Object.defineProperty(navigator, "hardwareConcurrency", { value: arg.processors, configurable: true });
    window.one = await boot({ memory: "128M", ...arg.options });
"""
LOOP = 'one.spawn("sh", ["-c", "while :; do :; done"])'


def booted(machine: MachinePage, processors: int, lost: bool = False, **options: Any) -> int:
    """Boot a machine beside the page's, whose further harts are held back; return how many it has."""
    all_have_come(machine)
    arg = {"processors": processors, "lost": lost, "options": options}
    harts: int = machine.js(f"{HOLD} return one.harts;", arg)
    return harts


def all_have_come(machine: MachinePage) -> None:
    machine.until("return (await sdk.counters()).steps.every(Boolean)")


def close(machine: MachinePage) -> None:
    machine.js("await one.close(); release(); delete navigator.hardwareConcurrency;")


def test_a_page_has_all_processors_and_records_them(machine: MachinePage) -> None:
    harts = machine.js("return Math.min(navigator.hardwareConcurrency, 4)")
    assert machine.js("return sdk.harts") == harts
    assert machine.run("nproc")["stdout"] == f"{harts}\n"
    all_have_come(machine)
    machine.js("await sdk.saveRun()")
    assert machine.js("return sdk.recording.ended") is None


@pytest.mark.parametrize(
    ("processors", "options", "harts"),
    [(1, {}, 1), (64, {}, 4), (2, {"seed": 7}, 1), (2, {"chaos": "sched"}, 1)],
    ids=["one", "many", "seed", "chaos"],
)
def test_how_many_there_are(
    machine: MachinePage, processors: int, options: dict[str, Any], harts: int
) -> None:
    assert booted(machine, processors, **options) == harts
    assert machine.js('return (await one.run("nproc")).stdout') == f"{harts}\n"
    close(machine)


def test_a_machine_works_on_one_hart_until_others_come_and_all_of_it_replays(
    machine: MachinePage, tmp_path: Path
) -> None:
    assert booted(machine, 2, record=True) == 2
    alone = machine.js(
        f"""const said = await one.run("sh", ["-c", "echo alone; seq 2000 | sort -r | md5sum"]);
        await sdk.snapshots.remove(await one.snapshot());
        const first = await one.digest();
        await one.saveRun();
        window.loops = await Promise.all([{LOOP}, {LOOP}]);
        await asked; // the machine does not rest, and gets another hart all the same
        const {{ steps }} = await one.counters();
        release();
        return {{ ...said, first, steps }};"""
    )
    assert alone["stdout"].startswith("alone\n") and alone["exitCode"] == 0
    assert alone["steps"][0] > 0 and alone["steps"][1] == 0
    machine.until("return (await one.counters()).retired.every((count) => count > 1_000_000);")
    found = machine.js(
        """for (const p of loops) await p.kill("SIGKILL");
        for (const p of loops) await p.exit;
        const { stdout } = await one.run("sh", ["-c", "seq 3000 | sort | md5sum & seq 3000 | sort -r | md5sum; wait"]);
        const last = await one.digest();
        await one.saveRun();
        const { id, ended } = one.recording;
        return { stdout, last, id, ended };"""
    )
    close(machine)
    assert found["ended"] is None
    file = tmp_path / "late.ebbrun"
    file.write_bytes(machine.blob("return sdk.runs.export(arg)", found["id"]))
    bundle = Bundle(file.read_bytes())
    entries = list(TapeReader(bundle.tape, bundle).entries())
    assert any(entry.kind == ORDER for entry in entries)
    digests = [one.data.hex() for one in entries if one.kind == DIGEST]
    assert digests == [alone["first"], found["last"]]
    done = ebb("replay", str(file))  # compares the digests
    assert (done.returncode, done.stderr) == (0, "")
    assert alone["stdout"] in done.stdout and done.stdout.endswith(found["stdout"])
    machine.js("await sdk.runs.remove(arg)", found["id"])


def test_a_machine_that_is_closed_while_a_hart_comes_leaves_nothing_behind(
    machine: MachinePage,
) -> None:
    assert booted(machine, 2, record=True) == 2
    machine.js("await asked")
    close(machine)
    assert booted(machine, 2) == 2
    close(machine)  # before one was asked for
    ours = 1 + machine.js("return sdk.harts")
    while machines_workers(machine) > ours:  # the browser tells of their end a little later
        machine.page.wait_for_timeout(10)
    assert machines_workers(machine) == ours


def machines_workers(machine: MachinePage) -> int:
    return sum(worker.url.endswith("/worker.js") for worker in machine.page.workers)


def test_a_hart_that_cannot_start_is_told_once_and_done_without(machine: MachinePage) -> None:
    machine.js(
        "window.said = []; window.warn = console.warn; console.warn = (text) => said.push(text);"
    )
    assert booted(machine, 4, lost=True, record=True) == 4
    machine.until("return said.length > 0")
    seen = machine.js(
        """const { stdout } = await one.run("sh", ["-c", "seq 2000 | sort | wc -l & wait; nproc"]);
        await sdk.snapshots.remove(await one.snapshot());
        await one.saveRun();
        const { id, ended } = one.recording;
        const { retired } = await one.counters();
        return { stdout, id, ended, retired };"""
    )
    close(machine)
    assert (seen["stdout"], seen["ended"]) == ("2000\n4\n", None)
    assert seen["retired"][1:] == [0, 0, 0]
    verdict = machine.js(
        """console.warn = warn;
        const verdict = await sdk.runs.verify(arg, { replay: true });
        await sdk.runs.remove(arg);
        return [verdict.state, said];""",
        seen["id"],
    )
    assert verdict[0] == "whole" and len(verdict[1]) == 1
    assert "goes on with 1 of 4 harts" in verdict[1][0]
