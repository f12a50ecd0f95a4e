"""What recording costs in the page, and how quick it is to look back: a program in a recorded machine and in
one that is not, the slider, a chain of hashes, a snapshot and the way back.
"""

from __future__ import annotations

import base64
import io
import random
import statistics
import uuid
from collections.abc import Iterator
from typing import Any

from hosts import GUESTS
from playwright.sync_api import Page
from record import Figure

from ebbtide.recording import END, META, Entry
from ebbtide.rewind.bundle import write_bundle
from ebbtide.rewind.tape import Header, TapeWriter
from support.slider import SEEK

WORK = ("sieve", "24")
FULL = 64  # MiB that a restored machine has in use
TAPES = (1, 33)  # MB; the difference is what is measured
LEAF = 60_000

PROGRAM = """async ([program, count, record]) => {
  const { boot } = await import("./ebbtide.js");
  const one = await boot({ record, harts: 1, memory: "256M", keepCode: false });
  await one.fs.writeFile("/tmp/work", Uint8Array.fromBase64?.(program) ?? Uint8Array.from(atob(program), (c) => c.charCodeAt(0)), { mode: 0o755 });
  await one.run("/tmp/work", ["1"]);
  const begin = performance.now();
  await one.run("/tmp/work", [count]);
  const took = performance.now() - begin;
  await one.close();
  return took;
}"""
VERIFY = """async (file) => {
  const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
  const id = await sdk.runs.import(new Blob([bytes]));
  const times = [];
  let state = "";
  for (let round = 0; round < 3; round++) {
    const begin = performance.now();
    ({ state } = await sdk.runs.verify(id));
    times.push(performance.now() - begin);
  }
  await sdk.runs.remove(id);
  return [Math.min(...times), state];
}"""
SNAPSHOT = """async (full) => {
  const { boot } = await import("./ebbtide.js");
  const one = await boot({ memory: "256M", harts: 1 });
  await one.run("sh", ["-c", `head -c ${full}M /dev/urandom > /dev/shm/full`]);
  const begin = performance.now();
  const id = await one.snapshot();
  const taken = performance.now() - begin;
  await one.close();
  const worker = new Worker("./snapshots.js", { type: "module" });
  const call = (method, ...params) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => "error" in data ? reject(new Error(data.error)) : resolve(data.value);
    worker.postMessage({ id: 1, method, params });
  });
  await call("list"); // it runs
  const restored = [];
  for (let round = 0; round < 5; round++) {
    const middle = performance.now();
    const { key, head } = await call("open", id);
    const pages = 1024 + head.about.ram / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    await call("fill", key, memory, 1024 * 65536);
    restored.push(performance.now() - middle);
  }
  worker.terminate();
  await sdk.snapshots.remove(id);
  return { taken, restored };
}"""


def _tape(megabytes: int, kernel: bytes) -> str:
    """A run that does nothing but be long, as a file in base64: its entries do not pack."""
    import hashlib

    run, file = uuid.UUID(int=megabytes), io.BytesIO()
    writer = TapeWriter(file, Header(run.bytes, hashlib.sha256(kernel).digest()), None, {})
    noise = random.Random(megabytes)
    for tick in range(megabytes * 10**6 // 3000):
        writer.append(Entry(META, tick, noise.randbytes(3000)))
    writer.append(Entry(END, tick, b"{}"))
    writer.flush()
    about = {"id": str(run), "started": 1e9, "ended": 2e9, "exit_code": 0, "about": {}}
    bundle = io.BytesIO()
    write_bundle(bundle, about, kernel, file.getvalue(), [])
    return base64.b64encode(bundle.getvalue()).decode()


def measure(page: Page, url: str, kernel: bytes, runs: int) -> Iterator[Figure]:
    """Measure all of it in one page."""
    page.goto(url)
    page.wait_for_function("document.body.dataset.state === 'ready'")
    program = base64.b64encode((GUESTS / WORK[0]).read_bytes()).decode()
    plain, recorded = [], []
    for number in range(runs):
        order = (False, True) if number % 2 else (True, False)
        for record in order:
            took = page.evaluate(PROGRAM, [program, WORK[1], record])
            (recorded if record else plain).append(took)
    yield Figure(
        "record-page-wall", statistics.median(recorded) / statistics.median(plain), "times"
    )
    page.focus("#terminal .screen:not([hidden]) textarea")
    page.keyboard.type("for i in $(seq 2000); do echo $i; done\n")
    page.wait_for_function("/^2000$/m.test(window.screenText())")
    page.click("#menu-button")
    page.click("#menu button:has-text('Rewind')")
    page.wait_for_selector("#rewind[data-state=ready]")
    seeks: list[float] = page.evaluate(SEEK)
    page.click("#rewind-close")
    yield Figure("record-page-seek", max(seeks), "ms")
    _verify(page, _tape(TAPES[0], kernel))  # its code is warm then
    small, large = (_verify(page, _tape(size, kernel)) for size in TAPES)
    yield Figure("record-page-chain", (TAPES[1] - TAPES[0]) / (large - small) * 1e3, "MB/s")
    found: dict[str, Any] = page.evaluate(SNAPSHOT, FULL)
    yield Figure(f"record-page-snapshot-{FULL}M", found["taken"], "ms")
    yield Figure(f"record-page-restore-{FULL}M", statistics.median(found["restored"]), "ms")


def _verify(page: Page, file: str) -> float:
    took, state = page.evaluate(VERIFY, file)
    assert state == "whole", state
    return float(took)
