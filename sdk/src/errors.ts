/**
 * The errors a page can see: one table of codes (errors.json), one class per way of handling them. The message
 * is a sentence for a person; `details` is for a bug report.
 */

import { codes as table } from "./errors.json";
import type { ErrorShape } from "./messages.js";

/** What is known of an error: docs/troubleshooting.md is written from it. */
export interface ErrorMeaning {
  readonly cause: string;
  readonly cure: string;
  /** What a page says when the error leaves it no machine: a sentence above the message, and one below. */
  readonly title?: string;
  readonly advice?: string;
}

const codes = table;
export type ErrorCode = keyof typeof codes;
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorMeaning>> = codes;

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
export function errorFrom(shape: ErrorShape): EbbError | TypeError | RangeError {
  switch (shape.code) {
    case "TypeError":
      return new TypeError(shape.message);
    case "RangeError":
      return new RangeError(shape.message);
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
