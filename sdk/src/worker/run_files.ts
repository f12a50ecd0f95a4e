/**
 * Files of recorded runs, in the origin's private file system, or in IndexedDB where that is missing. A path is a folder
 * and a name. No handle stays open, so every worker of every tab reads what another has written.
 */

export interface RunFiles {
  read(path: string): Promise<Uint8Array<ArrayBuffer> | null>;
  write(path: string, bytes: Uint8Array): Promise<void>;
  append(path: string, bytes: Uint8Array): Promise<void>;
  remove(path: string): Promise<void>;
  /** Names in a folder, and their bytes. */
  list(folder: string): Promise<Map<string, number>>;
}

const ROOT = "ebb-runs";

export async function openRunFiles(): Promise<RunFiles> {
  const folder = await privateFolder(ROOT);
  return folder === null ? databaseFiles(await openDatabase()) : privateFiles(folder);
}

/** A folder of the origin's private file system, if the browser has that for workers. */
export async function privateFolder(name: string): Promise<FileSystemDirectoryHandle | null> {
  if (!("FileSystemFileHandle" in globalThis && "createSyncAccessHandle" in FileSystemFileHandle.prototype)) return null;
  const root = await navigator.storage.getDirectory().catch(() => null);
  return root && root.getDirectoryHandle(name, { create: true });
}

const split = (path: string): [string, string] => {
  const at = path.indexOf("/");
  return [path.slice(0, at), path.slice(at + 1)];
};

// ---- The origin's private file system ------------------------------------------------------------------------

const missing = (error: unknown): null => {
  if (error instanceof DOMException && error.name === "NotFoundError") return null;
  throw error;
};

export function privateFiles(root: FileSystemDirectoryHandle): RunFiles {
  const folder = (name: string): Promise<FileSystemDirectoryHandle> => root.getDirectoryHandle(name, { create: true });

  async function put(path: string, bytes: Uint8Array, append: boolean): Promise<void> {
    const [parent, name] = split(path);
    const file = await (await folder(parent)).getFileHandle(name, { create: true });
    const handle = await file.createSyncAccessHandle();
    try {
      const written = handle.write(bytes as Uint8Array<ArrayBuffer>, { at: append ? handle.getSize() : 0 });
      if (written < bytes.length) throw new DOMException("the browser keeps no more for this page", "QuotaExceededError");
      if (!append) handle.truncate(bytes.length); // not before: a tab that is closed meanwhile would leave nothing
    } finally {
      handle.close();
    }
  }

  return {
    async read(path) {
      const [parent, name] = split(path);
      const file = await (await folder(parent)).getFileHandle(name).catch(missing);
      return file === null ? null : new Uint8Array(await (await file.getFile()).arrayBuffer());
    },
    write: (path, bytes) => put(path, bytes, false),
    append: (path, bytes) => put(path, bytes, true),
    async remove(path) {
      const [parent, name] = split(path);
      await (await folder(parent)).removeEntry(name).catch(missing);
    },
    async list(name) {
      const found: Promise<[string, number]>[] = [];
      for await (const [entry, handle] of (await folder(name)).entries()) {
        if (handle.kind === "file") found.push((handle as FileSystemFileHandle).getFile().then(({ size }) => [entry, size]));
      }
      return new Map(await Promise.all(found));
    },
  };
}

// ---- IndexedDB: a file is parts, under [folder, name, number] ---------------------------------------------------

const STORE = "part";

function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(ROOT, 1);
  opening.onupgradeneeded = () => void opening.result.createObjectStore(STORE);
  return settled(opening);
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's database gave no reason"));
  });
}

function databaseFiles(database: IDBDatabase): RunFiles {
  const store = (mode: IDBTransactionMode): IDBObjectStore => database.transaction(STORE, mode).objectStore(STORE);
  const parts = (path: string): IDBKeyRange => IDBKeyRange.bound([...split(path), 0], [...split(path), Infinity]);

  async function put(path: string, bytes: Uint8Array, append: boolean): Promise<void> {
    const files = store("readwrite");
    const next = append ? await settled(files.count(parts(path))) : 0;
    if (!append) await settled(files.delete(parts(path)));
    await settled(files.put(bytes.slice(), [...split(path), next]));
  }

  return {
    async read(path) {
      const found = (await settled(store("readonly").getAll(parts(path)))) as Uint8Array<ArrayBuffer>[];
      if (found.length < 2) return found[0] ?? null;
      const whole = new Uint8Array(found.reduce((sum, part) => sum + part.length, 0));
      found.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
      return whole;
    },
    write: (path, bytes) => put(path, bytes, false),
    append: (path, bytes) => put(path, bytes, true),
    async remove(path) {
      await settled(store("readwrite").delete(parts(path)));
    },
    list(folder) {
      const cursor = store("readonly").openCursor(IDBKeyRange.bound([folder], [folder, []]));
      const found = new Map<string, number>();
      return new Promise((resolve, reject) => {
        cursor.onerror = () => reject(cursor.error ?? new Error("the browser's database gave no reason"));
        cursor.onsuccess = () => {
          const at = cursor.result;
          if (at === null) return resolve(found);
          const name = (at.key as string[])[1] ?? "";
          found.set(name, (found.get(name) ?? 0) + (at.value as Uint8Array).length);
          at.continue();
        };
      });
    },
  };
}
