/**
 * Entry of the worker that replays a run: Python (ebbtide.browser.rewinding) steps its machine, this side holds the memory
 * and reads the store. It starts nothing and sends nothing; what a replayed machine puts out is only looked at.
 */

import type { PyProxy } from "pyodide/ffi";
import { servePort } from "../calls.js";
import type { RunInfo } from "../messages.js";
import type { RuntimeAssets } from "../runtime_assets.js";
import { abiText } from "./kernel.js";
import { loadRuntime } from "./pyodide_loader.js";
import { openRunFiles } from "./run_files.js";
import { RunStore, type WholeRun } from "./run_store.js";
import { stageMemory, type StageMemory } from "./stage_memory.js";

/** `Rewinding` of ebbtide/browser/rewinding.py. */
interface Rewinding extends PyProxy {
  open(abi: unknown): void;
  advance(seconds: number): PyProxy;
  seek(tick: number): void;
  branch(tick: number, memory: WebAssembly.Memory): string;
  readonly ram: number;
  readonly tick: number;
  readonly end: number;
  readonly cut: boolean;
  readonly whole: boolean;
}

interface Module {
  Rewinding(tape: Uint8Array, objects: unknown, makeMemory: (ram: number) => StageMemory): Rewinding;
  read_abi_text(text: string): PyProxy;
  export_run(info: string, kernel: Uint8Array, tape: Uint8Array, objects: unknown, hashes: readonly string[]): PyProxy;
  import_run(file: Uint8Array): PyProxy;
}

/** What `import_run` finds in a file. */
interface Imported {
  readonly id: string;
  readonly started: number;
  readonly ended: number | null;
  readonly about: string;
  readonly kernelHash: string;
  readonly kernel: Uint8Array;
  readonly tape: Uint8Array;
  readonly objects: readonly (readonly [string, Uint8Array])[];
}

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
/** What a page waits for at most before it hears how far a first pass is. */
const SLICE_S = 0.1;

let python: Module | null = null;
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

servePort(scope, {
  async start(assets: RuntimeAssets) {
    python = (await loadRuntime(assets)).pyimport("ebbtide.browser.rewinding") as unknown as Module;
  },

  async open(id: string): Promise<{ info: RunInfo; end: number; cut: boolean }> {
    const run = await (await store).open(id);
    const kernel = await WebAssembly.compile(run.kernel);
    const rewinding = module().Rewinding(run.tape, run.objects, (ram) => stageMemory(kernel, ram));
    rewinding.open(module().read_abi_text(abiText(kernel)));
    opened = { run, kernel, rewinding };
    return { info: run.info, end: rewinding.end, cut: rewinding.cut };
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

  ram: () => current().ram,

  branch(tick: number, memory: WebAssembly.Memory): { known: string; module: WebAssembly.Module; image: string } {
    const known = current().branch(tick, memory);
    const { run, kernel } = opened!;
    return { known, module: kernel, image: String(run.info.about["image"] ?? "base") };
  },

  async export(id: string): Promise<Uint8Array> {
    const { info, kernel, tape, objects } = await (await store).open(id);
    return bytesOf(module().export_run(JSON.stringify(info), kernel, tape, objects, [...objects.keys()]));
  },

  async import(file: Uint8Array<ArrayBuffer>): Promise<string> {
    const found = plain(module().import_run(file)) as Imported;
    const { id, started, ended, kernelHash } = found;
    const about = JSON.parse(found.about) as Record<string, unknown>;
    await (await store).import({ id, started, ended: ended ?? started, kernel: kernelHash, about }, found.kernel, found.tape, found.objects);
    return id;
  },
});
