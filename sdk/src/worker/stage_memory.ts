/**
 * The memory of a replay's machine, and copies of its pages at some moments. A copy shares the pages that have not
 * changed since the copy before; a page of zeros takes nothing.
 */

import { CallError } from "../calls.js";
import { reserveMemory } from "../memory.js";
import { attachKernel, seatKernel, type Kernel } from "./kernel.js";

const PAGE = 4096;
const WORDS = PAGE / 4;

/** Machine pages of a moment: the heap's from 0 on, the frames' from `low` on; null is zeros. */
export interface MachinePages {
  readonly heap: readonly (Int32Array | null)[];
  readonly low: number;
  readonly frames: readonly (Int32Array | null)[];
}

export interface StageMemory {
  /** A stage is open. */
  readonly used: boolean;
  /** Attach a kernel to the memory, which holds `pages`, or nothing. */
  open(pages: MachinePages | null | undefined): { host: Kernel; hart(stack: number): Kernel };
  /** Copy the pages in use, in the kernel's terms: end of the heap, first frame, end; what is as in `like` is shared. */
  take(heap: number, low: number, end: number, like?: MachinePages | null): MachinePages;
  /** The machine is not needed any more. */
  close(heap: number, low: number, end: number): void;
  /** Put pages into another memory of the same size. */
  copy(pages: MachinePages, memory: WebAssembly.Memory): void;
}

export function stageMemory(module: WebAssembly.Module, ramBytes: number): StageMemory {
  const reserved = reserveMemory(ramBytes);
  if (reserved.ramBytes < ramBytes) throw new CallError("no-memory", `the browser gives no ${ramBytes >> 20} MiB for this run's machine`);
  const { memory } = reserved;
  const base = memory.buffer.byteLength - ramBytes;
  const words = new Int32Array(memory.buffer);
  let touched = false;
  let used = false;

  const at = (page: number): number => (base + page * PAGE) / 4;

  function copyPages(first: number, count: number, before: readonly (Int32Array | null)[], offset: number): (Int32Array | null)[] {
    return Array.from({ length: count }, (_, number) => {
      const start = at(first + number);
      const old = before[number + offset];
      if (old instanceof Int32Array && same(words, start, old)) return old;
      return zero(words, start) ? null : words.slice(start, start + WORDS);
    });
  }

  function put(into: Int32Array, pages: MachinePages): void {
    for (const [number, page] of pages.heap.entries()) if (page !== null) into.set(page, at(number));
    for (const [number, page] of pages.frames.entries()) if (page !== null) into.set(page, at(pages.low + number));
  }

  return {
    get used() {
      return used;
    },
    open(pages) {
      if (touched) words.fill(0, 0, base / 4); // the private region is built anew
      touched = used = true;
      if (pages) put(words, pages); // Python's None is undefined here
      return {
        host: attachKernel(module, memory, ramBytes, 1),
        hart: (stack) => seatKernel(module, memory, stack, null),
      };
    },
    take(heap, low, end, like) {
      const before = like ?? { heap: [], low, frames: [] };
      return {
        heap: copyPages(0, heap, before.heap, 0),
        low,
        frames: copyPages(low, end - low, before.frames, low - before.low),
      };
    },
    close(heap, low, end) {
      used = false;
      words.fill(0, at(0), at(heap));
      words.fill(0, at(low), at(end));
    },
    copy(pages, other) {
      put(new Int32Array(other.buffer), pages);
    },
  };
}

function same(words: Int32Array, start: number, page: Int32Array): boolean {
  for (let word = 0; word < WORDS; word++) if (words[start + word] !== page[word]) return false;
  return true;
}

function zero(words: Int32Array, start: number): boolean {
  for (let word = 0; word < WORDS; word++) if (words[start + word] !== 0) return false;
  return true;
}
