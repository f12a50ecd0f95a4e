/** Calls over a message port: each is answered once, by a value or by an error's code and sentence. */

import type { ErrorCode } from "./errors.js";
import type { ErrorShape } from "./messages.js";

/** A failure that has a name: a worker's, that must not load the SDK's classes. */
export class CallError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: ErrorShape };

interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

export type Caller = (method: string, params: readonly unknown[], transfer?: Transferable[]) => Promise<unknown>;

/** The asking end. `event` gets messages that answer nothing; a page has `errorFrom` make its errors. */
export function callPort(
  port: Port,
  event: (message: unknown) => void = () => undefined,
  make: (error: ErrorShape) => Error = ({ message }) => new Error(message),
): Caller {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let next = 1;
  port.onmessage = ({ data }: MessageEvent<Answer>) => {
    const one = waiting.get(data.id);
    if (one === undefined) return event(data);
    waiting.delete(data.id);
    if ("error" in data) one.reject(make(data.error));
    else one.resolve(data.value);
  };
  return (method, params, transfer = []) =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      port.postMessage({ id, method, params } satisfies Call, transfer);
    });
}

/** What the page is told of Python's errors that are no bug: by class. */
const PYTHON: Readonly<Record<string, ErrorShape["code"]>> = {
  TapeDamaged: "damaged",
  ReplayDiverged: "diverged",
  ArgumentTypeError: "RangeError", // a moment that is none
};

function shapeOf(error: unknown): ErrorShape {
  if (!(error instanceof Error)) return { code: "internal", message: String(error) };
  if (error.name === "PythonError") {
    // Of a traceback the last line is the sentence, behind the name of its class.
    const line = error.message.trim().split("\n").at(-1) ?? "";
    const [, sentence = line] = /^[\w.]+: (.*)$/.exec(line) ?? [];
    const code = PYTHON[(error as unknown as { type: string }).type] ?? "internal";
    return code === "internal" ? { code, message: line, details: error.message } : { code, message: sentence };
  }
  if (error.name === "QuotaExceededError") return { code: "storage", message: error.message };
  const { code } = error as { code?: unknown }; // a DOMException's is a number
  return { code: typeof code === "string" ? (code as ErrorCode) : "internal", message: error.message };
}

/** The answering end: calls run one after another. */
export function servePort(port: Port, methods: Readonly<Record<string, (...params: never[]) => unknown>>): void {
  let last: Promise<void> = Promise.resolve();
  const answer = async ({ id, method, params }: Call): Promise<void> => {
    try {
      const value = await methods[method]?.(...(params as never[]));
      port.postMessage({ id, value } satisfies Answer, []);
    } catch (error) {
      port.postMessage({ id, error: shapeOf(error) } satisfies Answer, []);
    }
  };
  port.onmessage = ({ data }: MessageEvent<Call>) => void (last = last.then(() => answer(data)));
}
