/** Sends a message to the page. Bytes that Python made are moved, not copied once more. */

import type { FromKernel, FromThread } from "../messages.js";

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;

/** Post `message`; every Uint8Array in it arrives as an ArrayBuffer that the page owns. */
export function post(message: FromKernel | FromThread): void {
  const buffers: ArrayBuffer[] = [];
  const shaped = shape(message, buffers);
  scope.postMessage(shaped, buffers);
}

function shape(value: unknown, buffers: ArrayBuffer[]): unknown {
  if (value === undefined) return null; // what Python calls None
  if (value instanceof Uint8Array) {
    const whole = value.byteLength === value.buffer.byteLength && value.buffer instanceof ArrayBuffer;
    const buffer = whole ? (value.buffer as ArrayBuffer) : value.slice().buffer;
    buffers.push(buffer);
    return buffer;
  }
  if (Array.isArray(value)) return value.map((item) => shape(item, buffers));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shape(item, buffers)]));
  }
  return value;
}
