/** The pages of a machine as a tape has them (docs/tape.md, entries of kind 6): pieces of 64 KiB with a number in front. */

import type { Extent } from "../messages.js";
import type { Before } from "../runs.js";

const PAGE = 4096;
const PIECE = 1 << 16;

/** Copy what is not zero; the machine must be at rest. */
export function copyPieces({ memory, base }: Before, { heap, low, pages }: Extent): Uint8Array<ArrayBuffer>[] {
  const words = new BigInt64Array(memory.buffer);
  const found: Uint8Array<ArrayBuffer>[] = [];
  const end = base + pages * PAGE;
  const take = (from: number, to: number): void => {
    for (let at = from; at < to; at += PIECE) {
      const size = Math.min(PIECE, end - at);
      if (zero(words, at / 8, size / 8)) continue;
      const piece = new Uint8Array(4 + size);
      new DataView(piece.buffer).setUint32(0, (at - base) / PAGE, true);
      piece.set(new Uint8Array(memory.buffer, at, size), 4);
      found.push(piece);
    }
  };
  const heapEnd = base + Math.ceil((heap * PAGE) / PIECE) * PIECE;
  take(base, Math.min(heapEnd, end));
  take(Math.max(heapEnd, base + Math.floor((low * PAGE) / PIECE) * PIECE), end);
  return found;
}

function zero(words: BigInt64Array, start: number, count: number): boolean {
  for (let word = start; word < start + count; word++) if (words[word] !== 0n) return false;
  return true;
}
