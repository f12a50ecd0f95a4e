/**
 * Host time of a machine, the same in all its workers: nanoseconds since boot, without the time in which the
 * whole tab stood still. Two 64-bit words of shared memory hold when any worker last looked and what was taken out.
 */

/** A gap longer than this, which no park asked for, is a suspended tab (law 2). */
const SUSPEND_NS = 2e9;

const LAST = 0;
const ORIGIN = 1;

export interface HostTime {
  /** Nanoseconds since boot. */
  now(): number;
  /** Look at the clock after at least `expectedNs`, or any time if negative; gives what was suspended. */
  observe(expectedNs: number): number;
}

/** Begin the time of a machine, or go on with one that is so old. */
export function makeClock(ageMs = 0): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(16);
  const words = new BigInt64Array(buffer).fill(hostNs());
  words[ORIGIN] = hostNs() - BigInt(Math.floor(ageMs * 1e6));
  return buffer;
}

export function openHostTime(clock: SharedArrayBuffer): HostTime {
  const words = new BigInt64Array(clock);
  return {
    now: () => Number(hostNs() - Atomics.load(words, ORIGIN)),
    observe(expectedNs) {
      const host = hostNs();
      const last = Atomics.exchange(words, LAST, host);
      const gap = Number(host - last) - expectedNs;
      if (expectedNs < 0 || gap <= SUSPEND_NS) return 0;
      Atomics.add(words, ORIGIN, BigInt(Math.floor(gap)));
      return Math.floor(gap);
    },
  };
}

/** The same in every worker of a page, unlike `performance.now()` alone. */
function hostNs(): bigint {
  return BigInt(Math.floor((performance.timeOrigin + performance.now()) * 1e6));
}
