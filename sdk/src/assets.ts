/** What every machine needs besides its image, fetched side by side, with the bytes counted for the progress display. */

import { EbbError } from "./errors.js";
import type { Progress } from "./messages.js";
import { prefetchRuntime, type RuntimeAssets, type RuntimeProgress } from "./runtime_assets.js";

export interface Assets {
  readonly module: WebAssembly.Module;
  readonly python: RuntimeAssets;
}

export async function fetchAssets(
  base: URL,
  onProgress: (progress: Progress) => void,
  onScripts: (urls: readonly string[]) => void,
): Promise<Assets> {
  const parts = { kernel: { loaded: 0, total: 0 }, python: { loaded: 0, total: 0 } };
  const tell = (): void => {
    const { kernel, python } = parts;
    const [done, total] = [kernel.loaded + python.loaded, kernel.total + python.total];
    onProgress({ type: "progress", stage: "download", done, total, unit: "bytes" });
  };

  const kernel = async (): Promise<WebAssembly.Module> => {
    const url = new URL("kernel.wasm", base);
    const response = await fetch(url);
    if (!response.ok) throw new EbbError("network", `${url.href} could not be fetched: ${response.status} ${response.statusText}.`);
    const total = Number(response.headers.get("content-length") ?? 0);
    parts.kernel = { loaded: 0, total };
    tell();
    const module = await WebAssembly.compileStreaming(response);
    parts.kernel = { loaded: total, total };
    tell();
    return module;
  };
  const told = (progress: RuntimeProgress): void => {
    parts.python = progress;
    tell();
  };
  const python = prefetchRuntime(new URL("pyodide/", base).href, told, onScripts);
  const [module, runtime] = await Promise.all([kernel(), python]);
  return { module, python: runtime };
}
