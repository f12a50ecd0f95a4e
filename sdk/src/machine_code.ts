/**
 * Machine code of compiled guest code across visits: see worker/code.ts, which does the work. It needs V8's way of keeping
 * it, a service worker and Cache Storage; where one is missing, each visit has the code compiled anew.
 */

import type { CodeStore } from "./code_store.js";
import type { Joined, MachineCode, Running } from "./messages.js";

export interface MachineCodeStore {
  /** What earlier visits have left. Never rejects. */
  readonly joined: Promise<readonly Joined[]>;
  /** Make nothing before this, and while its harts run. */
  beside(machine: Running): void;
  /** More was compiled: keep that, too, when no more comes for a while. */
  more(): void;
  close(): void;
}

const PREFIX = "ebb-joined-";
/** After the last module, in ms: the packs that they are taken from are written, and whoever waits has an answer. */
const REST = 2500;

type Caches = Pick<MachineCode, "joined" | "packs">;

interface BrowserData {
  getHighEntropyValues(hints: readonly string[]): Promise<{ readonly fullVersionList?: readonly { readonly version: string }[] }>;
}

export function openMachineCode(base: URL, worker: URL, store: Promise<CodeStore>): MachineCodeStore {
  const names = caching(store);
  let loader: Worker | null = null; // stays: V8 keeps what harts have made it optimise, too
  let maker: Worker | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let machine: Running | null = null;
  let closed = false;
  const start = (type: MachineCode["type"], caches: Caches): Worker | null => {
    if (closed) return null;
    const code = new Worker(worker, { type: "module", name: "ebb code" });
    code.postMessage({ type, ...caches, base: base.href, machine } satisfies MachineCode);
    return code;
  };
  const load = async (): Promise<readonly Joined[]> => {
    const found = await names;
    if (found === null || !(await caches.has(found.joined))) return [];
    const code = (loader = start("load", found));
    if (code === null) return [];
    return new Promise((resolve) => {
      code.onmessage = ({ data }: MessageEvent<readonly Joined[]>) => resolve(data);
      code.onerror = (event) => {
        event.preventDefault();
        resolve([]);
      };
    });
  };
  const make = async (): Promise<void> => {
    const found = await names;
    if (found === null || machine === null) return;
    await serviceWorker(base, worker);
    if (maker !== null) {
      maker.postMessage({ type: "make", ...found, base: base.href, machine } satisfies MachineCode);
      return;
    }
    maker = start("make", found);
    maker?.addEventListener("error", (event) => event.preventDefault());
  };
  const more = (): void => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(() => void make().catch(() => undefined), REST);
  };
  return {
    joined: load().catch(() => []),
    beside(running) {
      machine = running;
      void store.then(({ kept }) => kept && more()); // the visit before may have been too short for it
    },
    more,
    close() {
      closed = true;
      clearTimeout(timer);
      loader?.terminate();
      maker?.terminate();
    },
  };
}

/** The names of both caches: machine code is of one version of the browser and of one kernel; what is of others goes. */
async function caching(store: Promise<CodeStore>): Promise<Caches | null> {
  const data = (navigator as { userAgentData?: BrowserData }).userAgentData; // who has this has V8
  try {
    const { name } = await store;
    if (data === undefined || name === "" || !("serviceWorker" in navigator)) return null;
    const { fullVersionList = [] } = await data.getHighEntropyValues(["fullVersionList"]);
    const joined = `${PREFIX}${fullVersionList.map(({ version }) => version).join("-")}-${name}`;
    for (const other of await caches.keys()) {
      if (other.startsWith(PREFIX) && other !== joined) await caches.delete(other);
    }
    return { joined, packs: name };
  } catch {
    return null; // storage is denied
  }
}

/** Have ours answer this worker, of whatever version, and nobody else. */
async function serviceWorker(base: URL, worker: URL): Promise<void> {
  const scope = new URL("code.", worker).href; // code.js, code.HASH.js
  const { installing, waiting, active } = await navigator.serviceWorker.register(new URL("service_worker.js", base), { scope });
  const helper = installing ?? waiting ?? active;
  while (helper !== null && helper.state !== "activated" && helper.state !== "redundant") {
    await new Promise((resolve) => helper.addEventListener("statechange", resolve, { once: true }));
  }
}
