// Starts one worker that replays the tape at a URL and gives what came of it.
import { prefetchRuntime } from "../../../sdk/src/runtime_assets.js";

async function replayTape(tape: string, ramBytes: number, moveAfter: number, kernel: string): Promise<unknown> {
    const assets = await prefetchRuntime("/pyodide/");
    const data = await (await fetch(tape)).arrayBuffer();
    const module = await WebAssembly.compileStreaming(fetch(kernel));
    const worker = new Worker("/scratch/replay/worker.js", { type: "module" });
    const result = await new Promise((resolve, reject) => {
        worker.onmessage = ({ data: found }) => ("error" in found ? reject(new Error(found.error)) : resolve(found));
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage({ assets, data, module, ramBytes, moveAfter });
    });
    worker.terminate();
    return result;
}

Object.assign(window, { replayTape });
