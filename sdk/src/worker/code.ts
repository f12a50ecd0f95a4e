/**
 * Machine code that V8 has made of compiled guest code, kept for later visits. V8 keeps what it has optimised of a module
 * that was compiled from a response, beside this response in Cache Storage, if a service worker has given it; that is why
 * this worker lies in the scope of one. So modules are joined into one (join.ts), stored under an address of their own,
 * and made from there. `load` hands out all such modules; `make` adds what is new to them, and has V8 optimise it.
 *
 * The address holds the hash of the bytes: what was damaged is as if it had never been kept. That V8 still has machine code
 * shows nowhere; without it, a module is only compiled anew.
 */

import { keyOf, newest, readPack, type Module } from "../code_store.js";
import type { Joined, MachineCode } from "../messages.js";
import { join, KEPT, regionsOf } from "./join.js";
import { stand, wear } from "./stand_in.js";

/** Calls after which V8 has optimised any region. */
const CALLS = 93_000;
/** In ms: how long regions are called at a time, and the rest between, for this competes with harts. */
const WORK = 10;
const REST = 30;
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

const hashOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A stored module; null: it is not what was stored, or no service worker answers. */
async function open(cache: Cache, url: string): Promise<WebAssembly.Module | null> {
  const stored = (await cache.match(url))?.arrayBuffer() ?? new ArrayBuffer(0);
  const module = WebAssembly.compileStreaming(fetch(url)).catch(() => null);
  if (url.endsWith(`/${await hashOf(new Uint8Array(await stored))}.wasm`)) return module;
  await cache.delete(url);
  return null;
}

async function load({ joined }: MachineCode): Promise<Joined[]> {
  const cache = await caches.open(joined);
  const modules = await Promise.all((await cache.keys()).map(({ url }) => open(cache, url).catch(() => null)));
  return modules.filter((module) => module !== null).map((module): Joined => {
    kept.push(module);
    const { records, regions } = recordsOf(module);
    const shared = new Uint8Array(new SharedArrayBuffer(records.length));
    shared.set(records);
    return { module, records: shared.buffer, regions };
  });
}

async function make({ joined, packs, base }: MachineCode): Promise<void> {
  const [store, cache] = await Promise.all([caches.open(packs), caches.open(joined)]);
  const modules = new Map<string, Module>();
  for (const pack of await store.keys()) for (const [key, module] of await readPack(store, pack)) modules.set(key, module);
  const old = await cache.keys();
  const merge = old.length >= MODULES_MOST;
  const known = new Set<string>();
  for (const { url } of merge ? [] : old) {
    const module = await open(cache, url);
    if (module !== null) for (const record of split(recordsOf(module).records)) known.add(keyOf(record));
  }
  const fresh = newest([...modules.values()].filter(({ record }) => !known.has(keyOf(record))), BYTES_MOST);
  const bytes = join(fresh);
  if (bytes === null) return;
  const url = new URL(`kept-code/${joined}/${await hashOf(bytes)}.wasm`, base).href;
  await cache.put(url, new Response(bytes, { headers: { "Content-Type": "application/wasm" } }));
  const module = await open(cache, url);
  if (module === null) {
    await cache.delete(url);
    return;
  }
  kept.push(module);
  for (const { url: other } of merge ? old : []) if (other !== url) await cache.delete(other);
  const { regions } = recordsOf(module);
  stand(module, regions);
  let until = performance.now() + WORK;
  for (let region = 0; region < regions; region++) {
    wear(region, CALLS);
    if (performance.now() < until) continue;
    await new Promise((resolve) => setTimeout(resolve, REST));
    until = performance.now() + WORK;
  }
}
