// Bundles the page, the SDK and the workers: node bundle.mjs OUT
//
// Page code is split, so that what is loaded late (the terminal) is a chunk of its own; every worker is
// one file. Names are stable (the SDK finds worker.js beside itself) except those of chunks.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const sdk = dirname(fileURLToPath(import.meta.url));
const web = join(dirname(sdk), "web");
const out = process.argv[2];

const PAGE = {
    ebbtide: join(sdk, "src/index.ts"),
    isolate: join(sdk, "src/service_worker_start.ts"),
    main: join(web, "main.ts"),
    start: join(web, "start.ts"),
};
const WORKERS = {
    worker: join(sdk, "src/worker/main.ts"),
    warm: join(sdk, "src/worker/warm.ts"),
    code: join(sdk, "src/worker/code.ts"),
    bell: join(sdk, "src/worker/bell.ts"),
    runs: join(sdk, "src/worker/runs.ts"),
    rewind: join(sdk, "src/worker/rewind.ts"),
    snapshots: join(sdk, "src/worker/snapshots.ts"),
    service_worker: join(sdk, "src/service_worker.ts"),
};

const shared = {
    outdir: out,
    bundle: true,
    format: "esm",
    target: "es2023",
    minify: true,
    sourcemap: true,
    legalComments: "none", // they are in NOTICES.txt, with the licences
    charset: "utf8",
    nodePaths: [join(sdk, "node_modules")],
    alias: { ebbtide: PAGE.ebbtide },
    loader: { ".css": "text" },
    logLevel: "warning",
};

const present = (entries) => Object.fromEntries(Object.entries(entries).filter(([, path]) => existsSync(path)));

for (const name of readdirSync(out)) if (/^chunk\./.test(name)) rmSync(join(out, name));
await build({ ...shared, entryPoints: present(PAGE), splitting: true, chunkNames: "chunk.[hash]" });
await build({ ...shared, entryPoints: present(WORKERS) });
