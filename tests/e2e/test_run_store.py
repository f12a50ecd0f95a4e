"""What the page's store of runs does when it is full or denied: the oldest make room, pinned ones stay, and no run ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from e2e.machines import MachinePage

# Runs as the store has them, but for their contents: [id, bytes, pinned] of each, the oldest first.
FILL = """
    for (const [number, [id, bytes, pinned]] of arg.entries()) {
        const info = { id, started: 1000 + number, ended: 2000 + number, kernel: "00", pinned, about: {} };
        await store("ebb-runs", "runs", `${id}.json`, JSON.stringify(info));
        await store("ebb-runs", "tapes", id, new Uint8Array(bytes));
    }
"""
RECORD = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ record: true, memory: "128M" });
    await other.saveRun();
    const { recording } = other;
    const { stdout } = await other.run("echo", ["it goes on"]);
    await other.close();
    const list = await sdk.runs.list();
    return { recording, stdout, ids: list.map(({ id }) => id) };
"""
LISTED = """
    const { id } = sdk.recording;
    const other = new Worker(new URL("runs.js", location.href), { type: "module" }); // as another tab has one
    let at = 0;
    const pin = () => other.postMessage({ id: ++at, method: "pin", params: [id, at % 2 === 1] });
    const first = new Promise((begun) => {
        other.onmessage = ({ data }) => {
            begun(data.error);
            pin();
        };
    });
    pin();
    await first; // it goes on writing
    const lacking = [];
    for (let round = 0; round < arg; round++) {
        try {
            const list = await sdk.runs.list();
            if (!list.some((run) => run.id === id)) lacking.push("left out");
        } catch (error) {
            lacking.push(error.message);
        }
    }
    other.terminate();
    return { lacking, at };
"""
CLEAR = "for (const { id, live } of await sdk.runs.list()) if (!live) await sdk.runs.remove(id);"


@pytest.fixture
def empty(machine: MachinePage) -> Iterator[MachinePage]:
    machine.js(CLEAR)
    yield machine
    machine.js(CLEAR)


def recorded(machine: MachinePage, runs: list[tuple[str, int, bool]]) -> dict[str, Any]:
    machine.js(FILL, runs)
    found: dict[str, Any] = machine.js(RECORD)
    assert found["stdout"] == "it goes on\n"
    return found


def test_a_list_has_runs_that_are_written_anew_meanwhile(empty: MachinePage) -> None:
    empty.js("await sdk.saveRun()")
    found = empty.js(LISTED, 100)
    assert found["lacking"] == [] and found["at"] > 10


def test_of_more_than_20_runs_the_oldest_go_and_pinned_ones_stay(empty: MachinePage) -> None:
    runs = [(f"run-{number:02}", 100, number == 1) for number in range(25)]
    found = recorded(empty, runs)
    assert found["recording"]["ended"] is None and found["recording"]["id"] in found["ids"]
    kept = sorted(id for id in found["ids"] if id.startswith("run-"))
    assert len(found["ids"]) == 20
    assert kept[0] == "run-01" and kept[1:] == [f"run-{n:02}" for n in range(26 - len(kept), 25)]


def test_of_more_than_200_mb_the_oldest_go(empty: MachinePage) -> None:
    found = recorded(empty, [("big-old", 90 << 20, False), ("big-new", 120 << 20, False)])
    assert "big-old" not in found["ids"] and "big-new" in found["ids"]
    assert found["recording"]["ended"] is None


def test_when_all_is_pinned_the_recording_ends_and_the_run_goes_on(empty: MachinePage) -> None:
    found = recorded(empty, [("pinned-1", 110 << 20, True), ("pinned-2", 100 << 20, True)])
    assert "200 MB of recordings" in found["recording"]["ended"]
    assert {"pinned-1", "pinned-2"} <= set(found["ids"])


def test_a_quota_ends_the_recording_and_the_run_goes_on(
    empty: MachinePage, context: BrowserContext, base_url: str
) -> None:
    session = context.new_cdp_session(empty.page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": base_url, "quotaSize": 1000})
    try:
        found = empty.js(RECORD)
    finally:
        session.send("Storage.overrideQuotaForOrigin", {"origin": base_url})
    assert found["stdout"] == "it goes on\n" and found["recording"]["ended"]


def test_a_denied_store_ends_the_recording_with_a_word_and_the_run_goes_on(
    base_url: str, denied: Page
) -> None:
    denied.goto(base_url)
    denied.wait_for_function("document.body.dataset.state === 'ready'")
    denied.wait_for_function("sdk.recording?.ended")
    assert "the machine goes on" in denied.inner_text("#notice")
    assert denied.locator("#recording").is_hidden()
    assert denied.evaluate("sdk.run('echo', ['on']).then(({ stdout }) => stdout)") == "on\n"


FAILURES = [
    ('sdk.runs.open("nope")', "EbbError", "not-found", "there is no run nope in this browser"),
    ('sdk.runs.import("x.ebbrun")', "TypeError", None, "a file must be a Blob"),
    ('sdk.snapshots.import("x.ebbsnap")', "TypeError", None, "a file must be a Blob"),
    ('sdk.runs.import(new Blob(["nothing of ours"]))', "EbbError", "damaged", "this is no exported run"),
    ('sdk.snapshots.import(new Blob(["nothing"]))', "EbbError", "damaged", "this is no whole snapshot"),
    ('sdk.runs.remove("nope")', "EbbError", "not-found", "there is no run nope in this browser"),
    ('sdk.runs.pin("nope")', "EbbError", "not-found", "there is no run nope in this browser"),
    ('sdk.snapshots.remove("deadbeef")', "EbbError", "not-found", "there is no snapshot deadbeef"),
    ('boot({ snapshot: "deadbeef" })', "EbbError", "not-found", "there is no snapshot deadbeef"),
    ('sdk.runs.trace(id, "foo")', "RangeError", None, "layer must be one of syscalls"),
    ('sdk.runs.trace(id, "process", { from: "soon" })', "RangeError", None, "'soon' is no tick"),
    ('sdk.runs.profile(id, { format: "svg" })', "RangeError", None, "format must be one of"),
    ("(await sdk.runs.open(id)).branch(2 ** 50)", "RangeError", None, "tick must be one of the run's, from 1 to "),
    ("sdk.runs.open(id).then((run) => (run.close(), run.seek(1)))", "EbbError", "closed", "The run has been closed."),
    ('(await sdk.runs.open(id)).seek("x")', "TypeError", None, "tick must be a number"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "name", "code", "part"), FAILURES)
def test_failures_have_a_code_and_one_sentence(
    machine: MachinePage, call: str, name: str, code: str | None, part: str
) -> None:
    error = machine.error(
        f"""const {{ boot }} = await import("./ebbtide.js");
        await sdk.saveRun();
        const id = sdk.recording.id;
        await {call};"""
    )
    assert (error["name"], error["code"]) == (name, code)
    assert error["message"].startswith(part) and "\n" not in error["message"], error
