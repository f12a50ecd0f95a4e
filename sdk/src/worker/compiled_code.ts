/**
 * Compiled guest code in this worker: modules that the kernel wrote are compiled and instantiated beside its instance,
 * where they fill slots of its function table. V8 compiles their functions lazily and better ones in the background.
 */

import type { KernelExports } from "./kernel.js";

export interface CompiledCode {
  /** What compiled code may use: the engine has it, and it does what we need. */
  tailCalls(): boolean;
  fusedMadd(): boolean;
  /** Add empty slots to the function table: the first one's number, or -1. */
  grow(slots: number): number;
  /** Install the module at `address`. Answers "" or why the engine did not take it. */
  install(address: number, length: number, slot: number): string;
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

export function compiledCode(exports: KernelExports, memory: WebAssembly.Memory): CompiledCode {
  const table = exports.__indirect_function_table;
  const bytes = new Uint8Array(memory.buffer);
  const functions = exports as unknown as Record<string, WebAssembly.ImportValue>;
  return {
    tailCalls: () => WebAssembly.validate(new Uint8Array(TAIL_CALL)),
    fusedMadd,
    grow(slots) {
      try {
        return table.grow(slots);
      } catch {
        return -1;
      }
    },
    install(address, length, slot) {
      const start = address >>> 0;
      try {
        const module = new WebAssembly.Module(bytes.slice(start, start + length));
        const at = new WebAssembly.Global({ value: "i32", mutable: false }, slot);
        new WebAssembly.Instance(module, { env: { ...functions, memory, table, slot: at } });
        return "";
      } catch (error) {
        return String(error);
      }
    },
  };
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
