"""The examples in README.md do what they say: each fenced block marked `<!-- test: … -->` is run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]


def example(name: str) -> str:
    """The block after the comment `<!-- test: name -->`."""
    found = re.search(
        rf"<!-- test: {name} -->\n```\w+\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert found, name
    return found[1]


@pytest.mark.parametrize(("name", "expected"), [("python", "0 total"), ("blocking", "HI")])
def test_python_example(name: str, expected: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", example(name)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(expected), result.stdout


def test_page_example(page: Page, scratch_folder: Path) -> None:
    folder = scratch_folder / "readme"
    folder.mkdir()
    script = example("page").replace("./ebbtide.js", "/ebbtide.js")
    # The example ends by closing the machine; what it found is looked at after that.
    (folder / "index.html").write_text(
        "<!doctype html><meta charset=utf-8><link rel=icon href=data:><div id=terminal></div>"
        "<script>window.unhandled = []; addEventListener('unhandledrejection',"
        "(event) => unhandled.push(String(event.reason)))</script>"
        f"<script type=module>{script}\nwindow.found = {{ exitCode, stdout }};</script>"
    )
    page.goto("/scratch/readme/")
    page.wait_for_function("() => window.found", timeout=60_000)
    assert page.evaluate("window.found") == {"exitCode": 0, "stdout": "19\n"}
    page.wait_for_selector("#terminal .xterm")  # the example does not wait for its terminal
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert page.evaluate("window.unhandled") == []
