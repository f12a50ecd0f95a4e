"""Ebb in somebody else's page: static files on a plain server, frames, denied storage, a strict policy."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Frame, Page, Route
from tests.conftest import built

from e2e.machines import BOOT_MS
from ebbtide import serve
from ebbtide.assets import images_folder
from ebbtide.serve import Server, site

WIRE_MOST = 15_000_000


@pytest.fixture(scope="module")
def dist(build_folder: Path) -> Path:
    built(build_folder / "dist" / "index.html", "dist")
    return build_folder / "dist"


class PlainHandler(SimpleHTTPRequestHandler):
    """`python -m http.server`, which knows no headers; it remembers what was asked for."""

    asked: list[str] = []
    instead: dict[str, bytes] = {}

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = self.instead.get(self.path)
        if body is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", str(self.guess_type(self.path)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[str]]]]:
    """Start a plain server over a folder, or over given files; gives its address and what is asked."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path = tmp_path, **instead: bytes) -> tuple[str, list[str]]:
        asked: list[str] = []
        kind = type(
            "Handler",
            (PlainHandler,),
            {"asked": asked, "instead": {f"/{name}": body for name, body in instead.items()}},
        )
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder)))
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}/", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def lists_root(frame: Page | Frame) -> None:
    """Wait for the prompt; then a program must run."""
    settled = "body[data-state]:not([data-state=starting])"
    frame.locator(settled).wait_for(timeout=BOOT_MS)
    assert frame.get_attribute(settled, "data-state") == "ready", frame.inner_text("#failure")
    assert "etc" in frame.evaluate("window.sdk.run('ls', ['/']).then((result) => result.stdout)")


def test_dist_works_below_a_path_of_a_plain_server(
    dist: Path, alone: Page, tmp_path: Path, plain: Callable[..., tuple[str, list[str]]]
) -> None:
    (tmp_path / "some" / "path").mkdir(parents=True)
    (tmp_path / "some" / "path" / "ebb").symlink_to(dist)
    address, asked = plain()
    alone.goto(f"{address}some/path/ebb/")
    lists_root(alone)
    assert asked.count("/some/path/ebb/") == 2, "one reload brings the headers"
    assert all(path.startswith("/some/path/ebb/") for path in asked), asked
    alone.reload()
    lists_root(alone)
    assert asked.count("/some/path/ebb/") == 3, "the next visit needs none"


def test_a_service_worker_that_does_not_help_costs_one_reload(
    dist: Path, alone: Page, plain: Callable[..., tuple[str, list[str]]]
) -> None:
    address, asked = plain(dist, **{"service_worker.js": b"// sends no headers\n"})
    alone.goto(address)
    alone.locator("#failure:not([hidden])").wait_for()
    assert alone.get_attribute("#failure", "data-code") == "not-isolated"
    assert asked.count("/") <= 2


def test_every_name_in_dist_is_relative_and_hashed(dist: Path) -> None:
    for path in [*dist.glob("*.js"), *dist.glob("*.html"), *dist.glob("*.css")]:
        text = path.read_text("utf-8")
        assert not re.search(r"""(?:src|href)=["']/|\bfrom ?["']/|import\(["']/""", text), path
        assert path.with_name(path.name + ".br").is_file(), path
    stable = {"index.html", "ebbtide.js", "isolate.js", "service_worker.js"}
    for path in dist.iterdir():
        if path.suffix in (".js", ".css", ".wasm", ".json", ".svg") and path.name not in stable:
            assert serve.HASHED.search(path.name), path


def test_bytes_on_the_wire_to_the_first_prompt(
    dist: Path, alone: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send, head = serve.Handler._send, serve.Handler.flush_headers

    def count_body(self: serve.Handler, file: Any, length: int) -> None:
        sent.append(length)
        send(self, file, length)

    def count_head(self: serve.Handler) -> None:
        sent.append(sum(map(len, getattr(self, "_headers_buffer", []))))
        head(self)

    monkeypatch.setattr(serve.Handler, "_send", count_body)
    monkeypatch.setattr(serve.Handler, "flush_headers", count_head)
    with Server(site(dist, dist / "images"), port=0, compress=True) as server:
        alone.goto(server.url)
        alone.wait_for_function("/[#$]$/m.test(window.screenText?.() ?? '')", timeout=BOOT_MS)
        total = sum(sent)
    print(f"{total / 1e6:.2f} MB to the first prompt")
    assert total <= WIRE_MOST


@pytest.mark.parametrize("same_origin", [True, False], ids=["same origin", "other origin"])
def test_a_frame_in_an_ordinary_page_is_isolated_by_its_own_header(
    base_url: str,
    alone: Page,
    plain: Callable[..., tuple[str, list[str]]],
    same_origin: bool,
) -> None:
    outer = f'<!doctype html><title>Article</title><iframe src="{base_url}"></iframe>'
    if same_origin:
        address = base_url
        alone.route(
            f"{base_url}outer.html",
            lambda route: route.fulfill(body=outer, content_type="text/html"),
        )
    else:
        address, _ = plain(**{"outer.html": outer.encode()})
    alone.goto(f"{address}outer.html")
    assert alone.evaluate("crossOriginIsolated") is False
    frame = alone.frames[1]
    if not frame.evaluate("crossOriginIsolated"):
        pytest.skip("this browser has no Document-Isolation-Policy")
    lists_root(frame)


def test_a_frame_that_cannot_be_isolated_offers_a_tab(
    build_folder: Path, alone: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(serve.ISOLATION, "Document-Isolation-Policy")
    for path in (build_folder / "web").iterdir():
        if path.name != "service_worker.js":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "outer.html").write_text('<!doctype html><iframe src="."></iframe>')
    alone.route("**/outer.html", without_headers)
    with Server(site(tmp_path, images_folder()), port=0) as server:
        alone.goto(f"{server.url}outer.html")
        button = alone.frame_locator("iframe").locator("#open-tab")
        with alone.context.expect_page() as opened:
            button.click()
        lists_root(opened.value)


def without_headers(route: Route) -> None:
    """Serve a document as an ordinary server would."""
    response = route.fetch()
    kind = response.headers["content-type"]
    route.fulfill(response=response, headers={"content-type": kind})


def test_the_page_works_with_all_storage_denied(base_url: str, denied: Page) -> None:
    denied.goto(base_url)
    assert (
        denied.evaluate(
            "(() => { try { return localStorage.length; } catch { return 'denied'; } })()"
        )
        == "denied"
    )
    lists_root(denied)


def test_the_page_works_under_the_strict_policy_that_the_docs_give(
    root: Path, build_folder: Path, alone: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (root / "docs" / "embedding.md").read_text("utf-8")
    found = re.search(r"^Content-Security-Policy: (.*(?:\n  .*)*)$", text, re.M)
    assert found
    policy = re.sub(r"\s+", " ", found[1])
    assert "'unsafe-eval'" not in policy and "script-src 'self' 'wasm-unsafe-eval'" in policy
    monkeypatch.setitem(serve.ISOLATION, "Content-Security-Policy", policy)
    complaints: list[str] = []
    alone.on("console", lambda message: complaints.append(message.text))
    with Server(site(build_folder / "web", images_folder()), port=0) as server:
        alone.goto(server.url)
        lists_root(alone)
    assert not [line for line in complaints if "Content Security Policy" in line]
