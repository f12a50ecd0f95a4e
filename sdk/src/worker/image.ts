/**
 * An image over HTTP (docs/image.md): its manifest, its index, and chunks by hash. Packs named in `boot` are
 * fetched at once, others when one of their chunks is first asked for; a chunk in no pack is a blob of its own.
 */

import { hex } from "../hash.js";
import { BlobError, fetchBlob, fetchManifest } from "./blobs.js";

export interface Image {
  readonly index: Uint8Array;
  /** The chunk whose SHA-256 is `hash`. */
  chunk(hash: string): Promise<Uint8Array>;
}

/** Where an image's chunks are, for who cannot wait. */
export interface ChunkReader {
  /** The bytes that stand where that chunk should be, for the caller to hash; null: there are none. */
  read(hash: string): Uint8Array | null;
}

interface Pack {
  readonly name: string;
  readonly blob: string;
  readonly size: number;
  readonly chunks: readonly number[];
}

interface Manifest {
  readonly format: number;
  readonly arch: string;
  readonly index: string;
  readonly index_size: number;
  readonly boot?: readonly string[];
  readonly packs?: readonly Pack[];
}

interface Chunk {
  readonly hash: string;
  readonly size: number;
}

const HEADER = { chunks: 12, chunksAt: 28 }; // offsets in the index's header
const CHUNK_BYTES = 40;
const HASH_BYTES = 32;

/** Open an image; `onProgress` is told of the bytes that the start needs. */
export async function openImage(
  imagesURL: string,
  name: string,
  onProgress: (done: number, total: number) => void,
): Promise<Image> {
  const manifest = JSON.parse(await fetchManifest(imagesURL, name)) as Manifest;
  if (manifest.format !== 1 || manifest.arch !== "riscv64") {
    throw new BlobError("image-corrupt", `The image "${name}" is of format ${manifest.format} for ${manifest.arch}, not 1 for riscv64.`);
  }
  const packs = manifest.packs ?? [];
  const boot = packs.filter((pack) => manifest.boot?.includes(pack.name));
  const total = boot.reduce((sum, pack) => sum + pack.size, manifest.index_size);
  let done = 0;
  const count = (bytes: number): void => onProgress((done += bytes), total);
  count(0);

  const loaded = new Map<Pack, Promise<Uint8Array>>();
  const load = (pack: Pack): Promise<Uint8Array> => {
    let bytes = loaded.get(pack);
    if (bytes === undefined) {
      bytes = fetchBlob(imagesURL, pack.blob, boot.includes(pack) ? count : undefined);
      bytes.catch(() => undefined); // whoever asks for a chunk of it is told
      loaded.set(pack, bytes);
    }
    return bytes;
  };
  for (const pack of boot) void load(pack);

  const index = await fetchBlob(imagesURL, manifest.index, count);
  const table = chunkTable(index);
  const places = placeChunks(packs, table);
  return {
    index,
    async chunk(hash) {
      const place = places.get(hash);
      if (place === undefined) return fetchBlob(imagesURL, hash);
      const bytes = await load(place.pack);
      return bytes.subarray(place.at, place.at + place.size);
    },
  };
}

/**
 * The same, read by a worker that may block: Python that runs inside a call cannot wait for a promise. What was fetched
 * before comes from the browser's cache.
 */
export function readImage(imagesURL: string, name: string): ChunkReader {
  const get = (path: string): Uint8Array | null => {
    const request = new XMLHttpRequest();
    request.open("GET", new URL(path, imagesURL).href, false);
    request.responseType = "arraybuffer";
    try {
      request.send();
    } catch {
      return null; // no network
    }
    return request.status === 200 ? new Uint8Array(request.response as ArrayBuffer) : null;
  };
  const blob = (hash: string): Uint8Array | null => get(`blobs/${hash.slice(0, 2)}/${hash}`);
  const loaded = new Map<string, Uint8Array | null>();
  let places: Map<string, Place> | null = null;
  const open = (): Map<string, Place> => {
    const text = get(`${encodeURIComponent(name)}/manifest.json`);
    if (text === null) return new Map();
    const manifest = JSON.parse(new TextDecoder().decode(text)) as Manifest;
    const index = blob(manifest.index);
    return index === null ? new Map() : placeChunks(manifest.packs ?? [], chunkTable(index));
  };
  return {
    read(hash) {
      const place = (places ??= open()).get(hash);
      if (place === undefined) return blob(hash);
      const { pack, at, size } = place;
      if (!loaded.has(pack.blob)) loaded.set(pack.blob, blob(pack.blob));
      return loaded.get(pack.blob)?.slice(at, at + size) ?? null;
    },
  };
}

/** The rows of the index's chunk table. */
function chunkTable(index: Uint8Array): Chunk[] {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  const count = view.getUint32(HEADER.chunks, true);
  const from = view.getUint32(HEADER.chunksAt, true);
  return Array.from({ length: count }, (_, row) => {
    const at = from + row * CHUNK_BYTES;
    return { hash: hex(index.subarray(at, at + HASH_BYTES)), size: view.getUint32(at + HASH_BYTES, true) };
  });
}

interface Place {
  readonly pack: Pack;
  readonly at: number;
  readonly size: number;
}

/** Where in a pack each chunk lies that is in one. */
function placeChunks(packs: readonly Pack[], table: readonly Chunk[]): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const pack of packs) {
    let at = 0;
    for (const number of pack.chunks) {
      const chunk = table[number];
      if (chunk === undefined) throw new BlobError("image-corrupt", `The image is corrupt: pack ${pack.name} names chunk ${number}.`);
      if (!places.has(chunk.hash)) places.set(chunk.hash, { pack, at, size: chunk.size });
      at += chunk.size;
    }
  }
  return places;
}
