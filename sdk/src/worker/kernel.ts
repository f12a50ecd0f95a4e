/**
 * kernel.wasm in this worker: one instance over the machine's memory, on a stack of its own, and the few
 * operations on that memory that Python asks for. Bytes are copied in and out.
 */

/** What kernel.wasm exports; all numbers are i32 (docs/architecture.md). */
export interface KernelExports {
  readonly __stack_pointer: WebAssembly.Global;
  readonly k_abi: () => number;
  readonly k_stack: (hart: number) => number;
  readonly k_out_bell: () => number;
  readonly [name: string]: unknown;
}

export interface Kernel {
  readonly exports: KernelExports;
  /** A window on shared memory, for Python to read or assign (a report, an event). */
  view(address: number, length: number): Uint8Array;
  /** The bytes at `address`, copied. */
  read(address: number, length: number): Uint8Array;
  /** Settles when the word at `address` is no longer `seen` or was notified. */
  wait(address: number, seen: number): Promise<void>;
  load(address: number): number;
}

/** The kernel's instance on `stack` (a seat's), or, in the kernel worker, on the stack after the last hart's. */
export function instantiateKernel(module: WebAssembly.Module, memory: WebAssembly.Memory, stack?: number): Kernel {
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const exports = instance.exports as unknown as KernelExports;
  const bytes = new Uint8Array(memory.buffer);
  exports.__stack_pointer.value = stack ?? exports.k_stack(constant(exports, bytes, "HART_MAX"));
  const words = new Int32Array(memory.buffer);
  const wait = typeof Atomics.waitAsync === "function" ? waitAtomics(words) : waitByWorker(memory);
  return {
    exports,
    view: (address, length) => bytes.subarray(address >>> 0, (address >>> 0) + length),
    read: (address, length) => bytes.slice(address >>> 0, (address >>> 0) + length),
    load: (address) => Atomics.load(words, (address >>> 0) >> 2),
    wait,
  };
}

/** A constant of the border, from the text that the kernel exports ("const.NAME value", one per line). */
function constant(exports: KernelExports, bytes: Uint8Array, name: string): number {
  const start = exports.k_abi() >>> 0;
  const text = new TextDecoder().decode(bytes.slice(start, bytes.indexOf(0, start)));
  const [, value] = new RegExp(`^const\\.${name} (\\d+)$`, "m").exec(text) ?? [];
  if (value === undefined) throw new Error(`kernel.wasm does not export the constant ${name}`);
  return Number(value);
}

type Wait = Kernel["wait"];

function waitAtomics(words: Int32Array): Wait {
  return async (address, seen) => {
    const answer = Atomics.waitAsync(words, (address >>> 0) >> 2, seen);
    if (answer.async) await answer.value;
  };
}

/** For engines without waitAsync: a worker that waits in our place and says when it is done. */
function waitByWorker(memory: WebAssembly.Memory): Wait {
  const worker = new Worker(new URL("bell.js", import.meta.url), { type: "module", name: "ebb bell" });
  const words = new Int32Array(memory.buffer);
  return (address, seen) =>
    new Promise((resolve) => {
      worker.onmessage = () => resolve();
      worker.postMessage({ words, index: (address >>> 0) >> 2, seen });
    });
}
