/**
 * Snapshots: machines as they were, kept in this browser's private files, and the way back. A snapshot's file is the same
 * that `ebb snapshot export` writes.
 */

import { checkBlob } from "./arguments.js";
import { callPort, type Caller } from "./calls.js";
import { EbbError, errorFrom } from "./errors.js";
import { reserveMemory } from "./memory.js";
import type { Extent } from "./messages.js";
import type { Branch } from "./rewind.js";

/** What a snapshot is of. */
export interface SnapshotInfo {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly tick: number;
  readonly pinned: boolean;
  /** Of its pages; snapshots share those that are alike. */
  readonly bytes: number;
  readonly about: Readonly<Record<string, unknown>>;
}

export interface Snapshots {
  /** All of them, the newest first. */
  list(): Promise<readonly SnapshotInfo[]>;
  /** Drop one, and the pages that no other has. */
  remove(id: string): Promise<void>;
  /** One as a file, for `boot({ snapshot: URL })` or `ebb snapshot import`. */
  export(id: string): Promise<Blob>;
  /** Take one from a file; gives its id. */
  import(file: Blob): Promise<string>;
  /** A pinned one makes no room for newer ones. */
  pin(id: string, pinned?: boolean): Promise<void>;
  /** Bytes that all of them take; of `KEPT_MOST.snapshots.bytes` the oldest make room. */
  bytes(): Promise<number>;
}

/** Where pages lie: the span of a machine that is held still. */
export interface Held extends Extent {
  readonly tick: number;
  readonly about: Readonly<Record<string, unknown>>;
}

interface Head extends SnapshotInfo, Extent {
  readonly about: Readonly<Record<string, unknown>> & { readonly ram: number; readonly harts: number; readonly now_ns: number; readonly image: string | null };
}

const workers = new Map<string, Caller>();

function keeper(base: URL): Caller {
  const url = new URL("snapshots.js", base);
  let call = workers.get(url.href);
  if (call === undefined) workers.set(url.href, (call = callPort(new Worker(url, { type: "module", name: "ebb snapshots" }), undefined, errorFrom)));
  return call;
}

const bytesOf = async (file: Blob): Promise<Uint8Array> => new Uint8Array(await file.arrayBuffer());

export function openSnapshots(base: URL): Snapshots {
  const call: Caller = (method, params) => keeper(base)(method, params);
  return {
    list: async () => ((await call("list", [])) as readonly SnapshotInfo[]).map((one) => ({ ...one, created: one.created * 1000 })), // files have seconds
    remove: async (id) => void (await call("remove", [id])),
    pin: async (id, pinned = true) => void (await call("pin", [id, pinned])),
    export: async (id) => (await call("export", [id])) as Blob,
    async import(file) {
      checkBlob(file);
      return (await call("import", [await bytesOf(file)])) as string;
    },
    bytes: async () => (await call("bytes", [])) as number,
  };
}

/** Keep a machine: `hold` stops it and says what is not in its pages, `go` lets it go on. */
export async function takeSnapshot(base: URL, memory: WebAssembly.Memory, ramBytes: number, hold: () => Promise<Held>, go: () => Promise<unknown>): Promise<string> {
  const call = keeper(base);
  const held = await hold();
  try {
    await call("copy", [memory, memory.buffer.byteLength - ramBytes, held]);
  } finally {
    await go();
  }
  return (await call("keep", [held, new URL("kernel.wasm", base).href])) as string;
}

/** A machine of a snapshot. Its memory is being filled: `filled` settles when it is, with the kernel. */
export interface Filling extends Omit<Branch, "module"> {
  readonly harts: number;
  readonly filled: Promise<WebAssembly.Module>;
}

/** The machine of a snapshot, to go on from: an id of this browser, a file, or the address of one. */
export async function branchOf(base: URL, source: string | URL | Blob): Promise<Filling> {
  const call = keeper(base);
  const { key, head, kernel } = (await call("open", [await resolve(source)])) as { key: number; head: Head; kernel: Branch["kernel"] };
  const { ram, harts, now_ns, image } = head.about;
  const { memory, ramBytes } = reserveMemory(ram);
  if (ramBytes < ram) throw new EbbError("no-memory", `the browser gives no ${ram >> 20} MiB for this machine`);
  const filled = call("fill", [key, memory, memory.buffer.byteLength - ramBytes]) as Promise<WebAssembly.Module>;
  filled.catch(() => undefined); // whoever boots it waits for it, later
  const { id, tick, heap, low, pages } = head;
  const known = JSON.stringify({ terminals: [], blocks: [], ...head.about, snapshot: id, tick });
  return { memory, ramBytes, extent: { heap, low, pages }, kernel, filled, image: image ?? "base", known, ms: now_ns / 1e6, harts };
}

async function resolve(source: string | URL | Blob): Promise<string | Uint8Array> {
  if (source instanceof Blob) return bytesOf(source);
  if (typeof source === "string" && /^[0-9a-f]{4,64}$/.test(source)) return source;
  const url = new URL(source, location.href);
  const response = await fetch(url).catch((error: unknown) => {
    throw new EbbError("network", `${url.href} could not be fetched: ${String(error)}`);
  });
  if (!response.ok) {
    const meant = /^[\w-]+$/.test(String(source)) ? " The id of a snapshot, or its beginning, is at least 4 digits from 0 to f." : "";
    throw new EbbError("network", `${url.href} could not be fetched: ${response.status} ${response.statusText}.${meant}`);
  }
  return bytesOf(await response.blob());
}
