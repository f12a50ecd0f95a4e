/**
 * The one memory of a machine: created at its full size, never grown. What is not touched costs nothing; a
 * browser that refuses the size is asked for half, down to 256 MiB, and the caller is told.
 */

import { BrowserError } from "./errors.js";

const PAGE = 65536;
const MIB = 1 << 20;
/** Bytes below the machine region: the kernel's own data, stacks and caches (MACHINE_BASE in abi.h). */
const PRIVATE = 64 * MIB;
const LEAST = 256 * MIB;
/** Less holds no image. */
const MIN = 16 * MIB;
const MOST = 4096 * MIB - PRIVATE;

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1024, M: MIB, G: 1024 * MIB };

/** Bytes of a size such as `"512M"`, `"1G"` or a number of bytes. */
export function parseBytes(size: number | string): number {
  if (typeof size === "number") return size;
  const [, digits, unit] = /^([0-9.]+)([KMG]?)(?:i?B)?$/i.exec(size) ?? [];
  return Math.floor(Number(digits) * (UNITS[(unit ?? "?").toUpperCase()] ?? NaN));
}

/** The same for memory: at least what an image needs, rounded down to whole pages. */
export function parseSize(size: number | string): number {
  const bytes = parseBytes(size);
  if (!(bytes >= MIN)) {
    const meant = bytes >= MIN / MIB && bytes <= 4096 ? `; a bare number is bytes: did you mean "${bytes}M"?` : "";
    throw new RangeError(`memory must be at least 16 MiB, such as "512M"; got ${String(size)}${meant}`);
  }
  return Math.min(Math.floor(bytes / PAGE) * PAGE, MOST);
}

/** A shared memory with room for `ramBytes` of guest memory, or for the largest half of it that can be had. */
export function reserveMemory(ramBytes: number): { memory: WebAssembly.Memory; ramBytes: number } {
  const tried: string[] = [];
  let reason = "";
  for (let ram = ramBytes; ; ram = Math.floor(ram / 2 / PAGE) * PAGE) {
    const pages = (PRIVATE + ram) / PAGE;
    try {
      return { memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }), ramBytes: ram };
    } catch (error) {
      tried.push(`${Math.round(ram / MIB)} MiB`);
      reason = String(error);
    }
    if (ram / 2 < LEAST) break;
  }
  throw new BrowserError(
    "no-memory",
    `The browser refused to reserve memory for the machine (tried ${tried.join(", ")}). Close other tabs, or ask for ` +
      "less with the option `memory`.",
    reason,
  );
}
