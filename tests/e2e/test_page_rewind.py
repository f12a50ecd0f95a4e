"""Rewind in the page: the session on the screen as it was, at any moment, by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e.machines import PROMPT, MachinePage
from e2e.test_page_reach import violations
from e2e.test_page_use import choose

SCREEN = "[...document.querySelectorAll('#rewind-screen .xterm-rows > div')].map((row) => row.textContent).join('\\n')"
SEEK_MS = 300


@pytest.fixture(scope="module")
def rewound(machine: MachinePage) -> MachinePage:
    """A session of a few commands, opened in the rewind view."""
    machine.see(PROMPT)
    for word in ("one", "two", "three"):
        machine.type(f"clear; echo th''is is {word}\n")
        machine.see(rf"^this is {word}\n.*{PROMPT}")
    choose(machine.page, "Rewind")
    ready(machine)
    return machine


def ready(machine: MachinePage) -> None:
    machine.page.wait_for_selector("#rewind[data-state=ready]")


def shows(machine: MachinePage, word: str) -> None:
    machine.page.wait_for_function(f"({SCREEN}).includes({word!r})")


def test_the_bar_says_that_it_records(machine: MachinePage) -> None:
    machine.page.wait_for_function(
        "/^recording [0-9.]+ k?B$/.test(document.querySelector('#recording').textContent)"
    )
    assert "nothing is sent" in (machine.page.get_attribute("#recording", "title") or "")
    assert machine.js("return sdk.harts") == 1
    assert machine.run("nproc")["stdout"] == "1\n"


def test_the_end_is_what_the_terminal_shows(rewound: MachinePage) -> None:
    shows(rewound, "this is three")
    assert re.match(r"\d+:\d\d\.\d of \d+:\d\d\.\d$", rewound.page.inner_text("#rewind-time"))


def test_stepping_back_shows_what_was_before(rewound: MachinePage) -> None:
    page = rewound.page
    for word in ("two", "one"):
        page.wait_for_function(
            f"""() => {{
                if (({SCREEN}).includes("this is {word}")) return true;
                document.querySelector("#rewind-back").click();
            }}"""
        )
    page.click("#rewind-next")
    page.wait_for_function(
        f"""() => {{
            if (({SCREEN}).includes("this is three")) return true;
            document.querySelector("#rewind-next").click();
        }}"""
    )


def test_the_slider_seeks_quickly_by_keyboard(rewound: MachinePage) -> None:
    page = rewound.page
    page.focus("#rewind-slider")
    page.keyboard.press("Home")
    page.wait_for_function(f"!({SCREEN}).includes('this is')")
    page.keyboard.press("End")
    shows(rewound, "this is three")
    page.keyboard.press(",")
    page.keyboard.press(".")
    assert page.evaluate("document.activeElement.id") == "rewind-slider"


def test_playing_comes_to_the_end(rewound: MachinePage) -> None:
    page = rewound.page
    page.focus("#rewind-slider")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#rewind-play').textContent === 'Pause'")
    page.keyboard.press("Space")
    assert page.inner_text("#rewind-play") == "Play"
    page.keyboard.press("Space")
    shows(rewound, "this is one")


def test_axe_finds_nothing(rewound: MachinePage, root: Path) -> None:
    assert violations(rewound.page, root) == []


def test_escape_leads_back_to_the_live_terminal(rewound: MachinePage) -> None:
    page = rewound.page
    page.focus("#rewind-slider")
    page.keyboard.press("Escape")
    assert page.locator("#rewind").is_hidden()
    page.keyboard.type("echo still a''live\n")
    rewound.see(r"^still alive$")


def test_an_imported_file_opens(rewound: MachinePage, tmp_path: Path) -> None:
    page = rewound.page
    choose(page, "Rewind")
    ready(rewound)
    with page.expect_download() as saved:
        page.click("#rewind-save")
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    assert file.suffix == ".ebbrun"
    page.keyboard.press("Escape")
    page.click("#rewind-close") if page.locator("#rewind").is_visible() else None
    with page.expect_file_chooser() as chooser:
        choose(page, "Open a run")
    chooser.value.set_files(file)
    ready(rewound)
    shows(rewound, "still alive")
    page.click("#rewind-close")


def test_recording_is_turned_off_and_says_so(machine: MachinePage) -> None:
    page = machine.page
    choose(page, "Record sessions")
    page.wait_for_selector("#recording", state="hidden")
    machine.js("await sdk.saveRun()")
    assert machine.js("return sdk.recording.ended") == "it was turned off"
    page.reload()
    page.wait_for_function("document.body.dataset.state === 'ready'")
    assert page.locator("#recording").is_hidden() and machine.js("return sdk.recording") is None
    page.evaluate("localStorage.removeItem('ebb.record')")


def test_more_harts_are_not_recorded_and_it_says_so(machine: MachinePage) -> None:
    page = machine.page
    page.goto("/?harts=2")
    page.wait_for_function("document.body.dataset.state === 'ready'")
    assert "Not recorded: 2 harts." in page.inner_text("#notice")
    assert machine.js("return sdk.harts") == 2
