/**
 * Guest streams as web streams. A reader grants credit in bytes and the worker never sends more; a writer's
 * promise settles when the guest has taken the bytes. So a slow page slows the guest, and the other way round.
 */

import type { Client } from "./client.js";
import { errorFrom } from "./errors.js";
import type { Id } from "./messages.js";

/** What the guest can be given: text as UTF-8, or bytes. */
export type Input = string | ArrayBufferLike | ArrayBufferView | Blob;

/** Bytes that may be under way or wait in the page, per stream. */
const WINDOW = 256 * 1024;
/** Credit smaller than this waits until more has gathered, so that reading costs few messages. */
const GRANT_LEAST = 32 * 1024;

export function openReadable(client: Client, id: Id): ReadableStream<Uint8Array> {
  let granted = 0; // bytes the worker may still send
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        client.listen(id, {
          data(message) {
            granted -= message.data.byteLength;
            controller.enqueue(new Uint8Array(message.data));
          },
          end(message) {
            if (message.error === null) controller.close();
            else controller.error(errorFrom(message.error));
          },
          fail: (error) => controller.error(error),
        });
      },
      pull(controller) {
        const bytes = (controller.desiredSize ?? 0) - granted;
        if (bytes < GRANT_LEAST) return;
        granted += bytes;
        client.send({ type: "credit", stream: id, bytes });
      },
      cancel() {
        client.unlisten(id);
        client.send({ type: "release", stream: id });
      },
    },
    { highWaterMark: WINDOW, size: (chunk) => chunk.byteLength },
  );
}

export function openWritable(client: Client, id: Id): WritableStream<Input> {
  const close = async (): Promise<void> => void (await client.request("closeWriter", { stream: id }));
  return new WritableStream<Input>({
    async write(chunk) {
      const data = copyBuffer(chunk instanceof Blob ? await chunk.arrayBuffer() : chunk);
      await client.request("write", { stream: id, data }, { transfer: [data] });
    },
    close,
    abort: close,
  });
}

/** The bytes of `data` in a buffer of their own, which can be transferred without emptying the caller's. A Blob's are its `arrayBuffer()`. */
export function copyBuffer(data: Exclude<Input, Blob>): ArrayBuffer {
  const bytes = bytesOf(data);
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy.buffer;
}

/** The same bytes, whatever the view; nothing else is taken, as what it would become is nobody's wish. */
function bytesOf(data: unknown): Uint8Array {
  if (typeof data === "string") return new TextEncoder().encode(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const kind = Object.prototype.toString.call(data).slice(8, -1); // a frame's ArrayBuffer is one, too
  if (kind === "ArrayBuffer" || kind === "SharedArrayBuffer") return new Uint8Array(data as ArrayBuffer);
  throw new TypeError(`data must be a string, an ArrayBuffer, a view of one (such as Uint8Array) or a Blob; got ${data === null ? "null" : kind}`);
}
