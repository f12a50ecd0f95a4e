"""What browsers do to a page: features missing, memory scarce, tabs copied, put to sleep, left, reloaded, workers ended.

Each ends in a working prompt or in one clear message.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, BrowserType, Page, expect

from e2e.conftest import CHROMIUM_ARGS, TIMEOUT_MS
from e2e.machines import BOOT_MS, PROMPT
from support.devtools import Chromium
from support.workers import wait_for_workers

READY = "document.body?.dataset.state === 'ready'"


@pytest.fixture
def alone(browser: Browser, base_url: str) -> Iterator[BrowserContext]:
    """A profile of its own: what a test breaks is broken for it alone."""
    context = browser.new_context(base_url=base_url)
    context.set_default_timeout(TIMEOUT_MS)
    yield context
    context.close()


def failure(page: Page) -> tuple[str, str]:
    """Wait until the page says why it cannot go on; give the error's code and the message."""
    page.wait_for_selector("#failure:not([hidden])", timeout=BOOT_MS)
    return page.get_attribute("#failure", "data-code") or "", page.inner_text("#failure-message")


def has_machine(page: Page) -> None:
    """Wait until the page has settled; it must have a machine that runs a program, and a prompt."""
    page.wait_for_function(
        "document.body && !['starting', undefined].includes(document.body.dataset.state)",
        timeout=BOOT_MS,
    )
    state = page.get_attribute("body", "data-state")
    assert state == "ready", page.inner_text("#failure")
    assert page.evaluate("sdk.run('echo', ['here']).then((r) => r.stdout)") == "here\n"
    page.wait_for_function(f"/{PROMPT}/m.test(screenText())")


# ---- Features -----------------------------------------------------------------------------------

WASM_ROW = re.compile(r'^  \["(\w+)", "(WebAssembly [\w ]+)", ', re.M)


@pytest.fixture(scope="module")
def features(root: Path) -> dict[str, str]:
    """What the page asks WebAssembly for: the compiler's name of each, and the one for people."""
    return dict(WASM_ROW.findall((root / "sdk" / "src" / "features.ts").read_text("utf-8")))


def test_every_feature_that_the_kernel_is_compiled_for_is_asked_for(
    features: dict[str, str], root: Path
) -> None:
    build = (root / "runtime_py" / "build_steps" / "kernel.py").read_text("utf-8")
    compiled = re.search(r'"-mcpu=generic\+([\w+]+)"', build)
    assert compiled and set(compiled[1].split("+")) == set(features)


def test_each_missing_feature_has_a_message_of_its_own(
    features: dict[str, str], alone: BrowserContext
) -> None:
    page = alone.new_page()
    page.add_init_script(
        """let asked = 0;
        const { validate } = WebAssembly;
        WebAssembly.validate = (module) => asked++ !== Number(location.hash.slice(1)) && validate(module);"""
    )
    for number, name in enumerate(features.values()):
        page.goto(f"/?{number}#{number}")
        code, message = failure(page)
        assert code == "too-old"
        assert f"it lacks {name}." in message, message


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ("delete globalThis.WebAssembly", "WebAssembly"),
        ("delete globalThis.Atomics", "Atomics"),
        ("globalThis.Worker = class { terminate() {} }", "module workers"),
        ("delete globalThis.WritableStream", "readable and writable streams"),
    ],
)
def test_other_features_have_one_too(alone: BrowserContext, missing: str, name: str) -> None:
    page = alone.new_page()
    page.add_init_script(missing)
    page.goto("/")
    code, message = failure(page)
    assert code == "too-old" and f"it lacks {name}." in message, message


# What the code uses where a browser has it, and how a worker is made to lack it: all of these modules are asked for by
# `validate` alone in workers (tail calls and fused multiply-add of compiled guest code).
LACK_ALL = """
    delete WorkerNavigator.prototype.locks;
    delete Atomics.waitAsync;
    WebAssembly.validate = () => false;
"""
LOOP = "for (i = 0; i < 20000; i++) { s = (s * 31 + i) % 65537; x = x * 1.0000001 + 0.5 / (i + 1) }"


def test_machine_works_without_all_that_is_optional(alone: BrowserContext) -> None:
    page = alone.new_page()
    page.route(
        "**/worker.js",
        lambda route: route.fulfill(
            response=(response := route.fetch()), body=f"{LACK_ALL}{response.text()}"
        ),
    )
    page.goto("/")
    has_machine(page)
    assert any(worker.url.endswith("bell.js") for worker in page.workers)
    seen = page.evaluate(
        """async (program) => {
            const { boot } = await import("./ebbtide.js");
            const other = await boot({ jit: "on", harts: 1 });
            const { stdout } = await other.run("awk", [program]);
            const { compiledInstructions, refused } = await other.stats();
            await other.close();
            return [stdout, compiledInstructions, refused];
        }""",
        f'BEGIN {{ x = 1; {LOOP} printf "%d %.17g", s, x }}',
    )
    s, x = 0, 1.0
    for i in range(20_000):
        s, x = (s * 31 + i) % 65537, x * 1.0000001 + 0.5 / (i + 1)
    assert seen[0] == f"{s} {x:.17g}"
    assert seen[1] > 0 and seen[2] == 0


# ---- Memory -------------------------------------------------------------------------------------


def test_memory_is_reserved_from_4_GiB_down_and_the_guest_has_what_was_asked_for(
    alone: BrowserContext,
) -> None:
    page = alone.new_page()
    page.add_init_script(
        """const { Memory } = WebAssembly;
        window.asked = [];
        window.most = 65536;
        WebAssembly.Memory = function (shape) {
            if (!shape.shared) return new Memory(shape);
            asked.push(shape.maximum * 65536 / 2 ** 20);
            if (shape.maximum > most) throw new RangeError("no room");
            return new Memory(shape);
        };"""
    )
    page.goto("/?image=nowhere")
    failure(page)
    seen = page.evaluate(
        """async () => {
            const { boot } = await import("./ebbtide.js");
            const seen = [];
            for (const [pages, memory] of [[65536, "192M"], [8192, "192M"], [8192, "1G"]]) {
                window.most = pages;
                asked.length = 0;
                let said = "";
                const machine = await boot({ memory, harts: 1, onLog: ({ text }) => (said += text) });
                const { stdout } = await machine.run("grep", ["MemTotal", "/proc/meminfo"]);
                seen.push([[...asked], machine.memory / 2 ** 20, /\\d+/.exec(stdout)[0] / 1024, said]);
                await machine.close();
            }
            return seen;
        }"""
    )
    for asked, memory, inside, _ in seen:
        assert asked == [4096] or asked == [4096, 2048, 1024, 512]
        assert memory * 0.9 <= inside <= memory
    assert [memory for _, memory, _, _ in seen] == [192, 192, 384]  # 512 less the kernel's own
    assert [len(asked) for asked, _, _, _ in seen] == [1, 4, 4]
    assert [said for _, _, _, said in seen[:2]] == ["", ""]
    assert "refused 1024 MiB" in seen[2][3] and "has 384 MiB" in seen[2][3]


# ---- Tabs ---------------------------------------------------------------------------------------


FILL = """() => {
    for (let size = 2 ** 22; size >= 1; size /= 2) {
        for (let n = 0; ; n++) {
            try { localStorage.setItem(`${size} ${n}`, "x".repeat(size)); } catch { break; }
        }
    }
}"""


def test_two_tabs_at_once_share_nothing_but_wishes_and_need_no_room_to_store_them(
    alone: BrowserContext,
) -> None:
    """What is stored is single wishes, each written whole; a tab goes by its own until it is loaded again."""
    one, two = alone.new_page(), alone.new_page()
    one.goto("/icon.svg")
    one.evaluate(FILL)
    one.goto("/", wait_until="commit")
    two.goto("/", wait_until="commit")
    has_machine(one)
    has_machine(two)
    one.evaluate("sdk.fs.writeFile('/root/mine', 'in memory only')")
    assert two.evaluate("sdk.fs.exists('/root/mine')") is False

    def choose_dark(page: Page) -> None:
        page.click("#menu-button")
        page.get_by_role("menuitemradio", name="Dark").click()

    choose_dark(one)
    expect(one.locator("html")).to_have_attribute("data-theme", "dark")
    assert two.get_attribute("html", "data-theme") is None
    one.evaluate("localStorage.clear()")
    two.wait_for_function("localStorage.length === 0")  # it lives in another process
    choose_dark(two)
    expect(two.locator("html")).to_have_attribute("data-theme", "dark")
    stored = two.evaluate(
        """async () => ({
            wishes: Object.entries(localStorage), session: sessionStorage.length, caches: await caches.keys(),
            databases: await indexedDB.databases(), cookies: document.cookie,
            files: await Array.fromAsync((await navigator.storage.getDirectory()).keys()),
        })"""
    )
    nothing: dict[str, Any] = {
        "session": 0,
        "databases": [],
        "cookies": "",
        "files": ["ebb-runs"],  # recorded sessions
    }
    # Compiled guest code is kept, and soon joined.
    kept = {name.split("-")[1] for name in stored.pop("caches")}
    assert {"code"} <= kept <= {"code", "joined"}
    assert stored == {"wishes": [["ebb.theme", "dark"]], **nothing}


# ---- Leaving and coming back --------------------------------------------------------------------


def test_reload_while_booting_boots_anew(alone: BrowserContext) -> None:
    page = alone.new_page()
    uncaught: list[str] = []
    page.on("pageerror", lambda error: uncaught.append(str(error)))
    page.goto("/", wait_until="commit")
    for stage in ("download", "workers", "image", "boot"):
        page.wait_for_selector(f"#stages [data-stage={stage}][data-state]", state="attached")
        page.reload(wait_until="commit")
    has_machine(page)
    assert uncaught == []
    page.wait_for_function("sdk.recording")
    page.evaluate(  # all have come
        """async () => {
            while (!(await sdk.counters()).steps.every(Boolean)) await new Promise(requestAnimationFrame);
        }"""
    )
    wait_for_workers(page, 1 + page.evaluate("sdk.harts"))


def goes_back_and_forward(page: Page, base_url: str, kept: bool) -> None:
    """Leave a machine that writes, come back; then forward, and back again."""
    page.goto(base_url)
    has_machine(page)
    page.evaluate("sdk.fs.writeFile('/tmp/before', 'x').then(() => sdk.spawn('yes'))")
    page.goto(f"{base_url}icon.svg", wait_until="commit")
    for way in ("back", "forward", "back"):
        page.evaluate(f"void setTimeout(() => history.{way}())")  # it takes what is asked with it
        there = base_url if way == "back" else f"{base_url}icon.svg"
        page.wait_for_url(there, wait_until="commit")
    has_machine(page)
    assert page.evaluate("sdk.fs.exists('/tmp/before')") is kept


def test_page_that_is_loaded_anew_by_the_history_boots_anew(
    alone: BrowserContext, base_url: str
) -> None:
    goes_back_and_forward(alone.new_page(), base_url, kept=False)


def test_page_that_the_browser_keeps_in_its_history_goes_on(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any], base_url: str
) -> None:
    ours = ["--disable-back-forward-cache"]  # which Playwright adds
    browser = browser_type.launch(**browser_type_launch_args, ignore_default_args=ours)
    try:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        goes_back_and_forward(page, base_url, kept=True)
    finally:
        browser.close()


ASLEEP_MS = 2500  # longer than what the machine's clock takes for a busy moment


def test_tab_that_was_asleep_goes_on(base_url: str, tmp_path: Path) -> None:
    binary = os.environ.get("EBB_CHROMIUM") or shutil.which("chromium")
    if not binary:
        pytest.fail("no Chromium on PATH; mend: as root, apt-get install -y chromium")
    with Chromium(binary, CHROMIUM_ARGS, tmp_path) as tab:
        tab.goto(base_url)
        tab.until(READY)
        tab.js(
            """window.turns = 0;
            window.life = [];
            setInterval(() => turns++, 10);
            for (const name of ["freeze", "resume"]) document.addEventListener(name, () => life.push(name));
            window.slept = sdk.run("sh", ["-c", "sleep 1; seq 100000 | tail -n 1"]);
            window.counting = await sdk.spawn("seq", ["200000"]);"""
        )
        tab.set_life("frozen")
        tab.until("life.length === 1")
        before = tab.js("return [performance.now(), turns]")
        tab.until(f"performance.now() > {before[0] + ASLEEP_MS}")
        assert tab.js("return turns") == before[1], "the tab was awake"
        tab.set_life("active")
        tab.until("life.length > 1")
        assert tab.js("return life") == ["freeze", "resume"]
        assert tab.js("return (await slept).stdout") == "100000\n"
        assert tab.js("return (await new Response(counting.stdout).text()).length") == 1_288_895
        assert tab.js("return (await sdk.run('echo', ['awake'])).stdout") == "awake\n"
        tab.until(r"/[#$]$/m.test(screenText())")


# ---- Workers ------------------------------------------------------------------------------------

COLLECT_WORKERS = """
    const { Worker } = window;
    window.workers = [];
    window.Worker = class extends Worker {
        constructor(url, options) {
            super(url, options);
            this.name = options.name;
            workers.push(this);
            this.addEventListener("message", ({ data }) => window.onWorker?.(this, data));
        }
    };
"""


def test_worker_that_the_browser_ends_is_named_and_a_new_machine_starts(
    alone: BrowserContext,
) -> None:
    page = alone.new_page()
    page.add_init_script(COLLECT_WORKERS)
    page.goto("/")
    for name in ("ebb kernel", "ebb hart 0"):
        has_machine(page)
        waiting = page.evaluate(
            """async (name) => {
                const process = await sdk.spawn("sleep", ["1000"]);
                workers.findLast((worker) => worker.name === name).terminate();
                return process.exit.catch((error) => error.code);
            }""",
            name,
        )
        assert waiting == "worker-lost"
        code, message = failure(page)
        assert code == "worker-lost" and name in message
        assert "try again" in page.inner_text("#failure-advice")
        page.click("#failure-again")
        page.wait_for_selector("#failure", state="hidden")
    has_machine(page)


def test_worker_that_ends_while_booting_is_named(alone: BrowserContext) -> None:
    page = alone.new_page()
    page.add_init_script(COLLECT_WORKERS)
    page.add_init_script(
        """window.onWorker = (worker, { type }) => {
            if (type === "alive" && worker.name === "ebb hart 0") worker.terminate();
        };"""
    )
    page.goto("/")
    code, message = failure(page)
    assert code == "worker-lost" and "ebb hart 0" in message


def test_worker_that_fails_says_so(alone: BrowserContext) -> None:
    page = alone.new_page()
    page.add_init_script(
        """const { Worker } = window;
        window.Worker = class extends Worker {
            constructor(url, options) {
                super(options.name ? `${url}#${options.name.replaceAll(" ", "-")}` : url, options);
            }
        };"""
    )
    page.goto("/")
    has_machine(page)
    kernel = next(worker for worker in page.workers if worker.url.endswith("#ebb-kernel"))
    kernel.evaluate("() => void Promise.reject(new Error('out of luck'))")
    code, message = failure(page)
    assert code == "internal" and "out of luck" in message
    assert page.evaluate("sdk.run('true').catch((error) => error.code)") == "internal"


def test_worker_whose_script_is_gone_says_so(alone: BrowserContext) -> None:
    page = alone.new_page()
    page.route("**/worker.js", lambda route: route.abort())
    page.goto("/")
    code, message = failure(page)
    assert code == "internal" and "could not run" in message
