/**
 * Machine code of compiled guest code across visits: see worker/code.ts, which does the work. It needs V8's way of keeping
 * it, a service worker and Cache Storage; where one is missing, each visit has the code compiled anew.
 */

import type { CodeStore } from "./code_store.js";
import type { Joined, MachineCode } from "./messages.js";

export interface MachineCodeStore {
  /** What of earlier visits has been loaded by now. */
  readonly joined: readonly Joined[];
  /** More was compiled: keep that, too, when no more comes for a while. */
  more(): void;
}

const PREFIX = "ebb-joined-";
/** After the last module, in ms: the packs that they are taken from are written, and whoever waits has an answer. */
const REST = 4000;

interface BrowserData {
  getHighEntropyValues(hints: readonly string[]): Promise<{ readonly fullVersionList?: readonly { readonly version: string }[] }>;
}

export function openMachineCode(base: URL, worker: URL, store: Promise<CodeStore>): MachineCodeStore {
  const joined: Joined[] = [];
  const data = (navigator as { userAgentData?: BrowserData }).userAgentData; // who has this has V8
  let loader: Worker | null = null;
  let maker: Worker | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const task = caching(data, store);
  const open = async (type: MachineCode["type"]): Promise<Worker | null> => {
    const names = await task;
    if (names === null || (type === "load" && !(await caches.has(names.joined)))) return null;
    if (type === "make") await serviceWorker(base, worker);
    const code = new Worker(worker, { type: "module", name: "ebb code" });
    code.onerror = (event) => event.preventDefault(); // then not
    code.postMessage({ type, ...names, base: base.href } satisfies MachineCode);
    return code;
  };
  const load = async (): Promise<void> => {
    loader = await open("load");
    if (loader !== null) loader.onmessage = ({ data: loaded }: MessageEvent<Joined>) => void joined.push(loaded);
  };
  const make = async (): Promise<void> => {
    maker?.terminate();
    maker = await open("make");
  };
  load().catch(() => undefined);
  return {
    joined,
    more() {
      clearTimeout(timer);
      timer = setTimeout(() => void make().catch(() => undefined), REST);
    },
  };
}

/** The names of both caches: machine code is of one version of the browser and of one kernel; what is of others goes. */
async function caching(data: BrowserData | undefined, store: Promise<CodeStore>): Promise<Pick<MachineCode, "joined" | "packs"> | null> {
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
