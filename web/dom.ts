/** The few helpers the page's parts share: finding and making elements, and saving a file. */

export function find<E extends HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element "${id}"`);
  return element as E;
}

/** An element with properties set and children in it. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<Omit<HTMLElementTagNameMap[Tag], "attributes">> & { attributes?: Readonly<Record<string, string>> } = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  const { attributes = {}, ...rest } = properties;
  Object.assign(element, rest);
  for (const [name, value] of Object.entries<string>(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function save(blob: Blob, name: string): void {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** "0.4 MB": amounts as this page shows them. */
export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

export function amount(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${megabytes(bytes)} MB`;
}

/** "2:05.3": times as this page shows them. */
export function clock(ms: number): string {
  const tenths = Math.round(ms / 100);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

export type State = "starting" | "ready" | "failed" | "ended";

/** What the bar says of the machine; screen readers say it when it changes. */
export function setState(state: State, text: string): void {
  document.body.dataset["state"] = state;
  const shown = find("state");
  if (shown.textContent !== text) shown.textContent = text;
}

/** Show a dialog; gives whether it was left by its affirming button. */
export function ask(id: "ask" | "link" | "paste"): Promise<boolean> {
  const dialog = find<HTMLDialogElement>(id);
  // A dialog says that it closed a frame later: who asked last may not have been answered, and must not be by this answer.
  dialog.onclose?.(new Event("close"));
  dialog.returnValue = "no";
  dialog.querySelector<HTMLButtonElement>("[value=no]")!.onclick = () => dialog.close("no");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      if (!dialog.open) resolve(dialog.returnValue === "yes");
    };
  });
}
