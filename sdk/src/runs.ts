/**
 * Recorded runs of this origin. They lie in the browser's private files, kept by a worker that is started when the first
 * is recorded or asked for; nothing of them is ever sent.
 */

import { callPort, type Caller } from "./calls.js";
import { errorFrom } from "./errors.js";
import type { Extent, Recorded, RunInfo, Verdict } from "./messages.js";
import type { ProfileOptions, Rewind, Rewinder, TraceLayer, TraceOptions, VerifyOptions } from "./rewind.js";

export type { Branch, ProfileOptions, Rewind, RunEvent, TraceLayer, TraceOptions, VerifyOptions, When } from "./rewind.js";

/** How a machine's recording goes. */
export type Recording = Omit<Recorded, "type">;

/** A machine that goes on: where its pages are, and the kernel that made them. */
export interface Before {
  readonly memory: WebAssembly.Memory;
  /** Offset of its first page. */
  readonly base: number;
  readonly kernel: Uint8Array<ArrayBuffer>;
}

export interface Runs {
  /** All runs, the newest first. */
  list(): Promise<readonly RunInfo[]>;
  /** A run as one file, with all that a replay needs; `ebb replay FILE` takes it, too. */
  export(id: string): Promise<Blob>;
  /** Take a run from a file; gives its id. */
  import(file: Blob): Promise<string>;
  /** Replay a run, in a worker of its own. */
  open(id: string): Promise<Rewind>;
  /** What its programs did, as text, or as JSON with a value a line. */
  trace(id: string, layer: TraceLayer, options?: TraceOptions): Promise<string>;
  /** Where its time went: speedscope's JSON, or the bytes of a profile.proto for pprof. */
  profile(id: string, options: ProfileOptions & { format: "pprof" }): Promise<Uint8Array>;
  profile(id: string, options?: ProfileOptions): Promise<string>;
  /** Whether it is what was written: checksums and the chain of hashes, and whatever else is asked for. */
  verify(id: string, options?: VerifyOptions): Promise<Verdict>;
  remove(id: string): Promise<void>;
  /** Bytes that all of them take; of `KEPT_MOST.runs.bytes` the oldest make room. */
  bytes(): Promise<number>;
  /** A pinned run makes no room for newer ones. */
  pin(id: string, pinned?: boolean): Promise<void>;
}

const workers = new Map<string, Caller>();

/** The worker that keeps runs, for the SDK at `base`. */
export function runKeeper(base: URL): Caller {
  const url = new URL("runs.js", base);
  let call = workers.get(url.href);
  if (call === undefined) workers.set(url.href, (call = callPort(new Worker(url, { type: "module", name: "ebb runs" }), undefined, errorFrom)));
  return call;
}

/**
 * Let the worker keep a run that the other end of `port` records. The kernel worker has it copy the pages of a machine that
 * was there `before`, once they are as the run begins.
 */
export function keepRun(base: URL, port: MessagePort, before?: Before): void {
  void runKeeper(base)("serve", [before ?? null], [port]);
}

export function openRuns(base: URL): Runs {
  const call: Caller = (method, params) => runKeeper(base)(method, params);
  const rewind = async () => (await import("./rewind.js")).openRewinder(base);
  /** Work with a worker that is needed for this alone. */
  async function once<T>(work: (rewinder: Rewinder) => Promise<T>): Promise<T> {
    const rewinder = await rewind();
    try {
      return await work(rewinder);
    } finally {
      rewinder.close();
    }
  }
  function profile(id: string, options: ProfileOptions & { format: "pprof" }): Promise<Uint8Array>;
  function profile(id: string, options?: ProfileOptions): Promise<string>;
  function profile(id: string, options: ProfileOptions = {}): Promise<Uint8Array | string> {
    return once(async (rewinder) => (await rewinder.open(id)).profile(options));
  }
  return {
    list: async () => (await call("list", [])) as readonly RunInfo[],
    export: (id) => once((rewinder) => rewinder.export(id)),
    import: (file) => once((rewinder) => rewinder.import(file)),
    open: async (id) => (await rewind()).open(id),
    trace: (id, layer, options = {}) => once(async (rewinder) => (await rewinder.open(id)).trace(layer, options)),
    profile,
    verify: (id, options = {}) => once((rewinder) => rewinder.verify(id, options)),
    remove: async (id) => void (await call("remove", [id])),
    bytes: async () => (await call("bytes", [])) as number,
    pin: async (id, pinned = true) => void (await call("pin", [id, pinned])),
  };
}
