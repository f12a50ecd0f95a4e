/**
 * Machine code that V8 has made of compiled guest code, kept for later visits. V8 keeps what it has optimised of a module
 * that was compiled from a response, beside this response in Cache Storage, if a service worker has given it; that is why
 * this worker lies in the scope of one. So modules are joined (join.ts, parts.ts), stored under addresses of their own,
 * and made from there. `load` hands out all such modules; `make` adds what is new to them, and has V8 optimise it.
 *
 * The address holds the hash of the bytes: what was damaged is as if it had never been kept. What V8 has kept shows
 * nowhere, so a module is used when it was optimised to the end, and V8 had time to write it down; that is noted
 * beside it. Should V8 have none of it all the same, the module is only compiled anew.
 */

import { nameOf } from "../hash.js";
import type { Joined, MachineCode } from "../messages.js";
import { FILLERS, recordsOf, regionsOf } from "./join.js";
import { openActivity } from "./kernel.js";
import { addresses, drop, maker, stored, type Stop } from "./parts.js";
import { stand, wear } from "./stand_in.js";

/** Calls after which V8 has optimised any region. */
const CALLS = 93_000;
/** In ms: how long regions are called at a time, the rest between, and how long no hart must have run: this competes with them. */
const WORK = 20;
const REST = 4;
const CALM = 500;
/** After that, in ms: V8 has optimised what waits; and then the fillers, and has written all. */
const WAITS = 2000;
const WRITES = 1000;

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
/** V8 keeps what is optimised later, too, as long as there is the module. */
const kept: WebAssembly.Module[] = [];
/** Making goes on between messages, and begins anew with what has come since. */
let making = false;
let again = false;
let goOn: ((stop: Stop) => Promise<void>) | null = null;

scope.onmessage = ({ data }: MessageEvent<MachineCode>) => {
  if (data.type === "make") make(data).catch(() => undefined); // no room, or no service worker: then not
  else load(data).then((all) => scope.postMessage(all), () => scope.postMessage([]));
};

/** A stored module; null: it is not what was stored, or no service worker answers. */
async function open(cache: Cache, url: string): Promise<{ module: WebAssembly.Module; records: Uint8Array[]; regions: number } | null> {
  const [bytes, module] = await Promise.all([stored(cache, url), WebAssembly.compileStreaming(fetch(url)).catch(() => null)]);
  if (!url.endsWith(`/${await nameOf(bytes)}.wasm`)) {
    await drop(cache, url);
    return null;
  }
  if (module === null) return null;
  kept.push(module);
  const records = recordsOf(bytes);
  return { module, records, regions: records.reduce((sum, record) => sum + regionsOf(record), 0) };
}

async function load({ joined }: MachineCode): Promise<Joined[]> {
  const cache = await caches.open(joined);
  const optimised = (await addresses(cache)).filter((part) => part.optimised);
  const parts = await Promise.all(optimised.map(({ url }) => open(cache, url).catch(() => null)));
  return parts.filter((part) => part !== null).map(({ module, records, regions }): Joined => {
    const shared = new Uint8Array(new SharedArrayBuffer(records.reduce((sum, { length }) => sum + length, 0)));
    let at = 0;
    for (const record of records) {
      shared.set(record, at);
      at += record.length;
    }
    return { module, records: shared.buffer, slots: regions + FILLERS };
  });
}

async function make({ joined, packs, base, machine }: MachineCode): Promise<void> {
  again = true;
  if (making || machine === null) return;
  making = true;
  try {
    const [store, cache] = await Promise.all([caches.open(packs), caches.open(joined)]);
    const calm = waiting(openActivity(machine.module, machine.memory));
    goOn ??= maker(store, cache, new URL(`kept-code/${joined}/`, base).href, String(Date.now()), (url) => optimise(cache, url, calm));
    while (again) {
      again = false;
      await goOn(async () => {
        await calm();
        return again;
      });
    }
  } finally {
    making = false;
  }
}

/** Waits for a moment, and until no hart has run for a while. */
function waiting(running: () => number): () => Promise<void> {
  let ran = -Infinity;
  return async () => {
    do {
      await after(REST);
      if (running() > 0) ran = performance.now();
    } while (performance.now() < ran + CALM);
  };
}

async function optimise(cache: Cache, url: string, calm: () => Promise<void>): Promise<(() => Promise<void>) | null> {
  const part = await open(cache, url);
  if (part === null) return null;
  const { module, regions } = part;
  const slot = stand(module, regions + FILLERS);
  let until = 0;
  for (let region = 0; region < regions; region++) {
    if (performance.now() >= until) {
      await calm();
      until = performance.now() + WORK;
    }
    wear(slot + region, CALLS);
  }
  return async () => {
    await after(WAITS);
    for (let filler = 0; filler < FILLERS; filler++) wear(slot + regions + filler, CALLS);
    await after(WRITES);
  };
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
