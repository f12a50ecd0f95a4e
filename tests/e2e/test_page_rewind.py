"""Rewind in the page: the session on the screen as it was, at any moment, by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e.machines import PROMPT, MachinePage
from e2e.test_page_reach import violations
from e2e.test_page_use import ASKS, choose, watch_for
from support.slider import SEEK

SCREEN = "[...document.querySelectorAll('#rewind-screen .xterm-rows > div')].map((row) => row.textContent).join('\\n')"


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
    assert machine.run("nproc")["stdout"] == f"{processors(machine)}\n"


def processors(machine: MachinePage) -> int:
    """All that the browser has, at most four."""
    count: int = machine.js("return Math.min(navigator.hardwareConcurrency, 4)")
    return count


def test_the_end_is_what_the_terminal_shows(rewound: MachinePage) -> None:
    shows(rewound, "this is three")
    assert re.match(r"\d+:\d\d\.\d of \d+:\d\d\.\d$", rewound.page.inner_text("#rewind-time"))


def step(machine: MachinePage, button: str, word: str) -> list[str]:
    """Step until a word is shown; return all that was shown on the way."""
    seen: list[str] = machine.page.evaluate(
        """async ([button, word]) => {
            const rewind = document.querySelector("#rewind");
            const seen = [];
            for (let steps = 0; steps < 500; steps++) {
                delete rewind.dataset.shown;
                document.querySelector(button).click();
                while (rewind.dataset.shown === undefined) await new Promise(requestAnimationFrame);
                seen.push(window.screenText());
                if (seen.at(-1).includes(word)) return seen;
            }
            throw new Error(`never shown: ${word}; at last ${seen.at(-1)}`);
        }""",
        [button, word],
    )
    return seen


def test_steps_show_what_was_before_and_what_came_after(rewound: MachinePage) -> None:
    step(rewound, "#rewind-back", "this is two")
    assert not any("this is three" in text for text in step(rewound, "#rewind-back", "this is one"))
    assert not any("this is three" in text for text in step(rewound, "#rewind-next", "this is two"))
    step(rewound, "#rewind-next", "this is three")


def test_seeking_is_quick(rewound: MachinePage) -> None:
    took = rewound.page.evaluate(SEEK)
    print("seek, ms:", [round(one, 1) for one in took])


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


def test_escape_is_heard_while_it_is_still_reading(rewound: MachinePage) -> None:
    page = rewound.page
    choose(page, "Rewind")
    page.wait_for_selector("#rewind")
    page.keyboard.press("Escape")
    page.wait_for_selector("#rewind", state="hidden")
    page.keyboard.type("echo back ag''ain\n")
    rewound.see(r"^back again$")


def test_an_imported_file_opens(rewound: MachinePage, tmp_path: Path) -> None:
    page = rewound.page
    choose(page, "Rewind")
    ready(rewound)
    with page.expect_download() as saved:
        page.click("#rewind-save")
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    assert file.suffix == ".ebbrun"
    page.click("#rewind-close")
    choose(page, "Runs and snapshots")
    with page.expect_file_chooser() as chooser:
        page.click("#kept-import")
    chooser.value.set_files(file)
    ready(rewound)
    shows(rewound, "still alive")
    page.click("#rewind-close")


def test_programs_without_a_terminal_show_as_text(rewound: MachinePage) -> None:
    page = rewound.page
    rewound.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ record: true, memory: "128M" });
        await other.run("sh", ["-c", "echo first; echo on stderr >&2"]);
        await other.run("seq", ["2"]);
        await other.saveRun();
        await other.close();"""
    )
    choose(page, "Runs and snapshots")
    page.locator("#kept li", has_text="sh -c").locator(".entry").click()
    ready(rewound)
    shows(rewound, "2")
    lines: list[str] = page.evaluate("window.screenText()").splitlines()
    assert sorted(line for line in lines if line) == ["1", "2", "first", "on stderr"]
    assert page.locator("#rewind-program option").all_inner_texts() == [
        "Without a terminal: 2 programs"
    ]
    step(rewound, "#rewind-back", "first")
    page.click("#rewind-close")


def test_a_live_machine_goes_on_from_a_moment(rewound: MachinePage) -> None:
    page = rewound.page
    rewound.clear()
    rewound.type("word=bef''ore\n")
    rewound.see(rf"^[^\n]*word=bef''ore\n.*{PROMPT}")
    rewound.type("word=after; echo se''t\n")
    rewound.see(rf"^set\n.*{PROMPT}")
    choose(page, "Rewind")
    ready(rewound)
    step(rewound, "#rewind-back", "word=bef''ore")
    while "word=after" in page.evaluate("window.screenText()"):
        step(rewound, "#rewind-back", "word=bef''ore")
    branch(rewound)
    assert machine_of(rewound) == (1, False)
    rewound.type("")
    page.keyboard.press("Control+u")  # what was being typed at that moment
    rewound.type("echo it is $word $((6 * 7))\n")
    rewound.see(r"^it is before 42$")
    told = rewound.run("sh", "-c", "cat /etc/debian_version; nproc")["stdout"]
    assert told.endswith(f"\n{processors(rewound)}\n")  # as many as before


ANOTHER = "document.body.dataset.state === 'ready' && window.sdk && !window.sdk.before"


def branch(machine: MachinePage) -> None:
    """Go on from the moment shown, in a machine that is recorded."""
    machine.js("window.sdk.before = true")
    machine.page.click("#rewind-branch")
    machine.page.wait_for_function(ANOTHER)


def test_the_branch_is_recorded_and_branches_again(rewound: MachinePage) -> None:
    page = rewound.page
    rewound.type("word=again; echo th''en\n")
    rewound.see(rf"^then\n.*{PROMPT}")
    choose(page, "Rewind")
    ready(rewound)
    shows(rewound, "then")
    first = step(rewound, "#rewind-back", "it is before 42")
    assert any("word=again" in text for text in first)
    while "word=again" in page.evaluate("window.screenText()"):
        step(rewound, "#rewind-back", "it is before 42")
    page.focus("#rewind-slider")
    page.keyboard.press("Home")
    shows(rewound, "word=bef''ore")  # what the terminal showed where it branched
    page.keyboard.press("End")
    step(rewound, "#rewind-back", "it is before 42")
    while "word=again" in page.evaluate("window.screenText()"):
        step(rewound, "#rewind-back", "it is before 42")
    branch(rewound)
    assert machine_of(rewound) == (1, False)
    rewound.type("")
    page.keyboard.press("Control+u")
    rewound.type("echo it is st''ill $word\n")
    rewound.see(r"^it is still before$")


def test_branching_asks_at_once_and_says_what_it_does(rewound: MachinePage) -> None:
    page = rewound.page
    rewound.type("echo kept > /root/note; echo no''ted\n")
    rewound.see(rf"^noted\n.*{PROMPT}")
    page.wait_for_function(f"({ASKS})()")
    choose(page, "Rewind")
    ready(rewound)
    shows(rewound, "noted")
    page.click("#rewind-branch")
    page.wait_for_selector("#ask[open]")  # before any terminal has the keyboard
    assert page.locator("#rewind").is_visible() and page.locator("#terminal").is_hidden()
    page.keyboard.press("Escape")
    page.wait_for_selector("#ask[open]", state="hidden")
    assert page.evaluate("document.activeElement.id") == "rewind-branch"
    said = watch_for(page, "#notice", "is being made")
    rewound.js("window.sdk.before = true")
    page.keyboard.press("Enter")
    page.wait_for_selector("#ask[open]")
    page.evaluate(
        """() => {
            document.querySelector("#ask [value=no]").click();
            document.querySelector("#rewind-branch").click();  // before anybody has heard that the dialog closed
        }"""
    )
    page.click("#ask-yes")
    said()
    page.wait_for_function(ANOTHER)
    assert page.locator("#notice").is_hidden()
    assert rewound.run("cat", "/root/note")["stdout"] == "kept\n"


def machine_of(machine: MachinePage) -> tuple[int, bool]:
    found = machine.js("await sdk.saveRun(); return [sdk.harts, sdk.recording === null]")
    return found[0], found[1]


def test_recording_is_turned_off_and_says_so(machine: MachinePage) -> None:
    page = machine.page
    page.goto("/")  # a recorded machine: the one before had branched
    page.wait_for_function("document.body.dataset.state === 'ready'")
    choose(page, "Record sessions")
    page.wait_for_selector("#recording", state="hidden")
    machine.js("await sdk.saveRun()")
    assert machine.js("return sdk.recording.ended") == "it was turned off"
    page.reload()
    page.wait_for_function("document.body.dataset.state === 'ready'")
    assert page.locator("#recording").is_hidden() and machine.js("return sdk.recording") is None
    page.evaluate("localStorage.removeItem('ebb.record')")


def test_more_harts_are_recorded_and_a_machine_goes_on_from_a_moment(machine: MachinePage) -> None:
    page = machine.page
    page.goto("/?harts=2")
    page.wait_for_function("document.body.dataset.state === 'ready'")
    machine.see(PROMPT)
    assert machine_of(machine) == (2, False)
    machine.type(
        "seq 20000 | sort -r | md5sum & seq 20000 | sort | md5sum; wait; echo th''is is two\n"
    )
    machine.see(rf"^this is two\n.*{PROMPT}")
    choose(page, "Rewind")
    ready(machine)
    shows(machine, "this is two")
    page.focus("#rewind-slider")
    page.keyboard.press("Home")
    page.wait_for_function(f"!({SCREEN}).includes('this is two')")
    step(machine, "#rewind-next", "sort -r")
    branch(machine)
    assert machine_of(machine) == (1, False)
    machine.type("")
    page.keyboard.press("Control+u")
    machine.type("echo it is $((6 * 7)); nproc\n")
    machine.see(r"^it is 42\n2$")
