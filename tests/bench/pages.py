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
BUSY = {"base": "ls -lR /usr", "debian": "python3 -c 'print(1)'"}
KEYS, BETWEEN_MS = 60, 100

RUN = """async ([command, args]) => {
  const start = performance.now();
  const result = await window.sdk.run(command, args);
  return [performance.now() - start, result.stdout.trim(), result.exitCode];
}"""
PROMPT = "() => /[#$] ?$/.test((window.screenText?.() ?? '').trimEnd()) && performance.now()"
ECHO = "() => /[#$] x/.test(window.screenText()) && performance.now()"

STARTED = r"() => /^\[1\] \d+\s.*[#$] ?$/ms.test(window.screenText())"
WATCH = r"""() => {
  const waits = (window.echoWaits = []), asked = [];
  addEventListener("keydown", ({ key, timeStamp }) => key === "z" && asked.push(timeStamp), true);
  setInterval(() => {
    const shown = /z*$/.exec(window.screenText())[0].length;
    while (waits.length < Math.min(shown, asked.length)) waits.push(performance.now() - asked[waits.length]);
  }, 2);
}"""


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
            throttle(context, page)
        yield page
    finally:
        context.close()


def throttle(context: BrowserContext, page: Page) -> None:
    """Put the link before the page. Its workers fetch on their own and are not slowed."""
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", LINK)


def to_prompt(page: Page, url: str, image: str) -> float:
    """Milliseconds from navigation until a typed character echoes."""
    page.goto(f"{url}/?image={image}", wait_until="commit")
    page.wait_for_function(PROMPT, polling=5)
    page.keyboard.type("x")
    return float(page.wait_for_function(ECHO, polling=5).json_value())


def measure(
    play: Playwright, url: str, packed_url: str, image: str, runs: int
) -> dict[str, list[float]]:
    """Give the samples of one image, by row; `packed_url` compresses, as a server on a network does.

    "Echo-busy" is the longest wait of a session for a typed character, while programs start in the
    background that are being compiled.
    """
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
                    add("tab-memory", renderer_mib(profile))
                    add("idle-steps", idle_steps(page))
        with tempfile.TemporaryDirectory() as other, visit(play, other, link=False) as page:
            to_prompt(page, url, image)
            add("echo-busy", max(echoes_ms(page, BUSY[image])))
    with tempfile.TemporaryDirectory() as profile, visit(play, profile, link=True) as page:
        add("prompt-20mbit", to_prompt(page, packed_url, image))
    return rows


def echoes_ms(page: Page, command: str) -> list[float]:
    """How long each of some characters takes to be echoed, while a command runs again and again: in the page, from the
    key's event to the screen's text.
    """
    page.keyboard.press("Backspace")  # the one that to_prompt typed
    page.keyboard.type(f"while :; do {command} > /dev/null; done &\n")
    page.wait_for_function(STARTED, polling=5)
    page.evaluate(WATCH)
    for _ in range(KEYS):
        page.wait_for_timeout(BETWEEN_MS)
        page.keyboard.type("z")
    page.wait_for_function(f"() => window.echoWaits.length === {KEYS}")
    waits: list[float] = page.evaluate("() => window.echoWaits")
    return waits


def idle_steps(page: Page) -> float:
    """Steps of all harts while nobody asks for anything, in two seconds."""
    script = "async () => (await window.sdk.counters()).steps"
    before = sum(page.evaluate(script))
    time.sleep(2)
    return float(sum(page.evaluate(script)) - before)


def renderers(profile: str) -> list[Path]:
    """The renderers of the browser that has this profile: others may run on the machine."""
    parents: dict[str, str] = {}
    commands: dict[str, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            commands[folder.name] = (folder / "cmdline").read_bytes()
        except OSError:
            continue

    def ours(pid: str) -> bool:
        return profile.encode() in commands.get(pid, b"") or (pid in parents and ours(parents[pid]))

    return [
        Path("/proc", pid)
        for pid, command in commands.items()
        if b"--type=renderer" in command and ours(pid)
    ]


def renderer_mib(profile: str) -> float:
    """Private memory of the largest renderer, which is the page's."""
    texts = [(folder / "smaps_rollup").read_text() for folder in renderers(profile)]
    sizes = [re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", text) for text in texts]
    return max(sum(map(int, one)) for one in sizes) / 1024


def renderer_cpu_ms(profile: str) -> float:
    """Processor time that the page has used so far, all threads."""
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    stats = [
        (folder / "stat").read_text().rpartition(")")[2].split() for folder in renderers(profile)
    ]
    return max((int(one[11]) + int(one[12])) * tick for one in stats)


def spread(values: list[float]) -> float | None:
    """(max - min) / median; nothing for a single sample."""
    middle = statistics.median(values)
    return round((max(values) - min(values)) / middle, 2) if len(values) > 1 and middle else None
