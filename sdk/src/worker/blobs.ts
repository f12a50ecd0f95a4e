/**
 * Parts of an image, fetched by the SHA-256 of their bytes and believed only when they have it. The browser's
 * HTTP cache keeps them: a name never changes its content.
 */

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

export async function fetchBlob(imagesURL: string, hash: string): Promise<Uint8Array> {
  const url = new URL(`blobs/${hash.slice(0, 2)}/${hash}`, imagesURL).href;
  let bytes = await fetchBytes(url, "force-cache");
  if ((await sha256(bytes)) !== hash) bytes = await fetchBytes(url, "reload"); // a damaged cache mends itself
  if ((await sha256(bytes)) !== hash) {
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

async function fetchBytes(url: string, cache: RequestCache): Promise<Uint8Array<ArrayBuffer>> {
  return bodyOf(await tryFetch(url, cache), url);
}

async function bodyOf(response: Response, url: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!response.ok) throw new BlobError("network", `${url} could not be fetched: ${response.status} ${response.statusText}.`);
  return new Uint8Array(await response.arrayBuffer());
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

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
