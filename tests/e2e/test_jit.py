"""Compiled guest code in the browser: it is installed, used, counted, and computes what the interpreter does."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.machines import MachinePage

# Shell arithmetic, a pipeline of processes, sorting, hashing.
SCRIPT = """
x=7; for i in $(seq 20000); do x=$(((x * 31 + i) % 1000003)); done; echo $x
seq 30000 | sort -r | sha256sum
for i in $(seq 20); do echo $i | tr 1-9 a-i; done | md5sum
"""

RUN = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ harts: 1, memory: "256M", jit: arg.jit });
    try {
        const result = await other.run("bash", ["-c", arg.script]);
        return { ...result, stats: await other.stats() };
    } finally {
        await other.close();
    }
"""


def test_compiled_code_computes_the_same_and_is_counted(machine: MachinePage, watch) -> None:
    on, off = (machine.js(RUN, {"jit": jit, "script": SCRIPT}) for jit in ("on", "off"))
    assert on["exitCode"] == 0 and on["stdout"].count("\n") == 3, on
    assert (on["stdout"], on["stderr"]) == (off["stdout"], off["stderr"])
    stats = on["stats"]
    print(stats)
    assert 0 < stats["compiledInstructions"] < stats["instructions"] <= stats["ticks"]
    assert stats["modules"] > 0 and stats["moduleBytes"] > 0 and stats["compileSeconds"] > 0
    assert stats["refused"] == 0 and watch.errors == []
    assert off["stats"]["compiledInstructions"] == off["stats"]["modules"] == 0


# Its loop is reached too seldom for this run, and often enough for the next.
SHORT = "x=7; for ((i = 0; i < 1500; i++)); do x=$(((x * 31 + i) % 1000003)); done; echo $x"

REST = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ harts: 1, memory: "256M", keepCode: false });
    try {
        await other.run("bash", ["-c", arg]);
        const { instructions, regions } = await other.stats();
        for (;;) {
            const later = await other.stats();
            if (later.instructions !== instructions) throw new Error("something ran");
            if (later.regions > regions) return later.refused;
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
    } finally {
        await other.close();
    }
"""


def test_what_is_warm_is_compiled_while_the_machine_rests(machine: MachinePage, watch) -> None:
    assert machine.js(REST, SHORT) == 0 and watch.errors == []


# Long enough for all of its hot code to be compiled, whenever that comes.
LOOP = "x=7; for ((i = 0; i < 60000; i++)); do x=$(((x * 31 + i) % 1000003)); done; echo $x"

VISIT = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ harts: 1, memory: "256M", keepCode: arg.keep });
    try {
        const result = await other.run("bash", ["-c", arg.script]);
        return { ...result, stats: await other.stats() };
    } finally {
        await other.close();
    }
"""
PACKS = """
    const found = [];
    for (const name of (await caches.keys()).filter((name) => name.startsWith("ebb-code-"))) {
        const cache = await caches.open(name);
        for (const request of await cache.keys()) {
            const bytes = new Uint8Array(await (await cache.match(request)).arrayBuffer());
            found.push(bytes.length);
            if (arg === "damage") bytes[bytes.length >> 1] ^= 1;
            if (arg === "damage") await cache.put(request, new Response(bytes));
        }
    }
    return found;
"""


def test_a_second_visit_uses_what_the_first_has_compiled(alone: Page, base_url: str) -> None:
    """In a page without a machine of its own, whose code would be kept, too."""
    errors: list[str] = []
    alone.goto(f"{base_url}?image=nowhere")
    alone.locator("#failure:not([hidden])").wait_for()
    alone.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )

    def js(body: str, arg: Any = None) -> Any:
        return alone.evaluate(f"async (arg) => {{ {body} }}", arg)

    visit = {"script": LOOP, "keep": True}
    js(VISIT, visit | {"keep": False})
    assert js(PACKS) == []
    first = js(VISIT, visit)
    assert first["stats"]["keptModules"] == 0
    while not js(PACKS):  # closing waits for it no longer than for the machine
        alone.wait_for_timeout(10)
    assert len(js(PACKS)) == 1
    second = js(VISIT, visit)
    assert second["stdout"] == first["stdout"] and second["exitCode"] == 0
    assert 0 < second["stats"]["keptModules"] <= second["stats"]["keptRegions"]
    assert second["stats"]["regions"] < first["stats"]["regions"] / 2
    assert second["stats"]["refused"] == 0
    js(PACKS, "damage")
    third = js(VISIT, visit)
    assert third["stdout"] == first["stdout"] and third["stats"]["keptModules"] == 0
    assert errors == []


# Of joined modules that are ready: whether each is what its name says, after one of its bytes was changed or not.
JOINED = """
    const whole = [];
    for (const name of (await caches.keys()).filter((name) => name.startsWith("ebb-joined-"))) {
        const cache = await caches.open(name);
        const urls = (await cache.keys()).map((request) => request.url);
        for (const url of urls) {
            if (!urls.includes(`${url}?optimised`)) continue;
            const stored = await cache.match(url);
            const bytes = new Uint8Array(await stored.arrayBuffer());
            if (arg === "damage") {
                bytes[bytes.length >> 1] ^= 1;
                await cache.put(url, new Response(bytes, { headers: stored.headers }));
            }
            const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
            whole.push(url.endsWith(`/${hash.toHex()}.wasm`));
        }
    }
    return whole;
"""
FIRST = """
    const { boot } = await import("./ebbtide.js");
    window.first = await boot({ harts: 1, memory: "256M" });
    return await window.first.run("bash", ["-c", arg]);
"""
# An interpreter that runs long enough for the jumps of its dispatch to stay in a region, and all of that to be compiled.
DISPATCH = "for i in 1 2; do awk 'BEGIN {while (i < 1500000) s += i++ % 7; print s}'; done"
FORGET = """
    await window.first.close();
    for (const name of await caches.keys()) if (name.startsWith("ebb-code-")) await caches.delete(name);
"""


def test_a_visit_joins_what_it_has_compiled_and_the_next_one_uses_that(
    alone: Page, base_url: str
) -> None:
    """Without the modules themselves, so that all kept code is of the joined one. One of its regions dispatches."""
    alone.goto(f"{base_url}?image=nowhere")
    alone.locator("#failure:not([hidden])").wait_for()

    def js(body: str, arg: Any = None) -> Any:
        return alone.evaluate(f"async (arg) => {{ {body} }}", arg)

    first = js(FIRST, DISPATCH)
    while not js(JOINED):
        alone.wait_for_timeout(10)
    scopes = "return (await navigator.serviceWorker.getRegistrations()).map((one) => one.scope);"
    assert js(scopes) == [f"{base_url.rstrip('/')}/code."]  # nothing but that worker is touched
    js(FORGET)
    second = js(VISIT, {"script": DISPATCH, "keep": True})
    assert second["stdout"] == first["stdout"] and second["exitCode"] == 0
    assert 0 < second["stats"]["keptModules"] <= second["stats"]["keptRegions"]
    assert second["stats"]["refused"] == 0
    assert js(JOINED, "damage")[0] is False
    third = js(VISIT, {"script": DISPATCH, "keep": True})
    assert third["stdout"] == first["stdout"] and third["exitCode"] == 0
    assert all(js(JOINED))  # what was damaged is gone


@pytest.mark.parametrize(("jit", "says"), [("verify", "ebb run --jit=verify"), ("fast", "fast")])
def test_other_modes_are_refused_by_name(machine: MachinePage, jit, says) -> None:
    error = machine.error(
        'const { boot } = await import("./ebbtide.js"); await boot({ jit: arg });', jit
    )
    assert error["name"] == "RangeError" and says in error["message"]


def test_the_address_may_leave_compiling_out_and_a_link_says_so(page: Page) -> None:
    opened = MachinePage(page, "?jit=off")
    result = opened.js('return sdk.run("bash", ["-c", arg])', SCRIPT)
    assert result["exitCode"] == 0 and result["stdout"].count("\n") == 3
    stats = opened.js("return sdk.stats()")
    assert stats["instructions"] > 0 and stats["compiledInstructions"] == stats["regions"] == 0
    page.click("#menu-button")
    page.get_by_role("menuitem", name="Copy link").click()
    page.wait_for_selector("#link[open]")
    assert page.inner_text("#link-url").endswith("?jit=off")
