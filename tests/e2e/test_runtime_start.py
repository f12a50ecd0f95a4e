"""Python starts in workers from shared parts: with its snapshot, and from nothing when it must."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
ESBUILD = HERE.parents[1] / "sdk" / "node_modules" / ".bin" / "esbuild"


@pytest.fixture(scope="module")
def start_page(page: Page, scratch_folder: Path) -> Page:
    folder = scratch_folder / "runtime_start"
    sources = [str(HERE / "runtime_start" / f"{name}.ts") for name in ("page", "worker")]
    command = [str(ESBUILD), *sources, "--bundle", "--format=esm", f"--outdir={folder}"]
    subprocess.run([*command, "--log-level=error"], check=True)
    (folder / "index.html").write_text(
        "<!doctype html><link rel=icon href=data:><script type=module src=page.js></script>"
    )
    page.goto("/scratch/runtime_start/")
    return page


def start(page: Page, count: int, snapshot: bool) -> dict[str, Any]:
    script = "([count, snapshot]) => startRuntimes(count, snapshot)"
    result: dict[str, Any] = page.evaluate(script, [count, snapshot])
    return result


def test_the_page_is_isolated(start_page: Page) -> None:
    assert start_page.evaluate("crossOriginIsolated") is True


def test_workers_start_from_one_snapshot(start_page: Page, watch: Any) -> None:
    result = start(start_page, 3, snapshot=True)
    found = result["found"]
    assert len(found) == 3
    for one in found:
        assert one["python"].startswith("3.14")
        assert "ebbtide" in one["modules"]
        assert one["late"] == "1/3"
        assert one["grown"] is True
    assert len({one["random"] for one in found}) == 3
    assert len({one["hash"] for one in found}) == 1
    assert result["last"]["loaded"] == result["last"]["total"]
    assert not [line for line in watch.lines if "snapshot" in line]


def test_without_a_snapshot_the_result_is_the_same(start_page: Page) -> None:
    (fast,) = start(start_page, 1, snapshot=True)["found"]
    (slow,) = start(start_page, 1, snapshot=False)["found"]
    assert slow["python"] == fast["python"]
    assert slow["hash"] == fast["hash"]
    assert slow["late"] == "1/3"
