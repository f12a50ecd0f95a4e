/**
 * What recorded harts deliver, told to the kernel worker through shared memory: a hart must not wait, and once it is
 * parked it can serve nobody. An event from the inbox is only a tick here, for the kernel worker has its bytes, and the
 * inbox keeps its order; an event of the hart's own (CLOCK, ADMIT) brings its bytes, and so do pieces of the order, if
 * there are several harts. A full ring ends the recording.
 *
 *     header   head, tail (bytes written and read, modulo 2^32), lost, held
 *     entry    f64 tick, u32 length or FROM_INBOX, u32 kind, bytes padded to 8
 */

/**
 * Bytes of entries, which the kernel worker takes every second: minutes of a busy machine. Of several harts there is a byte for
 * each system call, too: seconds of a program that makes nothing else.
 */
const ROOM_ONE = 1 << 20;
const ROOM_SEVERAL = 8 << 20;
const HEADER = 16;
const ENTRY = 16;
const OWN_MOST = 1024;
const FROM_INBOX = 0xffffffff;
const [HEAD, TAIL, LOST, HELD] = [0, 1, 2, 3] as const;

export interface TapeRing {
  /** Where Python puts an event of the hart's own. */
  readonly own: Uint8Array;
  /** The next event of the inbox is delivered at `tick`. */
  inbox(tick: number): void;
  /** An entry of `length` bytes in `own`: an event that is delivered at `tick`, or something else that stands there. */
  put(tick: number, length: number, kind: number): void;
  /** All entries since the last call. */
  take(): Uint8Array;
  /** Whether an entry found no room. */
  lost(): boolean;
  /** A hart's: waits until it may tell of an event and deliver it, which nobody sees apart. */
  hold(): void;
  /** The kernel worker's: whether no event is on its way; then none is until `release`. */
  tryHold(): boolean;
  release(): void;
}

export const makeTapeRing = (harts: number): SharedArrayBuffer => new SharedArrayBuffer(HEADER + (harts > 1 ? ROOM_SEVERAL : ROOM_ONE));

export function openTapeRing(buffer: SharedArrayBuffer): TapeRing {
  const words = new Int32Array(buffer, 0, HEADER / 4);
  const room = new Uint8Array(buffer, HEADER);
  const most = room.length;
  const own = new Uint8Array(OWN_MOST);
  const entry = new Uint8Array(ENTRY + OWN_MOST);
  const fields = new DataView(entry.buffer);

  function write(tick: number, length: number, kind: number, bytes: number): void {
    const head = Atomics.load(words, HEAD) >>> 0;
    const used = (head - Atomics.load(words, TAIL)) >>> 0;
    const size = ENTRY + ((bytes + 7) & ~7);
    if (size > most - used || Atomics.load(words, LOST) !== 0) {
      Atomics.store(words, LOST, 1);
      return;
    }
    fields.setFloat64(0, tick, true);
    fields.setUint32(8, length, true);
    fields.setUint32(12, kind, true);
    entry.set(own.subarray(0, bytes), ENTRY);
    const at = head % most;
    const first = Math.min(size, most - at);
    room.set(entry.subarray(0, first), at);
    room.set(entry.subarray(first, size), 0);
    Atomics.store(words, HEAD, (head + size) | 0);
  }

  return {
    own,
    inbox: (tick) => write(tick, FROM_INBOX, 0, 0),
    put: (tick, length, kind) => write(tick, length, kind, length),
    take() {
      const head = Atomics.load(words, HEAD) >>> 0;
      const tail = Atomics.load(words, TAIL) >>> 0;
      const taken = new Uint8Array((head - tail) >>> 0);
      const at = tail % most;
      const first = Math.min(taken.length, most - at);
      taken.set(room.subarray(at, at + first), 0);
      taken.set(room.subarray(0, taken.length - first), first);
      Atomics.store(words, TAIL, head | 0);
      return taken;
    },
    lost: () => Atomics.load(words, LOST) !== 0,
    hold() {
      while (Atomics.compareExchange(words, HELD, 0, 1) !== 0) Atomics.wait(words, HELD, 1);
    },
    tryHold: () => Atomics.compareExchange(words, HELD, 0, 1) === 0,
    release() {
      Atomics.store(words, HELD, 0);
      Atomics.notify(words, HELD);
    },
  };
}
