/**
 * What a page runs before all else where the server may not send the headers of isolation: it has the service worker
 * beside it send them, which takes one reload, and never a second one. `isolate()` says whether the page is isolated;
 * while it reloads, it never settles.
 */

/** Kept in the history entry: it outlives the reload and needs no storage, which may be denied. */
const MARK = "ebbIsolating";

export async function isolate(worker: string | URL = new URL("service_worker.js", import.meta.url)): Promise<boolean> {
  const state = (history.state ?? {}) as Record<string, unknown>;
  const tried = state[MARK] === true;
  if (tried) history.replaceState({ ...state, [MARK]: undefined }, "");
  if (crossOriginIsolated) return true;
  if (tried || !isSecureContext) return false;
  try {
    const { installing, waiting, active } = await navigator.serviceWorker.register(worker);
    const helper = installing ?? waiting ?? active;
    if (helper === null) return false;
    await activated(helper);
  } catch {
    return false; // no such file, storage denied, or a browser without service workers
  }
  history.replaceState({ ...state, [MARK]: true }, "");
  location.reload();
  return new Promise(() => undefined);
}

function activated(worker: ServiceWorker): Promise<void> {
  if (worker.state === "activated") return Promise.resolve();
  return new Promise((resolve, reject) => {
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("the service worker was replaced"));
    });
  });
}

/** For a frame that cannot be isolated where it is: a button that opens the same page in a tab of its own. */
export function offerTab(place: HTMLElement = document.body): void {
  const button = document.createElement("button");
  button.type = "button";
  button.id = "open-tab";
  button.textContent = "Open in a new tab";
  button.onclick = () => window.open(location.href, "_blank", "noopener");
  place.append(button);
}
