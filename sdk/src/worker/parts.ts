/**
 * What is joined, in parts: the hottest modules that no part holds make the next one, and each is noted as optimised as
 * soon as V8 has written it. So whatever a visit had time for is there for the next one, which goes on with the rest. A part goes
 * only when what replaces it is noted.
 *
 * Parts are named in the order of visits, the coldest of each first: harts name them to the kernel in this order, which
 * asks the last one first. When there is no more room, the coldest goes.
 */

import { inOrder, keyOf, limit, readPacks, type Stored } from "../code_store.js";
import { nameOf } from "../hash.js";
import { join, recordsOf } from "./join.js";

export interface Part {
  readonly url: string;
  readonly size: number;
  /** Of its modules. */
  readonly keys: readonly string[];
  readonly optimised: boolean;
}

const OPTIMISED = "?optimised";
/** Bytes of a part; of all; of those of earlier visits, which are left however much is new. */
const PART = 2 << 20;
const ALL = 16 << 20;
const EARLIER = 8 << 20;
/** Bytes of a small one, and how many of them there are before they become one. */
const SMALL = 512 << 10;
const SMALL_MOST = 4;

/** What comes next, and which parts it replaces; null: there is nothing new, or no room. `mine`: parts of this visit. */
export function next(modules: readonly Stored[], parts: readonly Part[], mine: (part: Part) => boolean): { modules: Stored[]; instead: Part[] } | null {
  const known = new Set(parts.flatMap(({ keys }) => keys));
  const fresh = modules.filter(({ record }) => !known.has(keyOf(record)));
  if (fresh.length === 0) return null;
  const chosen = limit(fresh, PART);
  if (chosen.length === 0) chosen.push(...fresh.slice(0, 1));
  const instead: Part[] = [];
  if (chosen.length === fresh.length) {
    const all = new Map(modules.map((module) => [keyOf(module.record), module]));
    const small = parts.filter(({ optimised, size, keys }) => optimised && size < SMALL && keys.every((key) => all.has(key)));
    if (small.length >= SMALL_MOST) {
      instead.push(...small);
      chosen.push(...modules.filter(({ record }) => small.some(({ keys }) => keys.includes(keyOf(record)))));
    }
  }
  const rank = new Map(modules.map(({ record }, at) => [keyOf(record), at]));
  const rankOf = (keys: readonly string[]): number => Math.min(...keys.map((key) => rank.get(key) ?? Infinity));
  const own = rankOf(chosen.map(({ record }) => keyOf(record)));
  const sum = (of: readonly Part[]): number => of.reduce((bytes, { size }) => bytes + size, 0);
  const left = parts.filter((part) => !instead.includes(part));
  const earlier = left.filter((part) => part.optimised && !mine(part)).toSorted((one, other) => rankOf(other.keys) - rankOf(one.keys));
  let over = sum(left) + chosen.reduce((bytes, { module }) => bytes + module.length, 0) - ALL;
  let staying = sum(earlier);
  for (const part of earlier) {
    staying -= part.size;
    if (over <= 0 || staying < EARLIER || rankOf(part.keys) < own) break;
    instead.push(part);
    over -= part.size;
  }
  return over > 0 ? null : { modules: chosen, instead };
}

/** A stored part's bytes, or nothing. */
export const stored = async (cache: Cache, url: string): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array((await (await cache.match(url))?.arrayBuffer()) ?? new ArrayBuffer(0));

export async function drop(cache: Cache, url: string): Promise<void> {
  await cache.delete(url + OPTIMISED);
  await cache.delete(url);
}

const place = (url: string): string => url.split("/").at(-2) ?? "";

/** The addresses of all parts, in their order, and whether each is optimised. */
export async function addresses(cache: Cache): Promise<{ url: string; optimised: boolean }[]> {
  const urls = (await cache.keys()).map(({ url }) => url);
  return urls
    .filter((url) => !url.endsWith(OPTIMISED))
    .map((url) => ({ url, optimised: urls.includes(url + OPTIMISED) }))
    .toSorted((one, other) => (place(one.url) < place(other.url) ? -1 : 1));
}

/** Has V8 optimise the part there. Answers when it has been made to; what it answers with settles when that is written. Null: it cannot. */
export type Optimise = (url: string) => Promise<(() => Promise<void>) | null>;

/** Waits until nobody is disturbed; says whether there is something new. */
export type Stop = () => boolean | Promise<boolean>;

/** Make parts of what `packs` hold, in the folder `base`, until all are there or it has to stop. `visit` names them. */
export function maker(packs: Cache, cache: Cache, base: string, visit: string, optimise: Optimise): (stop: Stop) => Promise<void> {
  const seen = new Map<string, Omit<Part, "url" | "optimised">>();
  const underway = new Set<string>();
  const replaced = new Set<string>();
  const refused = new Set<string>();
  let count = 0;
  const parts = async (): Promise<Part[]> => {
    const all: Part[] = [];
    for (const { url, optimised } of await addresses(cache)) {
      if (replaced.has(url)) continue;
      if (!seen.has(url)) {
        const bytes = await stored(cache, url);
        seen.set(url, { size: bytes.length, keys: recordsOf(bytes).map(keyOf) });
      }
      all.push({ url, size: 0, keys: [], ...seen.get(url), optimised });
    }
    return all;
  };
  const finish = async (url: string, instead: readonly Part[]): Promise<void> => {
    underway.add(url);
    for (const part of instead) replaced.add(part.url);
    const written = await optimise(url);
    if (written === null) {
      await drop(cache, url);
      return;
    }
    const note = async (): Promise<void> => {
      await written();
      await cache.put(url + OPTIMISED, new Response());
      for (const part of instead) await drop(cache, part.url);
    };
    note().catch(() => drop(cache, url)).catch(() => undefined); // no room, or it is of another kind
  };
  return async (stop) => {
    if (await stop()) return;
    const modules = await readPacks(packs);
    while (!(await stop())) {
      const there = await parts();
      const begun = there.find(({ url, optimised }) => !optimised && !underway.has(url));
      if (begun !== undefined) {
        await finish(begun.url, []); // a visit ended too early
        continue;
      }
      const wanted = next(modules.filter(({ record }) => !refused.has(keyOf(record))), there, ({ url }) => place(url).startsWith(visit));
      if (wanted === null) return;
      for (const { record } of wanted.modules) refused.add(keyOf(record)); // what cannot be joined is not tried again
      const bytes = join(inOrder(wanted.modules));
      if (bytes === null) continue;
      const name = `${visit}-${String(999 - count++).padStart(3, "0")}`;
      const url = new URL(`${name}/${await nameOf(bytes)}.wasm`, base).href;
      await cache.put(url, new Response(bytes, { headers: { "Content-Type": "application/wasm" } }));
      await finish(url, wanted.instead);
    }
  };
}
