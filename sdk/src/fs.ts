/** The guest's files, as a program in it would see them: every operation is system calls of the machine. */

import type { Client } from "./client.js";
import { LinuxError } from "./errors.js";
import type { StatShape } from "./messages.js";
import { copyBuffer, type Input } from "./streams.js";

/** What `stat` tells of a file. Times are milliseconds since 1970. */
export type Stat = StatShape;

/** Files of the guest. Paths are absolute; failures are `LinuxError`s with their `errno`. */
export interface Files {
  /** The whole content; a string if `encoding` is `"utf8"`. */
  readFile(path: string): Promise<Uint8Array>;
  readFile(path: string, encoding: "utf8"): Promise<string>;
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

export function openFiles(client: Client): Files {
  async function readFile(path: string): Promise<Uint8Array>;
  async function readFile(path: string, encoding: "utf8"): Promise<string>;
  async function readFile(path: string, encoding?: "utf8"): Promise<Uint8Array | string> {
    const bytes = new Uint8Array(await client.request("readFile", { path }));
    return encoding === "utf8" ? new TextDecoder().decode(bytes) : bytes;
  }

  return {
    readFile,
    async writeFile(path, content, { mode } = {}) {
      const data = copyBuffer(content instanceof Blob ? await content.arrayBuffer() : content);
      await client.request("writeFile", { path, data, mode: mode ?? null }, { transfer: [data] });
    },
    async mkdir(path, { parents = false, mode = 0o755 } = {}) {
      await client.request("mkdir", { path, parents, mode });
    },
    async readdir(path) {
      return [...(await client.request("readdir", { path }))];
    },
    stat: (path, { follow = true } = {}) => client.request("stat", { path, follow }),
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
    async unlink(path, { recursive = false } = {}) {
      await client.request("unlink", { path, recursive });
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
