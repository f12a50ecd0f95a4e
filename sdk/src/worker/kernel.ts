/**
 * kernel.wasm in this worker: one instance over the machine's memory, on a stack of its own, and the few
 * operations on that memory that Python asks for. Bytes are copied in and out.
 */

import type { KeptCode } from "../code_store.js";
import type { Joined } from "../messages.js";
import { reserveMemory } from "../memory.js";
import { compiledCode, type CompiledCode } from "./compiled_code.js";

/** What kernel.wasm exports; all numbers are i32 (docs/architecture.md). */
export interface KernelExports {
  readonly __stack_pointer: WebAssembly.Global;
  readonly __indirect_function_table: WebAssembly.Table;
  readonly k_abi: () => number;
  readonly k_counters: () => number;
  readonly k_attach: (ramPages: number, harts: number) => number;
  readonly k_stack: (hart: number) => number;
  readonly k_out_bell: () => number;
  readonly k_mail_alloc: (length: number) => number;
  readonly k_jit_keep: (hart: number, address: number, length: number, early: number, slot: number) => number;
  readonly [name: string]: unknown;
}

export interface Kernel {
  readonly exports: KernelExports;
  /** A window on shared memory that Python keeps (a report, a control word). */
  view(address: number, length: number): Uint8Array;
  /**
   * Where bytes pass between Python and the shared memory: buffers of growing sizes, which Python keeps. A new object
   * from JavaScript costs Python 40 us, a copy to or from one it has 0.3 us.
   */
  readonly stages: readonly Uint8Array[];
  /** Copy into a stage, out of a stage. */
  fetch(stage: number, address: number, length: number): void;
  store(stage: number, address: number, length: number): void;
  /** This instance's compiled guest code. */
  readonly code: CompiledCode;
  /** Call `drain` now, and for ever when the word at `bell` is no longer what it was before the last call. */
  serve(bell: number, drain: () => void): void;
}

/** Sizes of the stages; the largest takes an agent's whole window in an event, or an image's index in parts. */
const STAGES = [128, 1024, 16 << 10, 128 << 10, 1 << 20];

/** A guest's page. */
const PAGE = 4096;

/** Build the kernel's private region, once per memory, in the kernel worker; its instance gets the stack after the harts'. */
export function attachKernel(module: WebAssembly.Module, memory: WebAssembly.Memory, ramBytes: number, harts: number): Kernel {
  const exports = instantiate(module, memory);
  exports.k_attach(ramBytes / PAGE, harts); // on the module's own stack: nobody else runs yet
  exports.__stack_pointer.value = exports.k_stack(value(exports, memory, "const.HART_MAX"));
  return wrap(exports, memory, null, null, []);
}

/** The kernel's instance of a hart, on its seat's stack. */
export function seatKernel(module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number, kept: KeptCode | null, warmed: Int32Array | null = null, joined: readonly Joined[] = []): Kernel {
  const exports = instantiate(module, memory);
  exports.__stack_pointer.value = stack;
  return wrap(exports, memory, kept, warmed, joined);
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelExports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelExports;
}

function wrap(exports: KernelExports, memory: WebAssembly.Memory, kept: KeptCode | null, warmed: Int32Array | null, joined: readonly Joined[]): Kernel {
  const bytes = new Uint8Array(memory.buffer);
  const words = new Int32Array(memory.buffer);
  const stages = STAGES.map((size) => new Uint8Array(size));
  const wait = typeof Atomics.waitAsync === "function" ? waitAtomics(words) : waitByWorker(words);
  return {
    exports,
    code: compiledCode(exports, memory, kept, warmed, joined),
    view: (address, length) => bytes.subarray(address >>> 0, (address >>> 0) + length),
    stages,
    fetch(stage, address, length) {
      stages[stage]?.set(bytes.subarray(address >>> 0, (address >>> 0) + length));
    },
    store(stage, address, length) {
      const from = stages[stage];
      if (from !== undefined) bytes.set(from.subarray(0, length), address >>> 0);
    },
    async serve(bell, drain) {
      const index = (bell >>> 0) >> 2;
      for (;;) {
        const seen = Atomics.load(words, index);
        drain();
        await wait(index, seen);
      }
    },
  };
}

/** How many harts are inside a step: none when the machine is at rest. */
export function openActivity(module: WebAssembly.Module, memory: WebAssembly.Memory): () => number {
  const exports = instantiate(module, memory);
  const index = ((exports.k_counters() >>> 0) + value(exports, memory, "offset.counters.harts_inside")) >> 2;
  const words = new Int32Array(memory.buffer);
  return () => Atomics.load(words, index);
}

/** A constant of the border, from the text that the kernel exports ("GROUP.NAME value", one per line). */
function value(exports: KernelExports, memory: WebAssembly.Memory, name: string): number {
  const line = textOf(exports, memory).split("\n").find((text) => text.startsWith(`${name} `));
  if (line === undefined) throw new Error(`kernel.wasm does not export ${name}`);
  return Number(line.slice(name.length));
}

function textOf(exports: KernelExports, memory: WebAssembly.Memory): string {
  const bytes = new Uint8Array(memory.buffer);
  const start = exports.k_abi() >>> 0;
  return new TextDecoder().decode(bytes.slice(start, bytes.indexOf(0, start)));
}

/** The text of a kernel that runs nowhere. */
export function abiText(module: WebAssembly.Module): string {
  const { memory, ramBytes } = reserveMemory(16 << 20);
  return textOf(attachKernel(module, memory, ramBytes, 1).exports, memory); // attaching writes it
}

/** Settles when the word is no longer `seen` or was notified. */
type Wait = (index: number, seen: number) => Promise<unknown>;

function waitAtomics(words: Int32Array): Wait {
  return async (index, seen) => Atomics.waitAsync(words, index, seen).value;
}

/** For engines without waitAsync: a worker that waits in our place and says when it is done. */
function waitByWorker(words: Int32Array): Wait {
  const worker = new Worker(new URL("bell.js", import.meta.url), { type: "module", name: "ebb bell" });
  return (index, seen) =>
    new Promise((resolve) => {
      worker.onmessage = resolve;
      worker.postMessage({ words, index, seen });
    });
}
