/**
 * What regions of compiled code import, for workers that run none: a call without fuel does nothing, for a region then
 * leaves before it has looked at anything. V8 compiles a function when it is called first, and optimises one through which
 * enough of its code has passed; so calls alone make it do both.
 */

import { regionImports } from "./compiled_code.js";

/**
 * (module
 *   (type $region (func (param i32 i32 i32 i64) (result i32)))
 *   (table (export "table") 0 funcref)
 *   (func (export "j_refill") (param i32 i32) (result i32) (local.get 1))
 *   (func (export "j_call") (export "j_continue") (type $region) (local.get 1))
 *   (func (export "wear") (param i32 i32)
 *     (loop
 *       (drop (call_indirect (type $region) (i32.const 0) (i32.const -1) (i32.const 0) (i64.const 0) (local.get 0)))
 *       (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))))
 */
const STAND_IN = [
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x14, 0x03, 0x60, 0x04, 0x7f, 0x7f, 0x7f, 0x7e, 0x01, 0x7f, 0x60,
  0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x02, 0x7f, 0x7f, 0x00, 0x03, 0x04, 0x03, 0x01, 0x00, 0x02, 0x04, 0x04, 0x01, 0x70,
  0x00, 0x00, 0x07, 0x31, 0x05, 0x05, 0x74, 0x61, 0x62, 0x6c, 0x65, 0x01, 0x00, 0x08, 0x6a, 0x5f, 0x72, 0x65, 0x66, 0x69,
  0x6c, 0x6c, 0x00, 0x00, 0x06, 0x6a, 0x5f, 0x63, 0x61, 0x6c, 0x6c, 0x00, 0x01, 0x0a, 0x6a, 0x5f, 0x63, 0x6f, 0x6e, 0x74,
  0x69, 0x6e, 0x75, 0x65, 0x00, 0x01, 0x04, 0x77, 0x65, 0x61, 0x72, 0x00, 0x02, 0x0a, 0x28, 0x03, 0x04, 0x00, 0x20, 0x01,
  0x0b, 0x04, 0x00, 0x20, 0x01, 0x0b, 0x1c, 0x00, 0x03, 0x40, 0x41, 0x00, 0x41, 0x7f, 0x41, 0x00, 0x42, 0x00, 0x20, 0x00,
  0x11, 0x00, 0x00, 0x1a, 0x20, 0x01, 0x41, 0x01, 0x6b, 0x22, 0x01, 0x0d, 0x00, 0x0b, 0x0b,
];

interface StandIn extends Record<string, WebAssembly.ExportValue> {
  readonly table: WebAssembly.Table;
  readonly wear: (slot: number, calls: number) => void;
}

const kernel = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(STAND_IN))).exports as StandIn;
/** All that there can be, of which hardly anything is used: before it asks for fuel, a region may look up pages and write to its hart's context. */
const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });

/** Instantiate a module of `count` regions, in place of the last one. */
export function stand(module: WebAssembly.Module, count: number): void {
  if (kernel.table.length < count) kernel.table.grow(count - kernel.table.length);
  new WebAssembly.Instance(module, regionImports(kernel, memory, kernel.table, 0));
}

/** Call one of its regions so often. */
export const wear = (region: number, calls: number): void => kernel.wear(region, calls);
