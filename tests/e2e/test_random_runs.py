"""Random programs recorded in Chromium, with chaos and without: they come out again natively, page for page.

A few seeds each time; EBB_SEEDS=100 runs so many, from EBB_SEED on.
"""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from tests.conftest import built
from tests.rewind.test_random_runs import SEEDS, chaos, statement

from e2e.machines import MachinePage
from ebbtide.recording import DIGEST, END, EVENT
from ebbtide.rewind.bundle import Bundle
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.tape import TapeReader
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_jit import Compiler
from ebbtide.wasmtime_kernel import KernelModule

RECORD = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ record: true, memory: "128M", ...arg.options });
    await other.fs.writeFile("/tmp/guest", Uint8Array.from(atob(arg.guest), (c) => c.charCodeAt(0)), { mode: 0o755 });
    const late = { timeout: arg.patience };
    await other.fs.mkdir("/tmp/www");
    await other.fs.writeFile("/tmp/www/hosts", "127.0.0.1 localhost\\n");
    await other.fs.writeFile("/tmp/www/big", "x".repeat(200000));
    const run = (...words) => other.run(words[0], words.slice(1), late).catch((error) => error);
    await run("busybox", "httpd", "-p", "8080", "-h", "/tmp/www");
    let going = true;
    const ended = run("sh", "-c", arg.script).finally(() => { going = false; });
    while (going) {
        await other.digest();
        await Promise.race([ended, new Promise((done) => setTimeout(done, 50))]);
    }
    await other.digest();
    await other.saveRun();
    const { id } = other.recording;
    await other.close();
    const file = await sdk.runs.export(id);
    await sdk.runs.remove(id);
    return file;
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_what_chromium_recorded_comes_out_natively(
    machine: MachinePage, seed: int, kernel_wasm: Path, guest_folder: Path
) -> None:
    chance = random.Random(seed)
    script = "\n".join(statement(chance) for _ in range(chance.randrange(4, 10)))
    options: dict[str, object] = {"seed": seed, "harts": chance.choice((1, 2, 3))}
    if rates := chaos(chance):
        options["chaos"] = str(rates)
    guest = built(guest_folder / "rewind" / "random_guest", "guests").read_bytes()
    data = machine.blob(
        RECORD,
        {
            "options": options,
            "guest": base64.b64encode(guest).decode(),
            "script": f"cd /tmp\n{script}\nwait",
            "patience": 3000,
        },
    )
    bundle, kernel = Bundle(data), KernelModule(kernel_wasm)
    entries = list(TapeReader(bundle.tape, bundle).entries())
    assert entries[-1].kind == END and sum(entry.kind == DIGEST for entry in entries) >= 2
    events = {kernel.abi.event_name(entry.head) for entry in entries if entry.kind == EVENT}
    assert ("CHAOS" in events) == bool(rates)
    for compiler in (None, Compiler(kernel, threshold=16)):
        replay = Replay(
            kernel.abi,
            entries,
            lambda ram, pages, compiler=compiler: WasmtimeStage(kernel, ram, compiler, pages),
        )
        replay.run()  # compares the machine at each digest
        replay.close()
        if compiler:
            compiler.close()
