/**
 * Entry of the worker that replays a run: Python (ebbtide.browser.rewinding) steps its machine, this side holds the memory
 * and reads the store. It starts nothing and sends nothing; what a replayed machine puts out is only looked at.
 */

import type { PyProxy } from "pyodide/ffi";
import { CallError, servePort } from "../calls.js";
import { nameOf, sha256 } from "../hash.js";
import type { RunInfo, TraceRow, Verdict, VerifyLevels } from "../messages.js";
import type { Branch } from "../rewind.js";
import type { RuntimeAssets } from "../runtime_assets.js";
import { checkEd25519 } from "./ed25519.js";
import { abiText } from "./kernel.js";
import { readImage } from "./image.js";
import { loadLate, loadRuntime } from "./pyodide_loader.js";
import { openRunFiles } from "./run_files.js";
import { RunStore, type WholeRun } from "./run_store.js";
import { stageMemory, type StageMemory } from "./stage_memory.js";

/** `Rewinding` of ebbtide/browser/rewinding.py. */
interface Rewinding extends PyProxy {
  open(abi: unknown): void;
  advance(seconds: number): PyProxy;
  seek(tick: number): void;
  branch(tick: number, memory: WebAssembly.Memory): string;
  trace(layer: string, options: string, told: Told): string;
  profile(options: string, name: string, chunk: (hash: string) => Uint8Array | null, told: Told): PyProxy | string;
  verify(told: Told): PyProxy;
  readonly ram: number;
  readonly tick: number;
  readonly begin: number;
  readonly end: number;
  readonly cut: boolean;
  readonly whole: boolean;
}

/** How far a look is, and what it has found since it said so last. */
type Told = (part: number, rows: readonly TraceRow[]) => void;

interface Module {
  Rewinding(tape: Uint8Array, objects: unknown, makeMemory: (ram: number) => StageMemory): Rewinding;
  verify_tape(tape: Uint8Array, objects: unknown, kernel: string, deep: boolean, sha256: typeof hashPieces, told: Told): Promise<PyProxy>;
  read_abi_text(text: string): PyProxy;
  export_run(info: string, kernel: Uint8Array, tape: Uint8Array, objects: unknown, hashes: readonly string[]): PyProxy;
  import_run(file: Uint8Array): PyProxy;
  signed_heads(tape: Uint8Array, id: string, signatures: string, key: string): PyProxy;
}

/** What `signed_heads` leaves to this side. */
interface SignedHeads extends Omit<Verdict, "signedBy"> {
  readonly by: string;
  readonly heads: readonly (readonly [key: Uint8Array<ArrayBuffer>, message: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>, leaf: number])[];
}

/** What `import_run` finds in a file. */
interface Imported extends Pick<RunInfo, "id" | "started" | "ended" | "exitCode" | "redacted"> {
  readonly about: string;
  readonly signatures: string;
  readonly kernelHash: string;
  readonly kernel: Uint8Array;
  readonly tape: Uint8Array;
  readonly objects: readonly (readonly [string, Uint8Array])[];
}

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
/** What a page waits for at most before it hears how far a first pass is. */
const SLICE_S = 0.1;

let python: Module | null = null;
let imagesURL = "";
let opened: { run: WholeRun; kernel: WebAssembly.Module; rewinding: Rewinding } | null = null;
const store = openRunFiles().then((files) => new RunStore(files));
store.catch(() => undefined);

function module(): Module {
  if (python === null) throw new Error("the worker was not started");
  return python;
}

function current(): Rewinding {
  if (opened === null) throw new Error("no run is open");
  return opened.rewinding;
}

/** Bytes that Python gave. */
function bytesOf(proxy: PyProxy): Uint8Array<ArrayBuffer> {
  const bytes = (proxy as unknown as { toJs(): Uint8Array<ArrayBuffer> }).toJs();
  proxy.destroy();
  return bytes;
}

const plain = (proxy: PyProxy): unknown => {
  const value: unknown = (proxy as unknown as { toJs(options: object): unknown }).toJs({ dict_converter: Object.fromEntries });
  proxy.destroy();
  return value;
};

/** The hashes, one behind the other, of pieces of Python's bytes, each up to an end. They are copied before this returns. */
function hashPieces(bytes: PyProxy, ends: readonly number[]): Promise<Uint8Array> {
  const buffer = (bytes as unknown as { getBuffer(type: "u8"): { data: Uint8Array<ArrayBuffer>; release(): void } }).getBuffer("u8");
  const begun = ends.map((end, at) => sha256(buffer.data.subarray(ends[at - 1] ?? 0, end)));
  buffer.release();
  return Promise.all(begun).then((hashes) => {
    const all = new Uint8Array(hashes.length * 32);
    hashes.forEach((hash, at) => all.set(hash, at * 32));
    return all;
  });
}

const told: Told = (part, rows) => scope.postMessage({ part, rows });

/** Check a run's signed heads; those of one key, if it is given. */
async function checkSigned({ info, tape }: WholeRun, key: string): Promise<Omit<Verdict, "state"> & { state: "whole" | "damaged" }> {
  const found = plain(module().signed_heads(tape, info.id, JSON.stringify(info.signatures), key)) as SignedHeads;
  if (found.state === "damaged") return { ...found, state: "damaged", signedBy: null };
  for (const [publicKey, message, signature, leaf] of found.heads) {
    const good = await checkEd25519(publicKey, message, signature);
    if (good === null && key !== "") throw new Error("this browser cannot check signatures: it has no Ed25519");
    if (good === null) return { state: "whole", said: ["signatures not checked: this browser has no Ed25519"], why: "", signedBy: null };
    if (!good) return { state: "damaged", said: [], why: `the signature after leaf ${leaf} is not that of its key`, signedBy: null };
  }
  return { state: "whole", said: found.said, why: "", signedBy: found.by || null };
}

async function openRun(run: WholeRun): Promise<NonNullable<typeof opened>> {
  if (run.info.redacted) throw new CallError("redacted", `run ${run.info.id} was exported with --redact; such a run no longer replays`);
  const kernel = await WebAssembly.compile(run.kernel);
  const rewinding = module().Rewinding(run.tape, run.objects, (ram) => stageMemory(kernel, ram));
  rewinding.open(module().read_abi_text(abiText(kernel)));
  return (opened = { run, kernel, rewinding });
}

servePort(scope, {
  async start(assets: RuntimeAssets, images: string) {
    imagesURL = images;
    const runtime = await loadRuntime(assets);
    await loadLate(runtime, assets);
    python = runtime.pyimport("ebbtide.browser.rewinding") as unknown as Module;
  },

  async open(id: string): Promise<{ info: RunInfo; begin: number; end: number; cut: boolean }> {
    const { run, rewinding } = await openRun(await (await store).open(id));
    return { info: run.info, begin: rewinding.begin, end: rewinding.end, cut: rewinding.cut };
  },

  advance(): unknown {
    const rewinding = current();
    const events = plain(rewinding.advance(SLICE_S));
    return { events, tick: rewinding.tick, whole: rewinding.whole };
  },

  seek(tick: number): number {
    current().seek(tick);
    return current().tick;
  },

  trace: (layer: string, options: object): string => current().trace(layer, JSON.stringify(options), told),

  profile(options: object): Uint8Array | string {
    const { info } = opened!.run;
    const image = readImage(imagesURL, String(info.about["image"] ?? "base"));
    const made = current().profile(JSON.stringify(options), info.id, (hash) => image.read(hash), told);
    return typeof made === "string" ? made : bytesOf(made);
  },

  async verify(id: string, levels: VerifyLevels): Promise<Verdict> {
    const run = await (await store).open(id);
    const kernel = await nameOf(run.kernel);
    const found = plain(await module().verify_tape(run.tape, run.objects, kernel, levels.objects ?? false, hashPieces, told)) as Omit<Verdict, "signedBy">;
    const said = [...found.said];
    const right = (): boolean => found.state === "whole" || found.state === "cut";
    let signedBy: string | null = null;
    if (right() && (levels.signatures || levels.key)) {
      const signed = await checkSigned(run, levels.key ?? "");
      said.push(...signed.said);
      if (signed.state === "damaged") return { ...signed, said };
      ({ signedBy } = signed);
    }
    if (!levels.replay || !right()) return { ...found, said, signedBy };
    const again = plain((await openRun(run)).rewinding.verify(told)) as Omit<Verdict, "signedBy">;
    return { ...again, said: [...said, ...again.said], signedBy };
  },

  ram: () => current().ram,

  branch(tick: number, memory: WebAssembly.Memory): Pick<Branch, "known" | "module" | "kernel" | "image"> {
    const known = current().branch(tick, memory);
    const { run, kernel } = opened!;
    return { known, module: kernel, kernel: run.kernel, image: String(run.info.about["image"] ?? "base") };
  },

  async export(id: string): Promise<Uint8Array> {
    const { info, kernel, tape, objects } = await (await store).open(id);
    return bytesOf(module().export_run(JSON.stringify(info), kernel, tape, objects, [...objects.keys()]));
  },

  async import(file: Uint8Array<ArrayBuffer>): Promise<string> {
    const found = plain(module().import_run(file)) as Imported;
    const { id, started, ended, exitCode, redacted, kernelHash } = found;
    const about = JSON.parse(found.about) as Record<string, unknown>;
    const signatures = JSON.parse(found.signatures) as unknown[];
    const run = { id, started, ended, kernel: kernelHash, about, exitCode, redacted, signatures };
    await (await store).import(run, found.kernel, found.tape, found.objects);
    return id;
  },
});
