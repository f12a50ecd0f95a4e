// A machine without threads in this worker: Python steps it along a tape, and moves it to a fresh memory on the way.
import { attachKernel, seatKernel, type Kernel } from "../../../sdk/src/worker/kernel.js";
import { loadRuntime } from "../../../sdk/src/worker/pyodide_loader.js";
import { reserveMemory } from "../../../sdk/src/memory.js";
import type { RuntimeAssets } from "../../../sdk/src/runtime_assets.js";

interface Task {
    assets: RuntimeAssets;
    data: ArrayBuffer;
    module: WebAssembly.Module;
    ramBytes: number;
    moveAfter: number;
}

const REPLAY = `
from pathlib import Path
from ebbtide.browser.pyodide_port import PyodideHostPort, PyodidePort
from ebbtide.recording import ReplayDriver
from ebbtide.rewind.tape import TapeReader

def machine(made):
    host = PyodideHostPort(made.host)
    seat = host.seat(0)
    port = PyodidePort(made.hart(seat.stack), seat)
    return port, host.digest, lambda: [None for _ in host.outbox()]

def replay(make, move, move_after):
    entries = list(TapeReader(Path("/tmp/tape").read_bytes()).entries())
    port, digest, drain = machine(make())
    driver = ReplayDriver(port, entries, digest=digest, drain=drain)
    driver.run(stop=move_after)
    driver.port, driver.digest, driver.drain = machine(move())
    driver.run()
    return driver.digests
replay
`;

globalThis.onmessage = async ({ data: task }: MessageEvent<Task>) => {
    try {
        const python = await loadRuntime(task.assets);
        python.FS.writeFile("/tmp/tape", new Uint8Array(task.data));
        let memory: WebAssembly.Memory;
        const make = (): { host: Kernel; hart(stack: number): Kernel } => {
            memory = reserveMemory(task.ramBytes).memory;
            const here = memory;
            return {
                host: attachKernel(task.module, here, task.ramBytes, 1),
                hart: (stack) => seatKernel(task.module, here, stack),
            };
        };
        const move = (): ReturnType<typeof make> => {
            const before = memory;
            const made = make();
            const base = before.buffer.byteLength - task.ramBytes;
            new Uint8Array(memory.buffer).set(new Uint8Array(before.buffer, base), base);
            return made;
        };
        const replay = python.runPython(REPLAY);
        globalThis.postMessage({ digests: replay(make, move, task.moveAfter) });
    } catch (error) {
        globalThis.postMessage({ error: String(error) });
    }
};
