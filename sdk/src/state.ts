/**
 * A stopped machine's memory as one gzip file: what a bug report after a panic needs. The file is a line of
 * JSON, then for each page of 64 KiB that is not all zeros its number (u32, little-endian) and its bytes.
 */

const PAGE = 65536;
const WORDS = PAGE / 8;

export async function saveState(memory: WebAssembly.Memory, about: Readonly<Record<string, unknown>>): Promise<Blob> {
  const words = new BigInt64Array(memory.buffer);
  const pages = memory.buffer.byteLength / PAGE;
  let page = 0;
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(`${JSON.stringify({ format: "ebb-state", version: 1, page: PAGE, ...about })}\n`));
    },
    pull(controller) {
      while (page < pages && isZero(words, page)) page++;
      if (page >= pages) return controller.close();
      const record = new Uint8Array(4 + PAGE); // a copy: compression does not take views of shared memory
      new DataView(record.buffer).setUint32(0, page, true);
      record.set(new Uint8Array(memory.buffer, page * PAGE, PAGE), 4);
      page++;
      controller.enqueue(record);
    },
  });
  return new Response(source.pipeThrough(new CompressionStream("gzip"))).blob();
}

function isZero(words: BigInt64Array, page: number): boolean {
  for (let index = page * WORDS; index < (page + 1) * WORDS; index++) {
    if (words[index] !== 0n) return false;
  }
  return true;
}
