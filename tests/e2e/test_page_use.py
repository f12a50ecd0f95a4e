"""What a visitor does with the page: each line of what it promises, on one booted page, in order."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from playwright.sync_api import Page

from e2e.machines import PROMPT, MachinePage

pytestmark = pytest.mark.usefixtures("clipboard")


def choose(page: Page, name: str) -> None:
    """Choose from the menu."""
    page.click("#menu-button")
    page.locator("#menu button", has_text=name).first.click()


def watch_for(page: Page, selector: str, words: str) -> Callable[[], Any]:
    """Watch for what may come and go before anybody looks; call what it gives to wait until it has been seen."""
    page.evaluate(
        """([selector, words]) => {
            window.appeared = false;
            const look = () => [...document.querySelectorAll(selector)].some(
                (element) => element.checkVisibility() && element.textContent.includes(words));
            const observer = new MutationObserver(() => {
                window.appeared = look();
                if (window.appeared) observer.disconnect();
            });
            observer.observe(document.body, { subtree: true, childList: true, attributes: true });
        }""",
        [selector, words],
    )
    return lambda: page.wait_for_function("window.appeared")


def front(machine: MachinePage, selector: str) -> str:
    """A selector inside the terminal in front."""
    return f"#terminal .screen:not([hidden]) {selector}"


# ---- The first screen ---------------------------------------------------------------------------


def test_prompt_stands_under_three_lines(machine: MachinePage) -> None:
    lines = machine.see(PROMPT).splitlines()
    assert lines[0].startswith("Ebb is a Linux machine")
    assert lines[1].startswith("Try ") and lines[1].count(", ") + lines[1].count(" or ") == 2
    assert "lost with it" in lines[2]
    assert lines[3] == "" and lines[4].endswith("#")


def test_bar_tells_image_state_memory_and_harts(machine: MachinePage) -> None:
    page = machine.page
    assert page.inner_text("#fact-image") == "base"
    assert page.inner_text("#fact-memory") == "1 GiB"
    assert int(page.inner_text("#fact-harts")) == machine.js("return sdk.harts")
    assert page.inner_text("#state") == "running"
    assert page.get_attribute("#state", "role") == "status"
    assert page.locator("header").bounding_box()["height"] <= 40  # type: ignore[index]


def test_page_has_title_description_and_icon(machine: MachinePage) -> None:
    page = machine.page
    assert "Ebb" in page.title()
    assert page.get_attribute("meta[name=description]", "content")
    icon = page.get_attribute("link[rel=icon]", "href")
    assert page.request.get(f"/{icon}").ok


# ---- The terminal -------------------------------------------------------------------------------


def test_search_finds_above_the_screen(prompt: MachinePage) -> None:
    page = prompt.page
    prompt.type("seq 1 300\n")
    prompt.see(r"^300\n.*" + PROMPT)
    page.keyboard.press("Control+Shift+F")
    page.keyboard.type("17")
    found = "document.querySelector('#search-count').textContent"
    page.wait_for_function(f"/^\\d+ of 13$/.test({found})")  # 17, 117, 217, 170 to 179
    first = page.evaluate(found)
    page.keyboard.press("Enter")
    page.wait_for_function(f"{found} !== {first!r}")
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(f"{found} === {first!r}")
    page.keyboard.press("Escape")
    assert page.locator("#search").is_hidden()
    prompt.page.keyboard.type("echo back in the shell\n")
    prompt.see(r"^back in the shell$")


def test_size_of_text_changes_and_the_terminal_is_told(prompt: MachinePage) -> None:
    page = prompt.page
    columns = "stty size | cut -d' ' -f2"
    prompt.type(f"{columns}\n")
    before = int(prompt.see(r"^\d+\n.*" + PROMPT).splitlines()[1])
    prompt.clear()
    page.keyboard.press("Control+Shift+ArrowUp")
    page.keyboard.press("Control+Shift+ArrowUp")
    prompt.type(f"until [ $({columns}) != {before} ]; do :; done; {columns}\n")
    after = int(prompt.see(r"^\d+\n.*" + PROMPT).splitlines()[1])
    page.keyboard.press("Control+Shift+ArrowDown")
    page.keyboard.press("Control+Shift+ArrowDown")
    assert after < before


def test_links_open_without_an_opener(prompt: MachinePage) -> None:
    page = prompt.page
    page.evaluate(
        "window.opened = []; window.open = (...args) => { opened.push(args); return null; }"
    )
    prompt.type(
        r"clear; printf '\e]8;;https://one.example/\e\\named\e]8;;\e\\ https://two.example/x\n'"
        "\n"
    )
    prompt.see(r"^named https://two.*\n.*" + PROMPT)
    prompt.drawn()
    row = page.locator(front(prompt, ".xterm-rows > div")).first.bounding_box()
    assert row
    for x, address in ((12, "https://one.example/"), (120, "https://two.example/x")):
        page.mouse.move(row["x"] + x + 3, row["y"] + row["height"] / 2)
        page.mouse.move(row["x"] + x, row["y"] + row["height"] / 2)
        page.wait_for_selector(front(prompt, ".xterm-cursor-pointer"))
        page.mouse.click(row["x"] + x, row["y"] + row["height"] / 2)
        page.wait_for_function("opened.length")
        opened: list[Any] = page.evaluate("opened.pop()")
        assert opened[0] == address and opened[1] == "_blank" and "noopener" in opened[2]


def test_wide_characters_and_emoji_are_two_columns(prompt: MachinePage) -> None:
    prompt.type("clear; printf '漢字🙂🚀|\\nabcdefgh|\\ne\\u0301ábcdefg|\\n'\n")
    rows = front(prompt, ".xterm-rows > div")
    prompt.page.wait_for_function(  # what is drawn, a frame after the terminal knows it
        """(rows) => [...document.querySelectorAll(rows)].slice(0, 3)
            .every((row) => /\\S{3}\\|$/.test(row.textContent.trimEnd()))""",
        arg=rows,
    )
    ends = prompt.page.evaluate(
        """(rows) => [...document.querySelectorAll(rows)].slice(0, 3).map((row) => {
            const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const at = node.data.indexOf("|");
                if (at < 0) continue;
                const range = document.createRange();
                range.setStart(node, at);
                range.setEnd(node, at + 1);
                return range.getBoundingClientRect().left;
            }
        })""",
        rows,
    )
    assert max(ends) - min(ends) < 1.5, ends


def test_bell_is_seen(prompt: MachinePage) -> None:
    prompt.page.evaluate(
        """(frame) => { new MutationObserver(() => (window.rung = true))
            .observe(document.querySelector(frame), { attributeFilter: ["data-bell"] }); }""",
        front(prompt, ".frame"),
    )
    prompt.type("printf '\\a'\n")
    prompt.page.wait_for_function("window.rung")


def test_selection_is_copied_and_pasted_by_keys(prompt: MachinePage) -> None:
    page = prompt.page
    prompt.type("clear; echo unmistakable\n")
    prompt.see(r"^unmistakable\n.*" + PROMPT)
    prompt.drawn()
    row = page.locator(front(prompt, ".xterm-rows > div")).first.bounding_box()
    assert row
    page.mouse.dblclick(row["x"] + 40, row["y"] + row["height"] / 2)
    page.keyboard.press("Control+Shift+C")
    page.wait_for_function("navigator.clipboard.readText().then((text) => text === 'unmistakable')")
    page.keyboard.type("echo [")
    page.keyboard.press("Control+Shift+V")
    page.keyboard.type("]\n")
    prompt.see(r"^\[unmistakable\]$")


def test_menu_pastes_bracketed_so_that_lines_wait_for_enter(prompt: MachinePage) -> None:
    page = prompt.page
    page.evaluate("navigator.clipboard.writeText('echo one\\necho two')")
    choose(page, "Paste")
    prompt.see(r"echo one\necho two$")
    page.keyboard.press("Enter")
    prompt.see(r"^one\ntwo\n")


def test_paste_of_100_kB_arrives_whole(prompt: MachinePage) -> None:
    text = "".join(f"{n:07} a line of a long paste\n" for n in range(100_000 // 30 + 1))
    assert len(text) > 100_000
    prompt.page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
    prompt.type("stty -echo; echo paste; cat >/tmp/pasted; stty echo; echo taken\n")
    prompt.see(r"^paste$")
    prompt.page.keyboard.press("Control+Shift+V")
    last = text.splitlines()[-1]
    prompt.run(
        "sh",
        "-c",
        f"until tail -n 1 /tmp/pasted | grep -q '{last}'; do sleep 0.05; done",
    )
    prompt.page.keyboard.press("Control+d")
    prompt.see(r"^taken$")
    arrived = prompt.run("sha256sum", "/tmp/pasted")["stdout"].split()[0]
    assert arrived == hashlib.sha256(text.encode()).hexdigest()


# ---- Several terminals --------------------------------------------------------------------------


def test_tabs_are_terminals_of_one_machine(prompt: MachinePage) -> None:
    page = prompt.page
    prompt.type("echo from one > /tmp/shared\n")
    prompt.see(r"shared\n.*" + PROMPT)
    page.click("#tab-new")
    page.wait_for_selector("#tab-2[aria-selected=true]")
    prompt.see(PROMPT)
    prompt.type("cat /tmp/shared; tty\n")
    assert "pts/1" in prompt.see(r"^from one\n/dev/pts/\d+$")
    page.keyboard.press("Control+Shift+ArrowLeft")
    page.wait_for_selector("#tab-1[aria-selected=true]")
    assert "pts/1" not in page.evaluate("screenText()")
    page.keyboard.press("Control+Shift+ArrowRight")
    page.click("#tab-close")
    assert page.locator(".screen").count() == 1 and page.locator("#tab-list").is_hidden()
    gone = "while ps -e | grep -q 'pts/1.* bash'; do sleep 0.05; done"
    prompt.run("sh", "-c", gone)


def test_ended_shell_says_its_exit_code_and_enter_starts_another(prompt: MachinePage) -> None:
    prompt.type("exit 7\n")
    prompt.see(r"ended with exit code 7\.\nEnter starts a new one\.$")
    assert "7" in prompt.page.inner_text("#state")
    prompt.page.keyboard.press("Enter")
    prompt.see(r"starts a new one\.\n[\s\S]*" + PROMPT)
    prompt.page.wait_for_function("document.body.dataset.state === 'ready'")


# ---- Files --------------------------------------------------------------------------------------


def test_dropped_files_land_in_the_directory_of_the_shell(prompt: MachinePage) -> None:
    prompt.type("mkdir -p /tmp/here; cd /tmp/here; clear; echo in\n")
    prompt.see(r"^in\n.*" + PROMPT)
    progress = watch_for(prompt.page, "#notice:has(progress)", "of 2 files")
    prompt.page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["small"], "small.txt"));
            dataTransfer.items.add(new File([new Uint8Array(3 << 20).fill(65)], "large one.bin"));
            const at = document.querySelector("#terminal");
            for (const type of ["dragover", "drop"])
                at.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    progress()
    prompt.page.wait_for_function("/2 files .* are in .tmp.here/.test(notice.textContent)")
    listed = prompt.run("sh", "-c", "cd /tmp/here; wc -c *")["stdout"].split("\n")
    assert listed[0].split() == ["3145728", "large", "one.bin"]
    assert listed[1].split() == ["5", "small.txt"]
    assert prompt.run("cat", "/tmp/here/small.txt")["stdout"] == "small"


def test_dropped_folder_lands_whole(prompt: MachinePage, tmp_path: Path) -> None:
    folder = tmp_path / "dropped"
    (folder / "empty").mkdir(parents=True)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "large").write_bytes(b"B" * (2 << 20))
    for number in range(150):  # more than a browser lists, or a message takes, at once
        (folder / "deep" / f"file {number}").write_text(str(number))
    (tmp_path / "beside.txt").write_text("beside")
    box = prompt.page.locator("#terminal").bounding_box()
    assert box
    drag = {
        "x": box["x"] + box["width"] / 2,
        "y": box["y"] + box["height"] / 2,
        "data": {
            "items": [],
            "files": [str(folder), str(tmp_path / "beside.txt")],
            "dragOperationsMask": 1,
        },
    }
    hand = prompt.page.context.new_cdp_session(prompt.page)  # a script cannot drop folders
    for kind in ("dragEnter", "dragOver", "drop"):
        hand.send("Input.dispatchDragEvent", {"type": kind, **drag})
    prompt.page.wait_for_function("/152 files .* are in .tmp.here/.test(notice.textContent)")
    count = "find . -type f | wc -l; find . -type d -empty; wc -c <dropped/deep/er/large; cat beside.txt"
    listed = prompt.run("sh", "-c", f"cd /tmp/here; {count}")["stdout"].split("\n")
    assert listed[1:] == ["./dropped/empty", str(2 << 20), "beside"]
    copied = prompt.run("sh", "-c", "cd /tmp/here/dropped/deep; cat 'file '*")["stdout"]
    assert copied == "".join(str(number) for number in sorted(range(150), key=str))


def test_panel_uploads_a_folder_lists_and_downloads(prompt: MachinePage, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.txt").write_text("alpha\n")
    (folder / "b.txt").write_text("beta\n")
    page = prompt.page
    page.keyboard.press("Control+Shift+E")
    page.wait_for_selector("#files-list .entry")
    with page.expect_file_chooser() as chooser:
        page.click("#files-upload-folder")
    chooser.value.set_files(str(folder))
    page.locator("#files-list .entry", has_text="project/").click()
    page.locator("#files-list .entry", has_text="b.txt").wait_for()
    assert prompt.run("cat", "/tmp/here/project/src/a.txt")["stdout"] == "alpha\n"
    with page.expect_download() as file:
        page.locator("#files-list .entry", has_text="b.txt").click()
    assert file.value.suggested_filename == "b.txt"
    assert Path(file.value.path()).read_text() == "beta\n"
    with page.expect_download() as packed:
        page.click("#files-download")
    assert packed.value.suggested_filename == "project.tar"
    with tarfile.open(fileobj=io.BytesIO(Path(packed.value.path()).read_bytes())) as tar:
        names = {member.name.removeprefix("./").rstrip("/") for member in tar}
    assert {"b.txt", "src/a.txt"} <= {name.removeprefix("project/") for name in names}
    page.keyboard.press("Escape")
    assert page.locator("#files").is_hidden()


# ---- Links, looks, leaving ----------------------------------------------------------------------


def test_copied_link_holds_directory_and_command(prompt: MachinePage) -> None:
    page = prompt.page
    choose(page, "Copy link")
    page.wait_for_selector("#link[open]")
    assert page.input_value("#link-cwd") == "/tmp/here"
    page.fill("#link-cwd", "/etc")
    page.fill("#link-cmd", "echo $((6*7)) && pwd")
    page.keyboard.press("Enter")
    page.wait_for_function("/^The link is copied/.test(notice.textContent)")  # it goes by itself
    link = page.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query) == {"cwd": ["/etc"], "cmd": ["echo $((6*7)) && pwd"]}


def test_the_benchmark_opens_in_a_tab_of_its_own(prompt: MachinePage) -> None:
    page = prompt.page
    page.evaluate("() => { window.open = (...args) => (window.opened = args); }")
    choose(page, "Benchmark")
    opened: list[str] = page.evaluate("opened")
    assert opened == ["bench.html", "_blank", "noopener"]
    assert page.request.get(urljoin(page.url, opened[0])).ok


LIGHT, DARK = "rgb(251, 250, 247)", "rgb(20, 23, 26)"


def see_paper(machine: MachinePage, colour: str) -> None:
    """Wait until page and terminal have this background."""
    machine.page.wait_for_function(
        """([frame, colour]) => [document.body, document.querySelector(frame)].every(
            (element) => getComputedStyle(element).backgroundColor === colour)""",
        arg=[front(machine, ".xterm-scrollable-element"), colour],
    )


def test_theme_is_of_the_system_until_one_is_chosen(prompt: MachinePage) -> None:
    page = prompt.page
    page.emulate_media(color_scheme="light")
    see_paper(prompt, LIGHT)
    page.emulate_media(color_scheme="dark")
    see_paper(prompt, DARK)
    choose(page, "Light")
    see_paper(prompt, LIGHT)
    page.emulate_media(color_scheme="light")
    choose(page, "Dark")
    see_paper(prompt, DARK)
    assert page.evaluate("localStorage.getItem('ebb.theme')") == "dark"
    choose(page, "Theme of the system")
    see_paper(prompt, LIGHT)


def test_nothing_moves_where_motion_is_unwanted(prompt: MachinePage) -> None:
    page = prompt.page
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(
        """[...document.querySelectorAll("*")].filter((element) => {
            const { animationName, transitionDuration } = getComputedStyle(element);
            return animationName !== "none" || !/^(0s(, )?)+$/.test(transitionDuration);
        }).map((element) => element.outerHTML.slice(0, 80))"""
    )
    page.emulate_media(reduced_motion="no-preference")
    assert moving == []


ASKS = """() => {
    const event = new Event("beforeunload", { cancelable: true });
    window.dispatchEvent(event);
    return event.defaultPrevented;
}"""


def test_restart_gives_a_new_machine_and_leaving_asks_only_once_written(
    prompt: MachinePage,
) -> None:
    page = prompt.page
    assert page.evaluate(ASKS)  # files were dropped
    choose(page, "Restart the machine")
    stage = watch_for(page, "#stages li[data-state]", "MB")
    page.click("#ask-yes")
    stage()
    page.wait_for_function("document.body.dataset.state === 'ready'")
    prompt.see(PROMPT)
    assert not prompt.js("return sdk.fs.exists('/tmp/here')")
    assert not page.evaluate(ASKS)
    prompt.type("ls /\n")
    prompt.see(r"var")
    assert not page.evaluate(ASKS)
    prompt.type("echo kept > /root/note\n")
    page.wait_for_function(f"({ASKS})()")


def test_link_opens_with_its_directory_and_command_and_enter_runs_it(
    machine: MachinePage,
) -> None:
    """Last: the page goes elsewhere."""
    machine.page.on("dialog", lambda dialog: dialog.accept())
    command = "echo%20$((6*7))%20%26%26%20pwd%0Aecho%20never%1B"
    opened = MachinePage(machine.page, f"?cwd=/etc&cmd={command}")
    screen = opened.see(r"/etc# echo \$\(\(6\*7\)\) && pwdecho never$")
    assert "42" not in screen
    machine.page.keyboard.press("Backspace")
    for _ in "echo neve":
        machine.page.keyboard.press("Backspace")
    machine.page.keyboard.press("Enter")
    opened.see(r"^42\n/etc$")
