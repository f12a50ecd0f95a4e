/**
 * Compiles guest code ahead of the harts, which go on interpreting meanwhile. V8 keeps one compiled module for all
 * workers of a page that come with the same bytes. So each module is made here first, and each of its functions is called
 * once (stand_in.ts); what a hart then makes of these bytes is ready to run. Where an engine does not work like that, a
 * hart compiles for itself, only later.
 */

import { moduleOf } from "../code_store.js";
import type { Warm, WarmStart } from "../messages.js";
import { stand, wear } from "./stand_in.js";

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
/** V8 forgets a module that nobody has. */
const modules: WebAssembly.Module[] = [];

scope.onmessage = ({ data }: MessageEvent<WarmStart>) => {
  const words = new Int32Array(data.memory.buffer);
  scope.onmessage = ({ data: task }: MessageEvent<Warm>) => {
    const code = typeof task.module === "number" ? moduleOf(data.kept, task.module) : new Uint8Array(task.module);
    if (code !== null) compile(code, task.count);
    Atomics.store(data.ready, task.hart, task.id);
    Atomics.store(words, task.at >>> 2, task.id);
  };
};

function compile(code: Uint8Array<ArrayBuffer>, count: number): void {
  try {
    const module = new WebAssembly.Module(code);
    modules.push(module);
    stand(module, count, 0);
    for (let region = 0; region < count; region++) wear(region, 1);
  } catch {
    // the hart will see the same, and says so
  }
}
