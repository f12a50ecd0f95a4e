"""Beside the screen of a run: traces that move the slider, flame graphs, verification; by keyboard and in narrow windows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2e.machines import PROMPT, MachinePage
from e2e.test_page_reach import violations
from e2e.test_page_rewind import ready
from e2e.test_page_use import choose

# As the page itself does some time after a command, to know what would be lost: leaving.ts.
LOOK = r"/ -xdev ( -path /usr/lib -o -path /usr/share ) -prune -o ! -type d ! -name .*_history -cmin -0.1 -print -quit"
ROWS = "[...document.querySelectorAll('#look-list .row')].map((row) => row.textContent)"


@pytest.fixture(scope="module")
def run(machine: MachinePage) -> MachinePage:
    """A session with work for the profile and a web server in it, opened in the rewind view."""
    machine.see(PROMPT)
    machine.type("for i in $(seq 20000); do :; done; seq 9 | sort -r | tail -1; echo ou''t\n")
    machine.see(rf"^out\n.*{PROMPT}")
    machine.type(
        "busybox httpd -p 8080 -h /etc; busybox wget -qO- http://127.0.0.1:8080/hostname; echo serv''ed\n"
    )
    machine.see(rf"^served\n.*{PROMPT}")
    machine.js("await sdk.run('find', arg)", LOOK.split())
    machine.js("await sdk.saveRun()")
    choose(machine.page, "Rewind")
    ready(machine)
    return machine


def look(run: MachinePage, what: str) -> None:
    page = run.page
    page.select_option("#look-what", what)
    page.wait_for_selector("#look[data-state=ready]")


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("process", r"sort -r"),
        ("request", r"GET /hostname => 200"),
        ("network", r"127\.0\.0\.1:8080"),
        ("files", r"exec /usr/bin/sort|exec /bin/sort"),
        ("signals", r"SIGCHLD"),
        ("syscalls", r"\[pid +\d+\] "),
    ],
)
def test_a_layer_is_shown(run: MachinePage, what: str, shown: str) -> None:
    look(run, what)
    if what == "files":
        run.page.fill("#look-filter", "] exec /")
        run.page.wait_for_function(f"({ROWS}).every((row) => row.includes('] exec /'))")
    run.page.wait_for_function(
        f"({ROWS}).some((row) => new RegExp(arg).test(row))".replace("arg", json.dumps(shown))
    )
    assert re.fullmatch(r"[\d,]+ lines?", run.page.inner_text("#look-count"))


def test_what_the_page_itself_has_run_is_not_shown(run: MachinePage) -> None:
    assert run.page.locator("#rewind-program option").count() == 1
    look(run, "process")
    run.page.wait_for_function(f"({ROWS}).some((row) => row.includes('sort -r'))")
    assert not run.page.evaluate(f"({ROWS}).some((row) => row.includes('-xdev'))")


def test_the_controls_stand_in_one_line(run: MachinePage) -> None:
    tops = "[...document.querySelectorAll('#rewind-bar > *')].map((one) => one.getBoundingClientRect())"
    middles = run.page.evaluate(
        f"{tops}.filter(({{ height }}) => height).map(({{ top, height }}) => top + height / 2)"
    )
    assert len(middles) > 6 and max(middles) - min(middles) < 10, middles


def test_filtering_and_choosing_a_line_moves_the_slider(run: MachinePage) -> None:
    page = run.page
    look(run, "syscalls")
    page.focus("#rewind-slider")
    page.keyboard.press("End")
    end = float(page.input_value("#rewind-slider"))
    page.fill("#look-filter", "EXECVE")
    page.wait_for_function(
        f"({ROWS}).every((row) => row.includes('execve(')) && ({ROWS}).length > 3"
    )
    page.click("#look-list .row:has-text('\"seq\"')")
    moved = float(page.input_value("#rewind-slider"))
    assert moved < end
    page.wait_for_function("!window.screenText().includes('served')")
    page.focus("#look-list")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert moved < float(page.input_value("#rewind-slider")) <= end
    chosen = page.get_attribute("#look-list", "aria-activedescendant")
    assert page.get_attribute(f"[id='{chosen}']", "aria-selected") == "true"
    page.focus("#look-filter")
    page.keyboard.type(".,")  # no keys of the view
    assert page.input_value("#look-filter") == "EXECVE.,"
    page.keyboard.press("Escape")
    assert page.input_value("#look-filter") == "" and page.locator("#rewind").is_visible()


def test_only_lines_in_view_are_in_the_document(run: MachinePage) -> None:
    count = int(run.page.inner_text("#look-count").split()[0].replace(",", ""))
    assert count > 500 and run.page.locator("#look-list .row").count() < 150


def test_the_flame_graph_names_zooms_and_searches(run: MachinePage) -> None:
    page = run.page
    look(run, "cpu")
    assert page.inner_text("#flame-said").startswith("all: ")
    page.focus("#look canvas")
    page.keyboard.press("ArrowDown")
    first = page.inner_text("#flame-said")
    assert "%" in first and not first.startswith("all")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    assert page.inner_text("#flame-said").startswith("all: ")
    page.fill("#look-filter", "bash")
    assert 0 < float(page.inner_text("#look-count").split()[0]) <= 100
    box = page.locator("#look canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 27)
    assert not page.inner_text("#flame-said").startswith("all")
    page.mouse.click(box["x"] + 30, box["y"] + 27)
    with page.expect_download() as saved:
        page.click("#look-save")
    assert saved.value.suggested_filename.endswith(".cpu.speedscope.json")
    made = json.loads(Path(saved.value.path()).read_text())
    assert made["profiles"][0]["samples"]
    names = {frame["name"] for frame in made["shared"]["frames"]}
    assert "bash" in names and "find" not in names


def test_waiting_is_a_flame_graph_too(run: MachinePage) -> None:
    look(run, "offcpu")
    assert " ms, 100.0 %" in run.page.inner_text("#flame-said")


def test_verify_says_what_it_found(run: MachinePage) -> None:
    look(run, "verify")
    said = run.page.inner_text("#look-body")
    assert "what was written so far; it is still being recorded" in said
    assert "chain whole" in said and "replayed" in said


@pytest.mark.parametrize("what", ["syscalls", "cpu", "verify"])
def test_axe_finds_nothing(run: MachinePage, root: Path, what: str) -> None:
    look(run, what)
    assert violations(run.page, root) == []


def test_a_narrow_window_has_room_for_both(run: MachinePage) -> None:
    page = run.page
    before = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 640})
    look(run, "syscalls")
    boxes = [page.locator(one).bounding_box() for one in ("#rewind-frame", "#look", "#rewind-bar")]
    assert all(
        box and box["height"] > 60 and box["x"] >= 0 and box["width"] <= 360 for box in boxes
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert before
    page.set_viewport_size(before)


def test_the_panel_closes_and_escape_leads_back(run: MachinePage) -> None:
    page = run.page
    page.click("#look-close")
    assert page.locator("#look").is_hidden()
    assert page.evaluate("document.activeElement.id") == "look-what"
    page.keyboard.press("Escape")
    assert page.locator("#rewind").is_hidden()
