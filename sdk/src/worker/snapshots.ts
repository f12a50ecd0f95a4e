/** Entry of the worker that keeps snapshots: it copies a machine's pages out of shared memory, and back into another. */

import { CallError, servePort } from "../calls.js";
import { nameOf, sha256 } from "../hash.js";
import { NODE, PAGE, readSnapshot, rootOf, writeSnapshot, type SnapshotFile, type SnapshotHead } from "./snapshot_file.js";
import { SnapshotStore, type Copied } from "./snapshot_store.js";

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
let opening: Promise<SnapshotStore> | null = null;
const store = (): Promise<SnapshotStore> => (opening ??= SnapshotStore.open());

/** What the page was told of, and is to boot from. */
const opened = new Map<number, { file: SnapshotFile | null; id: string; module: Promise<WebAssembly.Module> }>();
let keys = 0;
let copied: Copied["nodes"] = new Map();

type Head = Omit<SnapshotHead, "id">;

const WORDS = PAGE / 4;

/** The pages of a machine at rest that are not zero. */
function copyPages(memory: WebAssembly.Memory, base: number, { heap, low, pages }: Pick<Head, "heap" | "low" | "pages">): Copied["nodes"] {
  const words = new Int32Array(memory.buffer);
  const nodes: Copied["nodes"] = new Map();
  const take = (from: number, to: number): void => {
    for (let page = from; page < to; page++) {
      const start = (base + page * PAGE) / 4;
      let word = 0;
      while (word < WORDS && words[start + word] === 0) word++;
      if (word === WORDS) continue;
      const number = Math.floor(page / NODE);
      let node = nodes.get(number);
      if (node === undefined) nodes.set(number, (node = new Map()));
      node.set(page % NODE, new Uint8Array(words.slice(start, start + WORDS).buffer));
    }
  };
  take(0, heap);
  take(low, pages);
  return nodes;
}

/** Whether a file's pages are those of its id. */
async function check({ head, nodes }: SnapshotFile): Promise<void> {
  const zero = await sha256(new Uint8Array(PAGE));
  const hashes = await Promise.all(Array.from({ length: Math.ceil(head.pages / NODE) }, async (_, number) => {
    const node = nodes.get(number);
    if (node === undefined) return new Uint8Array(32);
    const list = new Uint8Array(Math.min(NODE, head.pages - number * NODE) * 32);
    await Promise.all(Array.from({ length: list.length / 32 }, async (__, page) => {
      const bytes = node.get(page);
      list.set(bytes === undefined ? zero : await sha256(bytes.slice()), page * 32);
    }));
    return sha256(list);
  }));
  const id = await rootOf(head, hashes);
  if (id !== head.id) throw new CallError("damaged", `the file's snapshot is ${id} and not ${head.id}`);
}

servePort(scope, {
  /** Copy the pages; after that the machine may go on. */
  copy(memory: WebAssembly.Memory, base: number, extent: Head): void {
    copied = copyPages(memory, base, extent);
  },

  /** Keep what was copied. */
  async keep(extent: Omit<Head, "kernel" | "created">, kernelURL: string): Promise<string> {
    const nodes = copied;
    copied = new Map();
    const response = await fetch(kernelURL, { cache: "force-cache" }); // the page has it
    const kernel = new Uint8Array(await response.arrayBuffer());
    const hash = await nameOf(kernel);
    return (await store()).create({ head: { ...extent, kernel: hash, created: Date.now() / 1000 }, nodes }, kernel);
  },

  /** Say what a snapshot is of that is to be booted from: an id, or a file. */
  async open(source: string | Uint8Array<ArrayBuffer>): Promise<{ key: number; head: SnapshotHead; kernel: Uint8Array }> {
    const file = typeof source === "string" ? null : await readSnapshot(source);
    if (file !== null) await check(file);
    const { head, kernel } = file ?? (await (await store()).head(source as string));
    const module = WebAssembly.compile(kernel);
    module.catch(() => undefined); // told to who asks for it
    opened.set(++keys, { file, id: head.id, module });
    return { key: keys, head, kernel };
  },

  /** Put its pages into a memory; gives its kernel, which the browser compiles meanwhile. */
  async fill(key: number, memory: WebAssembly.Memory, base: number): Promise<WebAssembly.Module> {
    const { file, id, module } = opened.get(key)!;
    opened.delete(key);
    if (file === null) await (await store()).restore(id, memory, base);
    else {
      const bytes = new Uint8Array(memory.buffer);
      for (const [number, pages] of file.nodes) for (const [page, data] of pages) bytes.set(data, base + (number * NODE + page) * PAGE);
    }
    return module;
  },

  list: async () => (await store()).list(),
  remove: async (id: string) => (await store()).remove(id),
  pin: async (id: string, pinned: boolean) => (await store()).pin(id, pinned),
  bytes: async () => (await store()).bytes(),
  export: async (id: string) => writeSnapshot(await (await store()).whole(id)),

  async import(data: Uint8Array<ArrayBuffer>): Promise<string> {
    const { head, kernel, nodes } = await readSnapshot(data);
    const { id, ...rest } = head;
    const own = new Map([...nodes].map(([number, pages]) => [number, new Map([...pages].map(([page, bytes]) => [page, bytes.slice()]))]));
    return (await store()).create({ head: rest, nodes: own }, kernel, id);
  },
});
