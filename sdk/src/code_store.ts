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
  /** Write what was added. */
  flush(): Promise<void>;
}

export interface Module {
  readonly record: Uint8Array;
  readonly module: Uint8Array;
}

const NOTHING: CodeStore = { name: "", kept: null, add: () => undefined, flush: () => Promise.resolve() };
const PREFIX = "ebb-code-";
/** Of all modules; of all records, which each hart holds; packs, before they become one. */
const BYTES_MOST = 64 << 20;
const RECORDS_MOST = 2 << 20;
const PACKS_MOST = 8;
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
  const old = new Map<string, Module>();
  for (const pack of packs) for (const [key, module] of await readPack(cache, pack)) old.set(key, module);
  const merging = packs.length >= PACKS_MOST;
  const fresh = merging ? new Map(old) : new Map<string, Module>();
  const own = `/${Date.now()}-${crypto.randomUUID()}`; // in the order of time
  let timer: ReturnType<typeof setTimeout> | undefined;
  let written = Promise.resolve(); // one after the other: each replaces what the one before has put
  const write = async (): Promise<void> => {
    try {
      await cache.put(own, new Response(await pack(newest([...fresh.values()], BYTES_MOST))));
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
  return {
    name,
    kept: share(newest([...old.values()], BYTES_MOST)),
    add(record, module) {
      const added = { record: new Uint8Array(record), module: new Uint8Array(module) };
      fresh.set(keyOf(added.record), added);
      timer ??= setTimeout(() => void flush(), FLUSH_AFTER);
    },
    flush,
  };
}

/** A pack's modules, by what they are made from. */
export async function readPack(cache: Cache, pack: Request): Promise<Map<string, Module>> {
  const modules = await unpack(new Uint8Array(await (await cache.match(pack))?.arrayBuffer() ?? new ArrayBuffer(0)));
  return new Map(modules.map((module) => [keyOf(module.record), module]));
}

async function shrink(cache: Cache): Promise<void> {
  let room = BYTES_MOST;
  for (const pack of [...(await cache.keys())].reverse()) {
    room -= (await (await cache.match(pack))?.blob())?.size ?? 0;
    if (room < 0) await cache.delete(pack);
  }
}

/** As many of the last ones as there is room for. */
export function newest(modules: readonly Module[], most: number): Module[] {
  let bytes = 0;
  let records = 0;
  const chosen: Module[] = [];
  for (const module of [...modules].reverse()) {
    bytes += module.module.length;
    records += module.record.length;
    if (bytes > most || records > RECORDS_MOST) break;
    chosen.push(module);
  }
  return chosen.reverse();
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

/** The hash of all that follows, then the modules. */
async function pack(modules: readonly Module[]): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(HASH + sizeOf(modules));
  lay(modules, bytes.subarray(HASH));
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
  return records.map((record, which) => ({ record, module: next(length(which, 1)) }));
}
