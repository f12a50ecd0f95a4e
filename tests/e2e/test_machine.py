"""The machine as a whole: a page that stays free, rest without work, options, closing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route

from e2e.machines import BOOT_MS, MachinePage
from support.workers import wait_for_workers

LOOP = 'sdk.spawn("sh", ["-c", "while :; do :; done"])'


@pytest.fixture(scope="module")
def machine(page: Page) -> MachinePage:
    """The page with two harts, which is not recorded."""
    return MachinePage(page, "?harts=2")


def test_counters_are_told_before_every_hart_has_come(machine: MachinePage) -> None:
    counters = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ harts: 4, memory: "256M" });
        const counters = await other.counters();
        await other.close();
        return counters;"""
    )
    assert len(counters["steps"]) == len(counters["retired"]) == 4


def test_page_stays_free_while_the_guest_loops(machine: MachinePage) -> None:
    machine.js(
        f"""window.loops = await Promise.all([{LOOP}, {LOOP}]);
        window.before = await sdk.counters();
        window.turns = 0; // of a task of the page, which goes on while the guest does
        const turn = () => void (++turns < 50 && setTimeout(turn));
        turn();"""
    )
    machine.until("return turns === 50 && (await sdk.counters()).retired[0] > before.retired[0];")
    seen = machine.js(
        """const running = await Promise.race([...loops.map((p) => p.exit), sdk.run("true").then(() => "running")]);
        for (const p of loops) await p.kill("SIGKILL");
        const ends = await Promise.all(loops.map((p) => p.exit));
        return [running, ...ends.map((e) => e.signal)];"""
    )
    assert seen == ["running", "SIGKILL", "SIGKILL"]


def test_two_busy_processes_keep_two_harts_in_guest_code_at_once(machine: MachinePage) -> None:
    """They run until they have been seen there: when the second hart comes is the browser's affair."""
    machine.js(f"window.loops = await Promise.all([{LOOP}, {LOOP}]);")
    machine.until(
        """const { hartsInsideMax, guestInsideMax, retired } = await sdk.counters();
        return hartsInsideMax >= 2 && guestInsideMax >= 2 && retired.every((count) => count > 1_000_000);"""
    )
    machine.js("for (const p of loops) await p.kill('SIGKILL');")


def test_endless_loop_dies_by_its_timeout(machine: MachinePage) -> None:
    error = machine.error('await sdk.run("sh", ["-c", "while :; do :; done"], { timeout: 300 })')
    assert error["code"] == "timeout"


def test_idle_machine_does_nothing(machine: MachinePage) -> None:
    """It comes to rest: sooner or later there is a second in which no hart steps and no message is sent.

    When that is, a busy host decides: a hart that has been rung, or is starting, may get its turn late.
    """
    machine.run("true")
    machine.until(
        """const before = await sdk.counters();
        await new Promise((resolve) => setTimeout(resolve, 1000));
        const after = await sdk.counters();
        const still = (name) => String(after[name]) === String(before[name]);
        // The two messages are the question for the counters and its answer.
        return still("steps") && still("retired") && after.messages === before.messages + 2;"""
    )


def test_processors_and_memory_are_what_was_asked_for(machine: MachinePage) -> None:
    seen = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ harts: 3, memory: "192M", env: { FROM: "boot" } });
        const seen = await other.run("sh", ["-c", "nproc; grep MemTotal /proc/meminfo; echo $FROM"]);
        await other.close();
        return seen.stdout.split("\\n");"""
    )
    assert seen[0] == "3" and seen[2] == "boot"
    assert 180_000 <= int(seen[1].split()[1]) <= 192 * 1024


def test_machine_works_without_wait_async(browser: Browser, base_url: str) -> None:
    context = browser.new_context()
    context.set_default_timeout(BOOT_MS)
    page = context.new_page()

    def handle(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=f"delete Atomics.waitAsync;{response.text()}")

    page.route("**/worker.js", handle)
    page.goto(base_url)
    page.wait_for_function("window.sdk !== undefined", timeout=BOOT_MS)
    assert page.evaluate("sdk.run('echo', ['rung']).then((r) => r.stdout)") == "rung\n"
    assert any(worker.url.endswith("bell.js") for worker in page.workers)
    context.close()


def test_two_machines_in_one_page_share_nothing(machine: MachinePage) -> None:
    seen = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ harts: 1 });
        await sdk.fs.writeFile("/tmp/mine", "here");
        const seen = [await sdk.fs.exists("/tmp/mine"), await other.fs.exists("/tmp/mine")];
        await other.close();
        return [...seen, (await sdk.run("cat", ["/tmp/mine"])).stdout];"""
    )
    assert seen == [True, False, "here"]


def test_close_ends_the_workers_and_rejects_what_waits(machine: MachinePage) -> None:
    outcome = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ harts: 2 });
        const process = await other.spawn("sleep", ["1000"]);
        const exit = process.exit.catch((error) => error.code);
        await other.close();
        const late = await other.run("true").catch((error) => error.code);
        return [await exit, late];"""
    )
    assert outcome == ["closed", "closed"]
    wait_for_workers(machine.page, 1 + machine.js("return sdk.harts"))


def test_the_guests_clock_is_the_hosts(machine: MachinePage) -> None:
    """It follows it; on a busy host it may lag for a while."""
    machine.until(
        """const before = Date.now();
        const told = Number((await sdk.run("date", ["+%s%3N"])).stdout);
        return before - 100 < told && told < Date.now() + 100;"""
    )


def test_twenty_machines_in_turn_leave_nothing_behind(machine: MachinePage) -> None:
    codes = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const codes = [];
        for (let i = 0; i < 20; i++) {
            const other = await boot({ harts: 1, memory: "256M" });
            codes.push((await other.run("true")).exitCode);
            await other.close();
        }
        return codes;"""
    )
    assert codes == [0] * 20
    wait_for_workers(machine.page, 1 + machine.js("return sdk.harts"))


def test_fork_bomb_meets_the_limit_and_can_be_stopped(machine: MachinePage) -> None:
    outcome = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ limits: { pids: 64 } });
        const bomb = "f() { f | f & wait; }; f";
        const p = await other.spawn("bash", ["-c", bomb], { pty: { rows: 24, cols: 80 } });
        const reader = p.stdout.getReader(), writer = p.stdin.getWriter();
        const said = await readUntil(reader, /Resource temporarily unavailable/);
        await writer.write(new Uint8Array([3]));
        (async () => { for (;;) if ((await reader.read()).done) return; })().catch(() => undefined);
        await p.kill("SIGKILL");
        await p.exit;
        const after = await other.run("echo", ["alive"]);
        await other.close();
        return after.stdout;"""
    )
    assert outcome == "alive\n"


def test_limits_hold_and_are_named(machine: MachinePage) -> None:
    seen = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const limits = { memory: "96M", pids: 8, files: 40, disk: "1M", maxOutput: 100 };
        let other = await boot({ harts: 1, limits });
        const seen = { memory: other.memory };
        const run = async (...argv) => {
            try {
                const { exitCode, limit, stdout } = await other.run(argv[0], argv.slice(1));
                return [exitCode, limit ?? null, stdout];
            } catch (error) {
                return [error.code, text(error.stdout)];
            }
        };
        seen.plain = await run("sh", "-c", "ulimit -n");
        seen.eater = await run("tail", "/dev/zero");
        seen.disk = (await run("sh", "-c", "head -c 3M /dev/zero > /tmp/x; rm /tmp/x")).slice(0, 2);
        seen.output = [await run("yes"), await run("sh", "-c", "yes | head -c 100")].map((r) => [r[0], r.at(-1).length]);
        const many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 > /dev/null 2>&1 & done";
        seen.bomb = (await run("sh", "-c", many))[1];
        await other.close();
        other = await boot({ harts: 1, memory: "96M", limits: { timeout: 300 } });
        seen.timeout = await run("sleep", "1000");
        seen.spawned = await (await other.spawn("sleep", ["1000"])).exit;
        await other.close();
        return seen;"""
    )
    assert seen == {
        "memory": 96 << 20,
        "plain": [0, None, "40\n"],
        "eater": [137, "memory", ""],
        "bomb": "pids",
        "disk": [0, "disk"],
        "output": [["output-limit", 100], [0, 100]],
        "timeout": ["timeout", ""],
        "spawned": {"exitCode": 143, "signal": "SIGTERM", "limit": "timeout"},
    }


def test_a_limit_that_does_not_exist_is_refused(machine: MachinePage) -> None:
    error = machine.error(
        """const { boot } = await import("./ebbtide.js");
        await boot({ limits: { timout: 5 } });"""
    )
    assert 'did you mean "timeout"' in error["message"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ('{ timeout: "5s" }', 'timeout must be a number; got "5s"'),
        ('{ disk: "lots" }', 'limits: disk must be bytes, or a size such as "1M"; got lots'),
        ("{ maxOutput: -1 }", 'limits: maxOutput must be bytes, or a size such as "1M"; got -1'),
    ],
)
def test_a_limit_that_is_none_is_refused(machine: MachinePage, limits: str, said: str) -> None:
    error = machine.error(f"""const {{ boot }} = await import("./ebbtide.js");
        await boot({{ limits: {limits} }});""")
    assert error["message"] == said


def test_out_of_memory_ends_the_guests_program_and_nothing_else(machine: MachinePage) -> None:
    seen = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ memory: "64M" });
        const eater = await other.run("sh", ["-c", "tail -c 200000000 /dev/zero | wc -c"]);
        const after = await other.run("echo", ["alive"]);
        await other.close();
        return [eater.exitCode, after.stdout];"""
    )
    assert seen[1] == "alive\n"
