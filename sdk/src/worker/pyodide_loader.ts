/** Interim: plain loadPyodide with our package as a zip. */

import type { PyodideAPI } from "pyodide";

export interface PythonAssets {
  readonly indexURL: string;
  readonly packageZip: ArrayBuffer;
}

type Counted = (url: URL) => Promise<{ response: Response; finished: () => void }>;

export async function fetchPython(base: URL, counted: Counted): Promise<PythonAssets> {
  const { response, finished } = await counted(new URL("ebbtide.zip", base));
  const packageZip = await response.arrayBuffer();
  finished();
  return { indexURL: base.href, packageZip };
}

export async function startPython(assets: PythonAssets): Promise<PyodideAPI> {
  const { loadPyodide } = (await import(/* @vite-ignore */ `${assets.indexURL}pyodide.mjs`)) as typeof import("pyodide");
  const python = await loadPyodide({ indexURL: assets.indexURL, packages: [] });
  python.unpackArchive(assets.packageZip, "zip", { extractDir: "/lib/python3.14/site-packages" });
  return python;
}
