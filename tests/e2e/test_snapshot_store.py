"""What the page's store of snapshots does when it is full: the oldest make room, pinned ones stay, and no machine ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from e2e.machines import MachinePage

# Snapshots as the store has them, but for their pages: [id, pages, pinned] of each, the oldest first.
FILL = """
    let place = 1;
    for (const [number, [id, pages, pinned]] of arg.entries()) {
        const nodes = [];
        for (let node = 0; node * 512 < pages; node++) {
            const rows = new DataView(new ArrayBuffer(512 * 36));
            for (let page = 0; page < 512 && node * 512 + page < pages; page++) {
                rows.setUint32(page * 36, place);
                rows.setUint32(page * 36 + 32, place++, true);
            }
            nodes.push([node, `${id}${node}`]);
            await store("ebb-snapshots", "nodes", `${id}${node}`, rows.buffer);
        }
        const info = { id, created: 1000 + number, kernel: "00", heap: 1, low: 1, pages, tick: 1, about: {}, nodes, pinned };
        await store("ebb-snapshots", "info", id, JSON.stringify(info));
        await store("ebb-snapshots", "places", id, new Uint32Array(nodes.length * 513));
    }
"""
TAKE = """
    let id = null, refused = null;
    try {
        id = await sdk.snapshot();
    } catch (error) {
        refused = error.message;
    }
    const { stdout } = await sdk.run("echo", ["it goes on"]);
    const list = await sdk.snapshots.list();
    return { id, refused, stdout, ids: list.map((one) => one.id), pinned: list.filter((one) => one.pinned).map((one) => one.id) };
"""
CLEAR = "for (const { id } of await sdk.snapshots.list()) await sdk.snapshots.remove(id);"
MEGABYTE = 256  # pages


@pytest.fixture
def empty(machine: MachinePage) -> Iterator[MachinePage]:
    machine.js(CLEAR)
    yield machine
    machine.js(CLEAR)


def taken(machine: MachinePage, kept: list[tuple[str, int, bool]]) -> dict[str, Any]:
    machine.js(FILL, kept)
    found: dict[str, Any] = machine.js(TAKE)
    assert found["stdout"] == "it goes on\n"
    return found


def test_of_more_than_200_mb_the_oldest_go_and_pinned_ones_stay(empty: MachinePage) -> None:
    kept = [("aa", 60 * MEGABYTE, True), ("bb", 90 * MEGABYTE, False), ("cc", 39 * MEGABYTE, False)]
    found = taken(empty, kept)
    assert found["refused"] is None
    assert sorted(found["ids"]) == sorted(["aa", "cc", found["id"]])
    assert found["pinned"] == ["aa"]


def test_of_more_than_20_the_oldest_go(empty: MachinePage) -> None:
    found = taken(empty, [(f"a{number:02}", 1, number == 0) for number in range(22)])
    kept = ["a00", *(f"a{number:02}" for number in range(4, 22))]
    assert sorted(found["ids"]) == sorted([*kept, found["id"]])


def test_when_all_is_pinned_it_says_so_and_the_machine_goes_on(empty: MachinePage) -> None:
    kept = [("aa", 100 * MEGABYTE, True), ("bb", 1, False), ("cc", 90 * MEGABYTE, True)]
    found = taken(empty, kept)
    assert found["id"] is None and "200 MB of their pages, and they are full" in found["refused"]
    assert sorted(found["ids"]) == ["aa", "bb", "cc"]  # what would not have helped was not dropped
    empty.js("await sdk.snapshots.pin('aa', false)")
    found = empty.js(TAKE)
    assert sorted(found["ids"]) == sorted(["bb", "cc", found["id"]])  # the oldest was enough


def test_a_quota_refuses_a_snapshot_and_the_machine_goes_on(
    empty: MachinePage, context: BrowserContext, base_url: str
) -> None:
    session = context.new_cdp_session(empty.page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": base_url, "quotaSize": 1000})
    try:
        found = empty.js(TAKE)
    finally:
        session.send("Storage.overrideQuotaForOrigin", {"origin": base_url})
    assert found["stdout"] == "it goes on\n" and found["refused"] and not found["ids"]
    found = empty.js(TAKE)
    assert found["refused"] is None and found["ids"] == [found["id"]]
