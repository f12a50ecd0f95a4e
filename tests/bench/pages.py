"""What a visitor waits for and what a tab costs: load to prompt, `sdk.run`, memory and CPU when idle.

Each visit has a new browser: a cold one with an empty profile, a warm one with the profile that the
cold one left. "Prompt" is the first moment a typed character echoes, counted from navigation.
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Playwright

from e2e.conftest import CHROMIUM_ARGS

IMAGES = ("base", "debian")
# 20 Mbit/s and 40 ms there and back.
LINK = {"offline": False, "latency": 40, "downloadThroughput": 2.5e6, "uploadThroughput": 2.5e6}
SETTLE_S = 10  # memory is read so long after the prompt

RUN = """async ([command, args]) => {
  const start = performance.now();
  const result = await window.sdk.run(command, args);
  return [performance.now() - start, result.stdout.trim(), result.exitCode];
}"""
PROMPT = "() => /[#$] ?$/.test((window.screenText?.() ?? '').trimEnd()) && performance.now()"
ECHO = "() => /[#$] x/.test(window.screenText()) && performance.now()"


@contextmanager
def visit(play: Playwright, profile: str, link: bool) -> Iterator[Page]:
    """A page of a new browser with this profile."""
    context: BrowserContext = play.chromium.launch_persistent_context(
        profile, executable_path=os.environ.get("EBB_CHROMIUM"), args=list(CHROMIUM_ARGS)
    )
    try:
        page = context.pages[0] if context.pages else context.new_page()
        page.set_default_timeout(120_000)
        if link:
            network = context.new_cdp_session(page)
            network.send("Network.enable")
            network.send("Network.emulateNetworkConditions", LINK)
        yield page
    finally:
        context.close()


def to_prompt(page: Page, url: str, image: str) -> float:
    """Milliseconds from navigation until a typed character echoes."""
    page.goto(f"{url}/?image={image}", wait_until="commit")
    page.wait_for_function(PROMPT, polling=5)
    page.keyboard.type("x")
    return float(page.wait_for_function(ECHO, polling=5).json_value())


def measure(play: Playwright, url: str, image: str, runs: int) -> dict[str, list[float]]:
    """Give the samples of one image, by row."""
    rows: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        rows.setdefault(f"{name}-{image}", []).append(value)

    for run in range(runs):
        with tempfile.TemporaryDirectory() as profile:
            with visit(play, profile, link=False) as page:
                add("prompt-cold", to_prompt(page, url, image))
            with visit(play, profile, link=False) as page:
                add("prompt-warm", to_prompt(page, url, image))
                for _ in range(10):
                    add("sdk-run-true", page.evaluate(RUN, ["true", []])[0])
                if run == 0:
                    time.sleep(SETTLE_S)
                    add("tab-memory", renderer_mib())
                    add("idle-steps", idle_steps(page))
    with tempfile.TemporaryDirectory() as profile, visit(play, profile, link=True) as page:
        add("prompt-20mbit", to_prompt(page, url, image))
    return rows


def idle_steps(page: Page) -> float:
    """Steps of all harts while nobody asks for anything, in two seconds."""
    script = "async () => (await window.sdk.counters()).steps"
    before = sum(page.evaluate(script))
    time.sleep(2)
    return float(sum(page.evaluate(script)) - before)


def renderer_mib() -> float:
    """Private memory of the largest Chromium renderer."""
    best = 0
    for folder in Path("/proc").iterdir():
        try:
            if b"--type=renderer" not in (folder / "cmdline").read_bytes():
                continue
            text = (folder / "smaps_rollup").read_text()
        except OSError:
            continue
        best = max(best, sum(int(kb) for kb in re.findall(r"Private_\w+:\s+(\d+)", text)))
    return best / 1024


def spread(values: list[float]) -> float | None:
    """(max - min) / median; nothing for a single sample."""
    middle = statistics.median(values)
    return round((max(values) - min(values)) / middle, 2) if len(values) > 1 and middle else None
