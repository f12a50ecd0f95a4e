/**
 * The panel of what this browser keeps: recorded runs, to look at again, and snapshots, to go on from. Both can be saved
 * as files, taken in from files, pinned and deleted. Loaded when it is first opened.
 */

import { KEPT_MOST, type RunInfo, type Sdk, type SnapshotInfo } from "ebbtide";
import { amount, ask, clock, find, make, megabytes, save } from "./dom.js";
import { hideNotice, notify, notifyError, say } from "./failure.js";

export interface KeptHost {
  sdk(): Sdk | undefined;
  /** Show a run. */
  openRun(id: string): void;
  /** Leave the machine of now for that of a snapshot. */
  goOn(snapshot: string): void;
  /** The panel has closed: who had the keyboard gets it back. */
  left(): void;
}

export interface KeptPanel {
  open(): Promise<void>;
  close(): void;
}

/** A line of either list, and what can be done with it. */
interface Entry {
  readonly id: string;
  readonly name: string;
  /** What is said of it, beside its name and below. */
  readonly size: string;
  readonly about: string;
  readonly pinned: boolean;
  /** A run that is being recorded cannot be deleted. */
  readonly live: boolean;
  readonly file: string;
  readonly hint: string;
  open(): void;
  export(): Promise<Blob>;
  pin(pinned: boolean): Promise<void>;
  remove(): Promise<void>;
}

export function makeKept(host: KeptHost): KeptPanel {
  const panel = find("kept");
  const lists = {
    runs: section("runs", "Runs", "No run is kept."),
    snapshots: section("snapshots", "Snapshots", "No snapshot is kept."),
  };
  const list = make("div", { id: "kept-list", tabIndex: 0, attributes: { role: "group", "aria-label": "What is kept" } }, ...lists.runs.parts, ...lists.snapshots.parts);
  panel.replaceChildren(
    make("div", { className: "head" }, make("h2", { textContent: "Kept in this browser" }), button("×", close, { id: "kept-close", className: "plain", title: "Close (Esc)" }, "Close")),
    make("p", { className: "buttons" }, button("Open a file", pick, { id: "kept-import" }), button("Keep a snapshot", () => void keep(), { id: "kept-snapshot" })),
    list,
  );

  // ---- What is shown ---------------------------------------------------------------------------------------------

  /** Show what is there now; what had the keyboard keeps it. */
  async function show(): Promise<void> {
    const sdk = host.sdk();
    if (sdk === undefined) return;
    const focus = panel.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["key"] : undefined;
    const held = panel.contains(document.activeElement);
    await Promise.all([
      lists.runs.fill(async () => [(await sdk.runs.list()).map((run) => runEntry(sdk, run)), await sdk.runs.bytes(), KEPT_MOST.runs]),
      lists.snapshots.fill(async () => [(await sdk.snapshots.list()).map((one) => snapshotEntry(sdk, one)), await sdk.snapshots.bytes(), KEPT_MOST.snapshots]),
    ]);
    if (!held || panel.hidden) return;
    const same = [...panel.querySelectorAll<HTMLElement>("[data-key]")].find(({ dataset }) => dataset["key"] === focus);
    if (!panel.contains(document.activeElement)) (same ?? list).focus();
  }

  function section(id: string, title: string, none: string) {
    const total = make("span", { id: `kept-${id}-total`, className: "quiet" });
    const rows = make("ul", { id: `kept-${id}`, attributes: { "aria-label": title } });
    async function fill(read: () => Promise<readonly [entries: readonly Entry[], bytes: number, most: { count: number; bytes: number }]>): Promise<void> {
      try {
        const [entries, bytes, most] = await read();
        total.textContent = `${entries.length} of ${most.count}, ${megabytes(bytes)} of ${most.bytes / 1e6} MB`;
        rows.replaceChildren(...(entries.length > 0 ? entries.map(row) : [make("li", { className: "quiet", textContent: none })]));
      } catch (error) {
        total.textContent = "";
        rows.replaceChildren(make("li", { className: "quiet", textContent: error instanceof Error ? error.message : String(error) }));
      }
    }
    return { parts: [make("h3", {}, title, total), rows], fill };
  }

  function row(entry: Entry): HTMLElement {
    const { id, name } = entry;
    const open = make(
      "button", { type: "button", className: "plain entry", title: entry.hint },
      make("span", { className: "name", textContent: name }), make("span", { className: "quiet", textContent: entry.size }),
    );
    open.dataset["key"] = `open ${id}`;
    open.onclick = entry.open;
    const act = (text: string, what: () => Promise<unknown>, key = text): HTMLButtonElement => {
      const made = button(text, () => void what().catch((error: unknown) => notifyError(`${name} stays as it was.`, error)).then(show), { className: "plain" }, `${text} ${name}, ${entry.about}`);
      made.dataset["key"] = `${key} ${id}`;
      return made;
    };
    const pin = act(entry.pinned ? "Unpin" : "Pin", () => entry.pin(!entry.pinned), "Pin");
    pin.classList.toggle("pinned", entry.pinned);
    pin.title = "What is pinned makes no room for newer ones";
    const remove = act("Delete", () => drop(entry));
    remove.disabled = entry.live;
    const acts = [pin, act("Save", async () => save(await entry.export(), entry.file)), remove];
    return make("li", {}, open, make("div", { className: "line" }, make("span", { className: "quiet", textContent: entry.about, title: entry.about }), ...acts));
  }

  async function drop(entry: Entry): Promise<void> {
    find("ask-title").textContent = `Delete ${entry.name}?`;
    find("ask-text").textContent = `It is of ${entry.about}, and cannot be had back.`;
    find("ask-yes").textContent = "Delete";
    if (await ask("ask")) await entry.remove();
  }

  function runEntry(sdk: Sdk, run: RunInfo): Entry {
    const { id, pinned, live } = run;
    const start = run.about["start"] as { snapshot?: string; terminals?: readonly { args: readonly string[] }[] } | undefined;
    const args = (run.about["args"] as readonly string[] | undefined) ?? [];
    const command = args.length > 0 ? args : (start?.terminals?.[0]?.args ?? []);
    const until = run.ended ?? run.last; // a tab that was closed noted no end
    const length = live ? "recording" : until === null ? "" : clock(until - run.started);
    const cut = !live && run.ended === null ? "cut short" : "";
    const from = start === undefined ? "" : start.snapshot === undefined ? "branch" : "from snapshot";
    return {
      id, pinned, live,
      name: command.join(" ") || "session",
      size: amount(run.stored),
      about: [date(run.started), length, from, cut].filter(Boolean).join(" · "),
      file: `${id}.ebbrun`,
      hint: "Show it again",
      open() {
        close();
        host.openRun(id);
      },
      export: () => sdk.runs.export(id),
      pin: (wish) => sdk.runs.pin(id, wish),
      remove: () => sdk.runs.remove(id),
    };
  }

  function snapshotEntry(sdk: Sdk, one: SnapshotInfo): Entry {
    const { id, pinned } = one;
    const terminals = (one.about["terminals"] as readonly { args: readonly string[] }[] | undefined) ?? [];
    return {
      id, pinned,
      live: false,
      name: terminals[0]?.args.join(" ") || id.slice(0, 12),
      size: amount(one.bytes),
      about: [date(one.created), String(one.about["image"] ?? "")].filter(Boolean).join(" · "),
      file: `${id.slice(0, 12)}.ebbsnap`,
      hint: "Go on from it",
      open: () => host.goOn(id),
      export: () => sdk.snapshots.export(id),
      pin: (wish) => sdk.snapshots.pin(id, wish),
      remove: () => sdk.snapshots.remove(id),
    };
  }

  // ---- What is done ----------------------------------------------------------------------------------------------

  function pick(): void {
    const field = make("input", { type: "file", accept: ".ebbrun,.ebbsnap" });
    field.onchange = () => {
      const file = field.files?.[0];
      if (file !== undefined) void take(file);
    };
    field.click();
  }

  /** Show the run of a file; a snapshot is only listed, for the machine of now would end. */
  async function take(file: File): Promise<void> {
    const sdk = host.sdk();
    if (sdk === undefined) return;
    try {
      say(`${file.name} is being read.`);
      if ((await file.slice(0, 4).text()) === "EBBS") {
        const key = `open ${await sdk.snapshots.import(file)}`;
        await show();
        [...panel.querySelectorAll<HTMLElement>("[data-key]")].find(({ dataset }) => dataset["key"] === key)?.focus();
      } else {
        const id = await sdk.runs.import(file);
        close();
        host.openRun(id);
      }
      hideNotice();
    } catch (error) {
      notifyError(`${file.name} could not be opened.`, error);
    }
  }

  async function keep(): Promise<void> {
    try {
      await host.sdk()?.snapshot();
      await show();
      notify("The machine is kept as it was just now.");
    } catch (error) {
      notifyError("No snapshot was kept.", error);
    }
  }

  function close(): void {
    if (panel.hidden) return;
    panel.hidden = true;
    host.left();
  }

  panel.onkeydown = (event) => {
    const entries = [...panel.querySelectorAll<HTMLElement>(".entry")];
    const at = entries.findIndex((one) => one.closest("li")?.contains(document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: Math.max(at - 1, 0), Home: 0, End: entries.length - 1 }[event.key];
    if (event.key === "Escape") close();
    else if (event.key === "Delete" && at >= 0) entries[at]!.closest("li")!.querySelector<HTMLElement>("button:last-child")!.click();
    else if (to !== undefined) entries[Math.min(to, entries.length - 1)]?.focus();
    else return;
    event.preventDefault();
  };

  return {
    async open() {
      panel.hidden = false;
      list.focus();
      await show();
      panel.dataset["state"] = "ready";
    },
    close,
  };
}

function button(text: string, onclick: () => void, properties: Partial<Pick<HTMLButtonElement, "id" | "className" | "title">> = {}, label?: string): HTMLButtonElement {
  return make("button", { type: "button", textContent: text, onclick, ...properties, attributes: label === undefined ? {} : { "aria-label": label } });
}

function date(ms: number): string {
  const then = new Date(ms);
  const year = then.getFullYear() === new Date().getFullYear() ? {} : ({ year: "numeric" } as const);
  return then.toLocaleString("en-GB", { day: "numeric", month: "short", ...year, hour: "2-digit", minute: "2-digit" });
}
