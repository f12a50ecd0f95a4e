"""Every fenced block of README.md and docs/ is run as it stands; its language says how.

sh, python and js: a page's blocks run one after the other, as one session, in an empty folder. What
a comment says that a line prints must come out, in that order. html: the page holds them. http: a
server sends them as headers. text is a picture or a layout and is only looked at.
"""

from __future__ import annotations

import ast
import codeop
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page
from tests.conftest import ROOT, built

from e2e.machines import BOOT_MS
from ebbtide import serve
from ebbtide.serve import Mount, Server

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)
LANGUAGES = {"sh", "python", "js", "html", "http", "text"}
EXAMPLE = "https://example.org/"  # stands for the reader's own server
TIMEOUT_S = 600
SESSION = """
import ast, asyncio, sys

names = {"__name__": "__main__"}
with asyncio.Runner() as runner:
    for block in sys.argv[1:]:
        code = compile(block, "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & 0x80:  # a coroutine's
            runner.run(eval(code, names))
        else:
            exec(code, names)
"""


class Block(NamedTuple):
    page: str
    language: str
    text: str

    @property
    def prints(self) -> list[str]:
        """What its comments say that it prints."""
        return re.findall(r"(?:#|//) prints (.*)", self.text)

    @property
    def in_page(self) -> bool:
        """Whether it is Python for Pyodide."""
        return self.language == "python" and "micropip" in self.text


BLOCKS = [
    Block(path.name, match[2], textwrap.dedent(match[3]))
    for path in PAGES
    for match in BLOCK.finditer(path.read_text("utf-8"))
]


def of(language: str, in_page: bool = False) -> dict[str, list[Block]]:
    """Blocks of a language by page."""
    found: dict[str, list[Block]] = {}
    for block in BLOCKS:
        if block.language == language and block.in_page == in_page:
            found.setdefault(block.page, []).append(block)
    return found


def must_print(blocks: list[Block], output: str) -> None:
    at = 0
    for text in (text for block in blocks for text in block.prints):
        found = output.find(text, at)
        assert found >= 0, f"{text!r} is not printed after {output[:at]!r}:\n{output}"
        at = found + len(text)


def test_every_block_has_a_language_that_is_tested() -> None:
    for block in BLOCKS:
        assert block.language in LANGUAGES, block
    fences = sum(path.read_text("utf-8").count("```") for path in PAGES)
    assert fences == 2 * len(BLOCKS), "a fence that does not close, or that is not seen"


def test_links_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
            assert target.startswith("http") or (path.parent / target).exists(), (path, target)


@pytest.fixture
def empty(tmp_path: Path) -> dict[str, str]:
    """The environment of a session in an empty folder, with `ebb` and .venv at hand."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return {**os.environ, "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"}


def session(command: list[str], blocks: list[Block], folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    must_print(blocks, done.stdout)


@pytest.mark.parametrize("page", of("python"))
def test_python(page: str, tmp_path: Path, empty: dict[str, str]) -> None:
    blocks = of("python")[page]
    session([sys.executable, "-c", SESSION, *(b.text for b in blocks)], blocks, tmp_path, empty)


@pytest.mark.parametrize("page", of("python"))
def test_python_can_be_pasted(page: str) -> None:
    """Line by line, as at `python -m asyncio`, where a blank line ends what is indented."""
    for block in of("python")[page]:
        compiler = codeop.CommandCompiler()
        compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        lines: list[str] = []
        for line in [*block.text.splitlines(), ""]:
            lines.append(line)
            if compiler("\n".join(lines), symbol="single"):
                lines = []
        assert not lines, block


@pytest.mark.parametrize("page", of("sh"))
def test_shell(page: str, tmp_path: Path, empty: dict[str, str]) -> None:
    blocks = of("sh")[page]
    text = "\n".join(block.text for block in blocks)
    if "image build" in text:
        empty["EBB_IMAGES"] = str(tmp_path / "images")  # what it builds is its own
    session(["sh", "-ec", text], blocks, tmp_path, empty)


# ---- in a page ----------------------------------------------------------------------------------


@pytest.fixture
def beside(build_folder: Path, tmp_path: Path) -> Iterator[str]:
    """A server with the site as ebb/, beside the pages of a test."""
    dist = built(build_folder / "dist" / "index.html", "dist").parent
    mounts = [Mount("/ebb/images/", dist / "images"), Mount("/ebb/", dist), Mount("/", tmp_path)]
    with Server(mounts, port=0) as server:
        yield server.url


HEAD = "<!doctype html><meta charset=utf-8><link rel=icon href=data:><div id=terminal></div>"


@pytest.mark.parametrize("page", of("js"))
def test_javascript(page: str, beside: str, alone: Page, tmp_path: Path) -> None:
    blocks = of("js")[page]
    for number, block in enumerate(blocks):
        said: list[str] = []
        alone.on("console", lambda message, said=said: said.append(message.text))
        script = f"<script type=module>{block.text}\nwindow.finished = true;</script>"
        (tmp_path / f"{number}.html").write_text(
            f"{HEAD}<script>window.faults = []; onerror = (text) => faults.push(text);"
            "onunhandledrejection = (event) => faults.push(String(event.reason))</script>" + script
        )
        alone.goto(f"{beside}{number}.html")
        alone.wait_for_function("window.finished || window.faults.length", timeout=BOOT_MS)
        assert alone.evaluate("window.faults") == []
        must_print([block], "\n".join(said))


def test_the_first_page_is_short_and_works(beside: str, alone: Page) -> None:
    page = ROOT / "web" / "examples" / "first.html"
    assert len(page.read_text("utf-8").splitlines()) <= 20, "README says so"
    alone.goto(f"{beside}ebb/examples/first.html")
    alone.get_by_text("riscv64").wait_for(timeout=BOOT_MS)
    alone.locator("#terminal .xterm").wait_for()


@pytest.mark.parametrize("page", of("html"))
def test_html(page: str, beside: str, alone: Page, tmp_path: Path) -> None:
    """A frame that the page holds comes to its prompt."""
    (tmp_path / "page.html").write_text(HEAD + "\n".join(b.text for b in of("html")[page]))
    alone.goto(f"{beside}page.html")
    assert len(alone.frames) > 1
    for frame in alone.frames[1:]:
        frame.locator("body[data-state=ready]").wait_for(timeout=BOOT_MS)


@pytest.mark.parametrize("headers", [block.text for block in BLOCKS if block.language == "http"])
def test_headers(headers: str, beside: str, alone: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """With these headers, and those of isolation if it has none, the page comes to its prompt."""
    sent = dict(line.split(": ", 1) for line in re.sub(r"\n +", " ", headers).splitlines())
    if not any("Isolation" in name or "Embedder" in name for name in sent):
        sent |= {name: value for name, value in serve.ISOLATION.items() if "Cross" in name}
    monkeypatch.setattr(serve, "ISOLATION", sent)
    alone.route("**/service_worker.js", lambda route: route.abort())  # it would help out
    alone.goto(f"{beside}ebb/")
    alone.locator("body[data-state=ready]").wait_for(timeout=BOOT_MS)


def test_a_service_worker_beside_the_page_isolates_it(
    build_folder: Path, beside: str, alone: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What embedding.md advises for a page beside ebb/ on a server that sends no headers."""
    monkeypatch.setattr(serve, "ISOLATION", {})
    worker = (build_folder / "dist" / "service_worker.js").read_text()
    (tmp_path / "service_worker.js").write_text(worker)
    script = """
import { isolate } from "./ebb/isolate.js";
window.isolated = await isolate("service_worker.js");
"""
    (tmp_path / "page.html").write_text(f"{HEAD}<script type=module>{script}</script>")
    alone.goto(f"{beside}page.html")
    alone.wait_for_function("window.isolated !== undefined")
    assert alone.evaluate("[window.isolated, crossOriginIsolated]") == [True, True]


STOCK = """
const folder = new URL("ebb/stock/", location.href).href;
const { loadPyodide } = await import(`${folder}pyodide.mjs`);
window.pyodide = await loadPyodide({ packageBaseUrl: folder, packages: [PACKAGE] });
"""


def python_page(alone: Page, beside: str, folder: Path, package: str) -> None:
    script = STOCK.replace("PACKAGE", f'"{package}"')
    (folder / "stock.html").write_text(f"{HEAD}<script type=module>{script}</script>")
    alone.goto(f"{beside}stock.html")
    alone.wait_for_function("window.pyodide")


@pytest.mark.parametrize("page", of("python", in_page=True))
def test_python_in_a_page(page: str, beside: str, alone: Page, tmp_path: Path) -> None:
    python_page(alone, beside, tmp_path, "micropip")
    said: list[str] = []
    alone.on("console", lambda message: said.append(message.text))
    blocks = of("python", in_page=True)[page]
    for block in blocks:
        text = block.text.replace(EXAMPLE, beside)
        alone.evaluate("(text) => pyodide.runPythonAsync(text).then(() => null)", text)
    must_print(blocks, "\n".join(said))


def test_the_lock_file_names_our_wheel(
    build_folder: Path, beside: str, alone: Page, tmp_path: Path
) -> None:
    if '"ebbtide"' not in (build_folder / "dist" / "stock" / "pyodide-lock.json").read_text():
        pytest.skip("no Python 3.12 was at hand when the site was built")
    python_page(alone, beside, tmp_path, "ebbtide")
    program = """
from ebbtide import Machine

async with await Machine.boot() as m:
    said = (await m.run("uname", "-m")).stdout
said
"""
    assert alone.evaluate("(text) => pyodide.runPythonAsync(text)", program) == "riscv64\n"


def test_sizes_that_the_docs_give(build_folder: Path) -> None:
    dist = built(build_folder / "dist" / "index.html", "dist").parent
    size = {
        part: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        for part, folder in (("all", dist), ("images", dist / "images"))
    }
    text = (ROOT / "docs" / "embedding.md").read_text("utf-8")
    said = re.search(r"\| on the server \| (\d+) MB, and (\d+) MB for `base` \|", text)
    assert said
    assert float(said[1]) == pytest.approx(size["all"] - size["images"], rel=0.1)
    if not (dist / "images" / "debian").exists():
        assert float(said[2]) == pytest.approx(size["images"], rel=0.1)
