"""Why a machine cannot start: each reason has a message of its own, on the page and as a typed error."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route

from e2e.machines import BOOT_MS

STARTED_MS = BOOT_MS


@pytest.fixture
def fresh_page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own: what a test breaks is broken for it alone."""
    context = browser.new_context(service_workers="block")  # ours would mend what a test breaks
    context.set_default_timeout(STARTED_MS)
    page = context.new_page()
    yield page
    page.unroute_all(behavior="ignoreErrors")  # what is under way has nobody to answer to
    context.close()


def failure(page: Page, address: str) -> tuple[str, str]:
    """Open a page that must fail; return the error's code and the message shown."""
    page.goto(address)
    page.wait_for_selector("#failure:not([hidden])", timeout=STARTED_MS)
    code = page.get_attribute("#failure", "data-code")
    return code or "", page.inner_text("#failure-message")


def without_headers(*names: str) -> Callable[[Route], None]:
    """Serve as the server does, but for these headers."""

    def handle(route: Route) -> None:
        response = route.fetch()
        headers = {k: v for k, v in response.headers.items() if k.lower() not in names}
        route.fulfill(response=response, headers=headers)

    return handle


COOP = "cross-origin-opener-policy"
COEP = "cross-origin-embedder-policy"
POLICY = "document-isolation-policy"


@pytest.mark.parametrize("missing", [COOP, COEP])
def test_page_without_isolation_names_the_missing_header(
    fresh_page: Page, base_url: str, missing: str
) -> None:
    fresh_page.route(base_url, without_headers(missing, POLICY))
    code, message = failure(fresh_page, base_url)
    other = COEP if missing == COOP else COOP
    assert code == "not-isolated"
    assert missing in message.lower() and other not in message.lower()
    assert "ebb serve" in message and "isolate()" in message


def test_page_at_an_insecure_address_says_where_to_open_it(fresh_page: Page, base_url: str) -> None:
    def handle(route: Route) -> None:
        path = urlsplit(route.request.url).path
        route.fulfill(response=route.fetch(url=base_url.rstrip("/") + path))

    fresh_page.route("http://insecure.test/**", handle)
    code, message = failure(fresh_page, "http://insecure.test/")
    assert code == "not-secure"
    assert "localhost" in message and "--tls" in message


def test_page_inside_a_page_that_forbids_it_says_so(fresh_page: Page, base_url: str) -> None:
    outer = f'<!doctype html><iframe src="{base_url}"></iframe>'
    fresh_page.route(
        f"{base_url}outer.html", lambda route: route.fulfill(body=outer, content_type="text/html")
    )
    fresh_page.route(base_url, without_headers(POLICY))
    fresh_page.goto(f"{base_url}outer.html")
    frame = fresh_page.frame_locator("iframe")
    frame.locator("#failure:not([hidden])").wait_for(timeout=STARTED_MS)
    assert frame.locator("#failure").get_attribute("data-code") == "forbidden-here"
    assert "inside another page" in frame.locator("#failure-message").inner_text()


def test_old_browser_is_told_which_feature_it_lacks(fresh_page: Page, base_url: str) -> None:
    fresh_page.add_init_script(
        "const validate = WebAssembly.validate;"
        "WebAssembly.validate = (bytes) => ![...bytes].includes(0xfd) && validate(bytes)"
    )
    code, message = failure(fresh_page, base_url)
    assert code == "too-old"
    assert "SIMD" in message and "threads" not in message


def test_refused_memory_says_what_was_tried(fresh_page: Page, base_url: str) -> None:
    fresh_page.add_init_script(
        "WebAssembly.Memory = function () { throw new RangeError('no room'); }"
    )
    code, message = failure(fresh_page, base_url)
    assert code == "no-memory"
    for size in ("4096 MiB", "2048 MiB", "1024 MiB", "512 MiB"):
        assert size in message


def test_unknown_image_is_named(fresh_page: Page, base_url: str) -> None:
    code, message = failure(fresh_page, f"{base_url}?image=nothing-of-that-name")
    assert code == "image-missing" and "nothing-of-that-name" in message


@pytest.mark.parametrize("harts", ["99", "0", "many"])
def test_harts_that_cannot_be_are_refused_with_their_range(
    fresh_page: Page, base_url: str, harts: str
) -> None:
    code, message = failure(fresh_page, f"{base_url}?harts={harts}")
    assert code == "arguments" and "whole number from 1 to 6" in message
    assert "in the address" in fresh_page.inner_text("#failure-advice")


@pytest.mark.parametrize(("jit", "says"), [("verify", "ebb run --jit=verify"), ("fast", '"fast"')])
def test_jit_that_cannot_be_is_refused(
    fresh_page: Page, base_url: str, jit: str, says: str
) -> None:
    code, message = failure(fresh_page, f"{base_url}?jit={jit}")
    assert code == "arguments" and says in message
    assert "in the address" in fresh_page.inner_text("#failure-advice")


def test_corrupt_image_names_the_blob(fresh_page: Page, base_url: str) -> None:
    def spoil(route: Route) -> None:
        response = route.fetch()
        body = bytearray(response.body())
        body[len(body) // 2] ^= 1
        route.fulfill(response=response, body=bytes(body))

    fresh_page.route(f"{base_url}images/blobs/**", spoil)
    code, message = failure(fresh_page, base_url)
    assert code == "image-corrupt"
    assert any(len(word) == 64 for word in message.split())


def test_corrupt_chunks_name_the_blob_when_they_are_needed(fresh_page: Page, base_url: str) -> None:
    manifest = json.loads(fresh_page.request.get(f"{base_url}images/base/manifest.json").body())

    def spoil(route: Route) -> None:
        response = route.fetch()
        body = bytearray(response.body())
        if not route.request.url.endswith(manifest["index"]):
            body[:] = bytes(len(body))
        route.fulfill(response=response, body=bytes(body))

    fresh_page.route(f"{base_url}images/blobs/**", spoil)
    code, message = failure(fresh_page, base_url)
    assert code == "image-corrupt"
    assert any(pack["blob"] in message for pack in manifest["packs"])


def test_server_that_is_gone_is_named(fresh_page: Page, base_url: str) -> None:
    fresh_page.route("**/kernel.wasm", lambda route: route.abort())
    code, message = failure(fresh_page, base_url)
    assert code == "network" and "could not be loaded" in message


def test_panic_is_shown_and_the_memory_can_be_downloaded(fresh_page: Page, base_url: str) -> None:
    fresh_page.add_init_script(
        """const Memory = WebAssembly.Memory;
        WebAssembly.Memory = function (shape) { return (window.machineMemory = new Memory(shape)); };"""
    )
    fresh_page.goto(base_url)
    fresh_page.wait_for_function("document.body.dataset.state === 'ready'", timeout=STARTED_MS)
    error = fresh_page.evaluate(
        """async () => {
            const machine = 0x08000000; // where the machine's own data begins: spoil it
            new Uint8Array(window.machineMemory.buffer, machine, 1 << 16).fill(0xff);
            return window.sdk.run("true").catch((error) => ({ name: error.name, report: error.report }));
        }"""
    )
    assert error["name"] == "PanicError" and error["report"]
    fresh_page.wait_for_selector("#failure:not([hidden])", timeout=STARTED_MS)
    assert fresh_page.get_attribute("#failure", "data-code") == "panic"
    with fresh_page.expect_download(timeout=STARTED_MS) as download:
        fresh_page.click("#failure-state")
    with gzip.open(download.value.path()) as state:
        head = json.loads(state.readline())
        page = int.from_bytes(state.read(4), "little")
    assert head["format"] == "ebb-state" and page < 65536
