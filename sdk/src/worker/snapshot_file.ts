/** A snapshot as one file, the same natively: ebbtide/rewind/snapshot_file.py has the format. */

import { CallError } from "../calls.js";
import { hex, nameOf, sha256 } from "../hash.js";

export const PAGE = 4096;
export const NODE = 512;
const BITS = NODE / 8;
const START = 8;
const HEADER = 4 + 32 + 8 + 8 + 4 + 4;

/** What a snapshot is of. */
export interface SnapshotHead {
  readonly id: string;
  readonly created: number;
  readonly kernel: string;
  readonly heap: number;
  readonly low: number;
  readonly pages: number;
  readonly tick: number;
  readonly about: Readonly<Record<string, unknown>>;
}

/** Pages of a node, by their number in it; the others are zero. */
export type NodePages = ReadonlyMap<number, Uint8Array<ArrayBuffer>>;

export interface SnapshotFile {
  readonly head: SnapshotHead;
  readonly kernel: Uint8Array<ArrayBuffer>;
  readonly nodes: ReadonlyMap<number, NodePages>;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte >>> 0;
});

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 255] ?? 0);
  return ~crc >>> 0;
}

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

const ascii = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

export async function writeSnapshot({ head, kernel, nodes }: SnapshotFile): Promise<Blob> {
  const start = new Uint8Array(START);
  start.set(ascii("EBBS"));
  new DataView(start.buffer).setUint32(4, 1, true);
  const parts: Uint8Array<ArrayBuffer>[] = [start];
  const headers: Uint8Array<ArrayBuffer>[] = [];
  const part = async (kind: string, data: Uint8Array<ArrayBuffer>, hash?: Uint8Array): Promise<void> => {
    const stored = await through(data, new CompressionStream("deflate"));
    const header = new Uint8Array(HEADER);
    const fields = new DataView(header.buffer);
    header.set(ascii(kind));
    header.set(hash ?? (await sha256(data)), 4);
    fields.setBigUint64(36, BigInt(data.length), true);
    fields.setBigUint64(44, BigInt(stored.length), true);
    fields.setUint32(52, crc32(stored), true);
    fields.setUint32(56, crc32(header.subarray(0, 56)), true);
    headers.push(header);
    parts.push(header, stored);
  };
  await part("INFO", ascii(JSON.stringify(head)));
  await part("KRNL", kernel);
  for (const [number, pages] of [...nodes].sort(([a], [b]) => a - b)) {
    const data = new Uint8Array(4 + BITS + pages.size * PAGE);
    new DataView(data.buffer).setUint32(0, number, true);
    let at = 4 + BITS;
    for (const [page, bytes] of [...pages].sort(([a], [b]) => a - b)) {
      data[4 + (page >> 3)]! |= 1 << (page & 7);
      data.set(bytes, at);
      at += PAGE;
    }
    await part("NODE", data);
  }
  const all = new Uint8Array(await new Blob(headers).arrayBuffer());
  await part("END ", new Uint8Array(), await sha256(all));
  return new Blob(parts);
}

const broken = (why: string): Error => new CallError("damaged", `this is no whole snapshot: ${why}`);

/** Read a file; every part must have its hash. Whether the pages are those of its id is the caller's to check. */
export async function readSnapshot(file: Uint8Array<ArrayBuffer>): Promise<SnapshotFile> {
  const fields = new DataView(file.buffer, file.byteOffset, file.length);
  if (file.length < START || fields.getUint32(0) !== 0x45424253 || fields.getUint32(4, true) !== 1) throw broken("it does not begin with EBBS, version 1");
  let head: SnapshotHead | null = null;
  let kernel: Uint8Array<ArrayBuffer> | null = null;
  const nodes = new Map<number, NodePages>();
  for (let at = START; ; ) {
    if (at + HEADER > file.length) throw broken(`it breaks off at byte ${file.length}`);
    const kind = new TextDecoder().decode(file.subarray(at, at + 4));
    if (kind === "END ") break;
    const [raw, stored] = [Number(fields.getBigUint64(at + 36, true)), Number(fields.getBigUint64(at + 44, true))];
    const begin = at + HEADER;
    if (begin + stored > file.length) throw broken(`it breaks off at byte ${file.length}`);
    const data = await through(file.slice(begin, begin + stored), new DecompressionStream("deflate")).catch(() => new Uint8Array());
    const hash = await nameOf(data);
    if (data.length !== raw || hash !== hex(file.subarray(at + 4, at + 36))) throw broken(`the part at byte ${at} does not have its hash`);
    if (kind === "INFO") head = JSON.parse(new TextDecoder().decode(data)) as SnapshotHead;
    else if (kind === "KRNL") {
      if (hash !== head?.kernel) throw broken("its kernel is another");
      kernel = data;
    } else if (kind === "NODE") nodes.set(new DataView(data.buffer).getUint32(0, true), pagesOf(data));
    at = begin + stored;
  }
  if (head === null || kernel === null) throw broken("parts are missing");
  return { head, kernel, nodes };
}

function pagesOf(data: Uint8Array<ArrayBuffer>): NodePages {
  const pages = new Map<number, Uint8Array<ArrayBuffer>>();
  let at = 4 + BITS;
  for (let page = 0; page < NODE; page++) {
    if (((data[4 + (page >> 3)] ?? 0) >> (page & 7)) & 1) {
      pages.set(page, data.subarray(at, at + PAGE));
      at += PAGE;
    }
  }
  return pages;
}

/** The hash over a snapshot's kernel, extent and nodes (`_root` of snapshots.py). */
export async function rootOf(head: Omit<SnapshotHead, "id">, nodes: readonly Uint8Array[]): Promise<string> {
  const data = new Uint8Array(60 + nodes.length * 32);
  const fields = new DataView(data.buffer);
  data.set(ascii("ebb-snap"));
  data.set(Uint8Array.from(head.kernel.match(/../g) ?? [], (pair) => parseInt(pair, 16)), 8);
  fields.setUint32(40, head.heap, true);
  fields.setUint32(44, head.low, true);
  fields.setUint32(48, head.pages, true);
  fields.setBigUint64(52, BigInt(head.tick), true);
  for (const [number, hash] of nodes.entries()) data.set(hash, 60 + number * 32);
  return await nameOf(data);
}
