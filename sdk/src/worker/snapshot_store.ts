/**
 * Snapshots of machines, in the origin's private file system: pages of 4 KiB, each kept once by its SHA-256.
 *
 *     info/ID         JSON: what it is of, and its nodes' hashes by number
 *     nodes/HASH      for each of 512 pages its hash and its place in `pages`; zeros have place 0
 *     places/ID       for each node its number and its 512 places, so that a machine is read with few files
 *     kernels/HASH    kernel.wasm
 *     pages           the pages, one after the other; what no node names is room for new ones
 *
 * Pages are written before the node that names them, nodes before the snapshot: what a crash leaves is dropped later.
 * The oldest snapshots that nobody has pinned make room for new ones.
 */

import { CallError } from "../calls.js";
import { KEPT_MOST } from "../limits.js";
import { hex, nameOf, sha256 } from "../hash.js";
import { privateFiles, privateFolder, type RunFiles } from "./run_files.js";
import { NODE, PAGE, rootOf, type NodePages, type SnapshotFile, type SnapshotHead } from "./snapshot_file.js";

const LOCK = "ebb-snapshots";
const { bytes: BYTES_MOST, count: COUNT_MOST } = KEPT_MOST.snapshots;
const ROW = 36;
const BLOCK = 256; // pages
const ZERO_NODE = new Uint8Array(32);

interface Kept extends SnapshotHead {
  /** Of nodes that are not zero. */
  readonly nodes: readonly (readonly [number: number, hash: string])[];
  readonly pinned?: boolean;
}

export interface SnapshotInfo extends SnapshotHead {
  readonly pinned: boolean;
  /** Of its pages that are not zero; snapshots share those that are alike. */
  readonly bytes: number;
}

/** Pages as they are in a machine; the heap's from 0 on, the frames' from `low` on. */
export interface Copied {
  readonly head: Omit<SnapshotHead, "id">;
  readonly nodes: Map<number, Map<number, Uint8Array<ArrayBuffer>>>;
}

/** One reader or writer at a time, of all tabs: a file that is written meanwhile cannot be read. */
const locked = <T>(work: () => Promise<T>): Promise<T> => navigator.locks.request(LOCK, work) as Promise<T>;
const encode = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));

export class SnapshotStore {
  private constructor(
    private readonly files: RunFiles,
    private readonly folder: FileSystemDirectoryHandle,
  ) {}

  static async open(): Promise<SnapshotStore> {
    const folder = await privateFolder("ebb-snapshots");
    if (folder === null) throw new CallError("storage", "this browser keeps no files for a page, so it keeps no snapshots");
    return new SnapshotStore(privateFiles(folder), folder);
  }

  list(): Promise<SnapshotInfo[]> {
    return locked(async () => {
      const found: SnapshotInfo[] = [];
      for (const { nodes: _, pinned = false, ...head } of await this.all()) {
        const places = await this.files.read(`places/${head.id}`);
        const words = new Uint32Array(places?.buffer ?? new ArrayBuffer());
        let pages = 0;
        for (let word = 0; word < words.length; word++) if (word % (1 + NODE) !== 0 && words[word] !== 0) pages++;
        found.push({ ...head, pinned, bytes: pages * PAGE });
      }
      return found.sort((a, b) => b.created - a.created);
    });
  }

  pin(id: string, pinned: boolean): Promise<void> {
    return locked(async () => {
      const kept = await this.find(id);
      await this.files.write(`info/${kept.id}`, encode({ ...kept, pinned }));
    });
  }

  /** Keep a machine; gives the snapshot's id. */
  create(copied: Copied, kernel: Uint8Array<ArrayBuffer>, expected?: string): Promise<string> {
    return locked(async () => {
      const zero = await sha256(new Uint8Array(PAGE));
      const { head, nodes } = copied;
      const rows = new Map<number, { hash: string; data: Uint8Array<ArrayBuffer> }>();
      const hashes: Uint8Array[] = Array.from({ length: Math.ceil(head.pages / NODE) }, () => ZERO_NODE);
      const fresh = new Map<string, Uint8Array<ArrayBuffer>>();
      const pages = new Map<number, Map<number, Uint8Array<ArrayBuffer>>>(); // hash of each page that is not zero
      for (const [number, node] of nodes) {
        const names = new Map<number, Uint8Array<ArrayBuffer>>();
        await Promise.all([...node].map(async ([page, bytes]) => void names.set(page, await sha256(bytes))));
        const count = Math.min(NODE, head.pages - number * NODE);
        const list = new Uint8Array(count * 32);
        for (let page = 0; page < count; page++) list.set(names.get(page) ?? zero, page * 32);
        hashes[number] = await sha256(list);
        pages.set(number, names);
        for (const [page, hash] of names) fresh.set(hex(hash), node.get(page)!);
      }
      const id = await rootOf(head, hashes);
      if (expected !== undefined && id !== expected) throw new CallError("damaged", `the file's snapshot is ${id} and not ${expected}`);
      const before = (await this.all()).find((one) => one.id === id);
      await this.makeRoom(id, new Set(fresh.keys()));
      const known = await this.places(await this.all());
      for (const name of known.keys()) fresh.delete(name);
      await this.write(fresh, known);
      for (const [number, names] of pages) {
        const data = new Uint8Array(NODE * ROW);
        const fields = new DataView(data.buffer);
        for (const [page, hash] of names) {
          data.set(hash, page * ROW);
          fields.setUint32(page * ROW + 32, known.get(hex(hash)) ?? 0, true);
        }
        rows.set(number, { hash: hex(hashes[number] ?? ZERO_NODE), data });
      }
      const there = await this.files.list("nodes");
      for (const { hash, data } of rows.values()) if (!there.has(hash)) await this.files.write(`nodes/${hash}`, data);
      if (!(await this.files.list("kernels")).has(head.kernel)) await this.files.write(`kernels/${head.kernel}`, kernel);
      const places = [...rows].flatMap(([number, { data }]) => {
        const fields = new DataView(data.buffer);
        return [number, ...Array.from({ length: NODE }, (_, page) => fields.getUint32(page * ROW + 32, true))];
      });
      await this.files.write(`places/${id}`, new Uint8Array(Uint32Array.from(places).buffer));
      const kept: Kept = { id, ...head, pinned: before?.pinned ?? false, nodes: [...rows].map(([number, { hash }]) => [number, hash]) };
      await this.files.write(`info/${id}`, encode(kept));
      return id;
    });
  }

  /** Put a snapshot's pages into a memory whose machine has none; `base` is where it begins. */
  restore(id: string, memory: WebAssembly.Memory, base: number): Promise<void> {
    return locked(async () => {
      const { nodes, ...head } = await this.find(id);
      const target = new Uint8Array(memory.buffer);
      await this.withPages(async (file) => {
        const places = await this.files.read(`places/${head.id}`);
        const words = new Uint32Array(places?.buffer ?? new ArrayBuffer());
        if (words.length !== nodes.length * (1 + NODE)) throw new CallError("damaged", `snapshot ${id} is damaged`);
        for (let begin = 0; begin < words.length; begin += 1 + NODE) {
          const first = (words[begin] ?? 0) * NODE;
          const row = words.subarray(begin + 1, begin + 1 + NODE);
          for (let page = 0; page < NODE; ) {
            const place = row[page] ?? 0;
            let end = page + 1;
            while (place > 0 && end < NODE && row[end] === place + end - page) end++;
            if (place > 0) {
              const at = base + (first + page) * PAGE;
              const wanted = (end - page) * PAGE;
              const got = file.read(target.subarray(at, at + wanted), { at: place * PAGE });
              if (got !== wanted) throw new CallError("damaged", `page ${first + page} of snapshot ${id} is missing`);
            }
            page = end;
          }
        }
      });
    });
  }

  /** Read all of a snapshot. */
  whole(id: string): Promise<SnapshotFile> {
    return locked(async () => {
      const { nodes, pinned: _, ...head } = await this.find(id);
      const found = new Map<number, NodePages>();
      await this.withPages(async (file) => {
        for (const [number, hash] of nodes) {
          const rows = await this.rows(hash);
          const pages = new Map<number, Uint8Array<ArrayBuffer>>();
          for (let page = 0; page < NODE; page++) {
            const place = rows.getUint32(page * ROW + 32, true);
            if (place === 0) continue;
            const bytes = new Uint8Array(PAGE);
            file.read(bytes, { at: place * PAGE });
            if ((await nameOf(bytes)) !== hex(new Uint8Array(rows.buffer, page * ROW, 32))) throw new CallError("damaged", `page ${number * NODE + page} of snapshot ${id} is damaged`);
            pages.set(page, bytes);
          }
          found.set(number, pages);
        }
      });
      return { head, kernel: await this.kernel(head.kernel), nodes: found };
    });
  }

  head(id: string): Promise<{ head: SnapshotHead; kernel: Uint8Array<ArrayBuffer> }> {
    return locked(async () => {
      const { nodes: _, pinned: __, ...head } = await this.find(id);
      return { head, kernel: await this.kernel(head.kernel) };
    });
  }

  /** Drop a snapshot, and the nodes, pages and kernels that only it has. */
  remove(id: string): Promise<void> {
    return locked(async () => this.drop([(await this.find(id)).id]));
  }

  /** Bytes that all snapshots take. */
  bytes(): Promise<number> {
    return locked(async () => {
      let sum = 0;
      for (const folder of ["info", "nodes", "places", "kernels", "data"]) for (const size of (await this.files.list(folder)).values()) sum += size;
      return sum;
    });
  }

  // ---- Inside the lock -----------------------------------------------------------------------------------------

  private async all(): Promise<Kept[]> {
    const found: Kept[] = [];
    for (const id of (await this.files.list("info")).keys()) {
      const bytes = await this.files.read(`info/${id}`);
      try {
        if (bytes !== null) found.push(JSON.parse(new TextDecoder().decode(bytes)) as Kept);
      } catch {
        // half written
      }
    }
    return found;
  }

  /** By its id or the beginning of it. */
  private async find(id: string): Promise<Kept> {
    const found = (await this.all()).filter((one) => id !== "" && one.id.startsWith(id));
    if (found.length !== 1) throw new CallError("not-found", found.length ? `${id} begins ${found.length} ids` : `there is no snapshot ${id} in this browser`);
    return found[0]!;
  }

  private async kernel(hash: string): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.files.read(`kernels/${hash}`);
    if (bytes === null || (await nameOf(bytes)) !== hash) throw new CallError("damaged", `the kernel ${hash} of the snapshot is missing or damaged`);
    return bytes;
  }

  private async rows(hash: string): Promise<DataView> {
    const bytes = await this.files.read(`nodes/${hash}`);
    if (bytes?.length !== NODE * ROW) throw new CallError("damaged", `node ${hash} of the snapshot is missing or damaged`);
    return new DataView(bytes.buffer);
  }

  /** Where each page lies that some snapshots have. */
  private async places(some: readonly Kept[]): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    const live = new Set(some.flatMap((one) => one.nodes.map(([, hash]) => hash)));
    for (const hash of live) {
      const rows = await this.rows(hash);
      for (let page = 0; page < NODE; page++) {
        const place = rows.getUint32(page * ROW + 32, true);
        if (place > 0) found.set(hex(new Uint8Array(rows.buffer, page * ROW, 32)), place);
      }
    }
    return found;
  }

  /** Drop the oldest until a snapshot of these pages fits; if it cannot, none is dropped. */
  private async makeRoom(id: string, pages: ReadonlySet<string>): Promise<void> {
    const others = (await this.all()).filter((one) => one.id !== id).sort((a, b) => a.created - b.created);
    const fits = async (some: readonly Kept[]): Promise<boolean> => {
      if (some.length >= COUNT_MOST) return false;
      const all = new Set(pages);
      for (const name of (await this.places(some)).keys()) all.add(name);
      return all.size * PAGE <= BYTES_MOST;
    };
    const old = others.filter(({ pinned }) => !pinned);
    let left = others;
    for (let drop = 0; !(await fits(left)); ) {
      const oldest = old[drop++];
      if (oldest === undefined) throw new CallError("storage", `this browser keeps ${COUNT_MOST} snapshots and ${BYTES_MOST / 1e6} MB of their pages, and they are full`);
      left = left.filter((one) => one !== oldest);
    }
    await this.drop(others.filter((one) => !left.includes(one)).map((one) => one.id));
  }

  private async drop(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    for (const id of ids) {
      await this.files.remove(`info/${id}`);
      await this.files.remove(`places/${id}`);
    }
    const all = await this.all();
    const nodes = new Set(all.flatMap((one) => one.nodes.map(([, hash]) => hash)));
    const kernels = new Set(all.map(({ kernel }) => kernel));
    for (const hash of (await this.files.list("nodes")).keys()) if (!nodes.has(hash)) await this.files.remove(`nodes/${hash}`);
    for (const hash of (await this.files.list("kernels")).keys()) if (!kernels.has(hash)) await this.files.remove(`kernels/${hash}`);
    let last = 0;
    for (const place of (await this.places(all)).values()) last = Math.max(last, place);
    await this.withPages(async (file) => file.truncate((last + 1) * PAGE));
  }

  private async write(fresh: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, known: Map<string, number>): Promise<void> {
    const taken = new Set(known.values());
    await this.withPages(async (file) => {
      const block = new Uint8Array(BLOCK * PAGE); // neighbours are written together: a write costs what 1 MiB does
      let [place, first, count] = [1, 0, 0];
      const put = (): void => {
        const joined = block.subarray(0, count * PAGE);
        if (file.write(joined, { at: first * PAGE }) < joined.length) throw new CallError("storage", "the browser keeps no more for this page");
        count = 0;
      };
      for (const [name, bytes] of fresh) {
        while (taken.has(place)) place++;
        if (count === BLOCK || place !== first + count) put();
        if (count === 0) first = place;
        block.set(bytes, count++ * PAGE);
        known.set(name, place++);
      }
      put();
      file.flush();
    });
  }

  private async withPages(work: (file: FileSystemSyncAccessHandle) => Promise<void>): Promise<void> {
    const data = await this.folder.getDirectoryHandle("data", { create: true });
    const file = await (await data.getFileHandle("pages", { create: true })).createSyncAccessHandle();
    try {
      await work(file);
    } finally {
      file.close();
    }
  }
}
