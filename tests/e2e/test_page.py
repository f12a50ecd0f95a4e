"""The shell page: from its address to a prompt, and what a person does there."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from e2e.machines import PROMPT, MachinePage


def test_page_boots_to_a_prompt_and_ls_lists_the_root(machine: MachinePage) -> None:
    machine.see(PROMPT)
    machine.type("ls -l /\n")
    screen = machine.see(r"^[dl][rwxt-]{9}.* usr$[\s\S]*" + PROMPT)
    for name in ("etc", "proc", "root", "tmp", "usr"):
        assert re.search(rf"^[dl]r[rwxt-]{{8}}\s+\d+ root\s+root\s.* {name}", screen, re.M), screen


def test_control_c_ends_what_runs_and_returns_to_the_prompt(machine: MachinePage) -> None:
    machine.clear()
    machine.type("echo go; cat\n")
    machine.see(r"^go$")
    machine.type("typed\n")
    machine.see(r"^typed\ntyped$")
    machine.page.keyboard.press("Control+c")
    machine.see(r"\^C\n.*" + PROMPT)
    machine.type("echo status=$?\n")
    machine.see(r"^status=130$")


def test_terminal_follows_the_size_of_the_window(machine: MachinePage) -> None:
    machine.clear()
    machine.type("stty size\n")
    before = re.search(r"^(\d+) (\d+)$", machine.see(r"^\d+ \d+\n.*" + PROMPT), re.M)
    machine.clear()
    assert before
    machine.page.set_viewport_size({"width": 640, "height": 400})
    machine.page.wait_for_function(
        "document.querySelector('#terminal .xterm-screen').clientWidth < 640"
    )
    told = f"[ $rows -lt {before[1]} ] && [ $columns -lt {before[2]} ]"  # a message later
    machine.type(f"until read rows columns <<<$(stty size); {told}; do :; done; stty size\n")
    after = re.search(r"^(\d+) (\d+)$", machine.see(r"^\d+ \d+\n.*" + PROMPT), re.M)
    machine.page.set_viewport_size({"width": 1280, "height": 720})
    assert after
    assert int(after[1]) < int(before[1]) and int(after[2]) < int(before[2])


def test_page_asks_no_other_server_for_anything(machine: MachinePage) -> None:
    hosts = {urlsplit(url).netloc for url in machine.requests if url.startswith("http")}
    assert hosts == {urlsplit(machine.page.url).netloc}


def test_shell_that_ends_is_replaced_on_enter(machine: MachinePage) -> None:
    machine.see(PROMPT)
    machine.type("exit 3\n")
    machine.page.wait_for_function("document.body.dataset.state === 'ended'")
    assert "3" in machine.page.inner_text("#state")
    machine.page.keyboard.press("Enter")
    machine.page.wait_for_function("document.body.dataset.state === 'ready'")
    machine.see(PROMPT)
