"""What a hostile guest's bytes can do to the page that shows them: be seen, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from e2e.machines import PROMPT, MachinePage

pytestmark = pytest.mark.usefixtures("clipboard")

HTML = '<img src=x onerror="owned=1"><script>owned=2</script><svg onload=owned=3>'
NAMES = ('<img src=x onerror="owned=1">', "<script>owned=2<", "javascript:owned=4", "<b>bold")


def harm(machine: MachinePage) -> Any:
    """What was run or made in the page that ought not to be there."""
    return machine.page.evaluate(
        """() => [window.owned ?? null, document.querySelectorAll("img, iframe, object, embed, b, svg").length,
            [...document.querySelectorAll("script")].filter((script) => !script.src).length]"""
    )


def test_output_reaches_neither_clipboard_nor_title(prompt: MachinePage) -> None:
    page = prompt.page
    page.evaluate("navigator.clipboard.writeText('the visitor\\'s own')")
    title = page.title()
    prompt.type(
        r"printf '\e]52;c;aGVsbG8=\a\e]52;c;aGVsbG8=\e\\\e]52;p;aGVsbG8=\a\e]0;owned\a\e]1;owned\a"
        r"\e]2;owned\e\\\e[22;0t\e]1337;CopyToClipboard=\ahello\e]1337;EndCopy\a\e]9;owned\a'; echo do''ne"
        "\n"
    )
    prompt.see(r"done\n.*" + PROMPT)
    assert page.evaluate("navigator.clipboard.readText()") == "the visitor's own"
    assert page.title() == title


def test_the_terminals_answers_tell_nothing_of_the_visitor(prompt: MachinePage) -> None:
    """Whoever asks is answered, but with the terminal's kind, sizes and colours only."""
    prompt.page.evaluate("navigator.clipboard.writeText('the visitor\\'s own')")
    asked = r"\e]52;c;?\a\e[21t\e[20t\e[14t\e[11t\e[13t\e]0;?\a\eP+q544e\e\\\eP$qm\e\\\e[?15n\e[>q\005\e[c\e[5n\e[6n"
    script = f"""stty raw -echo; printf '{asked}'; answer=
        while [[ $answer != *R ]]; do IFS= read -rN1 key; answer+=$key; done
        stty sane; clear; printf '%q\\n' "$answer"; echo finished"""
    prompt.js("await sdk.fs.writeFile('/tmp/ask', arg)", script)
    prompt.type("bash /tmp/ask\n")
    screen = prompt.see(r"^finished\n.*" + PROMPT)
    answers = "".join(screen.split("finished")[0].split())
    assert "[0n" in answers and re.search(r"\[\d+;\d+R", answers)
    for secret in ("visitor", "dGhlIHZpc2l0b3", "Ebb", "owned", "52;c", "\\E]l", "\\E]L"):
        assert secret not in answers, answers
    assert "\\n" not in answers and "\\r" not in answers  # no answer runs a command


def test_answers_after_the_end_start_no_shell(prompt: MachinePage) -> None:
    """What the terminal answers is not the visitor's Enter, nor typed into the next shell."""
    prompt.type(r"clear; printf '\e[c\e[6n\e[5n\eP$qm\e\\'; exit 3" "\n")
    prompt.see(r"ended with exit code 3\.\nEnter starts a new one\.$")
    prompt.run("true")  # all that was under way has arrived
    prompt.see(r"ended with exit code 3\.\nEnter starts a new one\.$")
    prompt.page.keyboard.press("Enter")
    screen = prompt.see(r"starts a new one\.\n[\s\S]*" + PROMPT)
    assert "c" not in screen.rpartition("#")[2] and "R" not in screen.rpartition("#")[2]
    prompt.type("clear; echo cle''an\n")
    assert prompt.see(r"^clean$").splitlines()[0] == "clean"


def test_names_and_output_are_text_everywhere(prompt: MachinePage) -> None:
    page = prompt.page
    before = harm(prompt)
    assert before[0] is None and before[2] == 0
    prompt.js(
        """await sdk.fs.mkdir("/tmp/bad/<i>dir", { parents: true });
        for (const name of arg) await sdk.fs.writeFile(`/tmp/bad/${name}`, "x");
        await sdk.fs.writeFile("/tmp/bad/html", arg.join(""));""",
        list(NAMES),
    )
    prompt.type(f"cd /tmp/bad; PS1='{HTML} # '; clear; cat html; echo '{HTML}'\n")
    prompt.see(
        r"(?<![\s\S])<img[\s\S]*<svg onload=owned=3>\s#(?![\s\S])"
    )  # the echo of what is typed shows it too
    # The panel, its crumbs, a download, a failure's notice.
    page.keyboard.press("Control+Shift+E")
    for name in NAMES:
        page.locator("#files-list .entry", has_text=name).wait_for()
    with page.expect_download() as file:
        page.locator("#files-list .entry", has_text=NAMES[0]).click()
    assert Path(file.value.path()).read_text() == "x"
    prompt.js("await sdk.fs.unlink(`/tmp/bad/${arg}`)", NAMES[1])
    page.locator("#files-list .entry", has_text=NAMES[1]).click()
    page.wait_for_function("(name) => document.body.innerText.includes(name)", arg=NAMES[1])
    page.locator("#files-list .entry", has_text="<i>dir").click()
    page.locator("#files button", has_text="<i>dir").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("#files", state="hidden")
    assert harm(prompt) == before
    prompt.type("PS1='# '; cd /; clear\n")
    prompt.see(r"(?<![\s\S])#(?![\s\S])")


def test_a_link_that_is_no_address_is_not_opened(prompt: MachinePage) -> None:
    page = prompt.page
    page.evaluate("() => { opened = []; window.open = (...args) => void opened.push(args); }")
    prompt.type(r"clear; printf '\e]8;;javascript:owned=5\e\\named\e]8;;\e\\\n'" "\n")
    prompt.see(r"^named\n.*" + PROMPT)
    prompt.drawn()
    row = page.locator("#terminal .screen:not([hidden]) .xterm-rows > div").first.bounding_box()
    assert row
    page.mouse.move(row["x"] + 15, row["y"] + row["height"] / 2)
    page.mouse.move(row["x"] + 12, row["y"] + row["height"] / 2)
    page.mouse.click(row["x"] + 12, row["y"] + row["height"] / 2)
    prompt.type("echo af''ter\n")
    prompt.see(r"^after$")
    assert page.evaluate("[opened, window.owned ?? null]") == [[], None]


def test_the_browser_itself_would_refuse_scripts_of_the_guests(machine: MachinePage) -> None:
    """The page's own policy: no script in HTML, no other server."""
    refused = machine.page.evaluate(
        """async () => {
            const seen = [];
            addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
            const place = document.body.appendChild(document.createElement("div"));
            place.innerHTML = '<a onclick="owned=6">x</a>';
            place.firstChild.click();
            const script = document.createElement("script");
            script.textContent = "owned = 7";
            place.append(script);
            place.remove();
            while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve));
            return [window.owned ?? null, seen.sort()];
        }"""
    )
    assert refused == [None, ["script-src-attr", "script-src-elem"]]


def test_no_source_of_ours_makes_html_of_text(root: Path) -> None:
    makers = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|parseFromString"
        r"|setHTMLUnsafe|srcdoc|\beval\(|new Function"
    )
    sources = [path for folder in ("web", "sdk/src") for path in (root / folder).rglob("*.ts")]
    assert len(sources) > 30
    assert [str(path) for path in sources if makers.search(path.read_text())] == []
