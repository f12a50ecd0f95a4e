/**
 * Every message between a page, the kernel worker and the thread workers. Read this file first.
 *
 * The page talks to one kernel worker: a `request` is answered by exactly one `reply` with its id; streams flow
 * by credit; the rest are events. A thread worker gets `start` and `go` and nothing after that, for it may be
 * parked: whatever it must learn later reaches it through shared memory.
 *
 * Python reads these shapes in `ebbtide/browser/page_protocol.py`; a change here is a change there.
 */

import type { KeptCode } from "./code_store.js";
import type { ErrorCode } from "./errors.js";
import type { RuntimeAssets } from "./runtime_assets.js";

/** Numbers a request, a process or a stream; never used twice in one machine. */
export type Id = number;

// ---- Starting workers ---------------------------------------------------------------------------------------

/** What every worker of one machine shares. */
export interface Shared {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly python: RuntimeAssets;
  /** Host time since boot: see worker/clock.ts. */
  readonly clock: SharedArrayBuffer;
  /** Harts that step. */
  readonly harts: number;
  /** Bytes of guest memory. */
  readonly ramBytes: number;
  /** What a recorded hart delivers: see worker/tape_ring.ts. */
  readonly tape: SharedArrayBuffer | null;
  /** Compiled code of earlier visits. */
  readonly kept: KeptCode | null;
  /** By hart, its last module that worker/warm.ts has compiled; null: each hart compiles for itself. */
  readonly warmed: Int32Array | null;
}

/** What a machine is booted with: the serialisable part of `BootOptions`, all defaults filled in. */
export interface MachineConfig {
  readonly image: string;
  /** Absolute address of the folder that holds `<image>/manifest.json` and `blobs/`. */
  readonly imagesURL: string;
  /** Absolute address of kernel.wasm, whose bytes a recording keeps. */
  readonly kernelURL: string;
  /** Absolute address of the list of commands by image, for the hint of "command not found". */
  readonly commandsURL: string;
  readonly cpus: number;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly limits: LimitNumbers;
  readonly policy: Policy | null;
  readonly record: boolean;
  /** What is to be known of the moment that this machine goes on from, in JSON; null: it boots. */
  readonly branch: string | null;
  readonly chaos: string | null;
  readonly seed: number | null;
  readonly jit: JitMode | null;
}

/** Whether hot guest code is compiled to WebAssembly. */
export type JitMode = "on" | "off";

/** What a machine may use at most. A limit that is absent is the default of the runtime. */
export interface Limits {
  /** Milliseconds from the start of each program that the page starts; then TERM and, 2 s later, KILL to it and all it started. */
  timeout?: number;
  /** Bytes of the machine's memory, or `"512M"`; the largest program is killed when there is no more. */
  memory?: number | string;
  /** Guest tasks at most, processes and their threads alike; more is EAGAIN. */
  pids?: number;
  /** Open files of one process at most; more is EMFILE. */
  files?: number;
  /** Bytes that files may hold beyond the image's, or `"100M"`; more is ENOSPC. */
  disk?: number | string;
  /** Bytes of both outputs of a `run`, or `"1M"`; a program that writes more is ended. */
  maxOutput?: number | string;
}

/** The same, as `Limits` of ebbtide/policy.py takes them: seconds and bytes. */
export interface LimitNumbers {
  readonly timeout: number;
  readonly pids: number;
  readonly files: number;
  readonly disk: number;
  readonly max_output: number;
}

/** A limit that a program has met; memory: it, or one of its own, was killed. */
export type LimitMet = "timeout" | "memory" | "pids" | "disk";

/**
 * Who may make processes (clone, fork, vfork, threads) and start programs (exec) inside the guest. A kind that is
 * absent is not asked about. What the page starts is never refused.
 */
export interface Policy {
  readonly clone?: PolicyRule;
  readonly exec?: PolicyRule;
}

/**
 * `"admit"`, or the name of the errno that each caller gets, or: that errno after so many requests were admitted, so
 * many times (for ever unless given).
 */
export type PolicyRule = string | { readonly error: string; readonly after?: number; readonly times?: number };

/** To the kernel worker, first of all: begin to fetch the image. */
export interface Open {
  readonly type: "open";
  readonly config: MachineConfig;
}

/** Import these scripts of Python's now, while the rest is still on its way. */
export interface Prepare {
  readonly type: "prepare";
  readonly scripts: readonly string[];
}

export interface StartKernel {
  readonly type: "start";
  readonly role: "kernel";
  readonly shared: Shared;
  /** To the worker that keeps recordings (worker/runs.ts). */
  readonly runs: MessagePort | null;
}

export interface StartThread {
  readonly type: "start";
  readonly role: "thread";
  readonly shared: Shared;
  readonly policy: Policy | null;
  /** null: as the runtime has it. */
  readonly jit: JitMode | null;
}

// ---- Page to worker -----------------------------------------------------------------------------------------

/** The kernel has been attached: take this seat and step. */
export interface Go {
  readonly type: "go";
  readonly seat: Seat;
  /** Of earlier visits. */
  readonly joined: readonly Joined[];
}

/** What a worker needs to become a hart (`Seat` of ebbtide/port.py): addresses in the shared memory. */
export interface Seat {
  readonly hart: number;
  readonly stack: number;
  readonly report: number;
  readonly control: number;
  /** Where the kernel writes the order of what harts do, if several are recorded. */
  readonly order: number;
}

/** The reader takes `bytes` more of a stream. The worker never sends more than was granted. */
export interface Credit {
  readonly type: "credit";
  readonly stream: Id;
  readonly bytes: number;
}

/** The reader wants nothing more: the guest's writer gets EPIPE. */
export interface Release {
  readonly type: "release";
  readonly stream: Id;
}

/** Give up a request (AbortSignal). It is still answered. */
export interface Cancel {
  readonly type: "cancel";
  readonly id: Id;
}

export type ToKernel = Open | Prepare | StartKernel | Request | Cancel | Credit | Release;
export type ToThread = Prepare | StartThread | Go;

// ---- Worker to page -----------------------------------------------------------------------------------------

/** First of all: the worker runs. It holds the Web Lock `life` until it ends; null where there are no locks. */
export interface Alive {
  readonly type: "alive";
  readonly life: string | null;
}

/** Python runs in this worker. */
export interface Started {
  readonly type: "started";
}

/** The kernel worker has attached the kernel and made a seat for each hart. */
export interface Attached {
  readonly type: "attached";
  readonly seats: readonly Seat[];
}

/** The worker cannot go on. Only ever a fault of ours or of the network, never of the guest. */
export interface Failed {
  readonly type: "failed";
  readonly error: ErrorShape;
}

/** A hart returned PANIC, trapped, or its loop raised. */
export interface Panicked {
  readonly type: "panic";
  readonly hart: number;
  readonly report: string;
}

/** A hart's module of compiled code, for later visits. */
export interface Compiled {
  readonly type: "compiled";
  readonly record: ArrayBuffer;
  readonly module: ArrayBuffer;
}

/** A module of `count` regions that a hart wants compiled: itself, or its number among those of earlier visits. */
export interface Warm {
  readonly type: "warm";
  readonly hart: number;
  readonly id: number;
  readonly count: number;
  /** Where the kernel is told, so that the hart's step ends. */
  readonly at: number;
  readonly module: ArrayBuffer | number;
}

/** The compiling worker's first message; then it gets each `Warm`. In `ready` harts find the last module that is. */
export interface WarmStart {
  readonly ready: Int32Array;
  readonly kept: KeptCode | null;
  readonly memory: WebAssembly.Memory;
}

/** What worker/code.ts is to do: `load` what is kept in the cache `joined`, or `make` more of it from the cache `packs`. */
export interface MachineCode {
  readonly type: "load" | "make";
  readonly joined: string;
  readonly packs: string;
  /** The SDK's folder. */
  readonly base: string;
  /** The machine that is not to be disturbed, if it runs already. */
  readonly machine: Running | null;
}

/** A kernel and the memory that its harts share. */
export interface Running {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}

/** Many modules of compiled code in one, with their records; V8 has the machine code of earlier visits for it. */
export interface Joined {
  readonly module: WebAssembly.Module;
  readonly records: SharedArrayBuffer;
  /** That it fills, with its regions first. */
  readonly slots: number;
}

/** The machine answers requests. */
export interface Booted {
  readonly type: "booted";
}

export interface Reply {
  readonly type: "reply";
  readonly id: Id;
  readonly value: unknown;
}

export interface Refusal {
  readonly type: "refusal";
  readonly id: Id;
  readonly error: ErrorShape;
}

/** Bytes of a stream, within its credit. */
export interface Data {
  readonly type: "data";
  readonly stream: Id;
  readonly data: ArrayBuffer;
}

/** The stream has ended; with `error` it broke (a reset connection). */
export interface End {
  readonly type: "end";
  readonly stream: Id;
  readonly error: ErrorShape | null;
}

/** How far booting has come. `done` and `total` are bytes where `unit` says so. */
export interface Progress {
  readonly type: "progress";
  readonly stage: Stage;
  readonly done: number;
  readonly total: number;
  readonly unit: "bytes" | "workers" | "steps";
}

/** The stages of booting, in order. */
export type Stage = "download" | "workers" | "image" | "boot";

/** A line of the kernel's log. */
export interface Log {
  readonly type: "log";
  /** `error` is trouble outside the guest: a chunk of the image that could not be had, say. */
  readonly level: "info" | "warn" | "error" | "strace";
  readonly text: string;
}

/** How the recording goes: bytes of its tape so far; why it has ended, if it has. */
export interface Recorded {
  readonly type: "recording";
  readonly id: string;
  readonly bytes: number;
  readonly ended: string | null;
}

export type FromKernel = Alive | Started | Attached | Failed | Panicked | Booted | Reply | Refusal | Data | End | Progress | Log | Recorded;
export type FromThread = Alive | Started | Failed | Panicked | Compiled | Warm;

/** An error as it crosses. Which fields are set depends on `code`: see errors.ts. */
export interface ErrorShape {
  /** Besides the codes: what only the machine knows to be a wrong argument. */
  readonly code: ErrorCode | "TypeError" | "RangeError";
  readonly message: string;
  readonly details?: string;
  /** Name of a Linux error ("ENOENT") and the path it is about. */
  readonly errno?: string;
  readonly path?: string;
  /** Output up to the end of a run that timed out, was aborted or wrote too much. */
  readonly stdout?: ArrayBuffer;
  readonly stderr?: ArrayBuffer;
}

/** A run as the store knows it without reading its tape; times in ms since 1970. */
export interface RunInfo {
  readonly id: string;
  readonly started: number;
  readonly ended: number | null;
  readonly kernel: string;
  readonly pinned: boolean;
  readonly about: Readonly<Record<string, unknown>>;
  /** Of its tape; and with what else it takes to replay it, which runs may share. */
  readonly bytes: number;
  readonly stored: number;
  /** When its tape was last written; null of a run from elsewhere that was cut short. */
  readonly last: number | null;
  /** Of a run from elsewhere. */
  readonly exitCode: number | null;
  /** It was exported without what was typed, and does not replay. */
  readonly redacted: boolean;
  /** Signed heads (docs/tape.md); only natively does anybody sign. */
  readonly signatures: readonly unknown[];
  /** A page is recording it now. */
  readonly live: boolean;
}

/** Which pages of a machine are in use: the heap's, from 0 to `heap`, and the frames', from `low` to `pages`. */
export interface Extent {
  readonly heap: number;
  readonly low: number;
  readonly pages: number;
}

/** A line of a trace, and its tick. */
export type TraceRow = readonly [tick: number, line: string];

/** Beyond checksums and the chain of hashes, which are always checked. */
export interface VerifyLevels {
  /** Hash every object that the tape names. */
  objects?: boolean;
  /** Run it all again. */
  replay?: boolean;
  /** Check signed heads, if there are any: that each is its key's, and that the tape is what was signed. */
  signatures?: boolean;
  /** Check them, and that they are of this key (hex). */
  key?: string;
}

/** Whether a run is what was written; cut: all before its end is right. */
export interface Verdict {
  readonly state: "whole" | "cut" | "damaged" | "diverged";
  /** What each check found. */
  readonly said: readonly string[];
  /** The key that has signed it (hex), if that was asked for and is so. */
  readonly signedBy: string | null;
  /** Of what is damaged or diverged: where and how. */
  readonly why: string;
}

// ---- Requests -----------------------------------------------------------------------------------------------

/** What a process is started with. */
export interface CommandParams {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | null;
  readonly user: string | null;
}

export interface Size {
  readonly rows: number;
  readonly cols: number;
}

/** How a process ended. `exitCode` is 128 + n after signal n, whose name ("SIGTERM") is `signal`. */
export interface ExitStatus {
  readonly exitCode: number;
  readonly signal: string | null;
  /** The limit of the machine that it met, if it did. */
  readonly limit?: LimitMet;
}

export interface StatShape {
  readonly kind: FileKind;
  readonly mode: number;
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly ino: number;
  /** Milliseconds since 1970. */
  readonly mtime: number;
  readonly atime: number;
  readonly ctime: number;
}

export type FileKind = "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";

interface Path {
  readonly path: string;
}

/** Every request: what it takes, what it gives. */
export interface Methods {
  run: {
    params: CommandParams & {
      readonly stdin: ArrayBuffer | null;
      readonly timeoutMs: number | null;
      readonly maxOutput: number | null;
    };
    value: ExitStatus & { readonly stdout: ArrayBuffer; readonly stderr: ArrayBuffer };
  };
  spawn: {
    params: CommandParams & { readonly pty: Size | null };
    /** With a pty, stdin and stdout are its two directions and there is no stderr. */
    value: {
      readonly process: Id;
      readonly pid: number;
      readonly stdin: Id;
      readonly stdout: Id;
      readonly stderr: Id | null;
    };
  };
  /** The terminals that were open when the machine branched. */
  terminals: { params: Record<string, never>; value: readonly Methods["spawn"]["value"][] };
  wait: { params: { readonly process: Id }; value: ExitStatus };
  kill: { params: { readonly process: Id; readonly signal: string | number }; value: null };
  resize: { params: { readonly process: Id } & Size; value: null };

  /** Answered when the guest has room for more: this is the back-pressure of writers. */
  write: { params: { readonly stream: Id; readonly data: ArrayBuffer }; value: null };
  closeWriter: { params: { readonly stream: Id }; value: null };
  connect: { params: { readonly port: number }; value: { readonly read: Id; readonly write: Id } };

  readFile: { params: Path; value: ArrayBuffer };
  writeFile: { params: Path & { readonly data: ArrayBuffer; readonly mode: number | null }; value: null };
  mkdir: { params: Path & { readonly parents: boolean; readonly mode: number }; value: null };
  readdir: { params: Path; value: readonly string[] };
  stat: { params: Path & { readonly follow: boolean }; value: StatShape };
  symlink: { params: Path & { readonly target: string }; value: null };
  readlink: { params: Path; value: string };
  unlink: { params: Path & { readonly recursive: boolean }; value: null };
  rename: { params: Path & { readonly to: string }; value: null };
  chmod: { params: Path & { readonly mode: number }; value: null };
  readFiles: { params: { readonly paths: readonly string[] }; value: readonly ArrayBuffer[] };
  writeFiles: {
    params: { readonly files: readonly { readonly path: string; readonly data: ArrayBuffer }[] };
    value: null;
  };
  /** Unpack a tar into a directory / pack a directory into a tar. */
  unpack: { params: Path & { readonly tar: ArrayBuffer }; value: null };
  pack: { params: Path; value: ArrayBuffer };

  /** What the harts have done so far; for tests and the curious. */
  counters: { params: Record<string, never>; value: Counters };
  stats: { params: Record<string, never>; value: Stats };
  /** SHA-256 over all machine pages, in hex. */
  digest: { params: Record<string, never>; value: string };
  /** Keep all of the run up to now; record no more. */
  saveRun: { params: Record<string, never>; value: null };
  endRecording: { params: Record<string, never>; value: null };
  /** Hold the machine still, and say in JSON what its pages do not; let it go on. */
  snapshotBegin: { params: Record<string, never>; value: string };
  snapshotEnd: { params: Record<string, never>; value: null };
  /** Answered when the harts have had nothing to do for a moment, or much for long: then another one may start. */
  rest: { params: Record<string, never>; value: null };
  /** Freeze all harts; afterwards no worker is inside a step and all may be ended. */
  close: { params: Record<string, never>; value: null };
}

export interface Counters {
  /** Per hart. */
  readonly steps: readonly number[];
  readonly retired: readonly number[];
  /** Messages the kernel worker has taken and sent. */
  readonly messages: number;
  /** Most harts that were inside `k_step` at once, and that executed guest code at once. */
  readonly hartsInsideMax: number;
  readonly guestInsideMax: number;
}

/** What a machine has done, all harts together. */
export interface Stats {
  /** Machine time: instructions and kernel work. */
  readonly ticks: number;
  /** Guest instructions, and how many of them in compiled code. */
  readonly instructions: number;
  readonly compiledInstructions: number;
  /** How often compiled code was entered from outside it. */
  readonly entries: number;
  /** Compiled code: pieces of guest code, their instructions, modules and their bytes; seconds spent on compiling. */
  readonly regions: number;
  readonly regionInstructions: number;
  readonly modules: number;
  readonly moduleBytes: number;
  readonly compileSeconds: number;
  /** Modules that the browser did not take; times that all compiled code was dropped; pieces found out of date. */
  readonly refused: number;
  readonly evictions: number;
  readonly stale: number;
  /** Pieces of guest code that an earlier visit had compiled, and their modules. */
  readonly keptRegions: number;
  readonly keptModules: number;
  /** Times that a processor has looked at all pieces again, and that one has dropped all decoded code. */
  readonly epochs: number;
  readonly flushes: number;
}

export type Method = keyof Methods;

export type Request = {
  [M in Method]: {
    readonly type: "request";
    readonly id: Id;
    readonly method: M;
    readonly params: Methods[M]["params"];
  };
}[Method];
