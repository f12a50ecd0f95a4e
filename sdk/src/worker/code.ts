/**
 * Machine code that V8 has made of compiled guest code, kept for later visits. V8 keeps what it has optimised of a module
 * that was compiled from a response, beside this response in Cache Storage, if a service worker has given it; that is why
 * this worker lies in the scope of one. So modules are joined into one (join.ts), stored under an address of their own,
 * and made from there. `load` hands out all such modules; `make` adds what is new to them, and has V8 optimise it.
 *
 * The address holds the hash of the bytes: what was damaged is as if it had never been kept. What V8 has kept shows
 * nowhere, so a module is used when it was optimised to the end, and V8 had time to write it down; that is noted
 * beside it. Should V8 have none of it all the same, the module is only compiled anew.
 */

import { keyOf, newest, readPack, type Module } from "../code_store.js";
import { nameOf } from "../hash.js";
import type { Joined, MachineCode } from "../messages.js";
import { join, KEPT, regionsOf } from "./join.js";
import { openActivity } from "./kernel.js";
import { stand, wear } from "./stand_in.js";

/** Calls after which V8 has optimised any region. */
const CALLS = 93_000;
/** In ms: how long regions are called at a time while no hart runs, for this competes with them, and the rest between. */
const WORK = 20;
const REST = 10;
/** After that, in ms: V8 has optimised what waits, and writes when nothing more has come for 2 s. */
const WRITE = 8000;
const OPTIMISED = "?optimised";
/** Joined modules before they become one; bytes of one. */
const MODULES_MOST = 4;
const BYTES_MOST = 16 << 20;

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
/** V8 keeps what is optimised later, too, as long as there is the module. */
const kept: WebAssembly.Module[] = [];

scope.onmessage = ({ data }: MessageEvent<MachineCode>) => {
  if (data.type === "make") make(data).catch(() => undefined); // no room, or no service worker: then not
  else load(data).then((all) => scope.postMessage(all), () => scope.postMessage([]));
};

/** The records of a joined module, one behind the other, and its regions' number. */
function recordsOf(module: WebAssembly.Module): { records: Uint8Array; regions: number } {
  const records = new Uint8Array(WebAssembly.Module.customSections(module, KEPT)[0] ?? new ArrayBuffer(0));
  const regions = split(records).reduce((sum, record) => sum + regionsOf(record), 0);
  return { records, regions };
}

function split(records: Uint8Array): Uint8Array[] {
  const words = new DataView(records.buffer, records.byteOffset);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < records.length; ) {
    const length = words.getUint32(at, true);
    parts.push(records.subarray(at, at + length));
    at += length;
  }
  return parts;
}

/** A stored module; null: it is not what was stored, or no service worker answers. */
async function open(cache: Cache, url: string): Promise<WebAssembly.Module | null> {
  const stored = (await cache.match(url))?.arrayBuffer() ?? new ArrayBuffer(0);
  const module = WebAssembly.compileStreaming(fetch(url)).catch(() => null);
  if (url.endsWith(`/${await nameOf(new Uint8Array(await stored))}.wasm`)) return module;
  await drop(cache, url);
  return null;
}

async function drop(cache: Cache, url: string): Promise<void> {
  await cache.delete(url + OPTIMISED);
  await cache.delete(url);
}

/** The addresses of modules, and of those that are optimised. */
async function addresses(cache: Cache): Promise<{ all: string[]; optimised: string[] }> {
  const urls = (await cache.keys()).map(({ url }) => url);
  const all = urls.filter((url) => !url.endsWith(OPTIMISED));
  return { all, optimised: all.filter((url) => urls.includes(url + OPTIMISED)) };
}

async function load({ joined }: MachineCode): Promise<Joined[]> {
  const cache = await caches.open(joined);
  const { optimised } = await addresses(cache);
  const modules = await Promise.all(optimised.map((url) => open(cache, url).catch(() => null)));
  return modules.filter((module) => module !== null).map((module): Joined => {
    kept.push(module);
    const { records, regions } = recordsOf(module);
    const shared = new Uint8Array(new SharedArrayBuffer(records.length));
    shared.set(records);
    return { module, records: shared.buffer, regions };
  });
}

async function make({ joined, packs, base, machine }: MachineCode): Promise<void> {
  if (machine === null) return;
  const [store, cache] = await Promise.all([caches.open(packs), caches.open(joined)]);
  const modules = new Map<string, Module>();
  for (const pack of await store.keys()) for (const [key, module] of await readPack(store, pack)) modules.set(key, module);
  const { all, optimised } = await addresses(cache);
  for (const url of all) if (!optimised.includes(url)) await cache.delete(url); // a visit ended too early
  const merge = optimised.length >= MODULES_MOST;
  const known = new Set<string>();
  for (const url of merge ? [] : optimised) {
    const module = await open(cache, url);
    if (module !== null) for (const record of split(recordsOf(module).records)) known.add(keyOf(record));
  }
  const bytes = join(newest([...modules.values()].filter(({ record }) => !known.has(keyOf(record))), BYTES_MOST));
  if (bytes === null) return;
  const url = new URL(`kept-code/${joined}/${await nameOf(bytes)}.wasm`, base).href;
  await cache.put(url, new Response(bytes, { headers: { "Content-Type": "application/wasm" } }));
  const module = await open(cache, url);
  if (module === null) {
    await cache.delete(url); // no service worker answers
    return;
  }
  kept.push(module);
  await optimise(module, openActivity(machine.module, machine.memory));
  await cache.put(url + OPTIMISED, new Response());
  for (const old of merge ? optimised : []) if (old !== url) await drop(cache, old);
}

async function optimise(module: WebAssembly.Module, running: () => number): Promise<void> {
  const { regions } = recordsOf(module);
  stand(module, regions);
  let until = 0;
  for (let region = 0; region < regions; region++) {
    if (performance.now() >= until) {
      do await after(REST);
      while (running() > 0);
      until = performance.now() + WORK;
    }
    wear(region, CALLS);
  }
  await after(WRITE);
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
