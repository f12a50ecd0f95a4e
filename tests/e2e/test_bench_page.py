"""web/bench.html: a workload of tests/bench runs compiled and interpreted, and both bars are drawn."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page
from tests.conftest import built

from e2e.machines import BOOT_MS

AXE = "sdk/node_modules/axe-core/axe.min.js"
BARS = """() => [...document.querySelectorAll("tbody td div")].map((bar) => [bar.className, bar.textContent,
    parseFloat(bar.style.getPropertyValue("--part")),
    parseFloat(getComputedStyle(bar, "::before").width) / (0.85 * bar.clientWidth) * 100])"""


def test_both_bars_are_drawn(page: Page, watch, root: Path, build_folder: Path) -> None:
    built(build_folder / "web" / "bench" / "programs.json", "dist")
    page.goto("/bench.html?only=fib&runs=1")
    page.click("#run")
    page.get_by_text("done", exact=True).wait_for(timeout=4 * BOOT_MS)
    assert page.inner_text("tbody th") == "fib"
    bars = page.evaluate(BARS)
    print(bars, page.inner_text("#counters"))
    assert [name for name, _, _, _ in bars] == ["on", "off"]
    assert max(part for _, _, part, _ in bars) == 100
    for _, text, part, drawn in bars:
        assert float(text) >= 0
        assert abs(part - drawn) < 1
    assert page.inner_text("#mean") == page.inner_text("tbody tr > :last-child")
    assert "million instructions ran in compiled code" in page.inner_text("#counters")
    assert watch.errors == []
    page.evaluate((root / AXE).read_text("utf-8"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert page.evaluate("axe.run().then(({ violations }) => violations)") == []


def test_what_cannot_be_run_is_said_at_once(page: Page, base_url: str) -> None:
    page.goto("/bench.html?only=fib,nosuch")
    page.get_by_text("There is no program nosuch; there are ").wait_for()
    assert page.is_disabled("#run")
    page.route(f"{base_url}bench/programs.json", lambda route: route.fulfill(status=404))
    page.goto("/bench.html")
    page.get_by_text("python3 build.py demo").wait_for()
    assert page.is_disabled("#run")
