"""What a person does at the prompt: editing, history, jobs, full-screen programs."""

from __future__ import annotations

import re

from e2e.machines import PROMPT, MachinePage


def press(machine: MachinePage, *keys: str) -> None:
    for key in keys:
        machine.page.keyboard.press(key)


def in_front(machine: MachinePage, command: str) -> None:
    """Wait until a job has the terminal: from then on its keys are for it."""
    waiting = f"until ps -o stat= -C {command} | grep -q +; do :; done"
    machine.run("sh", "-c", waiting)


def test_line_is_edited_and_history_recalled(prompt: MachinePage) -> None:
    prompt.type("echo wrld")
    press(prompt, "ArrowLeft", "ArrowLeft", "ArrowLeft")
    prompt.type("o")
    press(prompt, "Home")
    prompt.type("true; ")
    press(prompt, "Enter")
    prompt.see(r"^world$")
    prompt.clear()
    press(prompt, "ArrowUp", "ArrowUp", "Enter")
    prompt.see(r"true; echo world\nworld$")


def test_tab_completes_a_path(prompt: MachinePage) -> None:
    prompt.js("return sdk.fs.writeFiles({ '/tmp/tab/unmistakable': '' })")
    prompt.type("echo /tmp/tab/un")
    press(prompt, "Tab")
    prompt.see(r"# echo /tmp/tab/unmistakable$")
    press(prompt, "Enter")
    prompt.see(r"^/tmp/tab/unmistakable$")


def test_job_is_stopped_listed_and_brought_back(prompt: MachinePage) -> None:
    prompt.type("sleep 1000\n")
    in_front(prompt, "sleep")
    press(prompt, "Control+z")
    prompt.see(r"Stopped\s+sleep 1000\n.*" + PROMPT)
    prompt.type("bg; jobs\n")
    prompt.see(r"Running\s+sleep 1000 &\n.*" + PROMPT)
    prompt.type("fg\n")
    in_front(prompt, "sleep")
    press(prompt, "Control+c")
    prompt.see(r"\^C\n.*" + PROMPT)


def test_ls_is_coloured(prompt: MachinePage) -> None:
    prompt.type("mkdir -p /tmp/colour/dir; ls --color=always /tmp/colour\n")
    prompt.page.wait_for_function(
        """() => [...document.querySelectorAll('#terminal .xterm-rows span')]
            .some((span) => span.textContent.startsWith('dir') && /xterm-fg-/.test(span.className))"""
    )


def test_less_pages_and_quits(prompt: MachinePage) -> None:
    prompt.type("seq 500 | less\n")
    prompt.see(r"^1\n2\n3$")
    press(prompt, "Space")
    prompt.see(r"^50$")
    prompt.type("/^400\n")
    prompt.see(r"^400$")
    prompt.type("q")
    prompt.see(PROMPT)


def test_vi_writes_a_file(prompt: MachinePage) -> None:
    prompt.type("vi /tmp/poem\n")
    prompt.see(r'^"/tmp/poem" \[New')
    prompt.type("iroses are red")
    prompt.see(r"^roses are red *$")
    press(prompt, "Escape")
    prompt.type(":wq\n")
    prompt.see(PROMPT)
    assert prompt.run("cat", "/tmp/poem")["stdout"] == "roses are red\n"


def test_top_and_ps_show_the_processes(prompt: MachinePage) -> None:
    prompt.type("ps\n")
    assert re.search(
        r"\d+ pts/\d+ +\d\d:\d\d:\d\d bash", prompt.see(r"bash\n[\s\S]*ps\n.*" + PROMPT)
    )
    prompt.type("top\n")
    prompt.see(r"PID\s+USER[\s\S]*bash")
    prompt.type("q")
    prompt.see(PROMPT)
