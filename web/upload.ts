/**
 * Files from the visitor's computer into the machine. Small ones go many to a message, large ones as a stream, so that
 * a file of any size needs little of the page's memory and its progress is seen.
 */

import type { Sdk } from "ebbtide";
import { amount, megabytes } from "./dom.js";
import { hideNotice, notify, notifyError, showNoticeProgress } from "./failure.js";

/** A file, and its path below where it goes. */
export interface Item {
  readonly path: string;
  readonly file: File;
}

export interface Found {
  readonly items: Item[];
  /** Directories, which may be empty. */
  readonly directories: string[];
}

const BATCH_BYTES = 1 << 20;
const BATCH_FILES = 64;

/** What was chosen in a file dialog. */
export function chosen(files: Iterable<File>): Found {
  return { items: Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file })), directories: [] };
}

/** What was dropped, with what is in its folders. The entries must be taken before the event ends. */
export async function dropped(transfer: DataTransfer): Promise<Found> {
  const found: Found = { items: [], directories: [] };
  const sources = Array.from(transfer.items, (item) => (item.kind === "file" ? (item.webkitGetAsEntry() ?? item.getAsFile()) : null));
  for (const source of sources) {
    if (source instanceof File) found.items.push({ path: source.name, file: source });
    else if (source !== null) await walk(source, "", found);
  }
  return found;
}

async function walk(entry: FileSystemEntry, above: string, found: Found): Promise<void> {
  const path = above + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.items.push({ path, file });
    return;
  }
  found.directories.push(path);
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return; // a reader gives a directory piece by piece
    for (const one of some) await walk(one, `${path}/`, found);
  }
}

/** Copy all into a directory of the machine, with progress and a word at the end. */
export async function upload(sdk: Sdk, into: string, { items, directories }: Found): Promise<void> {
  if (items.length === 0 && directories.length === 0) return;
  const total = items.reduce((sum, { file }) => sum + file.size, 0);
  const folder = into === "/" ? "" : into;
  let bytes = 0;
  let files = 0;
  const words = (): string => `${files} of ${items.length} files, ${megabytes(bytes)} of ${megabytes(total)} MB`;
  const tell = showNoticeProgress(words());
  const told = (size: number): void => {
    bytes += size;
    tell(words(), total === 0 ? 1 : bytes / total);
  };
  try {
    for (const directory of directories) await sdk.fs.mkdir(`${folder}/${directory}`, { parents: true });
    let batch: Item[] = [];
    let weight = 0;
    const flush = async (): Promise<void> => {
      const read = batch.map(async ({ path, file }) => [`${folder}/${path}`, new Uint8Array(await file.arrayBuffer())] as const);
      if (batch.length > 0) await sdk.fs.writeFiles(Object.fromEntries(await Promise.all(read)));
      files += batch.length;
      told(weight);
      [batch, weight] = [[], 0];
    };
    for (const item of items) {
      if (item.file.size > BATCH_BYTES) {
        await stream(sdk, `${folder}/${item.path}`, item.file, told);
        files += 1;
        continue;
      }
      if (weight + item.file.size > BATCH_BYTES || batch.length === BATCH_FILES) await flush();
      batch.push(item);
      weight += item.file.size;
    }
    await flush();
    hideNotice();
    const what = items.length === 1 && items[0] !== undefined ? items[0].path : `${items.length} files`;
    notify(`${what} (${amount(total)}) ${items.length === 1 ? "is" : "are"} in ${into}.`);
  } catch (error) {
    notifyError(`Not all could be copied to ${into}.`, error);
  }
}

const WRITE = 'mkdir -p "${1%/*}/" && cat >"$1"';

async function stream(sdk: Sdk, path: string, file: File, told: (size: number) => void): Promise<void> {
  const writer = await sdk.spawn("sh", ["-c", WRITE, "sh", path]);
  const said = new Response(writer.stderr).text();
  const meter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk);
      told(chunk.length);
    },
  });
  await file.stream().pipeThrough(meter).pipeTo(writer.stdin).catch(() => undefined); // why, the writer says
  const { exitCode } = await writer.exit;
  if (exitCode !== 0) throw new Error((await said).trim() || `Writing ${path} failed with ${exitCode}.`);
}
