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
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const FOLDERS = ["runs", "tapes", "uses", "lasts", "objects", "kernels"] as const;

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
      await this.count();
      await this.makeRoom(run.id);
      await this.keepKernel(run.kernel, kernel);
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
      if (this.total > BYTES_MOST) await this.makeRoom(id);
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
      if (mine !== undefined) await this.drop(run.id);
      await this.count();
      await this.makeRoom(run.id);
      await this.keepKernel(run.kernel, kernel);
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
    return locked(() => this.all());
  }

  /** Bytes that all of them take. */
  bytes(): Promise<number> {
    return locked(async () => {
      await this.count();
      return this.total;
    });
  }

  remove(id: string): Promise<void> {
    return locked(async () => {
      if (!(await this.has(id))) throw missing(id);
      await this.drop(id);
    });
  }

  /** Read a whole run. */
  open(id: string): Promise<WholeRun> {
    return locked(async () => {
      const info = (await this.all()).find((run) => run.id === id);
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

  private async all(): Promise<RunInfo[]> {
    const [runs, tapes, objects, locks] = await Promise.all([
      this.files.list("runs"), this.files.list("tapes"), this.files.list("objects"), navigator.locks.query(),
    ]);
    const held = new Set(locks.held?.map(({ name }) => name));
    const found: RunInfo[] = [];
    for (const name of runs.keys()) {
      const kept = await this.read(name.replace(/\.json$/, ""));
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

  private async keepKernel(hash: string, bytes: Uint8Array): Promise<void> {
    if ((await this.files.list("kernels")).has(hash)) return;
    await this.files.write(`kernels/${hash}`, bytes);
    this.total += bytes.length;
  }

  /** Look again at what is there: other tabs write, too. */
  private async count(): Promise<void> {
    this.known.clear();
    this.total = 0;
    for (const folder of FOLDERS) {
      const files = await this.files.list(folder);
      if (folder === "runs") this.runs = files.size;
      for (const [name, bytes] of files) {
        this.total += bytes;
        if (folder === "objects") this.known.add(name);
      }
    }
  }

  /** Drop the oldest runs until one more fits; those that are pinned, live or `except` stay. */
  private async makeRoom(except: string): Promise<void> {
    if (this.runs < RUNS_MOST && this.total <= BYTES_MOST) return; // to look at all of them takes long
    const runs = (await this.all()).filter(({ id }) => id !== except);
    const old = runs.filter((run) => !run.pinned && !run.live).reverse();
    let left = runs.length;
    for (const run of old) {
      if (left < RUNS_MOST && this.total <= BYTES_MOST) break;
      await this.drop(run.id);
      left--;
    }
  }

  private async drop(id: string): Promise<void> {
    for (const path of [`runs/${id}.json`, `tapes/${id}`, `uses/${id}`, `lasts/${id}`]) await this.files.remove(path);
    const used = new Set<string>();
    for (const other of (await this.files.list("uses")).keys()) for (const hash of await this.uses(other)) used.add(hash);
    for (const hash of (await this.files.list("objects")).keys()) {
      if (!used.has(hash)) await this.files.remove(`objects/${hash}`);
    }
    const kernels = new Set((await this.all()).map(({ kernel }) => kernel));
    for (const hash of (await this.files.list("kernels")).keys()) {
      if (!kernels.has(hash)) await this.files.remove(`kernels/${hash}`);
    }
    await this.count();
  }
}

const missing = (id: string): CallError => new CallError("not-found", `there is no run ${id} in this browser`);

/** One reader or writer at a time, of all tabs. */
const locked = <T>(work: () => Promise<T>): Promise<T> => navigator.locks.request(LOCK, work) as Promise<T>;

async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
