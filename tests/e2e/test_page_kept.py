"""The panel of what the browser keeps: runs and snapshots, by mouse, by keyboard and for a screen reader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.machines import PROMPT, MachinePage
from e2e.test_page_reach import violations
from e2e.test_page_use import choose

RECORD = """
    const { boot } = await import("./ebbtide.js");
    const one = await boot({ record: true, memory: "128M" });
    await one.run("echo", [arg]);
    await one.saveRun();
    const { id } = one.recording;
    await one.close();
    return id;
"""
READY = "document.body.dataset.state === 'ready' && window.sdk && !window.sdk.before"


def opened(machine: MachinePage) -> Page:
    """The panel, with all there is now."""
    page = machine.page
    machine.js("delete document.querySelector('#kept').dataset.state")
    choose(page, "Runs and snapshots")
    page.wait_for_selector("#kept[data-state=ready]")
    return page


def entry(page: Page, name: str) -> Locator:
    return page.locator("#kept li", has=page.locator(".name", has_text=re.compile(f"^{name}$")))


def run_of(machine: MachinePage, id: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = machine.js(
        "return (await sdk.runs.list()).find((run) => run.id === arg) ?? null", id
    )
    return found


@pytest.fixture(scope="module")
def word(machine: MachinePage) -> str:
    """A run that has ended; gives its id."""
    machine.see(PROMPT)
    machine.js("await sdk.saveRun()")
    id: str = machine.js(RECORD, "word")
    return id


def test_it_lists_runs_with_name_date_length_and_size(machine: MachinePage, word: str) -> None:
    page = opened(machine)
    expect(page.locator("#kept-runs-total")).to_have_text(
        re.compile(r"^2 of 20, \d+\.\d of 200 MB$")
    )
    mine = entry(page, "bash -i")
    expect(mine).to_contain_text("recording")
    assert mine.get_by_role("button", name="Delete").count() == 0  # not while it is recorded
    ended = entry(page, "echo word")
    expect(ended).to_contain_text(re.compile(r"\d+ \w+, \d\d:\d\d · \d+:\d\d\.\d"))
    expect(ended.locator(".entry")).to_contain_text(re.compile(r"[\d.]+ [kM]?B"))
    assert page.evaluate("document.activeElement.closest('#kept') !== null")


def test_axe_finds_nothing(machine: MachinePage, word: str, root: Path) -> None:
    assert violations(machine.page, root) == []
    machine.page.set_viewport_size({"width": 360, "height": 640})
    assert violations(machine.page, root) == []
    machine.page.set_viewport_size({"width": 1280, "height": 720})


def test_what_is_pinned_stays_so(machine: MachinePage, word: str) -> None:
    page = machine.page
    pin = entry(page, "echo word").get_by_role("button", name=re.compile("^(Pin|Unpin) echo word"))
    save = entry(page, "echo word").get_by_role("button", name="Save")
    column = save.bounding_box()
    for on in (True, False):
        pin.click()
        expect(pin).to_have_text("Unpin" if on else "Pin")
        expect(pin).to_be_focused()  # the list was drawn anew
        assert save.bounding_box() == column
        run = run_of(machine, word)
        assert run and run["pinned"] is on


def test_a_run_is_shown_again(machine: MachinePage, word: str) -> None:
    page = machine.page
    entry(page, "echo word").locator(".entry").click()
    page.wait_for_selector("#rewind[data-state=ready]")
    assert page.locator("#kept").is_hidden()
    page.click("#rewind-close")


def test_all_of_it_by_keyboard(machine: MachinePage, word: str) -> None:
    page = opened(machine)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#kept .entry").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#kept .entry").first).to_be_focused()
    page.keyboard.press("Tab")
    expect(entry(page, "echo word").get_by_role("button", name="Pin")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    page.wait_for_selector("#ask[open]")
    assert page.inner_text("#ask-title") == "Delete echo word?"
    page.keyboard.press("Escape")
    page.wait_for_selector("#ask[open]", state="hidden")
    assert run_of(machine, word)  # it was not said yes
    page.focus("#kept .entry")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rewind[data-state=ready]")
    page.keyboard.press("Escape")
    opened(machine)
    page.keyboard.press("Escape")
    assert page.locator("#kept").is_hidden()
    assert page.evaluate("document.activeElement.closest('#terminal') !== null")


def test_a_run_goes_into_a_file_and_comes_back(
    machine: MachinePage, word: str, tmp_path: Path
) -> None:
    page = opened(machine)
    mine = entry(page, "echo word")
    with page.expect_download() as saved:
        mine.get_by_role("button", name="Save").click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    assert file.name == f"{word}.ebbrun"
    mine.get_by_role("button", name="Delete").click()
    page.click("#ask-yes")
    expect(mine).to_have_count(0)
    assert run_of(machine, word) is None
    with page.expect_file_chooser() as chooser:
        page.click("#kept-import")
    chooser.value.set_files(file)
    page.wait_for_selector("#rewind[data-state=ready]")
    assert page.locator("#kept").is_hidden() and page.locator("#notice").is_hidden()
    page.click("#rewind-close")
    assert run_of(machine, word)


def test_what_is_no_run_is_refused(machine: MachinePage, tmp_path: Path) -> None:
    page = opened(machine)
    (tmp_path / "x.ebbrun").write_bytes(b"nothing of ours")
    with page.expect_file_chooser() as chooser:
        page.click("#kept-import")
    chooser.value.set_files(tmp_path / "x.ebbrun")
    expect(page.locator("#notice")).to_contain_text("x.ebbrun could not be opened.")
    said = page.inner_text("#notice")
    assert "this is no exported run" in said and "Traceback" not in said
    page.click("#notice button:has-text('Dismiss')")
    page.click("#kept-close")


def test_a_snapshot_is_kept_saved_gone_on_from_and_deleted(
    machine: MachinePage, tmp_path: Path
) -> None:
    machine.clear()
    machine.type("word=warm; clear\n")
    machine.clear()
    page = opened(machine)
    expect(page.locator("#kept-snapshots")).to_contain_text("No snapshot is kept.")
    page.click("#kept-snapshot")
    one = page.locator("#kept-snapshots li", has=page.locator(".entry"))
    expect(one.locator(".name")).to_have_text("bash -i")
    expect(page.locator("#kept-snapshots-total")).to_have_text(
        re.compile(r"^1 of 20, \d+\.\d of 200 MB$")
    )
    with page.expect_download() as saved:
        one.get_by_role("button", name="Save").click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    one.get_by_role("button", name="Delete").click()
    page.click("#ask-yes")
    expect(one).to_have_count(0)
    with page.expect_file_chooser() as chooser:
        page.click("#kept-import")
    chooser.value.set_files(file)
    expect(one.locator(".entry")).to_be_focused()
    machine.js("sdk.before = true")
    page.keyboard.press("Enter")
    page.wait_for_function(READY)
    machine.see(PROMPT)
    machine.type("echo it is $word\n")
    machine.see(r"^it is warm$")
    machine.js(
        "await sdk.run('true')"
    )  # the page itself runs programs now and then: they name no run
    machine.js("await sdk.saveRun()")
    page = opened(machine)
    expect(entry(page, "bash -i").filter(has_text="from snapshot")).to_have_count(1)
    page.click("#kept-close")


def test_a_page_that_may_keep_nothing_says_so(base_url: str, denied: Page) -> None:
    denied.goto(base_url)
    denied.wait_for_function("document.body.dataset.state === 'ready'")
    denied.wait_for_function("sdk.recording?.ended")
    denied.click("#menu-button")
    denied.click("#menu button:has-text('Runs and snapshots')")
    denied.wait_for_selector("#kept[data-state=ready]")
    for name in ("#kept-runs", "#kept-snapshots"):
        assert len(denied.inner_text(f"{name} .quiet")) > 20
