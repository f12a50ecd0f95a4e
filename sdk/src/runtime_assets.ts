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
    readonly files: Readonly<Record<"loader" | "glue" | "wasm" | "stdlib" | "snapshot", RuntimeFile>>;
}

/** Everything loadRuntime() takes; can be posted to any number of workers. */
export interface RuntimeAssets {
    readonly baseURL: string;
    readonly loaderURL: string;
    readonly glueURL: string;
    readonly buildId: string;
    readonly lock: string;
    readonly module: WebAssembly.Module;
    /** The standard library and our runtime as bytecode, one zip. */
    readonly stdlib: SharedArrayBuffer;
    /** Memory of an interpreter that has imported the runtime; null starts from nothing. */
    readonly snapshot: SharedArrayBuffer | null;
}

export interface RuntimeProgress {
    readonly loaded: number;
    readonly total: number;
}

/** Load and compile everything, from the folder that holds index.json. */
export async function prefetchRuntime(
    baseURL: string,
    onProgress: (progress: RuntimeProgress) => void = () => undefined,
    onScripts: (urls: readonly string[]) => void = () => undefined,
): Promise<RuntimeAssets> {
    const base = new URL(baseURL.endsWith("/") ? baseURL : `${baseURL}/`, location.href).href;
    const index = (await (await fetchWhole(`${base}index.json`)).json()) as RuntimeIndex;
    const { loader, glue, wasm, stdlib, snapshot } = index.files;
    onScripts([base + loader.name, base + glue.name]); // what each worker imports for itself
    const total = wasm.size + stdlib.size + snapshot.size;
    let loaded = 0;
    const count = (bytes: number): void => {
        loaded += bytes;
        onProgress({ loaded, total });
    };
    const [module, stdlibBytes, snapshotBytes] = await Promise.all([
        // The response itself, not a copy that counts bytes: only so the browser can keep compiled code.
        WebAssembly.compileStreaming(fetchWhole(base + wasm.name)).then((compiled) => {
            count(wasm.size);
            return compiled;
        }),
        fetchShared(base, stdlib, count),
        fetchShared(base, snapshot, count),
    ]);
    return {
        baseURL: base,
        loaderURL: base + loader.name,
        glueURL: base + glue.name,
        buildId: index.buildId,
        lock: index.lock,
        module,
        stdlib: stdlibBytes,
        snapshot: snapshotBytes,
    };
}

async function fetchWhole(url: string): Promise<Response> {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
    return response;
}

async function fetchShared(
    base: string,
    file: RuntimeFile,
    count: (bytes: number) => void,
): Promise<SharedArrayBuffer> {
    const response = await fetchWhole(base + file.name);
    const bytes = new Uint8Array(new SharedArrayBuffer(file.size));
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
    return bytes.buffer as SharedArrayBuffer;
}
