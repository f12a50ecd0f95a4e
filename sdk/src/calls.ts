/** Calls over a message port: each is answered once, by a value or by an error's sentence. */

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

export type Caller = (method: string, params: readonly unknown[], transfer?: Transferable[]) => Promise<unknown>;

/** The asking end. `event` gets messages that answer nothing. */
export function callPort(port: Port, event: (message: unknown) => void = () => undefined): Caller {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let next = 1;
  port.onmessage = ({ data }: MessageEvent<Answer>) => {
    const one = waiting.get(data.id);
    if (one === undefined) return event(data);
    waiting.delete(data.id);
    if ("error" in data) one.reject(new Error(data.error));
    else one.resolve(data.value);
  };
  return (method, params, transfer = []) =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      port.postMessage({ id, method, params } satisfies Call, transfer);
    });
}

/** The answering end: calls run one after another. */
export function servePort(port: Port, methods: Readonly<Record<string, (...params: never[]) => unknown>>): void {
  let last: Promise<void> = Promise.resolve();
  const answer = async ({ id, method, params }: Call): Promise<void> => {
    try {
      const value = await methods[method]?.(...(params as never[]));
      port.postMessage({ id, value } satisfies Answer, []);
    } catch (error) {
      port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies Answer, []);
    }
  };
  port.onmessage = ({ data }: MessageEvent<Call>) => void (last = last.then(() => answer(data)));
}
