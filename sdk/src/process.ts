/** A process started by `sdk.spawn`: its streams, signals and end. */

import type { Client } from "./client.js";
import type { ExitStatus, Methods, Size } from "./messages.js";
import { openReadable, openWritable, type Input } from "./streams.js";

/** A running program. */
export interface Process {
  /** Its process id in the guest. */
  readonly pid: number;
  /** What it reads; close it to let it see end of file. With a pty: what is typed. */
  readonly stdin: WritableStream<Input>;
  /** What it writes. With a pty: all that the terminal shows. */
  readonly stdout: ReadableStream<Uint8Array>;
  /** Its error output; empty with a pty, whose only output is `stdout`. */
  readonly stderr: ReadableStream<Uint8Array>;
  /** Settles when the process has ended, however it ended; rejects only when the machine is closed or stops. */
  readonly exit: Promise<ExitStatus>;
  /** Whether it runs on a pseudo-terminal. */
  readonly pty: boolean;
  /** Send a signal (`"SIGTERM"` unless named) to its process group, as Ctrl-C does; one that has ended is fine. */
  kill(signal?: string | number): Promise<void>;
  /** Tell the pty its new size. */
  resize(size: Size): Promise<void>;
}

export function openProcess(client: Client, spawned: Methods["spawn"]["value"], pty: boolean): Process {
  const { process, pid } = spawned;
  const exit = client.request("wait", { process });
  exit.catch(() => undefined); // a closed machine rejects it; who does not look must not be told
  return {
    pid,
    pty,
    stdin: openWritable(client, spawned.stdin),
    stdout: openReadable(client, spawned.stdout),
    stderr: spawned.stderr === null ? emptyReadable() : openReadable(client, spawned.stderr),
    exit,
    async kill(signal = "SIGTERM") {
      await client.request("kill", { process, signal });
    },
    async resize({ rows, cols }) {
      await client.request("resize", { process, rows, cols });
    },
  };
}

function emptyReadable(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}
