/**
 * The errors a page can see: one table of codes, one class per way of handling them. The message is a
 * sentence for a person; `details` is for a bug report.
 */

import type { ErrorShape } from "./messages.js";

/** Every code, with what it means. */
export const ERROR_CODES = {
  "not-secure": "the page's address is not a secure context",
  "not-isolated": "the page lacks the headers that allow shared memory",
  "forbidden-here": "an outer page forbids shared memory to this frame",
  "too-old": "the browser lacks a feature",
  "no-memory": "the browser refused the memory",
  "image-missing": "there is no such image",
  "image-corrupt": "a part of the image is not what its hash says",
  "user-unknown": "the image has no user of that name",
  network: "a file could not be fetched",
  linux: "a system call failed; errno has the name of the error",
  timeout: "the command took longer than its timeout",
  aborted: "the command was aborted by its AbortSignal",
  "output-limit": "the command wrote more than maxOutput",
  panic: "the kernel stopped: our bug",
  closed: "the machine has been closed",
  internal: "something is wrong in Ebb itself",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The root of all errors of this SDK. */
export class EbbError extends Error {
  override readonly name: string = "EbbError";
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** What to put in a bug report. */
    readonly details: string = "",
  ) {
    super(message);
  }
}

/** The browser cannot run a machine here: not-secure, not-isolated, forbidden-here, too-old or no-memory. */
export class BrowserError extends EbbError {
  override readonly name = "BrowserError";
}

/** A system call on behalf of the page failed, as it would have for a program. */
export class LinuxError extends EbbError {
  override readonly name = "LinuxError";
  constructor(
    message: string,
    /** "ENOENT", "EACCES", … */
    readonly errno: string,
    readonly path: string | undefined,
  ) {
    super("linux", message);
  }
}

/** A run was ended from outside (timeout, aborted, output-limit); holds what it had written. */
export class RunError extends EbbError {
  override readonly name = "RunError";
  constructor(
    code: ErrorCode,
    message: string,
    readonly stdout: Uint8Array,
    readonly stderr: Uint8Array,
  ) {
    super(code, message);
  }
}

/** The kernel stopped by a fault of its own. The machine's memory is kept: see `Sdk.state`. */
export class PanicError extends EbbError {
  override readonly name = "PanicError";
  constructor(
    readonly hart: number,
    readonly report: string,
  ) {
    super("panic", "The kernel stopped because of a bug in Ebb. What the machine held is kept for download.", report);
  }
}

/** Make the error a message describes. */
export function errorFrom(shape: ErrorShape): EbbError {
  switch (shape.code) {
    case "linux":
      return new LinuxError(shape.message, shape.errno ?? "EIO", shape.path);
    case "timeout":
    case "aborted":
    case "output-limit":
      return new RunError(shape.code, shape.message, bytes(shape.stdout), bytes(shape.stderr));
    case "not-secure":
    case "not-isolated":
    case "forbidden-here":
    case "too-old":
    case "no-memory":
      return new BrowserError(shape.code, shape.message, shape.details);
    default:
      return new EbbError(shape.code, shape.message, shape.details);
  }
}

function bytes(buffer: ArrayBuffer | undefined): Uint8Array {
  return new Uint8Array(buffer ?? new ArrayBuffer(0));
}
