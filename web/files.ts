/** The panel of the machine's files: looks into folders, takes files in and gives them out. */

import type { Sdk, Stat } from "ebbtide";
import { amount, find, make, save } from "./dom.js";
import { notifyError } from "./failure.js";
import { chosen, dropped, upload, type Found } from "./upload.js";

const SHOWN_MOST = 500;

export interface FilesPanel {
  open(): Promise<void>;
  close(): void;
}

export interface FilesHost {
  sdk(): Sdk | undefined;
  /** Where the shell is. */
  directory(): Promise<string>;
  /** The panel has closed: who had the keyboard gets it back. */
  left(): void;
  /** Something was written into the machine. */
  written(): void;
}

export function makeFiles(host: FilesHost): FilesPanel {
  const panel = find("files");
  let path = "/";

  async function show(directory: string): Promise<void> {
    const sdk = host.sdk();
    if (sdk === undefined) return;
    try {
      const names = await sdk.fs.readdir(directory);
      const shown = names.slice(0, SHOWN_MOST);
      const stats = await Promise.all(shown.map((name) => statOf(sdk, join(directory, name))));
      path = directory;
      const entries = shown.map((name, index) => ({ name, stat: stats[index] ?? null }));
      entries.sort((a, b) => Number(isDirectory(b.stat)) - Number(isDirectory(a.stat)) || (a.name < b.name ? -1 : 1));
      const rows = entries.map(({ name, stat }) => row(sdk, name, stat));
      if (names.length > SHOWN_MOST) rows.push(make("li", { className: "quiet", textContent: `and ${names.length - SHOWN_MOST} more` }));
      if (names.length === 0) rows.push(make("li", { className: "quiet", textContent: "This folder is empty." }));
      const held = panel.contains(document.activeElement);
      find("files-path").replaceChildren(...crumbs(directory));
      find("files-list").replaceChildren(...rows);
      if (held && !panel.contains(document.activeElement)) find("files-list").focus(); // on what is gone now
    } catch (error) {
      notifyError(`${directory} cannot be shown.`, error);
    }
  }

  function crumbs(directory: string): Node[] {
    const parts = directory.split("/").filter(Boolean);
    const made: Node[] = [crumb("/", "/")];
    parts.forEach((part, index) => {
      if (index > 0) made.push(document.createTextNode("/"));
      made.push(crumb(part, `/${parts.slice(0, index + 1).join("/")}`));
    });
    return made;
  }

  function crumb(text: string, to: string): HTMLElement {
    return make("button", { type: "button", className: "plain", textContent: text, onclick: () => void show(to) });
  }

  function row(sdk: Sdk, name: string, stat: Stat | null): HTMLElement {
    const full = join(path, name);
    const directory = isDirectory(stat);
    const text = make("span", { className: "name", textContent: directory ? `${name}/` : name });
    const size = make("span", { className: "quiet", textContent: stat?.kind === "file" ? amount(stat.size) : "" });
    const open = make("button", { type: "button", className: "plain entry" }, text, size);
    open.onclick = () => (directory ? void show(full) : void download(sdk, full, false));
    if (!directory) open.title = `Download ${name}`;
    if (!directory && stat?.kind !== "file") open.disabled = true;
    const tar = make("button", { type: "button", className: "plain", textContent: ".tar", attributes: { "aria-label": `Download ${name} as .tar` } });
    tar.onclick = () => void download(sdk, full, true);
    return directory ? make("li", {}, open, tar) : make("li", {}, open);
  }

  async function download(sdk: Sdk, from: string, packed: boolean): Promise<void> {
    const name = from === "/" ? "root" : from.slice(from.lastIndexOf("/") + 1);
    try {
      const bytes = packed ? await sdk.fs.pack(from) : await sdk.fs.readFile(from);
      save(new Blob([bytes as Uint8Array<ArrayBuffer>]), packed ? `${name}.tar` : name);
    } catch (error) {
      notifyError(`${from} could not be downloaded.`, error);
    }
  }

  async function take(found: Found, into: string): Promise<void> {
    const sdk = host.sdk();
    if (sdk === undefined) return;
    host.written();
    await upload(sdk, into, found);
    if (!panel.hidden) await show(path);
  }

  function close(): void {
    panel.hidden = true;
    find("files-list").replaceChildren(); // when it opens again they may be others
    host.left();
  }

  const inputs = [["files-upload", "files-input"], ["files-upload-folder", "files-input-folder"]] as const;
  for (const [button, id] of inputs) {
    const input = find<HTMLInputElement>(id);
    find(button).onclick = () => input.click();
    input.onchange = () => {
      const found = chosen(input.files ?? []);
      input.value = "";
      void take(found, path);
    };
  }
  find("files-download").onclick = () => {
    const sdk = host.sdk();
    if (sdk !== undefined) void download(sdk, path, true);
  };
  find("files-close").onclick = close;
  panel.onkeydown = (event) => {
    if (event.key === "Escape") close();
  };
  acceptDrops(panel, async () => (panel.hidden ? host.directory() : path), host.directory, take);
  return {
    async open() {
      panel.hidden = false;
      find("files-list").focus();
      await show(await host.directory());
    },
    close,
  };
}

/** Files may be dropped anywhere: on the panel for its folder, elsewhere for the shell's. */
function acceptDrops(
  panel: HTMLElement,
  inPanel: () => Promise<string>,
  inShell: () => Promise<string>,
  take: (found: Found, into: string) => Promise<void>,
): void {
  const veil = find("drop");
  const over = (event: DragEvent): boolean => event.target instanceof Node && panel.contains(event.target);
  const holdsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  const where = (event: DragEvent): Promise<string> => (over(event) ? inPanel() : inShell());
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    if (!veil.hidden) return;
    veil.hidden = false;
    veil.textContent = "Drop to copy into the machine";
    void where(event).then((directory) => (veil.textContent = `Drop to copy into ${directory}`), () => undefined);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!holdsFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    const found = dropped(event.dataTransfer);
    void Promise.all([found, where(event)]).then(([files, into]) => take(files, into), (error: unknown) =>
      notifyError("What was dropped could not be read.", error),
    );
  });
}

const join = (directory: string, name: string): string => (directory === "/" ? `/${name}` : `${directory}/${name}`);

const isDirectory = (stat: Stat | null): boolean => stat?.kind === "directory";

/** What a name stands for, its link followed; null for a link to nothing. */
async function statOf(sdk: Sdk, path: string): Promise<Stat | null> {
  return sdk.fs.stat(path).catch(() => null);
}
