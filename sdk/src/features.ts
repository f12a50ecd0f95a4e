/**
 * What a browser must offer before a machine can start. Each thing that can be missing has its own sentence:
 * what is wrong, and what mends it.
 */

import { BrowserError } from "./errors.js";

/** A WebAssembly module with one function of this body and a shared memory. */
function functionModule(...body: number[]): number[] {
  const code = [0, ...body, 0x0b];
  return [
    1, 4, 1, 0x60, 0, 0, //                          type 0: () -> ()
    3, 2, 1, 0, //                                   function 0: type 0
    5, 4, 1, 3, 1, 1, //                             memory 0: shared, 1 page
    10, code.length + 2, 1, code.length, ...code, // its code
  ];
}

const accepts = (sections: number[]): boolean => WebAssembly.validate(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections]));

/** Name, and whether it is there. All are required by kernel.wasm or by the runtime. */
const FEATURES: readonly (readonly [string, () => boolean])[] = [
  ["WebAssembly", () => typeof WebAssembly === "object"],
  ["Atomics", () => typeof Atomics === "object"],
  ["module workers", () => supportsModuleWorkers()],
  ["readable and writable streams", () => typeof ReadableStream === "function" && typeof WritableStream === "function"],
];

/** What kernel.wasm is compiled for, by the compiler's name (`-mcpu` in build_steps/kernel.py); a module of each. */
const WASM_FEATURES: readonly (readonly [string, string, number[]])[] = [
  ["atomics", "WebAssembly threads", functionModule(0xfe, 3, 0)],
  ["bulk_memory", "WebAssembly bulk memory", functionModule(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0)],
  ["simd128", "WebAssembly SIMD", functionModule(0x41, 0, 0xfd, 15, 0x1a)],
  ["sign_ext", "WebAssembly sign extension", functionModule(0x41, 0, 0xc0, 0x1a)],
  ["nontrapping_fptoint", "WebAssembly saturating conversion", functionModule(0x43, 0, 0, 0, 0, 0xfc, 0, 0x1a)],
  ["mutable_globals", "WebAssembly mutable globals", [6, 6, 1, 0x7f, 1, 0x41, 0, 0x0b, 7, 5, 1, 1, 0x67, 3, 0]], // exports one
];

/** What is not there. Without WebAssembly nothing can be asked of it. */
function missingFeatures(): string[] {
  const missing = FEATURES.filter(([, present]) => !present()).map(([name]) => name);
  if (missing.includes("WebAssembly")) return missing;
  return [...missing, ...WASM_FEATURES.filter(([, , sections]) => !accepts(sections)).map(([, name]) => name)];
}

function supportsModuleWorkers(): boolean {
  let asked = false;
  const options = {
    get type(): "module" {
      asked = true;
      return "module";
    },
  };
  try {
    new Worker("http://[", options).terminate();
  } catch {
    // No worker has such an address; whether `type` was read is what counts.
  }
  return asked;
}

const SERVE = "`ebb serve` sends them";

/** Throw the one error that says why no machine can start in this page. */
export async function requireBrowser(): Promise<void> {
  if (!globalThis.isSecureContext) {
    throw new BrowserError(
      "not-secure",
      `This address (${location.origin}) is not a secure context, so the browser withholds shared memory. ` +
        "Open the page as http://localhost, through a tunnel to localhost, or over https (`ebb serve --tls CERT KEY`).",
    );
  }
  const missing = missingFeatures();
  if (missing.length > 0) {
    throw new BrowserError(
      "too-old",
      `This browser is too old: it lacks ${missing.join(", ")}. A current Chrome, Edge, Firefox or Safari has it.`,
      navigator.userAgent,
    );
  }
  if (!globalThis.crossOriginIsolated || typeof SharedArrayBuffer !== "function") {
    if (window.top !== window) {
      throw new BrowserError(
        "forbidden-here",
        "This page is inside another page that does not let it use shared memory. Open it in a tab of its own, or have " +
          "the outer page send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp " +
          'and mark the frame allow="cross-origin-isolated".',
        `referrer ${document.referrer || "unknown"}`,
      );
    }
    throw new BrowserError("not-isolated", await isolationAdvice(), navigator.userAgent);
  }
}

const HEADERS = [
  ["Cross-Origin-Opener-Policy", ["same-origin"]],
  ["Cross-Origin-Embedder-Policy", ["require-corp", "credentialless"]],
] as const;

/** Ask for this page once more and name the headers that it came without. */
async function isolationAdvice(): Promise<string> {
  let response: Response | null = null;
  try {
    response = await fetch(location.href, { method: "HEAD", cache: "no-store" });
  } catch {
    // Without an answer the general advice names both.
  }
  const headers = response?.headers;
  const missing = HEADERS.filter(([name, values]) => !values.some((value) => headers?.get(name)?.startsWith(value)));
  const named = (missing.length > 0 ? missing : HEADERS).map(([name, [value]]) => `${name}: ${value}`);
  return (
    "This page is not isolated, so the browser withholds shared memory. The server must send " +
    `${named.join(" and ")} with the page; ${SERVE}. Where headers cannot be set (static hosting), have the page call \`isolate()\` of isolate.js first.`
  );
}
