/**
 * Guest streams as web streams. A reader grants credit in bytes and the worker never sends more; a writer's
 * promise settles when the guest has taken the bytes. So a slow page slows the guest, and the other way round.
 */

import type { Client } from "./client.js";
import { errorFrom } from "./errors.js";
import type { Id } from "./messages.js";

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

export function openWritable(client: Client, id: Id): WritableStream<Uint8Array> {
  const close = async (): Promise<void> => void (await client.request("closeWriter", { stream: id }));
  return new WritableStream<Uint8Array>({
    async write(chunk) {
      const data = copyBuffer(chunk);
      await client.request("write", { stream: id, data }, { transfer: [data] });
    },
    close,
    abort: close,
  });
}

/** The bytes of `chunk` in a buffer of their own, which can be transferred without emptying the caller's. */
export function copyBuffer(chunk: Uint8Array | string): ArrayBuffer {
  const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy.buffer;
}
