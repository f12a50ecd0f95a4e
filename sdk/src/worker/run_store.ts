/**
 * Recorded runs of this origin: tapes, the objects they name by SHA-256 (deflated, each once), and the kernels that made
 * them. Nothing here ever leaves the browser. The oldest runs that nobody has pinned make room for new ones.
 *
 *     runs/ID.json   what is known of a run        objects/HASH   deflated bytes
 *     tapes/ID       rewind/tape.py                uses/ID        the hashes that its tape names, one a line
 *     kernels/HASH   kernel.wasm               lasts/ID       when its tape was written last, in ms since 1970
 */

import { CallError } from "../calls.js";
import { KEPT_MOST } from "../limits.js";
import type { RunInfo } from "../messages.js";
import type { RunFiles } from "./run_files.js";

const { bytes: BYTES_MOST, count: RUNS_MOST } = KEPT_MOST.runs;

type Kept = Omit<RunInfo, "bytes" | "stored" | "last" | "live">;
/** What is known when it begins, and of one from elsewhere more. */
type Begun = Pick<Kept, "id" | "started" | "kernel" | "about">;
const FRESH = { ended: null, pinned: false, exitCode: null, redacted: false, signatures: [] } as const;

/** A run with all that a replay needs. */
export interface WholeRun {
  readonly info: RunInfo;
  readonly tape: Uint8Array<ArrayBuffer>;
  readonly kernel: Uint8Array<ArrayBuffer>;
  /** Deflated, by hash. */
  readonly objects: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

const LOCK = "ebb-runs";
const live = (id: string): string => `ebb-run ${id}`;
const idOf = (file: string): string => file.replace(/\.json$/, "");
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const FOLDERS = ["runs", "tapes", "uses", "lasts", "objects", "kernels"] as const;
/** What is there: bytes by folder and name. Right for as long as the lock is held. */
type Listing = Record<(typeof FOLDERS)[number], Map<string, number>>;

export class RunStore {
  private readonly known = new Set<string>();
  /** Ends the lock by which other tabs see that a run is live. */
  private readonly held = new Map<string, () => void>();
  private total = 0;
  private runs = 0;

  constructor(private readonly files: RunFiles) {}

  /** Begin a run; it counts as live until it is let go, or this worker ends. */
  begin(run: Begun, kernel: Uint8Array): Promise<void> {
    return locked(async () => {
      void navigator.locks.request(live(run.id), () => new Promise<void>((end) => this.held.set(run.id, end))).catch(() => undefined);
      const there = await this.look();
      await this.makeRoom(run.id, there);
      await this.keepKernel(run.kernel, kernel, there);
      await this.info({ ...FRESH, ...run });
    });
  }

  /** Add to a run what has happened until `last`: objects first, so that no tape names what is not there. */
  append(id: string, tape: Uint8Array, objects: readonly (readonly [string, Uint8Array])[], last: number | null): Promise<void> {
    return locked(async () => {
      const fresh = objects.filter(([hash]) => !this.known.has(hash));
      const deflated = await Promise.all(fresh.map(async ([hash, data]) => [hash, await deflate(data)] as const));
      for (const [hash, stored] of deflated) {
        await this.files.write(`objects/${hash}`, stored);
        this.known.add(hash);
        this.total += stored.length;
      }
      if (objects.length > 0) await this.files.append(`uses/${id}`, encoder.encode(objects.map(([hash]) => `${hash}\n`).join("")));
      if (last !== null) await this.files.write(`lasts/${id}`, encoder.encode(String(last)));
      if (tape.length > 0) await this.files.append(`tapes/${id}`, tape);
      this.total += tape.length;
      if (this.total > BYTES_MOST) await this.makeRoom(id, await this.look());
      if (this.total > BYTES_MOST) throw new CallError("storage", `this browser keeps ${BYTES_MOST / 1e6} MB of recordings, and they are full`);
    });
  }

  /** Take a run that was recorded elsewhere, or here. */
  async import(
    run: Omit<Kept, "pinned">,
    kernel: Uint8Array,
    tape: Uint8Array,
    objects: readonly (readonly [string, Uint8Array])[],
  ): Promise<void> {
    const mine = (await this.list()).find(({ id }) => id === run.id);
    if (mine !== undefined && (mine.live || mine.bytes >= tape.length)) return; // it came from here, or twice
    await locked(async () => {
      const there = await this.look();
      if (mine !== undefined) await this.drop(run.id, there);
      await this.makeRoom(run.id, there);
      await this.keepKernel(run.kernel, kernel, there);
      await this.info({ ...run, pinned: false });
    });
    await this.append(run.id, tape, objects, run.ended);
  }

  /** Note what a run began with, if that came later. */
  name(id: string, args: readonly string[]): Promise<void> {
    return locked(async () => {
      const kept = await this.read(id);
      if (kept !== null) await this.info({ ...kept, about: { ...kept.about, args } });
    });
  }

  async finish(id: string): Promise<void> {
    await locked(async () => {
      const kept = await this.read(id);
      if (kept !== null) await this.info({ ...kept, ended: Date.now() });
    });
    this.letGo(id);
  }

  /** Nothing more will come. */
  letGo(id: string): void {
    this.held.get(id)?.();
    this.held.delete(id);
  }

  pin(id: string, pinned: boolean): Promise<void> {
    return locked(async () => {
      const kept = (await this.has(id)) ? await this.read(id) : null;
      if (kept === null) throw missing(id);
      await this.info({ ...kept, pinned });
    });
  }

  /** All runs, the newest first. A file that another worker writes meanwhile could not be read. */
  list(): Promise<RunInfo[]> {
    return locked(async () => this.all(await this.look()));
  }

  /** Bytes that all of them take. */
  bytes(): Promise<number> {
    return locked(async () => {
      await this.look();
      return this.total;
    });
  }

  remove(id: string): Promise<void> {
    return locked(async () => {
      const there = await this.look();
      if (!there.runs.has(`${id}.json`)) throw missing(id);
      await this.drop(id, there);
    });
  }

  /** Read a whole run. */
  open(id: string): Promise<WholeRun> {
    return locked(async () => {
      const info = (await this.all(await this.look())).find((run) => run.id === id);
      const tape = await this.files.read(`tapes/${id}`);
      if (info === undefined || tape === null) throw missing(id);
      const kernel = await this.files.read(`kernels/${info.kernel}`);
      if (kernel === null) throw new CallError("damaged", `the kernel of run ${id} is missing`);
      const objects = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const hash of await this.uses(id)) {
        const data = await this.files.read(`objects/${hash}`);
        if (data !== null) objects.set(hash, data); // one that is missing is the reader's to notice
      }
      return { info, tape, kernel, objects };
    });
  }

  // ---- Inside the lock -----------------------------------------------------------------------------------------

  /** Look what is there: other tabs write, too. */
  private async look(): Promise<Listing> {
    const found = await Promise.all(FOLDERS.map(async (folder) => [folder, await this.files.list(folder)] as const));
    const there = Object.fromEntries(found) as Listing;
    this.known.clear();
    for (const hash of there.objects.keys()) this.known.add(hash);
    this.runs = there.runs.size;
    this.total = 0;
    for (const files of Object.values(there)) for (const bytes of files.values()) this.total += bytes;
    return there;
  }

  private async all({ runs, tapes, objects }: Listing): Promise<RunInfo[]> {
    const held = new Set((await navigator.locks.query()).held?.map(({ name }) => name));
    const found: RunInfo[] = [];
    for (const name of runs.keys()) {
      const kept = await this.read(idOf(name));
      if (kept === null) continue;
      const { id } = kept;
      const bytes = tapes.get(id) ?? 0;
      const beside = [...new Set(await this.uses(id))].reduce((sum, hash) => sum + (objects.get(hash) ?? 0), 0);
      found.push({ ...FRESH, ...kept, bytes, stored: bytes + beside, last: await this.last(id), live: held.has(live(id)) });
    }
    return found.sort((a, b) => b.started - a.started);
  }

  /** Whether there is a run, be it half written. */
  private async has(id: string): Promise<boolean> {
    return (await this.files.list("runs")).has(`${id}.json`);
  }

  private async read(id: string): Promise<Kept | null> {
    const bytes = await this.files.read(`runs/${id}.json`);
    try {
      return bytes === null ? null : (JSON.parse(decoder.decode(bytes)) as Kept);
    } catch {
      return null; // half written
    }
  }

  private async last(id: string): Promise<number | null> {
    const bytes = await this.files.read(`lasts/${id}`);
    return Number(decoder.decode(bytes ?? undefined)) || null;
  }

  private info(kept: Kept): Promise<void> {
    return this.files.write(`runs/${kept.id}.json`, encoder.encode(JSON.stringify(kept)));
  }

  private async uses(id: string): Promise<string[]> {
    const bytes = await this.files.read(`uses/${id}`);
    return bytes === null ? [] : decoder.decode(bytes).split("\n").filter((hash) => hash.length === 64);
  }

  private async keepKernel(hash: string, bytes: Uint8Array, there: Listing): Promise<void> {
    if (there.kernels.has(hash)) return;
    await this.files.write(`kernels/${hash}`, bytes);
    this.total += bytes.length;
  }

  /** Drop the oldest runs until one more fits; those that are pinned, live or `except` stay. */
  private async makeRoom(except: string, there: Listing): Promise<void> {
    if (this.runs < RUNS_MOST && this.total <= BYTES_MOST) return; // to look at all of them takes long
    const runs = (await this.all(there)).filter(({ id }) => id !== except);
    const old = runs.filter((run) => !run.pinned && !run.live).reverse();
    let left = runs.length;
    for (const run of old) {
      if (left < RUNS_MOST && this.total <= BYTES_MOST) break;
      await this.drop(run.id, there);
      left--;
    }
  }

  private async drop(id: string, there: Listing): Promise<void> {
    const remove = async (folder: keyof Listing, name: string): Promise<void> => {
      await this.files.remove(`${folder}/${name}`);
      this.total -= there[folder].get(name) ?? 0;
      there[folder].delete(name);
    };
    await remove("runs", `${id}.json`);
    for (const folder of ["tapes", "uses", "lasts"] as const) await remove(folder, id);
    this.runs = there.runs.size;
    const used = new Set<string>();
    for (const other of there.uses.keys()) for (const hash of await this.uses(other)) used.add(hash);
    for (const hash of [...there.objects.keys()].filter((one) => !used.has(one))) {
      await remove("objects", hash);
      this.known.delete(hash);
    }
    const kernels = new Set<string | undefined>();
    for (const name of there.runs.keys()) kernels.add((await this.read(idOf(name)))?.kernel);
    for (const hash of [...there.kernels.keys()].filter((one) => !kernels.has(one))) await remove("kernels", hash);
  }
}

const missing = (id: string): CallError => new CallError("not-found", `there is no run ${id} in this browser`);

/** One reader or writer at a time, of all tabs. */
const locked = <T>(work: () => Promise<T>): Promise<T> => navigator.locks.request(LOCK, work) as Promise<T>;

async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
