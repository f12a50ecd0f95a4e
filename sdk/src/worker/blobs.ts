/**
 * Parts of an image, fetched by the SHA-256 of their bytes and believed only when they have it. The browser's
 * HTTP cache keeps them: a name never changes its content.
 */

import { nameOf } from "../hash.js";

/** Why a blob could not be had; becomes an `image-…` or `network` error of the page. */
export class BlobError extends Error {
  constructor(
    readonly code: "image-missing" | "image-corrupt" | "network",
    message: string,
  ) {
    super(message);
  }
}

const TRIES = 3;

/** Told of bytes as they come. */
export type Count = (bytes: number) => void;

export async function fetchBlob(imagesURL: string, hash: string, count?: Count): Promise<Uint8Array> {
  const url = new URL(`blobs/${hash.slice(0, 2)}/${hash}`, imagesURL).href;
  let bytes = await fetchBytes(url, "force-cache", count);
  if ((await nameOf(bytes)) !== hash) bytes = await fetchBytes(url, "reload"); // a damaged cache mends itself
  if ((await nameOf(bytes)) !== hash) {
    throw new BlobError("image-corrupt", `The image is corrupt: blob ${hash} does not have the bytes its name says.`);
  }
  return bytes;
}

/** The text of an image's manifest. */
export async function fetchManifest(imagesURL: string, image: string): Promise<string> {
  const url = new URL(`${encodeURIComponent(image)}/manifest.json`, imagesURL).href;
  const response = await tryFetch(url, "no-cache");
  if (response.status === 404) {
    throw new BlobError("image-missing", `There is no image "${image}" here (${url} is not found).`);
  }
  return new TextDecoder().decode(await bodyOf(response, url));
}

async function fetchBytes(url: string, cache: RequestCache, count?: Count): Promise<Uint8Array<ArrayBuffer>> {
  return bodyOf(await tryFetch(url, cache), url, count);
}

async function bodyOf(response: Response, url: string, count?: Count): Promise<Uint8Array<ArrayBuffer>> {
  if (!response.ok) throw new BlobError("network", `${url} could not be fetched: ${response.status} ${response.statusText}.`);
  const counted = count && response.body?.pipeThrough(counter(count));
  return new Uint8Array(await (counted ? new Response(counted) : response).arrayBuffer());
}

function counter(count: Count): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      count(chunk.length);
      controller.enqueue(chunk);
    },
  });
}

async function tryFetch(url: string, cache: RequestCache): Promise<Response> {
  for (let left = TRIES - 1; ; left--) {
    try {
      return await fetch(url, { cache });
    } catch (error) {
      if (left === 0) throw new BlobError("network", `${url} could not be fetched: ${String(error)}`);
    }
  }
}
