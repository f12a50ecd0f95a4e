"""The page for everybody: on a phone, without a mouse, with a screen reader, and when something fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from e2e.machines import FRAME, PROMPT, MachinePage

pytestmark = pytest.mark.usefixtures("clipboard")

WIDE = {"width": 1280, "height": 720}
PHONE = {"width": 360, "height": 640}
AXE = "sdk/node_modules/axe-core/axe.min.js"
SECOND = "[role=tab]:nth-child(2)[aria-selected=true]"
KEYBOARD = 300  # what a phone's keyboard leaves of the height


@pytest.fixture
def phone(machine: MachinePage) -> Iterator[MachinePage]:
    """The page on a small screen."""
    machine.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    machine.page.wait_for_selector("#keys", state="visible")
    fitted = "document.querySelector('#terminal .screen:not([hidden]) .xterm-screen').clientWidth"
    machine.page.wait_for_function(f"{fitted} <= {PHONE['width']}")
    machine.see(PROMPT)
    yield machine
    machine.page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    machine.page.wait_for_function(f"{fitted} > {PHONE['width']}")


def violations(page: Page, root: Path) -> list[str]:
    """What axe-core finds, in both themes."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate((root / AXE).read_text("utf-8"))
    found: list[str] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(FRAME)  # what the terminal shows is drawn, and in these colours
        found += page.evaluate(
            """async (scheme) => (await axe.run()).violations.flatMap(({ id, nodes }) =>
                nodes.map(({ html, failureSummary }) => `${scheme} ${id} ${html} ${failureSummary}`))""",
            scheme,
        )
    return found


# ---- Accessibility ------------------------------------------------------------------------------


def test_axe_finds_nothing_in_the_terminal(machine: MachinePage, root: Path) -> None:
    machine.type("ls -l --color /; printf '\\e[31mred\\e[0m \\e[90mgrey\\e[0m\\n'\n")
    machine.see(r"red grey\n.*" + PROMPT)
    assert violations(machine.page, root) == []


def test_axe_finds_nothing_in_menu_files_search_tabs_and_dialogs(
    machine: MachinePage, root: Path
) -> None:
    page = machine.page
    page.keyboard.press("Control+Shift+X")
    assert violations(page, root) == []
    page.keyboard.press("Escape")
    page.click("#tab-new")
    page.wait_for_selector(SECOND)
    page.keyboard.press("Control+Shift+E")
    page.wait_for_selector("#files-list .entry")
    page.click(".screen:not([hidden]) .xterm-screen")
    page.keyboard.press("Control+Shift+F")
    assert violations(page, root) == []
    page.keyboard.press("Escape")
    page.click("#files-close")
    page.click("#menu-button")
    page.get_by_role("menuitem", name="Copy link").click()
    page.wait_for_selector("#link[open]")
    assert violations(page, root) == []
    page.keyboard.press("Escape")
    page.click("#tab-close")


def test_everything_is_done_by_keyboard(machine: MachinePage) -> None:
    page = machine.page
    machine.type("")
    assert "Ctrl-Shift-X" in page.inner_text("#menu-button")
    assert "Ctrl-Shift-X" in (page.get_attribute("#terminal textarea", "aria-label") or "")
    page.keyboard.press("Tab")
    assert page.evaluate(
        "document.activeElement.closest('#terminal') !== null"
    )  # Tab is the shell's
    page.keyboard.press("Control+Shift+X")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "menuitem"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "Screen reader mode"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent").startswith("Copy")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.wait_for_selector(SECOND)
    page.keyboard.press("Control+Shift+X")
    page.keyboard.press("Tab")  # leaves the menu
    reached = set()
    for _ in range(8):
        reached.add(page.evaluate("document.activeElement.id.replace(/\\d+/, '')"))
        page.keyboard.press("Shift+Tab")
    assert {"menu-button", "tab-new", "tab-close", "tab-"} <= reached
    page.focus(SECOND)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("[role=tab]:nth-child(1)[aria-selected=true]:focus")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    page.wait_for_selector("#tab-list", state="hidden")
    page.keyboard.press("Control+Shift+X")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#terminal') !== null")


def test_screen_reader_mode_keeps_the_lines_as_text(machine: MachinePage) -> None:
    page = machine.page
    page.keyboard.press("Control+Shift+X")
    page.keyboard.press("s")  # Select all
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    machine.type("echo to be read aloud\n")
    page.wait_for_function(
        "document.querySelector('.xterm-accessibility')?.textContent.includes('to be read aloud')"
    )
    page.keyboard.press("Control+Shift+X")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    page.keyboard.press("Enter")
    page.wait_for_selector(".xterm-accessibility", state="detached")


# ---- Phones -------------------------------------------------------------------------------------


def test_page_fits_360_pixels(phone: MachinePage) -> None:
    page = phone.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    outside = page.evaluate(
        """[...document.querySelectorAll("header *, #keys *, #terminal .frame")].filter((element) => {
            const { width, left, right } = element.getBoundingClientRect();
            return width > 0 && (left < 0 || right > 361);
        }).map((element) => element.outerHTML.slice(0, 90))"""
    )
    assert outside == []
    page.click("#tab-new")
    page.wait_for_selector(SECOND)
    phone.see(PROMPT)
    phone.type("exit 3\n")
    page.wait_for_function("document.body.dataset.state === 'ended'")
    page.keyboard.press("Control+Shift+F")
    for part in ("#menu-button", "#search-close", "#keys button:last-child"):
        box = page.locator(part).bounding_box()
        assert box and box["x"] + box["width"] <= 361
    page.keyboard.press("Escape")
    page.click("#tab-close")
    page.wait_for_function("document.body.dataset.state === 'ready'")
    phone.clear()
    phone.type("stty size\n")
    columns = int(phone.see(r"^\d+ \d+\n.*" + PROMPT).splitlines()[1].split()[1])
    assert columns >= 40


def test_key_bar_gives_the_keys_a_phone_lacks(phone: MachinePage) -> None:
    page = phone.page
    names = page.locator("#keys button").all_inner_texts()
    assert names == ["Esc", "Tab", "Ctrl", "←", "↓", "↑", "→", "/", "|", "-"]
    phone.clear()
    phone.type("echo one two")
    press = page.locator("#keys button")
    press.filter(has_text="|").click()
    page.keyboard.type("cat ")
    press.filter(has_text="-").click()
    page.keyboard.type("n\n")
    phone.see(r"^\s+1\s+one two\n.*" + PROMPT)
    press.filter(has_text="↑").click()
    phone.see(r"# echo one two\|cat -n$")
    press.filter(has_text="Ctrl").click()
    assert press.filter(has_text="Ctrl").get_attribute("aria-pressed") == "true"
    page.keyboard.type("c")
    phone.see(r"\^C\n.*" + PROMPT)
    assert press.filter(has_text="Ctrl").get_attribute("aria-pressed") == "false"
    page.keyboard.type("cat -v; ")
    press.filter(has_text="Ctrl").click()
    page.keyboard.type("u")
    page.keyboard.type("cd ")
    press.filter(has_text="/").click()
    page.keyboard.type("et")
    press.filter(has_text="Tab").click()
    phone.see(r"# cd /etc/$")
    page.keyboard.press("Control+c")
    phone.see(r"# cd /etc/\^C\n.*" + PROMPT)  # what is typed before goes with it


def test_keyboard_never_covers_the_prompt(phone: MachinePage) -> None:
    page = phone.page
    phone.clear()
    phone.type("seq 100\n")
    phone.see(r"^100\n.*" + PROMPT)
    lowest = """() => Math.max(document.querySelector("#keys").getBoundingClientRect().bottom,
        document.querySelector("#terminal .xterm-cursor").getBoundingClientRect().bottom)"""
    # Android and its like: the window gets smaller.
    page.set_viewport_size({"width": 360, "height": KEYBOARD})
    page.wait_for_function(f"({lowest})() <= {KEYBOARD}")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.wait_for_function(f"({lowest})() > {KEYBOARD}")
    # iOS: only what is seen of it does.
    page.evaluate(
        """(height) => {
            Object.defineProperty(visualViewport, "height", { value: height, configurable: true });
            visualViewport.dispatchEvent(new Event("resize"));
        }""",
        KEYBOARD,
    )
    page.wait_for_function(f"({lowest})() <= {KEYBOARD}")
    page.evaluate("delete visualViewport.height; visualViewport.dispatchEvent(new Event('resize'))")
    page.wait_for_function(f"({lowest})() > {KEYBOARD}")


def test_menu_copies_without_a_selection_and_files_fill_the_screen(
    phone: MachinePage, root: Path
) -> None:
    page = phone.page
    phone.clear()
    phone.type("echo for a finger\n")
    phone.see(r"^for a finger\n.*" + PROMPT)
    page.click("#menu-button")
    page.locator("#menu button", has_text="Copy").first.click()
    page.wait_for_function("navigator.clipboard.readText().then((t) => t.includes('for a finger'))")
    page.click("#menu-button")
    page.get_by_role("menuitem", name="Files").click()
    page.wait_for_selector("#files-list .entry")
    box = page.locator("#files").bounding_box()
    assert box and box["x"] == 0 and box["width"] == 360
    assert violations(page, root) == []
    page.click("#files-close")


# ---- Errors -------------------------------------------------------------------------------------


def test_refused_clipboard_leaves_a_field_to_paste_into(machine: MachinePage) -> None:
    page = machine.page
    page.evaluate("() => { navigator.clipboard.readText = () => Promise.reject(Error('no')); }")
    page.click("#menu-button")
    page.get_by_role("menuitem", name="Paste").click()
    page.fill("#paste-text", "echo by hand")
    page.get_by_role("button", name="Send").click()
    machine.see(r"# echo by hand$")
    page.keyboard.press("Enter")
    machine.see(r"^by hand$")


def test_error_is_a_sentence_what_to_do_and_details(
    machine: MachinePage, context: BrowserContext, root: Path, build_folder: Path
) -> None:
    """Needs no machine, but the context whose clipboard may be read."""
    page = context.new_page()
    page.goto("/?image=nowhere")
    page.wait_for_selector("#failure:not([hidden])")
    title = page.inner_text("#failure-title")
    assert title.endswith(".") and title.count(".") == 1
    assert "image=" in page.inner_text("#failure-advice")
    assert page.inner_text("#state") == "stopped"
    page.click("#failure-copy")
    page.wait_for_function("document.querySelector('#failure-copy').textContent === 'Copied'")
    said = page.evaluate("navigator.clipboard.readText()")
    for fact in ("browser    Mozilla", "isolated   true", "memory     ", "nowhere"):
        assert fact in said
    assert hashlib.sha256((build_folder / "web" / "kernel.wasm").read_bytes()).hexdigest() in said
    assert violations(page, root) == []
    page.close()
