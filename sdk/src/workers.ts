/**
 * The workers of one machine: one for the kernel and owner roles, one per hart, one that compiles. They load their script while the
 * page still downloads what they need. The kernel worker and the first hart start Python side by side; the other harts
 * join a machine that has booted, for they would only delay it. Owner of all Worker objects.
 */

import { EbbError, errorFrom } from "./errors.js";
import { watchLife } from "./life.js";
import type { Compiled, FromKernel, FromThread, Joined, MachineConfig, Panicked, Progress, Seat, Shared, ToKernel, ToThread, Warm, WarmStart } from "./messages.js";

export interface Cluster {
  readonly kernel: Worker;
  /** Hand out what the workers share. Settles when the machine answers; rejects with the first fault of any worker. */
  start(shared: Shared, joined: Promise<readonly Joined[]>, runs?: MessagePort | null): Promise<void>;
  /** Start one more hart of a machine that has booted. Settles when it runs Python; rejects if it cannot, and the machine goes on without. */
  join(hart: number): Promise<void>;
  /** Let every worker import scripts that it will need. */
  prepare(scripts: readonly string[]): void;
  /** End all workers at once. Only when no hart is inside a step, or nothing matters any more. */
  terminate(): void;
}

export interface ClusterEvents {
  message(message: FromKernel): void;
  progress(progress: Progress): void;
  panic(panic: Panicked): void;
  compiled(module: Compiled): void;
  /** A hart asks for a module that an earlier visit has left. */
  recalled(number: number): void;
  /** A worker has failed, or was ended by the browser, after boot. */
  fail(error: EbbError): void;
}

/** No hart numbers so many modules. */
const ALL = 0x7fffffff;

/** Workers that booting needs: the kernel worker and one hart. */
const FIRST = 2;

export function openCluster(workerURL: URL, config: MachineConfig, events: ClusterEvents): Cluster {
  let started = 0;
  let seats: readonly Seat[] = [];
  let joined: Promise<readonly Joined[]> = Promise.resolve([]);
  let settled = false;
  let succeed: () => void;
  let reject: (error: Error) => void;
  const booted = new Promise<void>((resolve, refuse) => ([succeed, reject] = [resolve, refuse]));
  booted.catch(() => undefined); // a worker may fail before anybody waits

  const watching = new AbortController();
  const watch = (name: string, life: string | null, failed: (error: Error) => void): void => {
    if (life === null) return;
    watchLife(life, watching.signal, () => {
      failed(new EbbError("worker-lost", `The browser ended the worker "${name}", without which the machine cannot go on.`));
    });
  };
  const fail = (error: Error): void => {
    if (!settled) reject(error);
    else if (error instanceof EbbError) events.fail(error);
    settled = true;
  };
  const oneStarted = (): void => {
    if (started < FIRST) events.progress({ type: "progress", stage: "workers", done: ++started, total: FIRST, unit: "workers" });
  };
  const open = (name: string, failed: (error: Error) => void): Worker => {
    const worker = new Worker(workerURL, { type: "module", name });
    worker.onerror = (event) => {
      event.preventDefault();
      failed(new EbbError("internal", `The worker "${name}" could not run: ${event.message || "its script did not load"}.`));
    };
    return worker;
  };

  let warmer: Worker | null = null;
  let begin: ToThread | null = null;
  let toWarm: (task: Warm) => void = () => undefined;
  const kernel = open("ebb kernel", fail);
  const threads: Worker[] = [];
  const openHart = (hart: number, runs: () => void, failed: (error: Error) => void): Worker => {
    const name = `ebb hart ${hart}`;
    const thread = open(name, failed);
    threads.push(thread);
    thread.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if (data.type === "alive") watch(name, data.life, failed);
      else if (data.type === "started") runs();
      else if (data.type === "panic") events.panic(data);
      else if (data.type === "compiled") events.compiled(data);
      else if (data.type === "warm") toWarm(data);
      else failed(errorFrom(data.error));
    };
    return thread;
  };
  const seat = async (thread: Worker, hart: number): Promise<void> => {
    const message = seats[hart];
    if (message !== undefined) thread.postMessage({ type: "go", seat: message, joined: await joined } satisfies ToThread);
  };
  const first = openHart(0, oneStarted, fail);
  kernel.postMessage({ type: "open", config } satisfies ToKernel);

  kernel.onmessage = ({ data }: MessageEvent<FromKernel>) => {
    switch (data.type) {
      case "alive":
        watch("ebb kernel", data.life, fail);
        break;
      case "started":
        oneStarted();
        break;
      case "attached":
        seats = data.seats;
        void seat(first, 0);
        break;
      case "booted":
        settled = true;
        succeed();
        break;
      case "progress":
        events.progress(data);
        break;
      case "panic":
        events.panic(data);
        break;
      case "failed":
        fail(errorFrom(data.error));
        break;
      default:
        events.message(data);
    }
  };

  return {
    kernel,
    start(shared, code, runs = null) {
      joined = code;
      toWarm = (task) => {
        warmer ??= openWarmer(new URL("warm.js", workerURL), shared);
        if (typeof task.module === "number") events.recalled(task.module);
        warmer.postMessage(task, typeof task.module === "number" ? [] : [task.module]);
      };
      begin = { type: "start", role: "thread", shared, policy: config.policy, jit: config.jit };
      events.progress({ type: "progress", stage: "workers", done: 0, total: FIRST, unit: "workers" });
      kernel.postMessage({ type: "start", role: "kernel", shared, runs } satisfies ToKernel, runs === null ? [] : [runs]);
      first.postMessage(begin);
      return booted;
    },
    join: (hart) =>
      new Promise((resolve, refuse) => {
        if (watching.signal.aborted) return; // the machine is closed
        let failed = (error: Error): void => {
          thread.terminate(); // it has not stepped yet
          refuse(error);
        };
        const runs = (): void => {
          failed = fail;
          resolve();
        };
        const thread = openHart(hart, runs, (error) => failed(error));
        thread.postMessage(begin);
        void seat(thread, hart);
      }),
    prepare(scripts) {
      const message: ToKernel & ToThread = { type: "prepare", scripts };
      for (const worker of [kernel, ...threads]) worker.postMessage(message);
    },
    terminate() {
      watching.abort();
      for (const worker of [kernel, ...threads]) worker.terminate();
      warmer?.terminate();
    },
  };
}

/** The worker that compiles before harts do. If it cannot run, they do not wait for it. */
function openWarmer(url: URL, { warmed, kept, memory }: Shared): Worker {
  const worker = new Worker(url, { type: "module", name: "ebb compiler" });
  worker.onerror = (event) => {
    event.preventDefault();
    warmed?.fill(ALL);
  };
  if (warmed !== null) worker.postMessage({ ready: warmed, kept, memory } satisfies WarmStart);
  return worker;
}
