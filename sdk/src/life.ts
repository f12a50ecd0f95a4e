/**
 * How a page learns that the browser has ended a worker, of which it tells nobody: each worker holds a Web Lock for as
 * long as it lives, and the page waits for the same lock. Where locks are missing or denied nothing is watched.
 * Firefox keeps no page with locks in its history: going back boots anew there, and goes on with the machine in Chromium.
 */

/** In a worker: hold a lock until this worker ends; gives its name, or null without locks. */
export function holdLife(): Promise<string | null> {
  const { locks } = navigator as { locks?: LockManager }; // also missing outside secure contexts
  if (locks === undefined) return Promise.resolve(null);
  const name = `ebb ${crypto.randomUUID()}`;
  return new Promise((resolve) => {
    const holding = locks.request(name, () => {
      resolve(name);
      return new Promise(() => undefined);
    });
    holding.catch(() => resolve(null)); // storage is denied, and locks with it
  });
}

/** In the page: call `ended` when nobody holds the lock any more, unless `signal` was aborted before. */
export function watchLife(name: string, signal: AbortSignal, ended: () => void): void {
  navigator.locks.request(name, { signal }, ended).catch(() => undefined);
}
