/** The files every machine needs, fetched side by side, with their bytes counted for the progress display. */

import { EbbError } from "./errors.js";
import type { Progress } from "./messages.js";
import { fetchPython, type PythonAssets } from "./worker/pyodide_loader.js";

export interface AssetLoader {
  kernel(): Promise<WebAssembly.Module>;
  python(): Promise<PythonAssets>;
}

export function assetLoader(base: URL, onProgress: (progress: Progress) => void): AssetLoader {
  let done = 0;
  let total = 0;
  const tell = (): void => onProgress({ type: "progress", stage: "download", done, total, unit: "bytes" });

  /** `fetch`, which adds the file's size to `total` when it begins and to `done` when `finished` is called. */
  const counted = async (url: URL): Promise<{ response: Response; finished: () => void }> => {
    const response = await fetch(url);
    if (!response.ok) throw new EbbError("network", `${url.href} could not be fetched: ${response.status} ${response.statusText}.`);
    const size = Number(response.headers.get("content-length") ?? 0);
    total += size;
    tell();
    return {
      response,
      finished() {
        done += size;
        tell();
      },
    };
  };

  return {
    async kernel() {
      const { response, finished } = await counted(new URL("kernel.wasm", base));
      const module = await WebAssembly.compileStreaming(response);
      finished();
      return module;
    },
    python: () => fetchPython(new URL("pyodide/", base), counted),
  };
}
