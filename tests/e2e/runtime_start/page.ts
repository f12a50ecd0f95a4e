// Starts N workers on shared parts and gives what each found.
import { prefetchRuntime, type RuntimeProgress } from "../../../sdk/src/runtime_assets.js";

export interface Found {
    python: string;
    modules: string[];
    random: number;
    hash: number;
    late: string;
    grown: boolean;
    ms: number;
}

async function startRuntimes(count: number, withSnapshot: boolean) {
    const progress: RuntimeProgress[] = [];
    const started = performance.now();
    const assets = await prefetchRuntime("/pyodide/", (one) => progress.push(one));
    const shared = withSnapshot ? assets : { ...assets, snapshot: null };
    const workers = Array.from({ length: count }, () => new Worker("/scratch/runtime_start/worker.js", { type: "module" }));
    const found = await Promise.all(
        workers.map(
            (worker) =>
                new Promise<Found>((resolve, reject) => {
                    worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data));
                    worker.onerror = (event) => reject(new Error(event.message));
                    worker.postMessage(shared);
                }),
        ),
    );
    const ms = performance.now() - started;
    for (const worker of workers) worker.terminate();
    return { found, ms, last: progress.at(-1) };
}

Object.assign(window, { startRuntimes });
