/**
 * Entry of every worker. It starts Python, instantiates the kernel and calls `ebbtide.browser.worker`; what a
 * worker does is decided there. This side only fetches, waits and moves bytes, all by request of Python.
 */

import type { FromKernel, FromThread, Go, JitMode, MachineConfig, Seat, Shared, StartKernel, StartThread, ToKernel, ToThread } from "../messages.js";
import { holdLife } from "../life.js";
import { openImage, type Image } from "./image.js";
import { openHostTime, type HostTime } from "./clock.js";
import { attachKernel, seatKernel, type Kernel } from "./kernel.js";
import { callPort } from "../calls.js";
import { openTapeRing, type TapeRing } from "./tape_ring.js";
import { loadRuntime } from "./pyodide_loader.js";
import { post } from "./post.js";

/** What Python sees of the kernel worker; `KernelHost` in ebbtide/browser/worker.py. */
export interface KernelHost {
  readonly kernel: Kernel;
  readonly ramBytes: number;
  readonly harts: number;
  readonly time: HostTime;
  readonly configJson: string;
  post(message: FromKernel): void;
  /** Call back in a microtask; in a task of its own, after what already waits. */
  soon(callback: () => void): void;
  later(callback: () => void): void;
  /** JSON: the commands that known images have, by image; `{}` if that is not known. */
  fetchCommands(): Promise<string>;
  /** Rejects with a BlobError. */
  readonly image: Promise<Image>;
  /** Of a recorded machine: what its hart has delivered, and who keeps it. */
  readonly tape: TapeRing | null;
  readonly runs: RunKeeper | null;
}

/** The worker that keeps recordings (runs.ts). */
export interface RunKeeper {
  /** Copy the pages of the machine that was there before, the span as the kernel says; it may run then. */
  copy(heap: number, low: number, pages: number): Promise<unknown>;
  /** Gives the kernel's SHA-256. */
  begin(id: string, about: string): Promise<unknown>;
  /** Keep the pages of the machine that was there before; gives their hashes and sizes, in JSON. */
  pages(id: string): Promise<unknown>;
  /** Note the run's first command, in JSON. */
  name(id: string, args: string): Promise<unknown>;
  /** Gives the bytes of the tape so far. */
  append(id: string, tape: Uint8Array, hashes: readonly string[], objects: readonly Uint8Array[]): Promise<unknown>;
  finish(id: string): Promise<unknown>;
  /** Nothing more will come of it, and not its end either. */
  stop(id: string): Promise<unknown>;
}

/** What Python sees of a thread worker; `ThreadHost` in ebbtide/browser/worker.py. */
export interface ThreadHost {
  readonly kernel: Kernel;
  readonly time: HostTime;
  readonly seat: Seat;
  readonly policyJson: string;
  /** "": as the runtime has it. */
  readonly jit: JitMode | "";
  readonly tape: TapeRing | null;
  post(message: FromThread): void;
}

/** `ebbtide.browser.worker`, as this side calls it. */
interface PythonEntry {
  kernel_main(host: KernelHost): (message: ToKernel) => void;
  /** Steps until the machine is closed: it blocks this worker. */
  thread_main(host: ThreadHost): void;
}

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;

/** The kernel worker's image, which it fetches while the page still loads Python. */
interface Opened {
  readonly config: MachineConfig;
  readonly image: Promise<Image>;
}
let opened: Opened | null = null;

/** Settles when the page can watch over this worker, which it cannot begin once the worker blocks. */
const alive = holdLife().then((life) => post({ type: "alive", life }));

scope.onmessage = ({ data }: MessageEvent<ToKernel | ToThread>) => {
  switch (data.type) {
    case "open":
      opened = open(data.config);
      break;
    case "prepare": // a failure comes again when Python starts
      for (const url of data.scripts) import(/* @vite-ignore */ url).catch(() => undefined);
      break;
    case "start":
      (data.role === "kernel" ? startKernel(data) : startThread(data)).catch(fail);
      break;
    default:
      throw new Error(`${data.type} came before a worker's start`);
  }
};

scope.addEventListener("unhandledrejection", (event) => fail(event.reason));

async function loadEntry(shared: Shared): Promise<PythonEntry> {
  const python = await loadRuntime(shared.python);
  return python.pyimport("ebbtide.browser.worker") as PythonEntry;
}

function open(config: MachineConfig): Opened {
  const image = openImage(config.imagesURL, config.image, (done, total) =>
    post({ type: "progress", stage: "image", done, total, unit: "bytes" }),
  );
  image.catch(() => undefined); // Python will await it
  return { config, image };
}

async function startKernel({ shared, runs }: StartKernel): Promise<void> {
  if (opened === null) throw new Error("the kernel worker has no image");
  const { config, image } = opened;
  const entry = await loadEntry(shared);
  post({ type: "started" });
  const handle = entry.kernel_main({
    kernel: attachKernel(shared.module, shared.memory, shared.ramBytes, shared.harts),
    ramBytes: shared.ramBytes,
    harts: shared.harts,
    time: openHostTime(shared.clock),
    configJson: JSON.stringify(config),
    post,
    image,
    tape: shared.tape && openTapeRing(shared.tape),
    runs: runs && keeper(runs, config.kernelURL),
    fetchCommands: () => fetchCommands(config.commandsURL),
    soon: (callback) => queueMicrotask(callback),
    later: taskQueue(),
  });
  scope.onmessage = ({ data }: MessageEvent<ToKernel>) => handle(data);
}

async function startThread({ shared, policy, jit }: StartThread): Promise<void> {
  const seated = new Promise<Go>((resolve) => {
    scope.onmessage = ({ data }: MessageEvent<ToThread>) => {
      if (data.type === "go") resolve(data);
    };
  });
  const entry = await loadEntry(shared);
  post({ type: "started" });
  const [{ seat, joined }] = await Promise.all([seated, alive]);
  const kernel = seatKernel(shared.module, shared.memory, seat.stack, shared.kept, shared.warmed, joined);
  entry.thread_main({ kernel, seat, time: openHostTime(shared.clock), policyJson: JSON.stringify(policy), jit: jit ?? "", post, tape: shared.tape && openTapeRing(shared.tape) });
}

function keeper(port: MessagePort, kernelURL: string): RunKeeper {
  const call = callPort(port);
  return {
    copy: (...span) => call("copy", span),
    begin: (id, about) => call("begin", [id, about, kernelURL]),
    pages: (id) => call("pages", [id]),
    name: (id, args) => call("name", [id, args]),
    append: (id, tape, hashes, objects) =>
      call("append", [id, tape, hashes, objects], [tape, ...objects].map(({ buffer }) => buffer as ArrayBuffer)),
    finish: (id) => call("finish", [id]),
    stop: (id) => call("stop", [id]),
  };
}

async function fetchCommands(url: string): Promise<string> {
  const response = await fetch(url).catch(() => null);
  return response?.ok ? response.text() : "{}";
}

/** Runs callbacks each in a task of its own: quicker than a timer of 0 ms. */
function taskQueue(): (callback: () => void) => void {
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  port1.onmessage = () => waiting.shift()?.();
  return (callback) => {
    waiting.push(callback);
    port2.postMessage(null);
  };
}

function fail(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  // Of a Python traceback the last line is the sentence.
  const message = `A worker stopped: ${text.trim().split("\n").at(-1) ?? ""}`;
  const details = error instanceof Error ? `${text}\n${error.stack ?? ""}` : text;
  post({ type: "failed", error: { code: "internal", message, details } });
}
