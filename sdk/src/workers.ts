/**
 * The workers of one machine: one for the kernel and owner roles, one per hart. They start side by side; harts
 * begin to step when the kernel worker has attached the kernel. Owner of all Worker objects.
 */

import { EbbError, errorFrom } from "./errors.js";
import type { FromKernel, FromThread, MachineConfig, Panicked, Progress, Shared, ToThread } from "./messages.js";

export interface Cluster {
  readonly kernel: Worker;
  /** Settles when the machine answers requests; rejects with the first fault of any worker. */
  readonly booted: Promise<void>;
  /** End all workers at once. Only when no hart is inside a step, or nothing matters any more. */
  terminate(): void;
}

export interface ClusterEvents {
  message(message: FromKernel): void;
  progress(progress: Progress): void;
  panic(panic: Panicked): void;
  /** A worker has failed after boot. */
  fail(error: EbbError): void;
}

export function startCluster(workerURL: URL, shared: Shared, config: MachineConfig, events: ClusterEvents): Cluster {
  const total = shared.harts + 1;
  let started = 0;
  let settled = false;
  let succeed: () => void;
  let reject: (error: EbbError) => void;
  const booted = new Promise<void>((resolve, refuse) => ([succeed, reject] = [resolve, refuse]));

  const fail = (error: EbbError): void => {
    if (!settled) reject(error);
    else events.fail(error);
    settled = true;
  };
  const oneStarted = (): void => events.progress({ type: "progress", stage: "workers", done: ++started, total, unit: "workers" });
  const open = (name: string): Worker => {
    const worker = new Worker(workerURL, { type: "module", name });
    worker.onerror = (event) => {
      event.preventDefault();
      fail(new EbbError("internal", `The worker "${name}" could not run: ${event.message || "its script did not load"}.`));
    };
    return worker;
  };

  const kernel = open("ebb kernel");
  const threads = Array.from({ length: shared.harts }, (_, hart) => open(`ebb hart ${hart}`));

  kernel.onmessage = ({ data }: MessageEvent<FromKernel>) => {
    switch (data.type) {
      case "started":
        oneStarted();
        break;
      case "attached":
        for (const seat of data.seats) threads[seat.hart]?.postMessage({ type: "go", seat } satisfies ToThread);
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
  for (const thread of threads) {
    thread.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if (data.type === "started") oneStarted();
      else if (data.type === "panic") events.panic(data);
      else fail(errorFrom(data.error));
    };
  }

  events.progress({ type: "progress", stage: "workers", done: 0, total, unit: "workers" });
  kernel.postMessage({ type: "start", role: "kernel", shared, config });
  for (const thread of threads) thread.postMessage({ type: "start", role: "thread", shared } satisfies ToThread);

  return {
    kernel,
    booted,
    terminate() {
      for (const worker of [kernel, ...threads]) worker.terminate();
    },
  };
}
