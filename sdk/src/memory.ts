/**
 * The one memory of a machine: its guest's size from the start, in a reservation of address space that is as large as
 * the browser gives. What is not touched costs nothing. Only where even the reservation is too small, the guest
 * gets less than was asked for, and the caller is told.
 */

import { BrowserError } from "./errors.js";

const PAGE = 65536;
const MIB = 1 << 20;
/** Bytes below the machine region: the kernel's own data, stacks and caches (MACHINE_BASE in abi.h). */
const PRIVATE = 128 * MIB;
/** What is reserved: the first that the browser gives. */
const RESERVATIONS = [4096 * MIB, 2048 * MIB, 1024 * MIB, 512 * MIB] as const;
/** Less holds no image. */
const MIN = 16 * MIB;
const MOST = RESERVATIONS[0] - PRIVATE;

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1024, M: MIB, G: 1024 * MIB };

/** Bytes of a size such as `"512M"`, `"1G"` or a number of bytes. */
function parseBytes(size: number | string): number {
  if (typeof size === "number") return size;
  const [, digits, unit] = /^([0-9.]+)([KMG]?)(?:i?B)?$/i.exec(size) ?? [];
  return Math.floor(Number(digits) * (UNITS[(unit ?? "?").toUpperCase()] ?? NaN));
}

/** The same for a limit, which may be 0: there is none. */
export function parseLimit(name: string, size: number | string): number {
  const bytes = parseBytes(size);
  if (!(bytes >= 0 && bytes < Infinity)) throw new RangeError(`${name} must be bytes, or a size such as "1M"; got ${String(size)}`);
  return bytes;
}

/** The same for memory: at least what an image needs, at most what a browser can give, rounded down to whole pages. */
export function parseSize(size: number | string, most: number = MOST): number {
  const bytes = parseBytes(size);
  if (!(bytes >= MIN)) {
    const meant = bytes >= MIN / MIB && bytes <= 4096 ? `; a bare number is bytes: did you mean "${bytes}M"?` : "";
    throw new RangeError(`memory must be at least 16 MiB, such as "512M"; got ${String(size)}${meant}`);
  }
  if (bytes > most) throw new RangeError(`memory must be at most ${most / MIB} MiB; got ${String(size)}`);
  return Math.floor(bytes / PAGE) * PAGE;
}

/** A shared memory with `ramBytes` of guest memory, or with as much as fits into what the browser reserves. */
export function reserveMemory(ramBytes: number): { memory: WebAssembly.Memory; ramBytes: number } {
  let reason = "";
  for (const reservation of RESERVATIONS) {
    const ram = Math.min(ramBytes, reservation - PRIVATE);
    const shape = { initial: (PRIVATE + ram) / PAGE, maximum: reservation / PAGE, shared: true };
    try {
      return { memory: new WebAssembly.Memory(shape), ramBytes: ram };
    } catch (error) {
      reason = String(error);
    }
  }
  const tried = RESERVATIONS.map((bytes) => `${bytes / MIB} MiB`).join(", ");
  throw new BrowserError(
    "no-memory",
    `The browser refused to reserve memory for the machine (tried ${tried}). Close other tabs, then try again.`,
    reason,
  );
}
