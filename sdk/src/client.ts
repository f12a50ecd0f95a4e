/**
 * Talks to the kernel worker: numbers requests, settles their promises, hands stream messages to the streams.
 * When the machine ends, by `close` or by a fault, everything outstanding is rejected with the same error.
 */

import { checkArguments } from "./arguments.js";
import { errorFrom, RunError, type EbbError } from "./errors.js";
import type { Data, End, FromKernel, Id, Method, Methods, Request, ToKernel } from "./messages.js";

/** What takes the messages of one stream. */
export interface StreamSink {
  data(message: Data): void;
  end(message: End): void;
  fail(error: EbbError): void;
}

export interface Client {
  /** Once `signal` is aborted and the request has ended for that, it rejects with the signal's reason. */
  request<M extends Method>(
    method: M,
    params: Methods[M]["params"],
    options?: { transfer?: Transferable[]; signal?: AbortSignal | undefined },
  ): Promise<Methods[M]["value"]>;
  send(message: ToKernel): void;
  /** Messages of stream `id` go to `sink` until it ends. */
  listen(id: Id, sink: StreamSink): void;
  unlisten(id: Id): void;
  /** Take a message of the worker. */
  receive(message: FromKernel): void;
  /** Reject all that waits, and whatever is asked from now on. */
  end(error: EbbError): void;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export function connectClient(worker: Worker): Client {
  const waiting = new Map<Id, Waiting>();
  const sinks = new Map<Id, StreamSink>();
  let next: Id = 1;
  let ended: EbbError | null = null;

  const send = (message: ToKernel, transfer: Transferable[] = []): void => {
    if (ended === null) worker.postMessage(message, transfer);
  };

  const take = (id: Id): Waiting | undefined => {
    const found = waiting.get(id);
    waiting.delete(id);
    return found;
  };

  return {
    send,
    listen: (id, sink) => void sinks.set(id, sink),
    unlisten: (id) => void sinks.delete(id),

    request<M extends Method>(
      method: M,
      params: Methods[M]["params"],
      options: { transfer?: Transferable[]; signal?: AbortSignal | undefined } = {},
    ): Promise<Methods[M]["value"]> {
      if (ended !== null) return Promise.reject(ended);
      try {
        checkArguments(params);
      } catch (error) {
        return Promise.reject(error as Error);
      }
      const { signal } = options;
      if (signal?.aborted) return Promise.reject(signal.reason as Error);
      const id = next++;
      const cancel = (): void => send({ type: "cancel", id });
      const promise = new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
      send({ type: "request", id, method, params } as Request, options.transfer);
      signal?.addEventListener("abort", cancel, { once: true });
      const settled = promise.catch((error: unknown) => {
        throw signal?.aborted && error instanceof RunError && error.code === "aborted" ? signal.reason : error;
      });
      return settled.finally(() => signal?.removeEventListener("abort", cancel)) as Promise<Methods[M]["value"]>;
    },

    receive(message) {
      switch (message.type) {
        case "reply":
          take(message.id)?.resolve(message.value);
          break;
        case "refusal":
          take(message.id)?.reject(errorFrom(message.error));
          break;
        case "data":
          sinks.get(message.stream)?.data(message);
          break;
        case "end":
          sinks.get(message.stream)?.end(message);
          sinks.delete(message.stream);
          break;
      }
    },

    end(error) {
      ended ??= error;
      for (const one of waiting.values()) one.reject(ended);
      for (const sink of sinks.values()) sink.fail(ended);
      waiting.clear();
      sinks.clear();
    },
  };
}
