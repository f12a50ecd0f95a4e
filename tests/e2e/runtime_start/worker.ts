import { loadRuntime } from "../../../sdk/src/worker/pyodide_loader.js";
import type { RuntimeAssets } from "../../../sdk/src/runtime_assets.js";

const FIND = `
import sys
loaded = sorted(m for m in sys.modules if m.startswith("ebbtide"))
import random, fractions
{
    "python": sys.version.split()[0],
    "modules": loaded,
    "random": random.random(),
    "hash": hash("abc"),
    "late": str(fractions.Fraction(1, 3)),
    "grown": len(bytearray(80_000_000)) == 80_000_000,
}
`;

globalThis.onmessage = async ({ data }: MessageEvent<RuntimeAssets>) => {
    try {
        const started = performance.now();
        const python = await loadRuntime(data);
        const ms = performance.now() - started;
        const found = python.runPython(FIND).toJs({ dict_converter: Object.fromEntries });
        globalThis.postMessage({ ...found, ms });
    } catch (error) {
        globalThis.postMessage({ error: String(error) });
    }
};
