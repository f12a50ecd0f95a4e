// What a worker needs to start Python, loaded once per page and shared by all its workers.
//
//   const assets = await prefetchRuntime("/pyodide/", ({ loaded, total }) => …);
//   worker.postMessage({ assets });          // a compiled module and shared buffers: nothing is copied
//   const pyodide = await loadRuntime(assets);   // in the worker: worker/pyodide_loader.ts
//
// The page must be cross-origin isolated. Drop `assets` when no further worker will be started.

export interface RuntimeFile {
    readonly name: string;
    readonly size: number;
}

/** index.json beside the prepared files; written by pyodide/prepare.mjs. */
export interface RuntimeIndex {
    readonly format: 1;
    readonly pyodide: string;
    readonly buildId: string;
    readonly lock: string;
    readonly files: Readonly<Record<"loader" | "glue" | "wasm" | "stdlib" | "late" | "snapshot", RuntimeFile>>;
}

/** Filled while workers already start Python: they wait for `state`, 0 under way, 1 complete, 2 failed. */
export interface SharedSnapshot {
    readonly bytes: SharedArrayBuffer;
    readonly state: SharedArrayBuffer;
}

/** Everything loadRuntime() takes; can be posted to any number of workers. */
export interface RuntimeAssets {
    readonly baseURL: string;
    readonly loaderURL: string;
    readonly glueURL: string;
    /** Modules of our runtime that few workers need, in an archive that they fetch: loadLate(). */
    readonly lateURL: string;
    readonly buildId: string;
    readonly lock: string;
    readonly module: WebAssembly.Module;
    /** The standard library and our runtime as bytecode, one zip. */
    readonly stdlib: SharedArrayBuffer;
    /** Memory of an interpreter that has imported the runtime; null starts from nothing. */
    readonly snapshot: SharedSnapshot | null;
}

export interface RuntimeProgress {
    readonly loaded: number;
    readonly total: number;
}

/**
 * Load and compile everything, from the folder that holds index.json. What comes last is not waited for: a snapshot that
 * cannot be had is as if there were none.
 */
export async function prefetchRuntime(
    baseURL: string,
    onProgress: (progress: RuntimeProgress) => void = () => undefined,
    onScripts: (urls: readonly string[]) => void = () => undefined,
): Promise<RuntimeAssets> {
    const base = new URL(baseURL.endsWith("/") ? baseURL : `${baseURL}/`, location.href).href;
    const index = (await (await fetchWhole(`${base}index.json`)).json()) as RuntimeIndex;
    const { loader, glue, wasm, stdlib, late, snapshot } = index.files;
    onScripts([base + loader.name, base + glue.name]); // what each worker imports for itself
    const total = wasm.size + stdlib.size + snapshot.size;
    let loaded = 0;
    const count = (bytes: number): void => {
        loaded += bytes;
        onProgress({ loaded, total });
    };
    const shared = { bytes: new SharedArrayBuffer(snapshot.size), state: new SharedArrayBuffer(4) };
    void fillShared(base, snapshot, shared.bytes, count).then(
        () => settle(shared.state, 1),
        () => settle(shared.state, 2),
    );
    const stdlibBytes = new SharedArrayBuffer(stdlib.size);
    const [module] = await Promise.all([
        // The response itself, not a copy that counts bytes: only so the browser can keep compiled code.
        WebAssembly.compileStreaming(fetchWhole(base + wasm.name)).then((compiled) => {
            count(wasm.size);
            return compiled;
        }),
        fillShared(base, stdlib, stdlibBytes, count),
    ]);
    return {
        baseURL: base,
        loaderURL: base + loader.name,
        glueURL: base + glue.name,
        lateURL: base + late.name,
        buildId: index.buildId,
        lock: index.lock,
        module,
        stdlib: stdlibBytes,
        snapshot: shared,
    };
}

async function fetchWhole(url: string): Promise<Response> {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
    return response;
}

function settle(state: SharedArrayBuffer, value: number): void {
    const word = new Int32Array(state);
    Atomics.store(word, 0, value);
    Atomics.notify(word, 0);
}

async function fillShared(
    base: string,
    file: RuntimeFile,
    buffer: SharedArrayBuffer,
    count: (bytes: number) => void,
): Promise<void> {
    const response = await fetchWhole(base + file.name);
    const bytes = new Uint8Array(buffer);
    const reader = response.body?.getReader();
    let at = 0;
    for (;;) {
        const part = await reader?.read();
        if (part === undefined || part.done) break;
        if (at + part.value.length > file.size) break;
        bytes.set(part.value, at);
        at += part.value.length;
        count(part.value.length);
    }
    if (at !== file.size) throw new Error(`${base}${file.name}: ${at} bytes instead of ${file.size}`);
}
