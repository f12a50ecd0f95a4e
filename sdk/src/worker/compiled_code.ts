/**
 * Compiled guest code in this worker: modules that the kernel wrote are compiled and instantiated beside its instance,
 * where they fill slots of its function table. Compiling takes long, so another worker does it first (warm.ts).
 */

import { moduleOf, type KeptCode } from "../code_store.js";
import type { FromThread, Joined } from "../messages.js";
import type { KernelExports } from "./kernel.js";

export interface CompiledCode {
  /** What compiled code may use: the engine has it, and it does what we need. */
  tailCalls(): boolean;
  fusedMadd(): boolean;
  coldCalls(): boolean;
  /** Add empty slots to the function table: the first one's number, or -1. */
  grow(slots: number): number;
  /** Have a module compiled elsewhere first: the one at `address`, or one of earlier visits; then `id` stands at `at`. False: nobody does. */
  ask(hart: number, id: number, count: number, at: number, address: number, length: number): boolean;
  recallLater(hart: number, id: number, count: number, at: number, number: number): boolean;
  /** Is it? */
  ready(hart: number, id: number): boolean;
  /** Install the module at `address`. Answers "" or why the engine did not take it. */
  install(address: number, length: number, slot: number): string;
  /** Let later visits have the module at `address`, whose record lies at `record`. */
  keep(address: number, length: number, record: number, recordLength: number): void;
  /** Tell the kernel what earlier visits have left; then it may ask for one of these modules, after so many entries. */
  remember(hart: number, early: number): void;
  recall(number: number, slot: number): string;
}

/** (module (type $t (func)) (table 1 funcref) (func (type $t) (return_call_indirect (type $t) (i32.const 0)))) */
const TAIL_CALL = [
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x01, 0x60, 0x00, 0x00, 0x03, 0x02, 0x01, 0x00,
  0x04, 0x04, 0x01, 0x70, 0x00, 0x01, 0x0a, 0x09, 0x01, 0x07, 0x00, 0x41, 0x00, 0x13, 0x00, 0x00, 0x0b,
];

/**
 * (module (func (export "madd") (param f64 f64 f64) (result f64)
 *   (f64x2.extract_lane 0 (f64x2.relaxed_madd
 *     (f64x2.splat (local.get 0)) (f64x2.splat (local.get 1)) (f64x2.splat (local.get 2))))))
 */
const MADD = [
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x01, 0x60, 0x03, 0x7c, 0x7c, 0x7c, 0x01, 0x7c,
  0x03, 0x02, 0x01, 0x00, 0x07, 0x08, 0x01, 0x04, 0x6d, 0x61, 0x64, 0x64, 0x00, 0x00,
  0x0a, 0x16, 0x01, 0x14, 0x00, 0x20, 0x00, 0xfd, 0x14, 0x20, 0x01, 0xfd, 0x14, 0x20, 0x02, 0xfd, 0x14,
  0xfd, 0x87, 0x02, 0xfd, 0x21, 0x00, 0x0b,
];

/** Entries before a joined module's code is asked for: the engine has compiled it. */
const EARLY_JOINED = 1;

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;

export function compiledCode(exports: KernelExports, memory: WebAssembly.Memory, kept: KeptCode | null, warmed: Int32Array | null, joined: readonly Joined[]): CompiledCode {
  const table = exports.__indirect_function_table;
  const bytes = new Uint8Array(memory.buffer);
  const functions = exports as unknown as Record<string, WebAssembly.ImportValue>;
  const add = (code: Uint8Array<ArrayBuffer>, slot: number): string => {
    try {
      const module = new WebAssembly.Module(code);
      new WebAssembly.Instance(module, regionImports(functions, memory, table, slot));
      return "";
    } catch (error) {
      return String(error);
    }
  };
  /** Tell the kernel of records, whose modules are in the table already if there is a slot. */
  const name = (hart: number, records: Uint8Array, early: number, slot: number): void => {
    const address = exports.k_mail_alloc(records.length) >>> 0;
    if (address === 0) return;
    bytes.set(records, address);
    exports.k_jit_keep(hart, address, records.length, early, slot);
  };
  const copy = (address: number, length: number): Uint8Array<ArrayBuffer> => bytes.slice(address >>> 0, (address >>> 0) + length);
  const warm = (hart: number, id: number, count: number, at: number, module: ArrayBuffer | number): boolean => {
    if (warmed === null) return false;
    scope.postMessage({ type: "warm", hart, id, count, at, module } satisfies FromThread, typeof module === "number" ? [] : [module]);
    return true;
  };
  return {
    ask: (hart, id, count, at, address, length) => warmed !== null && warm(hart, id, count, at, copy(address, length).buffer),
    recallLater: warm,
    ready: (hart, id) => warmed === null || Atomics.load(warmed, hart) >= id,
    tailCalls: () => WebAssembly.validate(new Uint8Array(TAIL_CALL)),
    fusedMadd,
    coldCalls: () => "v8BreakIterator" in Intl, // which only V8 has; what it does shows nowhere else
    grow(slots) {
      try {
        return table.grow(slots);
      } catch {
        return -1;
      }
    },
    install: (address, length, slot) => add(copy(address, length), slot),
    keep(address, length, record, recordLength) {
      const parts = { record: copy(record, recordLength).buffer, module: copy(address, length).buffer };
      scope.postMessage({ type: "compiled", ...parts } satisfies FromThread, [parts.record, parts.module]);
    },
    remember(hart, early) {
      if (kept !== null) name(hart, recordsOf(kept), early, 0);
      for (const { module, records, slots } of joined) { // asked first, as they are named last
        const slot = this.grow(slots);
        if (slot < 0) continue;
        new WebAssembly.Instance(module, regionImports(functions, memory, table, slot));
        name(hart, new Uint8Array(records), EARLY_JOINED, slot);
      }
    },
    recall(number, slot) {
      const module = moduleOf(kept, number);
      return module === null ? "there is no such module" : add(module, slot);
    },
  };
}

function recordsOf(kept: KeptCode): Uint8Array {
  const words = new DataView(kept);
  const count = words.getUint32(0, true);
  let length = 0;
  for (let at = 0; at < count; at++) length += words.getUint32(4 + 8 * at, true);
  return new Uint8Array(kept, 4 + 8 * count, length);
}

/** What a module of regions imports, to fill slots from `slot` on. */
export function regionImports(
  functions: Record<string, WebAssembly.ImportValue>, memory: WebAssembly.Memory, table: WebAssembly.Table, slot: number,
): WebAssembly.Imports {
  return { env: { ...functions, memory, table, slot: new WebAssembly.Global({ value: "i32", mutable: false }, slot) } };
}

/** 1 + 2^-27 squared is 1 + 2^-26 + 2^-54, of which an unfused product loses the last. */
function fusedMadd(): boolean {
  const code = new Uint8Array(MADD);
  if (!WebAssembly.validate(code)) return false;
  const { madd } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as {
    madd: (a: number, b: number, c: number) => number;
  };
  return madd(1 + 2 ** -27, 1 + 2 ** -27, -(1 + 2 ** -26)) === 2 ** -54;
}
