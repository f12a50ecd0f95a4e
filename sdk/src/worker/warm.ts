/**
 * Compiles guest code ahead of the harts, which go on interpreting meanwhile. V8 keeps one compiled module for all
 * workers of a page that come with the same bytes. So each module is made here first, and each of its functions is called
 * once, for V8 compiles a function when it is called first; what a hart then makes of these bytes is ready to run. The
 * call does nothing: without fuel a region leaves before it has looked at anything. Where an engine does not work like
 * that, a hart compiles for itself, only later.
 */

import { moduleOf } from "../code_store.js";
import type { Warm, WarmStart } from "../messages.js";
import { regionImports } from "./compiled_code.js";

/**
 * (module
 *   (type $region (func (param i32 i32 i32 i64) (result i32)))
 *   (table (export "table") 0 funcref)
 *   (func (export "j_refill") (param i32 i32) (result i32) (local.get 1))
 *   (func (export "j_call") (export "j_continue") (type $region) (local.get 1)))
 */
const STAND_IN = [
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0f, 0x02, 0x60, 0x04, 0x7f, 0x7f, 0x7f, 0x7e, 0x01, 0x7f, 0x60,
  0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x03, 0x03, 0x02, 0x01, 0x00, 0x04, 0x04, 0x01, 0x70, 0x00, 0x00, 0x07, 0x2a, 0x04, 0x05,
  0x74, 0x61, 0x62, 0x6c, 0x65, 0x01, 0x00, 0x08, 0x6a, 0x5f, 0x72, 0x65, 0x66, 0x69, 0x6c, 0x6c, 0x00, 0x00, 0x06, 0x6a,
  0x5f, 0x63, 0x61, 0x6c, 0x6c, 0x00, 0x01, 0x0a, 0x6a, 0x5f, 0x63, 0x6f, 0x6e, 0x74, 0x69, 0x6e, 0x75, 0x65, 0x00, 0x01,
  0x0a, 0x0b, 0x02, 0x04, 0x00, 0x20, 0x01, 0x0b, 0x04, 0x00, 0x20, 0x01, 0x0b,
];

interface StandIn extends Record<string, WebAssembly.ExportValue> {
  readonly table: WebAssembly.Table;
}

type Region = (context: number, fuel: number, depth: number, pc: bigint) => number;

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
const kernel = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(STAND_IN))).exports as StandIn;
/** As large as whatever the kernel's own variables take: compiled code of an only hart writes to its context there. */
const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
/** V8 forgets a module that nobody has. */
const modules: WebAssembly.Module[] = [];

scope.onmessage = ({ data }: MessageEvent<WarmStart>) => {
  scope.onmessage = ({ data: task }: MessageEvent<Warm>) => {
    const code = typeof task.module === "number" ? moduleOf(data.kept, task.module) : new Uint8Array(task.module);
    if (code !== null) compile(code, task.count);
    Atomics.store(data.ready, task.hart, task.id);
  };
};

function compile(code: Uint8Array<ArrayBuffer>, count: number): void {
  try {
    const module = new WebAssembly.Module(code);
    modules.push(module);
    if (kernel.table.length < count) kernel.table.grow(count - kernel.table.length);
    new WebAssembly.Instance(module, regionImports(kernel, memory, kernel.table, 0));
    for (let slot = 0; slot < count; slot++) (kernel.table.get(slot) as Region)(0, -1, 0, 0n);
  } catch {
    // the hart will see the same, and says so
  }
}
