"""The browser tests' ground: one server and one Chromium for all, one page per test module.

Every request must go to our own server; one to anywhere else fails the test. What the page and its
workers print is shown when a test fails.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    BrowserType,
    ConsoleMessage,
    Page,
    Request,
    expect,
)

from build_steps.setup import CHROMIUM_ARGS
from e2e.machines import BOOT_MS, MachinePage
from ebbtide.assets import images_folder
from ebbtide.serve import Mount, Server, site

TIMEOUT_MS = BOOT_MS  # of each wait; a machine that is busy or slow must pass
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    arguments: dict[str, object] = {"headless": True, "args": list(CHROMIUM_ARGS)}
    if path := os.environ.get("EBB_CHROMIUM"):
        arguments["executable_path"] = path
    return arguments


@pytest.fixture(scope="session")
def scratch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Served at /scratch/: what tests bundle or write for themselves."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def server(build_folder: Path, scratch_folder: Path) -> Iterator[Server]:
    mounts = [Mount("/scratch/", scratch_folder), *site(build_folder / "web", images_folder())]
    with Server(mounts, port=0) as running:
        yield running


@pytest.fixture(scope="session")
def base_url(server: Server) -> str:
    """Where the page is; page.goto("/") goes there."""
    return server.url


class Watch:
    """What the pages of a context print and request."""

    def __init__(self, context: BrowserContext, allowed: str) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self._host = urlsplit(allowed).netloc
        context.on("console", self._console)
        context.on("weberror", lambda error: self._error(f"uncaught: {error.error}"))
        context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        text = f"{message.type}: {message.text}"
        if message.type == "error":
            self._error(text)
        else:
            self.lines.append(text)

    def _error(self, text: str) -> None:
        self.lines.append(text)
        self.errors.append(text)

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.netloc != self._host:
            self.strangers.append(request.url)


@pytest.fixture(scope="module")
def context(browser: Browser, base_url: str) -> Iterator[BrowserContext]:
    """A new profile for each test module."""
    made = browser.new_context(base_url=base_url)
    made.set_default_timeout(TIMEOUT_MS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def clipboard(context: BrowserContext) -> None:
    """Pages may read and write what was copied."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])


@pytest.fixture(scope="module")
def watch(context: BrowserContext, base_url: str) -> Watch:
    return Watch(context, base_url)


@pytest.fixture(scope="module")
def page(context: BrowserContext, watch: Watch) -> Page:
    """One page per test module; tests of a module share it, in order."""
    return context.new_page()


@pytest.fixture(scope="module")
def machine(page: Page) -> MachinePage:
    """The shell page with its machine, booted once per test module."""
    return MachinePage(page)


@pytest.fixture
def prompt(machine: MachinePage) -> MachinePage:
    """A terminal with nothing but a prompt."""
    machine.clear()
    return machine


@pytest.fixture
def alone(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own, outside the rules for pages that share one."""
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.on("console", lambda message: print(message.type, message.text))
    page.on("pageerror", lambda error: print("uncaught:", error))
    yield page
    context.close()


@pytest.fixture(autouse=True)
def quiet_page(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold each test to the rules of this file, if it uses a page."""
    if "watch" not in request.fixturenames:
        yield
        return
    watch: Watch = request.getfixturevalue("watch")
    watch.lines.clear()
    yield
    if watch.lines:
        print("\n".join(["the page printed:", *watch.lines]))
    strangers, watch.strangers = watch.strangers, []
    assert not strangers, f"requests to other servers: {strangers}"


@pytest.fixture
def denied(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any], tmp_path: Path
) -> Iterator[Page]:
    """A page to which the browser denies all storage."""
    settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
    context = browser_type.launch_persistent_context(tmp_path, **browser_type_launch_args)
    context.set_default_timeout(BOOT_MS)
    yield context.new_page()
    context.close()
