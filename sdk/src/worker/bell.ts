/** Waits on a word of shared memory for a worker that must stay free, where Atomics.waitAsync is missing. */

interface Bell {
  readonly words: Int32Array;
  readonly index: number;
  readonly seen: number;
}

self.onmessage = ({ data }: MessageEvent<Bell>) => {
  Atomics.wait(data.words, data.index, data.seen);
  self.postMessage(null);
};
