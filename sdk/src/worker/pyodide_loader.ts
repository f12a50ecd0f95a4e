// Starts Python in a worker from shared parts (see ../runtime_assets.ts):
//
//   const pyodide = await loadRuntime(assets);
//   pyodide.pyimport("ebbtide.x")      // no further loading: the runtime is in the archive and the snapshot
//
// With a snapshot the interpreter's memory is copied in (10 ms) instead of being built (400 ms). If the
// snapshot does not fit this build, or restoring fails, Python starts from nothing with the same result.
// The rules of restored interpreters: `js` objects are fetched afterwards, never held in the snapshot; files
// written before are gone; hashes of strings are the same everywhere (PYTHONHASHSEED=0); `random` is reseeded.
import type { PyodideAPI, PyodideConfig } from "pyodide";
import type { RuntimeAssets, SharedSnapshot } from "../runtime_assets.js";
import { showKinds, type PythonC } from "./kinds.js";

const SNAPSHOT_MAGIC = 0x53424245; // "EBBS"
const ENVIRONMENT = { PYTHONHASHSEED: "0", HOME: "/home/pyodide" };

export interface RuntimeOptions {
    /** Lines that Python prints; the console by default. */
    stdout?: (line: string) => void;
    stderr?: (line: string) => void;
}

// What we use of Pyodide that its types do not name. Checked against the pinned version at build time.
interface Interpreter extends PythonC {
    HEAPU8: Uint8Array;
    growMemory(bytes: number): void;
    API: { restoreSnapshot(image: Uint8Array): unknown };
}
type Create = (settings: unknown) => Promise<Interpreter>;
type Load = (
    config: Partial<Omit<PyodideConfig, "createPyodideModule">> & {
        createPyodideModule: Create;
        _loadSnapshot?: Uint8Array;
    },
) => Promise<PyodideAPI>;

interface Snapshot {
    readonly runs: Uint32Array; // triples: offset in the heap, offset in data, length
    readonly data: Uint8Array;
    readonly state: unknown;
    readonly heapBytes: number;
}

/** Start Python in this worker. Call it once. */
export async function loadRuntime(
    assets: RuntimeAssets,
    options: RuntimeOptions = {},
): Promise<PyodideAPI> {
    if (!assets.snapshot) return start(assets, options, null);
    try {
        return await start(assets, options, assets.snapshot);
    } catch (error) {
        console.warn("Python could not be restored from its snapshot, starting it from nothing:", error);
        return await start(assets, options, null);
    }
}

const LATE = "/late.zip";

/** Let an interpreter import the modules that are in an archive of their own. */
export async function loadLate(python: PyodideAPI, assets: RuntimeAssets): Promise<void> {
    const response = await fetch(assets.lateURL);
    if (!response.ok) throw new Error(`${assets.lateURL}: ${response.status} ${response.statusText}`);
    python.FS.writeFile(LATE, new Uint8Array(await response.arrayBuffer()));
    python.runPython(`
import ebbtide.browser, ebbtide.rewind
for package in (ebbtide, ebbtide.browser, ebbtide.rewind):
    package.__path__.append("${LATE}/" + package.__name__.replace(".", "/"))
del ebbtide, package`);
}

async function start(
    assets: RuntimeAssets,
    options: RuntimeOptions,
    snapshot: SharedSnapshot | null,
): Promise<PyodideAPI> {
    const [{ loadPyodide }, { default: create }] = (await Promise.all([
        import(/* @vite-ignore */ assets.loaderURL),
        import(/* @vite-ignore */ assets.glueURL),
    ])) as [{ loadPyodide: Load }, { default: Create }];
    const restoreGlobals = shareParts(assets);
    let pyodide: PyodideAPI;
    try {
        pyodide = await loadPyodide({
            ...options,
            indexURL: assets.baseURL,
            packageBaseUrl: assets.baseURL,
            lockFileContents: assets.lock,
            env: ENVIRONMENT,
            createPyodideModule: async (settings) => {
                const interpreter = await create(settings);
                if (snapshot) {
                    interpreter.API.restoreSnapshot = () => {
                        const state = restore(interpreter, waitSnapshot(snapshot));
                        showKinds(interpreter);
                        return state;
                    };
                }
                return interpreter;
            },
            // Its content is not looked at: restoreSnapshot above does the work.
            ...(snapshot ? { _loadSnapshot: new Uint8Array(64) } : {}),
        });
    } finally {
        restoreGlobals();
    }
    pyodide.runPython("import sys\nif 'random' in sys.modules: sys.modules['random'].seed()\ndel sys");
    return pyodide;
}

// Pyodide fetches its module and library by name; hand it ours for as long as it loads.
function shareParts(assets: RuntimeAssets): () => void {
    const { fetch, WebAssembly } = globalThis;
    const { instantiateStreaming } = WebAssembly;
    const shared = new Response(null);
    const wasmURL = `${assets.baseURL}pyodide.asm.wasm`;
    const stdlibURL = `${assets.baseURL}python_stdlib.zip`;
    globalThis.fetch = (input, init) => {
        const url = input instanceof Request ? input.url : String(input);
        if (url === wasmURL) return Promise.resolve(shared);
        if (url === stdlibURL) {
            const answer = { ok: true, arrayBuffer: () => Promise.resolve(assets.stdlib) };
            return Promise.resolve(answer as unknown as Response);
        }
        return fetch(input, init);
    };
    WebAssembly.instantiateStreaming = async (source, imports) => {
        if ((await source) !== shared) return instantiateStreaming(source, imports);
        return { module: assets.module, instance: await WebAssembly.instantiate(assets.module, imports) };
    };
    return () => {
        globalThis.fetch = fetch;
        WebAssembly.instantiateStreaming = instantiateStreaming;
    };
}

// The page may still be filling it. Waiting blocks this worker, which has nothing else to do.
function waitSnapshot({ bytes, state }: SharedSnapshot): Snapshot {
    const word = new Int32Array(state);
    Atomics.wait(word, 0, 0);
    const snapshot = Atomics.load(word, 0) === 1 ? parseSnapshot(bytes) : null;
    if (!snapshot) throw new Error("there is no snapshot of this build");
    return snapshot;
}

function parseSnapshot(buffer: SharedArrayBuffer): Snapshot | null {
    const [magic, count = 0, stateBytes = 0, heapBytes = 0] = new Uint32Array(buffer, 0, 4);
    if (magic !== SNAPSHOT_MAGIC) return null;
    const stateAt = 16 + count * 12;
    const dataAt = Math.ceil((stateAt + stateBytes) / 16) * 16;
    // TextDecoder does not read shared memory: copy.
    const text = new TextDecoder().decode(new Uint8Array(buffer, stateAt, stateBytes).slice());
    return {
        runs: new Uint32Array(buffer, 16, count * 3),
        data: new Uint8Array(buffer, dataAt),
        state: JSON.parse(text),
        heapBytes,
    };
}

// Fill the heap: the runs, and zeros between them, for instantiation has left traces there.
function restore(interpreter: Interpreter, snapshot: Snapshot): unknown {
    if (snapshot.heapBytes > interpreter.HEAPU8.length) interpreter.growMemory(snapshot.heapBytes);
    const heap = interpreter.HEAPU8;
    const { runs, data } = snapshot;
    let end = 0;
    for (let i = 0; i < runs.length; i += 3) {
        const [at, from, length] = runs.subarray(i, i + 3) as unknown as [number, number, number];
        if (at > end) heap.fill(0, end, at);
        heap.set(data.subarray(from, from + length), at);
        end = at + length;
    }
    heap.fill(0, end);
    return snapshot.state;
}
