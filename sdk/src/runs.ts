/**
 * Recorded runs of this origin. They lie in the browser's private files, kept by a worker that is started when the first
 * is recorded or asked for; nothing of them is ever sent.
 */

import { callPort, type Caller } from "./calls.js";
import type { Recorded, RunInfo } from "./messages.js";
import type { Rewind } from "./rewind.js";

export type { Branch, Rewind, RunEvent } from "./rewind.js";

/** How a machine's recording goes. */
export type Recording = Omit<Recorded, "type">;

export interface Runs {
  /** All runs, the newest first. */
  list(): Promise<readonly RunInfo[]>;
  /** A run as one file, with all that a replay needs; `ebb replay FILE` takes it, too. */
  export(id: string): Promise<Blob>;
  /** Take a run from a file; gives its id. */
  import(file: Blob): Promise<string>;
  /** Replay a run, in a worker of its own. */
  open(id: string): Promise<Rewind>;
  remove(id: string): Promise<void>;
  /** A pinned run makes no room for newer ones. */
  pin(id: string, pinned?: boolean): Promise<void>;
}

const workers = new Map<string, Caller>();

/** The worker that keeps runs, for the SDK at `base`. */
export function runKeeper(base: URL): Caller {
  const url = new URL("runs.js", base);
  let call = workers.get(url.href);
  if (call === undefined) workers.set(url.href, (call = callPort(new Worker(url, { type: "module", name: "ebb runs" }))));
  return call;
}

export function openRuns(base: URL): Runs {
  const call: Caller = (method, params) => runKeeper(base)(method, params);
  const rewind = async () => (await import("./rewind.js")).openRewinder(base);
  return {
    list: async () => (await call("list", [])) as readonly RunInfo[],
    async export(id) {
      const rewinder = await rewind();
      try {
        return await rewinder.export(id);
      } finally {
        rewinder.close();
      }
    },
    async import(file) {
      const rewinder = await rewind();
      try {
        return await rewinder.import(file);
      } finally {
        rewinder.close();
      }
    },
    open: async (id) => (await rewind()).open(id),
    remove: async (id) => void (await call("remove", [id])),
    pin: async (id, pinned = true) => void (await call("pin", [id, pinned])),
  };
}
