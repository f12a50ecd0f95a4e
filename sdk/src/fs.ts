/** The guest's files, as a program in it would see them: every operation is system calls of the machine. */

import { wantsText } from "./arguments.js";
import type { Client } from "./client.js";
import { LinuxError } from "./errors.js";
import type { StatShape } from "./messages.js";
import { refuseUnknown } from "./options.js";
import { copyBuffer, type Input } from "./streams.js";

/** UTF-8, by either of its usual names. */
export type TextEncoding = "utf8" | "utf-8";

/** What `stat` tells of a file. Times are milliseconds since 1970. */
export type Stat = StatShape;

/** Files of the guest. Paths are absolute; failures are `LinuxError`s with their `errno`. */
export interface Files {
  /** The whole content: bytes, or with an encoding a string. */
  readFile(path: string, encoding?: "bytes" | { encoding?: "bytes" }): Promise<Uint8Array>;
  readFile(path: string, encoding: TextEncoding | { encoding: TextEncoding }): Promise<string>;
  /** Create or replace a file. `mode` holds for a new file; 0o644 unless given. */
  writeFile(path: string, data: Input, options?: { mode?: number }): Promise<void>;
  /** Make a directory; `parents` makes what is missing above it and takes an existing one, as `mkdir -p` does. */
  mkdir(path: string, options?: { parents?: boolean; mode?: number }): Promise<void>;
  /** Names in a directory, sorted, without `.` and `..`. */
  readdir(path: string): Promise<string[]>;
  /** What a path is; `follow: false` looks at a symbolic link itself. */
  stat(path: string, options?: { follow?: boolean }): Promise<Stat>;
  /** Whether something is there. */
  exists(path: string): Promise<boolean>;
  symlink(target: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  /** Remove a file or an empty directory; `recursive` removes what is below as well. */
  unlink(path: string, options?: { recursive?: boolean }): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  /** Many files in one message. */
  readFiles(paths: readonly string[]): Promise<Map<string, Uint8Array>>;
  /** Many files in one message; missing directories are made. */
  writeFiles(files: Readonly<Record<string, Input>>): Promise<void>;
  /** Unpack an uncompressed tar into a directory. */
  unpack(path: string, tar: Input): Promise<void>;
  /** A directory as an uncompressed tar. */
  pack(path: string): Promise<Uint8Array>;
}

type Encoding = TextEncoding | "bytes";

const READ_OPTIONS = { encoding: 0 };
const WRITE_OPTIONS = { mode: 0 };
const MKDIR_OPTIONS = { parents: 0, mode: 0 };
const STAT_OPTIONS = { follow: 0 };
const UNLINK_OPTIONS = { recursive: 0 };

export function openFiles(client: Client): Files {
  async function readFile(path: string, encoding?: "bytes" | { encoding?: "bytes" }): Promise<Uint8Array>;
  async function readFile(path: string, encoding: TextEncoding | { encoding: TextEncoding }): Promise<string>;
  async function readFile(path: string, wish: Encoding | { encoding?: Encoding } = {}): Promise<Uint8Array | string> {
    const options = typeof wish === "string" ? { encoding: wish } : wish;
    refuseUnknown("readFile", options, READ_OPTIONS);
    const text = wantsText(options.encoding ?? "bytes");
    const bytes = new Uint8Array(await client.request("readFile", { path }));
    return text ? new TextDecoder().decode(bytes) : bytes;
  }

  return {
    readFile,
    async writeFile(path, content, options = {}) {
      refuseUnknown("writeFile", options, WRITE_OPTIONS);
      const data = copyBuffer(content instanceof Blob ? await content.arrayBuffer() : content);
      await client.request("writeFile", { path, data, mode: options.mode ?? null }, { transfer: [data] });
    },
    async mkdir(path, options = {}) {
      refuseUnknown("mkdir", options, MKDIR_OPTIONS);
      const { parents = false, mode = 0o755 } = options;
      await client.request("mkdir", { path, parents, mode });
    },
    async readdir(path) {
      return [...(await client.request("readdir", { path }))];
    },
    async stat(path, options = {}) {
      refuseUnknown("stat", options, STAT_OPTIONS);
      return client.request("stat", { path, follow: options.follow ?? true });
    },
    async exists(path) {
      try {
        await client.request("stat", { path, follow: true });
        return true;
      } catch (error) {
        if (error instanceof LinuxError && (error.errno === "ENOENT" || error.errno === "ENOTDIR")) return false;
        throw error;
      }
    },
    async symlink(target, path) {
      await client.request("symlink", { path, target });
    },
    readlink: (path) => client.request("readlink", { path }),
    async unlink(path, options = {}) {
      refuseUnknown("unlink", options, UNLINK_OPTIONS);
      await client.request("unlink", { path, recursive: options.recursive ?? false });
    },
    async rename(path, to) {
      await client.request("rename", { path, to });
    },
    async chmod(path, mode) {
      await client.request("chmod", { path, mode });
    },
    async readFiles(paths) {
      const contents = await client.request("readFiles", { paths });
      return new Map(paths.map((path, index) => [path, new Uint8Array(contents[index] ?? new ArrayBuffer(0))]));
    },
    async writeFiles(contents) {
      const copied = Object.entries(contents).map(async ([path, content]) => ({
        path,
        data: copyBuffer(content instanceof Blob ? await content.arrayBuffer() : content),
      }));
      const files = await Promise.all(copied);
      await client.request("writeFiles", { files }, { transfer: files.map(({ data }) => data) });
    },
    async unpack(path, content) {
      const tar = copyBuffer(content instanceof Blob ? await content.arrayBuffer() : content);
      await client.request("unpack", { path, tar }, { transfer: [tar] });
    },
    async pack(path) {
      return new Uint8Array(await client.request("pack", { path }));
    },
  };
}
