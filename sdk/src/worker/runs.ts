/** Entry of the worker that keeps recordings: it writes what the kernel worker hands it, and answers the page. */

import { servePort } from "../calls.js";
import { openRunFiles } from "./run_files.js";
import { RunStore } from "./run_store.js";

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
const opening = openRunFiles().then((files) => new RunStore(files));
opening.catch(() => undefined); // whoever asks is told

/** Bytes that have arrived of runs that this worker records. */
const sizes = new Map<string, number>();

async function begin(id: string, about: string, kernelURL: string): Promise<string> {
  const store = await opening;
  const response = await fetch(kernelURL, { cache: "force-cache" }); // the page has it: this is the browser's own copy
  const bytes = new Uint8Array(await response.arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const kernel = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  await store.begin({ id, started: Date.now(), kernel, about: JSON.parse(about) as Record<string, unknown> }, bytes);
  return kernel;
}

async function append(id: string, tape: Uint8Array, hashes: readonly string[], objects: readonly Uint8Array[]): Promise<number> {
  await (await opening).append(id, tape, hashes.map((hash, at) => [hash, objects[at] ?? new Uint8Array()] as const));
  const size = (sizes.get(id) ?? 0) + tape.length;
  sizes.set(id, size);
  return size;
}

const methods = {
  begin,
  append,
  finish: async (id: string) => (await opening).finish(id),
  list: async () => (await opening).list(),
  remove: async (id: string) => (await opening).remove(id),
  pin: async (id: string, pinned: boolean) => (await opening).pin(id, pinned),
};

servePort(scope, methods);
/** A recording machine's kernel worker has a port of its own. */
scope.addEventListener("message", ({ data, ports }: MessageEvent) => {
  if ((data as { method?: string }).method === "serve" && ports[0] !== undefined) servePort(ports[0], methods);
});
