/** `boot()`: from options to a running machine. */

import { checkArguments, shown } from "./arguments.js";
import { fetchAssets } from "./assets.js";
import { connectClient } from "./client.js";
import { openCodeStore } from "./code_store.js";
import { BrowserError, EbbError, PanicError } from "./errors.js";
import { requireBrowser } from "./features.js";
import { openMachineCode } from "./machine_code.js";
import { openMachine, type Opened, type Sdk } from "./machine.js";
import { parseLimit, parseSize, reserveMemory } from "./memory.js";
import { branchOf } from "./snapshots.js";
import type { Branch } from "./rewind.js";
import { keepRun, type Recording } from "./runs.js";
import type { JitMode, Limits, Log, MachineConfig, Policy, Progress } from "./messages.js";
import { refuseUnknown } from "./options.js";
import { makeClock } from "./worker/clock.js";
import { makeTapeRing } from "./worker/tape_ring.js";
import { openCluster, type Cluster } from "./workers.js";

/** All optional. The same names hold for `Machine.boot` in Python and for `ebb run`. */
export interface BootOptions {
  /** Name of the root file system; `"base"` unless given. */
  image?: string;
  /**
   * Workers that run guest code: the number of cores, at most 4, unless given; 1 with `seed` or `chaos`. What nobody has
   * asked for comes when the machine rests.
   */
  harts?: number;
  /** Guest memory, `"512M"`, `"1G"` or bytes; 1 GiB unless given. Reserved, not used, until the guest touches it. */
  memory?: number | string;
  /** Environment on top of the fixed one, for every process started from the page. */
  env?: Readonly<Record<string, string>>;
  /** Who runs what the page starts: `"root"` unless given. */
  user?: string;
  /** What the machine may use at most. */
  limits?: Limits;
  /** Who may make processes and start programs; nobody is asked unless given. */
  policy?: Policy;
  /** Go on from a moment of a run instead of booting (`rewind.branch`); such a machine has one hart. */
  branch?: Branch;
  /** Go on from a snapshot: an id of `sdk.snapshot()`, a file, or the address of one. It has as many harts as it had. */
  snapshot?: string | URL | Blob;
  /** Record the run; the tape stays in this browser (`sdk.runs`). Off unless given. */
  record?: boolean;
  /** Let go wrong what rarely does: a rate such as `0.01`, or kinds as in `"errno=0.01,short,clock,sched"`. */
  chaos?: number | string;
  /** What chaos and the guest's random numbers are drawn from; a random one unless given. */
  seed?: number;
  /** Compile hot guest code to WebAssembly: `"on"` or `"off"`. */
  jit?: JitMode;
  /** Keep compiled code in this origin's Cache Storage for later visits, and use what they have left. On unless given. */
  keepCode?: boolean;
  /** Told, while a run is recorded, how large its tape is, and when the recording has ended before the run. */
  onRecording?: (recording: Recording) => void;
  /** Told how far booting has come. */
  onProgress?: (progress: Progress) => void;
  /** Told what the kernel logs. */
  onLog?: (log: Log) => void;
  /** Told when the kernel stops by a fault of its own; everything outstanding is rejected with the same error. */
  onPanic?: (error: PanicError) => void;
  /** Told when a worker has failed or the browser has ended one; everything outstanding is rejected with the same error. */
  onFailure?: (error: EbbError) => void;
  /** Folder that holds kernel.wasm, worker.js, pyodide and images; the SDK's own unless given. */
  baseURL?: string | URL;
}

const HARTS_MOST = 6; // HART_MAX of the kernel's abi.h
const HARTS_UNASKED = 4; // HARTS_MOST of ebbtide/placement.py

const OPTIONS = {
  image: 0, harts: 0, memory: 0, env: 0, user: 0, limits: 0, policy: 0, branch: 0, snapshot: 0, record: 0, chaos: 0, seed: 0, jit: 0, keepCode: 0, onProgress: 0, onLog: 0, onPanic: 0,
  onFailure: 0, onRecording: 0, baseURL: 0,
} satisfies Record<keyof BootOptions, 0>;

const LIMITS = { timeout: 0, memory: 0, pids: 0, files: 0, disk: 0, maxOutput: 0 } satisfies Record<keyof Limits, 0>;

/** Boot a machine. Rejects with a typed error that says what is wrong and what mends it. */
export async function boot(options: BootOptions = {}): Promise<Sdk> {
  refuseUnknown("boot", options, OPTIONS);
  const { env = {}, user = "root", image = null, seed = null, policy = null } = options;
  checkArguments({ env, user, seed, policy, ...(image !== null && { image }) });
  await requireBrowser();
  const base = new URL(options.baseURL ?? ".", options.baseURL === undefined ? import.meta.url : location.href);
  if (options.branch && options.snapshot !== undefined) throw new TypeError("a machine goes on from a branch or from a snapshot");
  const kept = options.snapshot === undefined ? undefined : await branchOf(base, options.snapshot);
  const branch = options.branch ?? kept;
  const record = options.record ?? false;
  const one = branch !== undefined || seed !== null || options.chaos !== undefined; // what a seed draws comes out the same each time
  const harts = kept?.harts ?? options.harts ?? (one ? 1 : Math.min(navigator.hardwareConcurrency, HARTS_UNASKED));
  if (!Number.isInteger(harts) || harts < 1 || harts > HARTS_MOST) {
    throw new RangeError(`harts must be a whole number from 1 to ${HARTS_MOST}; got ${shown(harts)}`);
  }
  const onProgress = options.onProgress ?? (() => undefined);
  const limits = options.limits ?? {};
  refuseUnknown("limits", limits, LIMITS);
  checkArguments({ timeoutMs: limits.timeout ?? null });
  const asked = Math.min(parseSize(options.memory ?? "1G"), parseSize(limits.memory ?? Infinity, Infinity));
  const { memory, ramBytes } = branch ?? reserveMemory(asked);
  if (!branch && ramBytes < asked) {
    options.onLog?.({
      type: "log",
      level: "warn",
      text: `the browser refused ${asked >> 20} MiB of memory; this machine has ${ramBytes >> 20} MiB`,
    });
  }
  const config: MachineConfig = {
    image: image ?? branch?.image ?? "base",
    imagesURL: new URL("images/", base).href,
    kernelURL: new URL("kernel.wasm", base).href,
    commandsURL: new URL("commands.json", base).href,
    cpus: harts,
    env,
    user,
    limits: {
      timeout: (limits.timeout ?? 0) / 1000,
      pids: limits.pids ?? 0,
      files: limits.files ?? 0,
      disk: parseLimit("limits: disk", limits.disk ?? 0),
      max_output: parseLimit("limits: maxOutput", limits.maxOutput ?? 0),
    },
    policy,
    record,
    branch: branch?.known ?? null,
    chaos: options.chaos === undefined ? null : String(options.chaos),
    seed,
    jit: jitMode(options.jit),
  };

  const cluster = openCluster(new URL("worker.js", base), config, {
    progress: onProgress,
    message(message) {
      if (message.type === "log") options.onLog?.(message);
      else if (message.type === "recording") {
        const { type: _, ...recording } = message;
        machine?.recorded(recording);
        options.onRecording?.(recording);
      }
      else client.receive(message);
    },
    compiled({ record, module }) {
      void store.then((opened) => opened.add(record, module));
      machineCode.more();
    },
    recalled(number) {
      void store.then((opened) => opened.recalled(number));
    },
    panic(panic) {
      const error = new PanicError(panic.hart, panic.report);
      client.end(error);
      options.onPanic?.(error);
    },
    fail(error) {
      client.end(error);
      cluster.terminate();
      machineCode.close();
      options.onFailure?.(error);
    },
  });
  const client = connectClient(cluster.kernel);
  let machine: Opened | null = null;
  const store = openCodeStore((options.keepCode ?? true) ? new URL("kernel.wasm", base) : null);
  const machineCode = openMachineCode(base, new URL("code.js", base), store);
  try {
    const { module: ours, python } = await fetchAssets(base, onProgress, cluster.prepare);
    const module = (await kept?.filled) ?? options.branch?.module ?? ours;
    const { kept: code } = await store;
    const tape = record ? makeTapeRing(harts) : null;
    const warmed = new Int32Array(new SharedArrayBuffer(4 * harts));
    const { port1, port2 } = new MessageChannel();
    const begun = branch && { memory, base: memory.buffer.byteLength - ramBytes, kernel: branch.kernel };
    if (record) keepRun(base, port2, begun);
    machineCode.beside({ module, memory });
    await cluster.start({ module, memory, python, clock: makeClock(branch?.ms), harts, ramBytes, kept: code, warmed, tape }, machineCode.joined, record ? port1 : null);
  } catch (error) {
    cluster.terminate();
    machineCode.close();
    throw startError(error);
  }
  const save = async (): Promise<void> => {
    machineCode.close();
    await (await store).flush();
  };
  machine = openMachine(client, cluster, { image: config.image, harts, memory, ramBytes, save, base });
  const rest = async (): Promise<unknown> => options.harts === undefined && client.request("rest", {});
  void joinOthers(cluster, harts, rest).catch(() => undefined); // it has ended before
  return machine.sdk;
}

/** Bring the harts beside the first, one at a time: each has a Python to start, in the way of what runs then. */
async function joinOthers(cluster: Cluster, harts: number, rest: () => Promise<unknown>): Promise<void> {
  for (let hart = 1; hart < harts; hart++) {
    await rest();
    try {
      await cluster.join(hart);
    } catch (error) {
      console.warn(`The machine goes on with ${hart} of ${harts} harts, another one could not start:`, error);
      return;
    }
  }
}

function jitMode(asked: string | undefined): JitMode | null {
  if (asked === undefined) return null;
  if (asked === "on" || asked === "off") return asked;
  if (asked === "verify") throw new RangeError('jit: "verify" exists natively only: ebb run --jit=verify');
  throw new RangeError(`jit must be "on" or "off"; got ${JSON.stringify(asked)}`);
}

function startError(error: unknown): Error {
  if (error instanceof EbbError || error instanceof RangeError) return error; // the machine knows some wrong arguments
  if (error instanceof WebAssembly.CompileError) {
    return new BrowserError("too-old", `This browser is too old: it does not accept kernel.wasm.`, String(error));
  }
  return new EbbError("network", `A file the machine needs could not be loaded: ${error instanceof Error ? error.message : String(error)}`);
}
