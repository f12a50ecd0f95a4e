/**
 * Compiled guest code of earlier visits, in this origin's Cache Storage: modules of WebAssembly, each with the record
 * by which the kernel knows what guest code it was made from. Whatever is missing, damaged or of another kernel is as if
 * it had never been kept, and a browser that keeps nothing only starts colder.
 */

import { nameOf, sha256 } from "./hash.js";

/** Modules as all workers share them: two numbers for each, the lengths of record and module; then records; then modules. */
export type KeptCode = SharedArrayBuffer;

export interface CodeStore {
  /** The cache it is in; "": nothing is kept. */
  readonly name: string;
  /** What earlier visits have left. */
  readonly kept: KeptCode | null;
  /** Keep a module for later ones. */
  add(record: ArrayBuffer, module: ArrayBuffer): void;
  /** A hart asks for one of those that earlier visits have left: what several visits run goes first. */
  recalled(number: number): void;
  /** Write what was added. */
  flush(): Promise<void>;
}

export interface Module {
  readonly record: Uint8Array;
  readonly module: Uint8Array;
  /**
   * How many bytes were being compiled then, about: what becomes hot first, or while little else does, is what many
   * programs run. The kernel counts no calls of compiled code. 0: it was asked for again.
   */
  readonly rush: number;
}

const NOTHING: CodeStore = { name: "", kept: null, add: () => undefined, recalled: () => undefined, flush: () => Promise.resolve() };
const PREFIX = "ebb-code-";
/** Of all modules; of all records, which each hart holds; of both a visit adds half at most. Packs, before they become one. */
const BYTES_MOST = 64 << 20;
const RECORDS_MOST = 3 << 20;
const PACKS_MOST = 8;
/** In ms: after so long half of what was compiled counts for no rush. */
const RUSH = 15_000;
/** How long after a module, in ms: compiling comes in bursts. */
const FLUSH_AFTER = 2000;
const HASH = 32;

/** Open the store of this kernel; the other kernels' go. Null: nothing is kept. */
export async function openCodeStore(kernelURL: URL | null): Promise<CodeStore> {
  if (kernelURL === null) return NOTHING;
  try {
    const name = PREFIX + (await kernelHash(kernelURL));
    for (const other of await caches.keys()) {
      if (other.startsWith(PREFIX) && other !== name) await caches.delete(other);
    }
    return await openCache(name);
  } catch {
    return NOTHING; // no Cache Storage, or none for us
  }
}

/** The page has fetched it already, so this is the browser's own copy. */
async function kernelHash(url: URL): Promise<string> {
  return nameOf(new Uint8Array(await (await fetch(url, { cache: "force-cache" })).arrayBuffer()));
}

async function openCache(name: string): Promise<CodeStore> {
  const cache = await caches.open(name);
  const packs = await cache.keys();
  const old = await readPacks(cache);
  const shared = inOrder(limit(old, BYTES_MOST, RECORDS_MOST));
  const merging = packs.length >= PACKS_MOST;
  const fresh = new Map<string, Module>();
  const own = `/${Date.now()}-${crypto.randomUUID()}`; // in the order of time
  const rush = rushes();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let written = Promise.resolve(); // one after the other: each replaces what the one before has put
  const write = async (): Promise<void> => {
    try {
      const mine = limit(hottest([...fresh.values()]), BYTES_MOST / 2, RECORDS_MOST / 2);
      const all = merging ? [...mine, ...old.filter(({ record }) => !fresh.has(keyOf(record)))] : mine;
      const order = [...(merging ? inOrder(old) : []), ...fresh.values()];
      const chosen = new Set(limit(all, BYTES_MOST, RECORDS_MOST));
      await cache.put(own, new Response(await pack(order.filter((module) => chosen.has(module)))));
      for (const other of merging ? packs : []) await cache.delete(other);
      await shrink(cache);
    } catch {
      // no room, or the page is going: then not
    }
  };
  const flush = (): Promise<void> => {
    if (timer !== undefined) written = written.then(write);
    clearTimeout(timer);
    timer = undefined;
    return written;
  };
  const keep = (module: Module): void => {
    const key = keyOf(module.record);
    fresh.delete(key); // it is the newest now
    fresh.set(key, module);
    timer ??= setTimeout(() => void flush(), FLUSH_AFTER);
  };
  return {
    name,
    kept: share(shared),
    add(record, module) {
      keep({ record: new Uint8Array(record), module: new Uint8Array(module), rush: rush(performance.now(), module.byteLength) });
    },
    recalled(number) {
      const module = shared[number];
      if (module !== undefined) keep({ ...module, rush: 0 });
    },
    flush,
  };
}

/** Says for each module, as it comes, how many bytes have come, of which half are forgotten in each `RUSH`. */
export function rushes(): (now: number, bytes: number) => number {
  let sum = 0;
  let last = 0;
  return (now, bytes) => {
    sum = sum * 2 ** ((last - now) / RUSH) + bytes;
    last = now;
    return sum;
  };
}

/** A module that was kept, and its place in the order of time. */
export interface Stored extends Module {
  readonly place: number;
}

/** All modules, the last visit's first, and of each the hottest first. */
export async function readPacks(cache: Cache): Promise<Stored[]> {
  const all = new Map<string, Stored>();
  let place = 0;
  const packs: Stored[][] = [];
  for (const key of await cache.keys()) {
    const modules = await unpack(new Uint8Array(await (await cache.match(key))?.arrayBuffer() ?? new ArrayBuffer(0)));
    packs.unshift(modules.map((module) => ({ ...module, place: place++ })));
    for (const module of packs[0] ?? []) all.set(keyOf(module.record), module);
  }
  return packs.flatMap(hottest).filter((module) => all.get(keyOf(module.record)) === module);
}

const hottest = <Some extends Module>(modules: readonly Some[]): Some[] => modules.toSorted((one, other) => one.rush - other.rush);

/** As modules must be named: of two for the same code the later one is better. */
export const inOrder = (modules: readonly Stored[]): Stored[] => modules.toSorted((one, other) => one.place - other.place);

async function shrink(cache: Cache): Promise<void> {
  let room = BYTES_MOST;
  for (const pack of [...(await cache.keys())].reverse()) {
    room -= (await (await cache.match(pack))?.blob())?.size ?? 0;
    if (room < 0) await cache.delete(pack);
  }
}

/** As many of the first ones as there is room for. */
export function limit<Some extends Module>(modules: readonly Some[], bytes: number, records = Infinity): Some[] {
  const end = modules.findIndex(({ record, module }) => (bytes -= module.length) < 0 || (records -= record.length) < 0);
  return end < 0 ? [...modules] : modules.slice(0, end);
}

/** Which record it is, by its bytes (FNV-1a). Two that share a key would only cost time. */
export function keyOf(record: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of record) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${record.length}:${hash}`;
}

function lay(modules: readonly Module[], into: Uint8Array): void {
  const words = new DataView(into.buffer, into.byteOffset);
  words.setUint32(0, modules.length, true);
  modules.forEach(({ record, module }, at) => {
    words.setUint32(4 + 8 * at, record.length, true);
    words.setUint32(8 + 8 * at, module.length, true);
  });
  let at = 4 + 8 * modules.length;
  for (const bytes of [...modules.map(({ record }) => record), ...modules.map(({ module }) => module)]) {
    into.set(bytes, at);
    at += bytes.length;
  }
}

function sizeOf(modules: readonly Module[]): number {
  return modules.reduce((sum, { record, module }) => sum + 8 + record.length + module.length, 4);
}

function share(modules: readonly Module[]): KeptCode | null {
  if (modules.length === 0) return null;
  const kept = new SharedArrayBuffer(sizeOf(modules));
  lay(modules, new Uint8Array(kept));
  return kept;
}

/** One of them; null if there is none. */
export function moduleOf(kept: KeptCode | null, number: number): Uint8Array<ArrayBuffer> | null {
  if (kept === null) return null;
  const words = new DataView(kept);
  const count = words.getUint32(0, true);
  if (number >= count) return null;
  let start = 4 + 8 * count;
  for (let at = 0; at < count; at++) start += words.getUint32(4 + 8 * at, true);
  for (let at = 0; at < number; at++) start += words.getUint32(8 + 8 * at, true);
  return new Uint8Array(kept).slice(start, start + words.getUint32(8 + 8 * number, true)) as Uint8Array<ArrayBuffer>;
}

/** The hash of all that follows, then the modules, then the rush of each. */
async function pack(modules: readonly Module[]): Promise<Uint8Array<ArrayBuffer>> {
  const size = HASH + sizeOf(modules);
  const bytes = new Uint8Array(size + 4 * modules.length);
  lay(modules, bytes.subarray(HASH));
  const rushes = new DataView(bytes.buffer, size);
  modules.forEach(({ rush }, at) => rushes.setUint32(4 * at, rush, true));
  bytes.set(await sha256(bytes.subarray(HASH)));
  return bytes;
}

async function unpack(bytes: Uint8Array<ArrayBuffer>): Promise<Module[]> {
  const body = bytes.subarray(HASH);
  const digest = await sha256(body);
  if (body.length < 4 || digest.some((byte, at) => byte !== bytes[at])) return [];
  const words = new DataView(body.buffer, body.byteOffset);
  const count = words.getUint32(0, true);
  const length = (which: number, of: number): number => words.getUint32(4 + 8 * which + 4 * of, true);
  let at = 4 + 8 * count;
  const next = (size: number): Uint8Array => body.subarray(at, (at += size));
  const records = Array.from({ length: count }, (_, which) => next(length(which, 0)));
  const all = records.map((record, which) => ({ record, module: next(length(which, 1)) }));
  if (body.length < at + 4 * count) return []; // packed before this was noted
  return all.map((module, which) => ({ ...module, rush: words.getUint32(at + 4 * which, true) }));
}
