/** The page's end of the worker that replays runs; loaded, like the worker itself, when it is first needed. */

import { checkArguments, checkBlob, checkOneOf } from "./arguments.js";
import { callPort } from "./calls.js";
import { EbbError, errorFrom } from "./errors.js";
import { reserveMemory } from "./memory.js";
import type { Extent, RunInfo, TraceRow, Verdict, VerifyLevels } from "./messages.js";
import { refuseUnknown } from "./options.js";
import { prefetchRuntime } from "./runtime_assets.js";

/** What a run showed: at a tick, and in ms of the machine's own time. */
export type RunEvent = { readonly tick: number; readonly ms: number; readonly pid: number } & (
  | { readonly type: "start"; readonly args: readonly string[]; readonly rows: number; readonly cols: number }
  | { readonly type: "output"; readonly stream: "stdout" | "stderr" | "tty"; readonly data: Uint8Array }
  | { readonly type: "resize"; readonly rows: number; readonly cols: number }
  | { readonly type: "exit"; readonly exitCode: number }
);

/** What of a run can be traced; docs/rewind.md says what each shows. */
export type TraceLayer = (typeof LAYERS)[number];
const LAYERS = ["syscalls", "process", "files", "signals", "chaos", "network", "request"] as const;
const OUTPUTS = ["text", "json", "har"];
const TYPES = ["cpu", "offcpu"];
const FORMATS = ["speedscope", "pprof", "collapsed", "text"];

/** A tick, or a time since boot such as `"1.5s"`. */
export type When = number | string;

/** How far it is, of 1, and what has been found since the last call. */
export type Told = (part: number, rows: readonly TraceRow[]) => void;

interface LookOptions {
  from?: When;
  to?: When;
  /** Only of these processes. */
  pids?: readonly number[];
  /** Not of these, unless `pids` names some. */
  without?: readonly number[];
  /** Called now and then, and at the end. */
  onProgress?: Told;
}

export interface TraceOptions extends LookOptions {
  /** `"text"` unless given; json: a value a line; har: of requests, an HTTP Archive. */
  output?: "text" | "json" | "har";
  /** System calls of children, too; true unless given. */
  follow?: boolean;
  /** Only these system calls. */
  calls?: readonly string[];
  /** Begin each system call's line with the time since boot. */
  times?: boolean;
  /** Requests with headers and bodies. */
  verbose?: boolean;
  /** Show cookies and authorization. */
  secrets?: boolean;
  /** Bytes of a body that are shown; 65536 unless given. */
  maxBody?: number;
}

export interface ProfileOptions extends LookOptions {
  /** cpu: what ran (unless given); offcpu: what was waited for. */
  type?: "cpu" | "offcpu";
  /** Ticks between two samples; 99991 unless given. */
  period?: number;
  /** `"speedscope"` (JSON) unless given; pprof gives bytes. */
  format?: "speedscope" | "pprof" | "collapsed" | "text";
}

export interface VerifyOptions extends VerifyLevels {
  onProgress?: (part: number) => void;
}

const LOOK_OPTIONS = { from: 0, to: 0, pids: 0, without: 0, onProgress: 0 } satisfies Record<keyof LookOptions, 0>;
const TRACE_OPTIONS = {
  ...LOOK_OPTIONS, output: 0, follow: 0, calls: 0, times: 0, verbose: 0, secrets: 0, maxBody: 0,
} satisfies Record<keyof TraceOptions, 0>;
const PROFILE_OPTIONS = { ...LOOK_OPTIONS, type: 0, period: 0, format: 0 } satisfies Record<keyof ProfileOptions, 0>;
const VERIFY_OPTIONS = { objects: 0, replay: 0, signatures: 0, key: 0, onProgress: 0 } satisfies Record<keyof VerifyOptions, 0>;

/** A run that is replayed, at first at its beginning. */
export interface Rewind {
  readonly info: RunInfo;
  /** Its first tick: 0, or where it goes on from; and its last. */
  readonly begin: number;
  readonly end: number;
  /** It ends before its end: its page was closed, or still records. */
  readonly cut: boolean;
  /** Replay on for a moment: what happened, and how far it is. Again until it is whole. */
  advance(): Promise<{ events: readonly RunEvent[]; tick: number; whole: boolean }>;
  /** Bring the machine to a tick, or to where the step that it falls into ends, or as near as the run goes; gives that. */
  seek(tick: number): Promise<number>;
  /** What programs did, from the first tick on: all lines as one text. */
  trace(layer: TraceLayer, options?: TraceOptions): Promise<string>;
  /** Where its time went. */
  profile(options: ProfileOptions & { format: "pprof" }): Promise<Uint8Array>;
  profile(options?: ProfileOptions): Promise<string>;
  /** The machine of a moment of the run, to go on from: `boot({ branch })`. */
  branch(tick: number): Promise<Branch>;
  /** End it; what still waits is rejected. */
  close(): void;
}

/** A moment of a run, for one `boot`. */
export interface Branch {
  readonly memory: WebAssembly.Memory;
  readonly ramBytes: number;
  /** The pages in use: the heap's up to `heap`, frames from `low` to `pages`. */
  readonly extent: Extent;
  readonly module: WebAssembly.Module;
  /** What `module` is made of. */
  readonly kernel: Uint8Array<ArrayBuffer>;
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
  verify(id: string, options?: VerifyOptions): Promise<Verdict>;
  close(): void;
}

export function openRewinder(base: URL): Rewinder {
  const worker = new Worker(new URL("rewind.js", base), { type: "module", name: "ebb rewind" });
  let told: Told = () => undefined; // one call after another is answered
  const call = callPort(worker, (message) => {
    const { part, rows } = message as { part: number; rows?: readonly TraceRow[] }; // or compiled code, which nobody keeps
    if (rows !== undefined) told(part, rows);
  }, errorFrom);
  const images = new URL("images/", base).href;
  const ready = prefetchRuntime(new URL("pyodide/", base).href).then((assets) => call("start", [assets, images]));
  let refuse: (error: EbbError) => void;
  const closed = new Promise<never>((_, reject) => (refuse = reject));
  closed.catch(() => undefined); // who waits is told
  function close(): void {
    worker.terminate();
    refuse(new EbbError("closed", "The run has been closed."));
  }
  const ask = async <T>(method: string, ...params: unknown[]): Promise<T> => {
    await Promise.race([ready, closed]);
    return (await Promise.race([call(method, params), closed])) as T;
  };
  let last: Promise<unknown> = Promise.resolve();
  /** Ask for something that tells how far it is. */
  function look<T>(heard: Told, method: string, ...params: unknown[]): Promise<T> {
    const mine = last.then(() => {
      told = heard;
      return ask<T>(method, ...params);
    });
    last = mine.catch(() => undefined);
    return mine;
  }
  async function trace(layer: TraceLayer, options: TraceOptions = {}): Promise<string> {
    refuseUnknown("trace", options, TRACE_OPTIONS);
    checkOneOf("layer", layer, LAYERS);
    checkOneOf("output", options.output ?? "text", OUTPUTS);
    const { onProgress, ...wish } = options;
    const lines: string[] = [];
    const heard: Told = (part, rows) => {
      for (const [, line] of rows) lines.push(line);
      onProgress?.(part, rows);
    };
    const file = await look<string>(heard, "trace", layer, wish);
    return file || lines.map((line) => `${line}\n`).join("");
  }
  function profile(options: ProfileOptions & { format: "pprof" }): Promise<Uint8Array>;
  function profile(options?: ProfileOptions): Promise<string>;
  async function profile(options: ProfileOptions = {}): Promise<Uint8Array | string> {
    refuseUnknown("profile", options, PROFILE_OPTIONS);
    checkOneOf("type", options.type ?? "cpu", TYPES);
    checkOneOf("format", options.format ?? "speedscope", FORMATS);
    const { onProgress, ...wish } = options;
    return look(onProgress ?? (() => undefined), "profile", wish);
  }
  return {
    async open(id) {
      const opened = await ask<Pick<Rewind, "info" | "begin" | "end" | "cut">>("open", id);
      const first = Math.max(opened.begin, 1); // before that there is no machine
      return {
        ...opened,
        advance: () => ask("advance"),
        async seek(tick) {
          checkArguments({ tick });
          return ask("seek", tick);
        },
        trace,
        profile,
        async branch(tick) {
          checkArguments({ tick });
          if (tick < first || tick > opened.end) throw new RangeError(`tick must be one of the run's, from ${first} to ${opened.end}; got ${tick}`);
          const ram = await ask<number>("ram");
          const { memory, ramBytes } = reserveMemory(ram);
          if (ramBytes < ram) throw new EbbError("no-memory", `the browser gives no ${ram >> 20} MiB for this machine`);
          const made = await ask<Pick<Branch, "known" | "module" | "kernel" | "image">>("branch", tick, memory);
          const { now_ns, extent } = JSON.parse(made.known) as { now_ns: number; extent: Extent };
          return { ...made, memory, ramBytes, extent, ms: now_ns / 1e6 };
        },
        close,
      };
    },
    export: async (id) => new Blob([await ask<Uint8Array<ArrayBuffer>>("export", id)], { type: "application/octet-stream" }),
    async import(file) {
      checkBlob(file);
      return ask("import", new Uint8Array(await file.arrayBuffer()));
    },
    async verify(id, options = {}) {
      refuseUnknown("verify", options, VERIFY_OPTIONS);
      const { onProgress, ...levels } = options;
      return look((part) => onProgress?.(part), "verify", id, levels);
    },
    close,
  };
}
