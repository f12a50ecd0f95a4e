// Prepares Pyodide for fast starts, under node: the standard library and our runtime as bytecode, and a
// sparse snapshot of the memory of an interpreter that has imported them.
//
//   node prepare.mjs stdlib OUT.zip                     once per Pyodide version (1 minute of work less at each start)
//   node prepare.mjs runtime STDLIB.zip SPEC.json OUT   at each change of the runtime
//
// SPEC.json: { files: { "ebbtide/x.py": path }, late: the same of an archive of its own, preload: ["ebbtide.x"] }. OUT gets files with content hashes
// in their names, and index.json, which names them (type RuntimeIndex in src/runtime_assets.ts).
//
// The snapshot is bound to the exact interpreter: its BUILD_ID must be that of the glue code (checked here), and
// to the exact bytecode archive, whose directory the importer holds in memory.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPyodide, version } from "pyodide";
import { compress } from "../compress.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const source = dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
const PAGE = 4096;
/** Where the worker that needs it puts the archive of late modules: loadLate() in src/worker/pyodide_loader.ts. */
const LATE_PLACE = "/late.zip";
const MAGIC = 0x53424245; // "EBBS"
// A lock file without packages: everything we run is in the bytecode archive.
const lockInfo = JSON.parse(readFileSync(join(source, "pyodide-lock.json"), "utf8")).info;
const LOCK = JSON.stringify({ info: lockInfo, packages: {} });

// Plain arrays: node's Buffers do not convert to Python.
const read = (path) => new Uint8Array(readFileSync(path));

function python(options) {
    return loadPyodide({
        indexURL: source + "/",
        lockFileContents: LOCK,
        packageBaseUrl: source + "/",
        env: { PYTHONHASHSEED: "0", HOME: "/home/pyodide" },
        ...options,
    });
}

async function compiler(stdlib) {
    const py = await python(stdlib ? { stdLibURL: stdlib } : {});
    const scope = py.globals.get("dict")();
    py.runPython(readFileSync(join(here, "compile.py"), "utf8"), { globals: scope });
    const place = py.runPython("import sys; next(p for p in sys.path if p.endswith('.zip'))");
    return { py, scope, place };
}

async function stdlib(out) {
    const { py, scope, place } = await compiler(null);
    const sources = py.toPy(read(join(source, "python_stdlib.zip")));
    const bytes = scope.get("archive_compile")(sources.tobytes(), place).toJs();
    writeWhole(out, bytes);
}

async function runtime(stdlibPath, specPath, out) {
    const spec = JSON.parse(readFileSync(specPath, "utf8"));
    const { py, scope, place } = await compiler(stdlibPath);
    const extend = (base, files, at) => {
        const sources = Object.entries(files).map(([name, path]) => [name, read(path)]);
        return scope.get("archive_extend")(py.toPy(base).tobytes(), py.toPy(new Map(sources)), at).toJs();
    };
    const archive = extend(read(stdlibPath), spec.files, place);
    const late = extend(new Uint8Array(), spec.late, LATE_PLACE);
    const archivePath = specPath + ".zip";
    writeWhole(archivePath, archive);

    const snapshot = await takeSnapshot(archivePath, spec.preload);
    const parts = {
        loader: ["pyodide", "mjs", read(join(source, "pyodide.mjs"))],
        glue: ["pyodide.asm", "mjs", read(join(source, "pyodide.asm.mjs"))],
        wasm: ["pyodide.asm", "wasm", read(join(source, "pyodide.asm.wasm"))],
        stdlib: ["python", "zip", archive],
        late: ["late", "zip", late],
        snapshot: ["snapshot", "bin", snapshot.bytes],
    };
    mkdirSync(out, { recursive: true });
    const index = { format: 1, pyodide: version, buildId: snapshot.buildId, lock: LOCK, files: {} };
    const wanted = new Set(["index.json"]);
    for (const [key, [stem, ending, bytes]] of Object.entries(parts)) {
        const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
        const name = `${stem}.${hash}.${ending}`;
        index.files[key] = { name, size: bytes.length };
        for (const file of await writeServed(out, name, bytes)) wanted.add(file);
    }
    writeWhole(join(out, "index.json"), JSON.stringify(index));
    for (const name of readdirSync(out)) if (!wanted.has(name)) rmSync(join(out, name));
    console.log(JSON.stringify({ snapshot: snapshot.bytes.length, heap: snapshot.total }));
}

// Import the runtime in a fresh interpreter and keep the pages of its memory that are not zero.
async function takeSnapshot(archivePath, preload) {
    const py = await python({ stdLibURL: archivePath, _makeSnapshot: true });
    const imports = `
import gc, importlib
for name in ${JSON.stringify(preload)}:
    importlib.import_module(name)
gc.collect()
`;
    const scope = py.globals.get("dict")();
    py.runPython(imports, { globals: scope });
    scope.destroy(); // no JavaScript object may be held in the snapshot
    const image = py.makeMemorySnapshot();
    // Its layout (Pyodide's snapshot.ts): u32 magic, offset of the heap, length of the JSON, 0, build id[8], JSON, heap.
    const head = new Uint32Array(image.buffer, image.byteOffset, 12);
    const buildId = [...head.subarray(4, 12)].map((word) => word.toString(16).padStart(8, "0")).join("");
    const glue = readFileSync(join(source, "pyodide.mjs"), "utf8");
    const expected = /BUILD_ID:"([0-9a-f]{64})"/.exec(glue)?.[1];
    if (buildId !== expected) {
        throw new Error(`snapshot of build ${buildId}, glue code of build ${expected}`);
    }
    const json = image.subarray(48, 48 + head[2]);
    const heap = image.subarray(head[1]);
    const runs = [];
    let used = 0;
    for (let at = 0; at < heap.length; at += PAGE) {
        const page = heap.subarray(at, at + PAGE);
        if (page.every((byte) => byte === 0)) continue;
        const last = runs.at(-1);
        if (last && last[0] + last[2] === at) last[2] += page.length;
        else runs.push([at, used, page.length]);
        used += page.length;
    }
    // u32 magic, runs, JSON bytes, heap bytes; runs of (heap offset, data offset, length); JSON; data.
    const jsonAt = 16 + runs.length * 12;
    const dataAt = Math.ceil((jsonAt + json.length) / 16) * 16;
    const bytes = new Uint8Array(dataAt + used);
    new Uint32Array(bytes.buffer, 0, 4).set([MAGIC, runs.length, json.length, heap.length]);
    new Uint32Array(bytes.buffer, 16, runs.length * 3).set(runs.flat());
    bytes.set(json, jsonAt);
    for (const [at, offset, length] of runs) bytes.set(heap.subarray(at, at + length), dataAt + offset);
    return { bytes, buildId: expected, total: heap.length };
}

// Write a file and its compressed twin, unless a file of that (content-hashed) name is there.
async function writeServed(out, name, bytes) {
    const names = name.endsWith(".zip") ? [name] : [name, `${name}.br`];
    const there = new Set(readdirSync(out));
    if (names.every((one) => there.has(one))) return names;
    writeWhole(join(out, name), bytes);
    if (names.length > 1) await compress(join(out, name), 6);
    return names;
}

function writeWhole(path, data) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path + ".part", data);
    renameSync(path + ".part", path);
}

const COMMANDS = { stdlib, runtime };
const [command, ...args] = process.argv.slice(2);
try {
    if (!(command in COMMANDS)) throw new Error("usage: prepare.mjs stdlib OUT | runtime STDLIB SPEC OUT");
    await COMMANDS[command](...args);
    process.exit(0); // Pyodide keeps handles open
} catch (error) {
    console.error(error.stack); // not the way node shows it, which quotes the megabyte line that threw
    process.exit(1);
}
