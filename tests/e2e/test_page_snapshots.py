"""Snapshots in the page: a machine goes on from one, here and natively; pages are kept once, and dropped with the last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e2e.machines import PROMPT, MachinePage
from e2e.test_page_use import choose
from ebbtide import Machine
from support.command import ebb

TAKE = """
    const { boot } = await import("./ebbtide.js");
    const first = await boot({ memory: "256M", harts: 1 });
    await first.fs.writeFile("/tmp/word", "kept\\n");
    const shell = await first.spawn("bash", ["--norc", "-i"], { pty: { rows: 24, cols: 80 } });
    const writer = shell.stdin.getWriter();
    const reader = shell.stdout.getReader();
    await writer.write(new TextEncoder().encode("answer=42; echo rea''dy\\n"));
    await readUntil(reader, /ready/);
    await first.run("sh", ["-c", `head -c ${arg}M /dev/urandom > /dev/shm/full`]);
    const id = await first.snapshot();
    const after = await first.run("cat", ["/tmp/word"]);
    await first.close();
    return { id, after: after.stdout };
"""


@pytest.fixture(scope="module")
def taken(machine: MachinePage) -> Iterator[str]:
    found = machine.js(TAKE, 64)
    assert found["after"] == "kept\n"  # the machine went on
    yield found["id"]
    machine.js("await sdk.snapshots.remove(arg)", found["id"])


def test_a_machine_goes_on_from_a_snapshot(machine: MachinePage, taken: str) -> None:
    found = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const machines = [await boot({ snapshot: arg }), await boot({ snapshot: arg.slice(0, 12) })];
        const seen = [];
        for (const one of machines) {
            const { stdout } = await one.run("sh", ["-c", "cat /tmp/word; nproc; date +%s; wc -c < /dev/shm/full"]);
            const random = (await one.run("sh", ["-c", "head -c 8 /dev/urandom | od -An -tx1"])).stdout;
            const [shell, ...others] = await one.terminals();
            const writer = shell.stdin.getWriter();
            await writer.write(new TextEncoder().encode("echo it is $answer''.\\n"));
            const drawn = await readUntil(shell.stdout.getReader(), /it is 42\\./);
            seen.push({ stdout, random, drawn, others: others.length, memory: one.memory, image: one.image, date: Date.now() / 1000 });
            await one.close();
        }
        return seen;""",
        taken,
    )
    for one in found:
        word, harts, date, size = one["stdout"].split()
        assert (word, harts, size) == ("kept", "1", str(64 << 20)) and one["others"] == 0
        assert abs(int(date) - one["date"]) < 60  # the clock has jumped to now
        assert (one["memory"], one["image"]) == (256 << 20, "base")
    assert found[0]["random"] != found[1]["random"]


def test_pages_are_kept_once_and_go_with_the_last_snapshot(machine: MachinePage) -> None:
    found = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const before = await sdk.snapshots.bytes();
        const one = await boot({ memory: "128M", harts: 1 });
        const first = await one.snapshot();
        const alone = await sdk.snapshots.bytes() - before;
        await one.fs.writeFile("/tmp/a", "a");
        const second = await one.snapshot();
        const both = await sdk.snapshots.bytes() - before;
        await one.close();
        await sdk.snapshots.remove(first);
        const left = await sdk.snapshots.bytes() - before;
        const again = await boot({ snapshot: second });
        const { stdout } = await again.run("cat", ["/tmp/a"]);
        await again.close();
        const list = await sdk.snapshots.list();
        const ids = list.map(({ id }) => id);
        await sdk.snapshots.remove(second);
        return { alone, both, left, after: await sdk.snapshots.bytes() - before, stdout,
            listed: [ids.includes(first), ids.includes(second)], year: new Date(list[0].created).getFullYear() - new Date().getFullYear() };"""
    )
    assert found["stdout"] == "a" and found["listed"] == [False, True]
    assert abs(found["year"]) <= 1  # milliseconds, as all times of the SDK
    assert found["both"] - found["alone"] < 8 << 20  # of some 30 MB
    assert found["left"] <= found["both"] and found["after"] <= 4096


def test_a_file_goes_to_a_native_machine_and_back(
    machine: MachinePage, taken: str, scratch_folder: Path, tmp_path: Path, kernel_wasm: Path
) -> None:
    file = tmp_path / "x.ebbsnap"
    file.write_bytes(machine.blob("return sdk.snapshots.export(arg)", taken))
    done = ebb("snapshot", "import", str(file))
    assert (done.stdout.strip(), done.stderr) == (taken, "")

    async def resume() -> tuple[str, str]:
        async with await Machine.boot(snapshot=taken) as one:
            word = (await one.run("cat", "/tmp/word")).stdout
            await one.fs.write_file("/tmp/native", "from here\n")
            return str(word), await one.snapshot()

    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop is in this one
        word, id = thread.submit(lambda: asyncio.run(resume())).result()
    assert word == "kept\n"
    done = ebb("snapshot", "export", id, str(scratch_folder / "native.ebbsnap"))
    assert (done.returncode, done.stderr) == (0, "")
    found = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const one = await boot({ snapshot: "/scratch/native.ebbsnap" });
        const { stdout } = await one.run("cat", ["/tmp/word", "/tmp/native"]);
        await one.close();
        const id = await sdk.snapshots.import(await (await fetch("/scratch/native.ebbsnap")).blob());
        await sdk.snapshots.remove(id);
        return { stdout, id };"""
    )
    assert found == {"stdout": "kept\nfrom here\n", "id": id}


def test_what_is_no_snapshot_is_refused(machine: MachinePage, taken: str) -> None:
    said = machine.error(
        """const { boot } = await import("./ebbtide.js");
        const bytes = new Uint8Array(await (await sdk.snapshots.export(arg)).arrayBuffer());
        bytes[bytes.length >> 1] ^= 1;
        await boot({ snapshot: new Blob([bytes]) });""",
        taken,
    )
    assert "does not have its hash" in said["message"]
    for source, why in (
        ("/nowhere.ebbsnap", "404 Not Found."),
        (
            "my-snapshot",
            "404 Not Found. The id of a snapshot, or its beginning, is at least 4 digits from 0 to f.",
        ),
        ("abcd1234", "there is no snapshot"),
    ):
        body = 'const { boot } = await import("./ebbtide.js"); await boot({ snapshot: arg });'
        said = machine.error(body, source)
        assert why in said["message"]
        assert source != "/nowhere.ebbsnap" or said["message"].endswith(why)


def test_an_address_boots_a_page_to_a_warm_prompt(
    machine: MachinePage, scratch_folder: Path
) -> None:
    page = machine.page
    machine.see(PROMPT)
    machine.type("word=warm; cd /usr; clear\n")
    machine.clear()
    with page.expect_download() as saved:
        choose(page, "Save snapshot")
    saved.value.save_as(scratch_folder / "warm.ebbsnap")
    page.goto("/?snapshot=/scratch/warm.ebbsnap")
    page.wait_for_function("document.body.dataset.state === 'ready'")
    machine.see(PROMPT)
    machine.type("echo $word in $PWD\n")
    machine.see(r"^warm in /usr$")
    machine.js("await sdk.saveRun()")
    assert machine.js("return sdk.recording.ended") is None  # it is recorded, too
    choose(page, "Rewind")
    page.wait_for_selector("#rewind[data-state=ready]")
    page.wait_for_function("window.screenText().includes('warm in /usr')")
    page.click("#rewind-close")


RESTORE = """
    const worker = new Worker("./snapshots.js", { type: "module" });
    const call = (method, ...params) => new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => "error" in data ? reject(new Error(data.error)) : resolve(data.value);
        worker.postMessage({ id: 1, method, params });
    });
    await call("list"); // it runs
    const found = { open: [], fill: [] };
    for (let round = 0; round < 5; round++) {
        const begin = performance.now();
        const { key, head } = await call("open", arg);
        found.open.push(performance.now() - begin);
        const pages = (128 << 20) / 65536 + head.about.ram / 65536;
        const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
        const middle = performance.now();
        await call("fill", key, memory, 128 << 20);
        found.fill.push(performance.now() - middle);
    }
    worker.terminate();
"""


def figures(found: dict[str, Any]) -> None:
    print({name: [round(value, 1) for value in values] for name, values in found.items()})


def test_restoring_64_mib_is_measured(machine: MachinePage) -> None:
    found = machine.js(TAKE, 64)
    times = machine.js(
        RESTORE
        + """
        await sdk.snapshots.remove(arg);
        return found;""",
        found["id"],
    )
    figures(times)


def test_a_snapshot_is_as_late_as_the_hart_that_is_furthest(machine: MachinePage) -> None:
    """The others may have been parked for long."""
    machine.js(
        """const { boot } = await import("./ebbtide.js");
        window.one = await boot({ harts: 2, memory: "128M" });"""
    )
    for _ in range(3):
        machine.js(
            """const loop = () => one.spawn("sh", ["-c", "while :; do :; done"]);
            window.loops = [await loop(), await loop()];"""
        )
        machine.until("return (await one.counters()).retired.every((count) => count > 1_000_000);")
        uptime, late = machine.js(
            """for (const p of loops) await p.kill("SIGKILL");
            for (const p of loops) await p.exit;
            const { stdout } = await one.run("sh", ["-c", "sleep 0.3; cat /proc/uptime"]);
            const id = await one.snapshot();
            const { about } = (await sdk.snapshots.list()).find((kept) => kept.id === id);
            await sdk.snapshots.remove(id);
            return [Number(stdout.split(" ")[0]), about.now_ns / 1e9];"""
        )
        assert uptime <= late
    machine.js("await one.close()")
