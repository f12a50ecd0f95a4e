/** The machine in a page's hands: what `boot()` returns. Owner of the workers and the memory until `close`. */

import { checkAbortSignal, wantsText, wordsOf } from "./arguments.js";
import type { Client } from "./client.js";
import { EbbError } from "./errors.js";
import { openFiles, type Files, type TextEncoding } from "./fs.js";
import { parseLimit } from "./memory.js";
import type { CommandParams, Counters, ExitStatus, Size, Stats } from "./messages.js";
import { connect, fetchGuest, type Connection } from "./net.js";
import { refuseUnknown } from "./options.js";
import { openProcess, type Process } from "./process.js";
import { openRuns, type Recording, type Runs } from "./runs.js";
import { openSnapshots, takeSnapshot, type Held, type Snapshots } from "./snapshots.js";
import { saveState } from "./state.js";
import { copyBuffer, type Input } from "./streams.js";
import { attachTerminal, type AttachOptions, type Attachment } from "./terminal.js";
import type { Cluster } from "./workers.js";

/** How to start a command. */
export interface CommandOptions {
  /** On top of the machine's environment. */
  env?: Readonly<Record<string, string>>;
  /** `/` unless given. */
  cwd?: string;
  user?: string;
}

export interface RunOptions extends CommandOptions {
  /** What the command reads; end of file at once unless given. */
  stdin?: Input;
  /** Milliseconds; then TERM, then KILL to its whole process group, and the promise rejects with a RunError. */
  timeout?: number;
  /** Aborting ends the command as a timeout does; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Bytes of stdout and stderr together, or `"1M"`; a command that writes more is ended. 64 MiB unless given, here or to `boot`. */
  maxOutput?: number | string;
}

/** What a finished command leaves. */
export interface RunResult<Output> extends ExitStatus {
  readonly stdout: Output;
  readonly stderr: Output;
}

export interface SpawnOptions extends CommandOptions {
  /** Run it on a pseudo-terminal of this size. */
  pty?: Size;
}

/** A booted machine. */
export interface Sdk {
  readonly image: string;
  readonly harts: number;
  /** Bytes of guest memory. */
  readonly memory: number;
  /**
   * Run a command to its end. Found through the guest's PATH; not found is exit code 127. A failing command is
   * not an error: look at `exitCode` (128 + n after signal n, whose name is then in `signal`).
   */
  run(command: string, args?: readonly string[], options?: RunOptions & { encoding?: TextEncoding }): Promise<RunResult<string>>;
  run(command: string, args: readonly string[], options: RunOptions & { encoding: "bytes" }): Promise<RunResult<Uint8Array>>;
  /** Start a command and keep its streams. */
  spawn(command: string, args?: readonly string[], options?: SpawnOptions): Promise<Process>;
  /** The guest's files. */
  readonly fs: Files;
  /** A byte stream to a TCP port on which a guest program listens. */
  connect(port: number): Promise<Connection>;
  /** An HTTP exchange with a guest's port. */
  fetch(port: number, path: string, init?: RequestInit): Promise<Response>;
  /** Put a terminal into `element` and connect it to a process that runs on a pty. */
  attach(element: HTMLElement, process: Process, options?: AttachOptions): Promise<Attachment>;
  /** What the harts have done so far. */
  counters(): Promise<Counters>;
  /** How much it has run, and how much of that in compiled code. */
  stats(): Promise<Stats>;
  /** Of a machine that has branched from a run: take over the programs whose terminals were open. */
  terminals(): Promise<readonly Process[]>;
  /** The runs recorded in this browser. */
  readonly runs: Runs;
  /** How this machine's recording goes; null if it is not recorded, or not yet. */
  readonly recording: Recording | null;
  /** Keep all of this run up to now. */
  saveRun(): Promise<void>;
  /** Record no more; the run goes on. */
  endRecording(): Promise<void>;
  /** The SHA-256 over all machine pages at this moment; a recording notes it, and a replay compares. */
  digest(): Promise<string>;
  /**
   * Keep the machine as it is now; gives an id for `boot({ snapshot: id })`. What goes on from it has files, programs and
   * terminals as they were; other descriptors of this page are closed there.
   */
  snapshot(): Promise<string>;
  /** The snapshots kept in this browser. */
  readonly snapshots: Snapshots;
  /** The machine's memory as a file (gzip), for a bug report after a panic. */
  state(): Promise<Blob>;
  /** End the machine: all workers end, the memory is free, what still waits is rejected. */
  close(): Promise<void>;
}

interface Parts {
  readonly image: string;
  readonly harts: number;
  readonly ramBytes: number;
  readonly memory: WebAssembly.Memory;
  /** The SDK's folder. */
  readonly base: URL;
  /** Write away what later visits can use. */
  save(): Promise<void>;
}

const COMMAND_OPTIONS = { env: 0, cwd: 0, user: 0 } satisfies Record<keyof CommandOptions, 0>;
const RUN_OPTIONS = {
  ...COMMAND_OPTIONS, stdin: 0, timeout: 0, signal: 0, maxOutput: 0, encoding: 0,
} satisfies Record<keyof RunOptions | "encoding", 0>;
const SPAWN_OPTIONS = { ...COMMAND_OPTIONS, pty: 0 } satisfies Record<keyof SpawnOptions, 0>;

/** A machine that does not come to rest within this time is ended all the same. */
const CLOSE_MS = 3000;

/** A machine, and what boot tells it. */
export interface Opened {
  readonly sdk: Sdk;
  recorded(recording: Recording): void;
}

export function openMachine(client: Client, cluster: Cluster, parts: Parts): Opened {
  const params = (command: string, args: readonly string[], options: CommandOptions): CommandParams => ({
    argv: wordsOf(command, args),
    env: options.env ?? {},
    cwd: options.cwd ?? null,
    user: options.user ?? null,
  });

  let kept: Parts | null = parts;
  let closing: Promise<void> | null = null;
  let recording: Recording | null = null;
  const left = new AbortController();
  const saveRun = async (): Promise<void> => void (await client.request("saveRun", {}));
  let saving: Promise<void> | null = null;
  /** The page may be gone before this has an answer. */
  const hurry = (): void => void (saving ??= saveRun().catch(() => undefined).finally(() => (saving = null)));

  async function run(command: string, args?: readonly string[], options?: RunOptions & { encoding?: TextEncoding }): Promise<RunResult<string>>;
  async function run(command: string, args: readonly string[], options: RunOptions & { encoding: "bytes" }): Promise<RunResult<Uint8Array>>;
  async function run(
    command: string,
    args: readonly string[] = [],
    options: RunOptions & { encoding?: TextEncoding | "bytes" } = {},
  ): Promise<RunResult<string> | RunResult<Uint8Array>> {
    refuseUnknown("run", options, RUN_OPTIONS);
    const { stdin, timeout, signal, encoding = "utf8", maxOutput = null } = options;
    const text = wantsText(encoding);
    checkAbortSignal(signal);
    const input = stdin === undefined ? null : copyBuffer(stdin instanceof Blob ? await stdin.arrayBuffer() : stdin);
    const result = await client.request(
      "run",
      { ...params(command, args, options), stdin: input, timeoutMs: timeout ?? null, maxOutput: maxOutput === null ? null : parseLimit("maxOutput", maxOutput) },
      { transfer: input === null ? [] : [input], signal },
    );
    const stdout = new Uint8Array(result.stdout);
    const stderr = new Uint8Array(result.stderr);
    if (!text) return { ...result, stdout, stderr };
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return { ...result, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  async function close(): Promise<void> {
    left.abort();
    const timer = new Promise<null>((resolve) => setTimeout(resolve, CLOSE_MS, null));
    await Promise.race([client.request("close", {}).catch(() => null), timer]);
    client.end(new EbbError("closed", "The machine has been closed."));
    cluster.terminate();
    await Promise.race([parts.save(), timer]);
    kept = null;
  }

  const sdk: Sdk = {
    image: parts.image,
    harts: parts.harts,
    memory: parts.ramBytes,
    run,
    async spawn(command, args = [], options = {}) {
      refuseUnknown("spawn", options, SPAWN_OPTIONS);
      const pty = options.pty ?? null;
      const spawned = await client.request("spawn", { ...params(command, args, options), pty });
      return openProcess(client, spawned, pty !== null);
    },
    terminals: async () => (await client.request("terminals", {})).map((one) => openProcess(client, one, true)),
    fs: openFiles(client),
    connect: (port) => connect(client, port),
    fetch: (port, path, init = {}) => fetchGuest(client, port, path, init),
    attach: attachTerminal,
    counters: () => client.request("counters", {}),
    stats: () => client.request("stats", {}),
    runs: openRuns(parts.base),
    get recording() {
      return recording;
    },
    saveRun,
    endRecording: async () => void (await client.request("endRecording", {})),
    async snapshot() {
      if (kept === null) throw new EbbError("closed", "The machine has been closed.");
      const hold = async (): Promise<Held> => JSON.parse(await client.request("snapshotBegin", {})) as Held;
      return takeSnapshot(parts.base, kept.memory, parts.ramBytes, hold, () => client.request("snapshotEnd", {}));
    },
    snapshots: openSnapshots(parts.base),
    digest: () => client.request("digest", {}),
    async state() {
      if (kept === null) throw new EbbError("closed", "The machine has been closed.");
      return saveState(kept.memory, { image: kept.image, harts: kept.harts, memory: kept.ramBytes });
    },
    close: () => (closing ??= close()),
  };
  return {
    sdk,
    recorded(now) {
      if (recording === null) whenLeft(hurry, left.signal);
      recording = now;
    },
  };
}

/** Call `save` when the page is hidden or left, of which the browser may give no other word before it ends our workers. */
function whenLeft(save: () => void, until: AbortSignal): void {
  const hidden = (): void => {
    if (document.visibilityState === "hidden") save();
  };
  globalThis.document?.addEventListener("visibilitychange", hidden, { signal: until });
  for (const event of ["beforeunload", "pagehide"]) addEventListener(event, save, { signal: until });
}
