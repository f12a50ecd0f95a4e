/** Listening TCP ports of the guest, from the page. */

import { checkArguments } from "./arguments.js";
import type { Client } from "./client.js";
import { EbbError } from "./errors.js";
import { openReadable, openWritable, type Input } from "./streams.js";

/** A TCP connection to a guest's port. Closing `writable` is half-close: the guest may still answer. */
export interface Connection {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Input>;
}

export async function connect(client: Client, port: number): Promise<Connection> {
  const { read, write } = await client.request("connect", { port });
  return { readable: openReadable(client, read), writable: openWritable(client, write) };
}

/** One HTTP/1.1 exchange over a new connection; the answer's body streams. Aborted, it ends with the signal's reason. */
export async function fetchGuest(client: Client, port: number, path: string, init: RequestInit): Promise<Response> {
  checkArguments({ port });
  const request = new Request(new URL(path, `http://localhost:${port}`), init);
  const { signal } = request; // follows that of `init`
  signal.throwIfAborted();
  const body = new Uint8Array(await request.arrayBuffer());
  const connection = await connect(client, port);
  const writer = connection.writable.getWriter();
  const source = new ByteSource(connection.readable.getReader());

  const exchange = async (): Promise<Head> => {
    await writer.write(new TextEncoder().encode(requestHead(request, body.byteLength)));
    if (body.byteLength > 0) await writer.write(body);
    let head = parseHead(await source.readUntil("\r\n\r\n"));
    while (head.status === 100) head = parseHead(await source.readUntil("\r\n\r\n"));
    return head;
  };
  const aborted = new Promise<never>((_, reject) => {
    const stop = (): void => {
      void source.cancel().catch(() => undefined);
      void writer.abort().catch(() => undefined);
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  const head = await Promise.race([exchange(), aborted]);

  const bodyless = request.method === "HEAD" || head.status === 204 || head.status === 304;
  const chunks = bodyless ? null : bodyChunks(source, head.headers);
  return new Response(chunks === null ? null : streamOf(chunks, source, signal), {
    status: head.status,
    statusText: head.reason,
    headers: head.headers,
  });
}

function requestHead(request: Request, length: number): string {
  const url = new URL(request.url);
  const lines = [`${request.method} ${url.pathname}${url.search} HTTP/1.1`, `Host: ${url.host}`, "Connection: close"];
  request.headers.forEach((value, name) => lines.push(`${name}: ${value}`));
  if (length > 0 || request.method === "POST" || request.method === "PUT") lines.push(`Content-Length: ${length}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

interface Head {
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;
}

function parseHead(bytes: Uint8Array): Head {
  const [first = "", ...lines] = new TextDecoder("latin1").decode(bytes).split("\r\n");
  const [, status, reason = ""] = /^HTTP\/1\.[01] ([1-5]\d\d) ?(.*)$/.exec(first) ?? [];
  if (status === undefined) throw broken(`the guest's answer does not begin as HTTP: ${first.slice(0, 80)}`);
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { status: Number(status), reason, headers };
}

async function* bodyChunks(source: ByteSource, headers: Headers): AsyncGenerator<Uint8Array> {
  const length = headers.get("content-length");
  if (headers.get("transfer-encoding")?.toLowerCase().includes("chunked")) {
    for (;;) {
      const size = parseInt(new TextDecoder().decode(await source.readUntil("\r\n")), 16);
      if (Number.isNaN(size)) throw broken("a chunk of the guest's answer has no size");
      if (size === 0) return;
      yield* source.read(size);
      await source.readUntil("\r\n");
    }
  } else if (length !== null) {
    yield* source.read(Number(length));
  } else {
    yield* source.read(Infinity);
  }
}

function streamOf(chunks: AsyncGenerator<Uint8Array>, source: ByteSource, signal: AbortSignal): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const next = await chunks.next().finally(() => signal.throwIfAborted());
      if (next.done) {
        controller.close();
        await source.cancel();
      } else controller.enqueue(next.value);
    },
    cancel: () => source.cancel(),
  });
}

/** Bytes of a stream, read up to a mark or up to a count. */
class ByteSource {
  #held = new Uint8Array(0);

  constructor(readonly reader: ReadableStreamDefaultReader<Uint8Array>) {}

  async #more(): Promise<boolean> {
    const { value } = await this.reader.read();
    if (value === undefined) return false;
    const joined = new Uint8Array(this.#held.length + value.length);
    joined.set(this.#held);
    joined.set(value, this.#held.length);
    this.#held = joined;
    return true;
  }

  async readUntil(mark: string): Promise<Uint8Array> {
    const codes = new TextEncoder().encode(mark);
    for (let from = 0; ; ) {
      for (; from + codes.length <= this.#held.length; from++) {
        if (codes.every((code, index) => this.#held[from + index] === code)) {
          const found = this.#held.slice(0, from);
          this.#held = this.#held.slice(from + codes.length);
          return found;
        }
      }
      if (!(await this.#more())) throw broken("the guest closed the connection before its answer was complete");
    }
  }

  /** The next `count` bytes in pieces as they come; with Infinity, all up to the end. */
  async *read(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (this.#held.length === 0 && !(await this.#more())) {
        if (count === Infinity) return;
        throw broken("the guest closed the connection before its answer was complete");
      }
      const piece = this.#held.slice(0, Math.min(left, this.#held.length));
      this.#held = this.#held.slice(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  cancel(): Promise<void> {
    return this.reader.cancel();
  }
}

function broken(message: string): EbbError {
  return new EbbError("network", message);
}
