/** The page's end of the worker that replays runs; loaded, like the worker itself, when it is first needed. */

import { callPort } from "./calls.js";
import { reserveMemory } from "./memory.js";
import type { RunInfo } from "./messages.js";
import { prefetchRuntime } from "./runtime_assets.js";

/** What a run showed: at a tick, and in ms of the machine's own time. */
export type RunEvent = { readonly tick: number; readonly ms: number; readonly pid: number } & (
  | { readonly type: "start"; readonly args: readonly string[]; readonly rows: number; readonly cols: number }
  | { readonly type: "output"; readonly stream: "stdout" | "stderr" | "tty"; readonly data: Uint8Array }
  | { readonly type: "resize"; readonly rows: number; readonly cols: number }
  | { readonly type: "exit"; readonly exitCode: number }
);

/** A run that is replayed, at first at its beginning. */
export interface Rewind {
  readonly info: RunInfo;
  /** The last tick. */
  readonly end: number;
  /** It ends before its end: its page was closed, or still records. */
  readonly cut: boolean;
  /** Replay on for a moment: what happened, and how far it is. Again until it is whole. */
  advance(): Promise<{ events: readonly RunEvent[]; tick: number; whole: boolean }>;
  /** Bring the machine to a tick, or to where the step that it falls into ends; gives that. */
  seek(tick: number): Promise<number>;
  /** The machine of a moment, to go on from: `boot({ branch })`. */
  branch(tick: number): Promise<Branch>;
  close(): void;
}

/** A moment of a run, for one `boot`. */
export interface Branch {
  readonly memory: WebAssembly.Memory;
  readonly ramBytes: number;
  readonly module: WebAssembly.Module;
  readonly image: string;
  /** Age of the machine. */
  readonly ms: number;
  /** What its host must know, in JSON. */
  readonly known: string;
}

export interface Rewinder {
  open(id: string): Promise<Rewind>;
  export(id: string): Promise<Blob>;
  import(file: Blob): Promise<string>;
  close(): void;
}

export function openRewinder(base: URL): Rewinder {
  const worker = new Worker(new URL("rewind.js", base), { type: "module", name: "ebb rewind" });
  const call = callPort(worker);
  const ready = prefetchRuntime(new URL("pyodide/", base).href).then((assets) => call("start", [assets]));
  const ask = async <T>(method: string, ...params: unknown[]): Promise<T> => {
    await ready;
    return (await call(method, params)) as T;
  };
  return {
    open: async (id) => ({
      ...(await ask<Pick<Rewind, "info" | "end" | "cut">>("open", id)),
      advance: () => ask("advance"),
      seek: (tick) => ask("seek", tick),
      async branch(tick) {
        const ram = await ask<number>("ram");
        const { memory, ramBytes } = reserveMemory(ram);
        if (ramBytes < ram) throw new Error(`the browser gives no ${ram >> 20} MiB for this machine`);
        const { known, module, image } = await ask<{ known: string; module: WebAssembly.Module; image: string }>("branch", tick, memory);
        return { memory, ramBytes, module, image, known, ms: (JSON.parse(known) as { ms: number }).ms };
      },
      close: () => worker.terminate(),
    }),
    export: async (id) => new Blob([await ask<Uint8Array<ArrayBuffer>>("export", id)], { type: "application/octet-stream" }),
    import: async (file) => ask("import", new Uint8Array(await file.arrayBuffer())),
    close: () => worker.terminate(),
  };
}
