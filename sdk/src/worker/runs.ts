/** Entry of the worker that keeps recordings: it writes what the kernel worker hands it, and answers the page. */

import { servePort } from "../calls.js";
import type { Before } from "../runs.js";
import { nameOf } from "../hash.js";
import { copyPieces } from "./pieces.js";
import { openRunFiles } from "./run_files.js";
import { RunStore } from "./run_store.js";

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
const opening = openRunFiles().then((files) => new RunStore(files));
opening.catch(() => undefined); // whoever asks is told

const AT_ONCE = 32; // pieces

/** What a recording machine's kernel worker asks; `before` is the machine that it goes on from. */
function keeping(before: Before | null) {
  let pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0; // bytes that have arrived
  return {
    copy(heap: number, low: number, pages: number): void {
      if (before !== null) pieces = copyPieces(before, { heap, low, pages });
    },

    async begin(id: string, about: string, kernelURL: string): Promise<string> {
      const store = await opening;
      const bytes = before?.kernel ?? (await fetchKernel(kernelURL));
      const hash = await nameOf(bytes);
      const known = JSON.parse(about) as Record<string, unknown> & { started: number };
      await store.begin({ id, started: Math.round(known.started * 1000), kernel: hash, about: known }, bytes);
      return hash;
    },

    async pages(id: string): Promise<string> {
      const store = await opening;
      const named: (readonly [hash: string, size: number])[] = [];
      while (pieces.length > 0) {
        const some = await Promise.all(pieces.splice(0, AT_ONCE).map(async (piece) => [await nameOf(piece), piece] as const));
        await store.append(id, new Uint8Array(), some, null).catch(async (error: unknown) => {
          await store.remove(id); // without its pages it is of no use
          throw error;
        });
        named.push(...some.map(([hash, piece]) => [hash, piece.length] as const));
      }
      return JSON.stringify(named);
    },

    async append(id: string, tape: Uint8Array, hashes: readonly string[], objects: readonly Uint8Array[]): Promise<number> {
      await (await opening).append(id, tape, hashes.map((hash, at) => [hash, objects[at] ?? new Uint8Array()] as const), Date.now());
      return (size += tape.length);
    },

    name: async (id: string, args: string) => (await opening).name(id, JSON.parse(args) as string[]),
    finish: async (id: string) => (await opening).finish(id),
    stop: async (id: string) => (await opening).letGo(id),
  };
}

async function fetchKernel(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, { cache: "force-cache" }); // the page has it: this is the browser's own copy
  return new Uint8Array(await response.arrayBuffer());
}

/** A recording machine's kernel worker has a port of its own. */
scope.addEventListener("message", ({ data, ports }: MessageEvent) => {
  const { method, params } = data as { method?: string; params?: readonly [Before | null] };
  if (method !== "serve" || ports[0] === undefined) return;
  servePort(ports[0], keeping(params?.[0] ?? null));
});

servePort(scope, {
  list: async () => (await opening).list(),
  bytes: async () => (await opening).bytes(),
  remove: async (id: string) => (await opening).remove(id),
  pin: async (id: string, pinned: boolean) => (await opening).pin(id, pinned),
});
