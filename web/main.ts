/**
 * The shell page, a customer of the SDK: shows how booting comes along, then terminals, or one clear error. This
 * file joins the parts; each part has a file of its own. Scripts find the machine as `window.sdk`.
 */

import { boot, preloadTerminal, type Attachment, type EbbError, type Sdk } from "ebbtide";
import { ask, find, save, setState } from "./dom.js";
import { notify, notifyError, showFailure } from "./failure.js";
import { makeFiles } from "./files.js";
import { followKeyboard, makeKeyBar, withHeldControl } from "./keys.js";
import { watchLeaving } from "./leaving.js";
import { offerLink, readLink } from "./link.js";
import { makeMenu, type Item } from "./menu.js";
import { showBoot, showProgress } from "./progress.js";
import { makeSearch } from "./search.js";
import type { KeptPanel } from "./kept.js";
import type { Branched, RewindView } from "./rewind.js";
import { restoreSettings, settings, type Theme } from "./settings.js";
import { recordingItems, showRecording, thisRun } from "./recording.js";
import { openTabs, type Tabs } from "./tabs.js";

declare global {
  interface Window {
    /** The machine of this page, once it has booted. */
    sdk?: Sdk | undefined;
    /** What the terminal in front shows. */
    screenText?: () => string;
  }
}

const INTRO = [
  "\x1b[1mEbb\x1b[0m is a Linux machine in this tab: unmodified Debian programs on a kernel in WebAssembly.",
  "Try \x1b[34mls -l /\x1b[0m, \x1b[34mps aux\x1b[0m or \x1b[34mseq 1000 | awk '{s+=$1} END {print s}'\x1b[0m.",
  "All of it stays in this tab and is lost with it.",
];
const INTRO_NARROW = [
  "\x1b[1mEbb\x1b[0m is a Linux machine in this tab.",
  "Try \x1b[34mls -l /\x1b[0m, \x1b[34mps aux\x1b[0m or \x1b[34mseq 9 | tac\x1b[0m.",
  "It stays here and is lost with the tab.",
];
const intro = (): string => [...(matchMedia("(max-width: 50rem)").matches ? INTRO_NARROW : INTRO), "", ""].join("\r\n");

const link = readLink();
const leaving = watchLeaving();
let tabs: Tabs | null = null;

const attachment = (): Attachment | undefined => tabs?.current()?.attachment;
const toTerminal = (): void => attachment()?.focus();
const search = makeSearch(attachment);
const files = makeFiles({
  sdk: () => window.sdk,
  directory: async () => (await tabs?.current()?.directory().catch(() => null)) ?? "/",
  left: toTerminal,
  written: leaving.written,
});

function openFiles(): void {
  find("kept").hidden = true;
  void files.open();
}

// ---- Copy and paste ------------------------------------------------------------------------------------------

/** The selection; without one, all that is shown: a finger cannot select in a terminal. */
function copy(): void {
  const text = attachment()?.selection() || attachment()?.text() || "";
  navigator.clipboard.writeText(text).catch((error: unknown) => notifyError("Nothing was copied.", error));
  toTerminal();
}

async function paste(): Promise<void> {
  let text: string;
  try {
    text = await navigator.clipboard.readText();
  } catch {
    const field = find<HTMLTextAreaElement>("paste-text"); // the browser keeps its clipboard: its own paste works
    field.value = "";
    text = (await ask("paste")) ? field.value : "";
  }
  if (text !== "") attachment()?.paste(text);
  toTerminal();
}

// ---- The menu and its keys -----------------------------------------------------------------------------------

const MAC = navigator.platform.startsWith("Mac");

/** Keys that are the page's, with Ctrl and Shift held. The browser itself pastes at Ctrl-Shift-V. */
const KEYS: Readonly<Record<string, () => void>> = {
  KeyX: () => menu.open(),
  KeyF: search.open,
  KeyE: openFiles,
  KeyC: copy,
  ArrowLeft: () => tabs?.turn(-1),
  ArrowRight: () => tabs?.turn(1),
  ArrowUp: () => settings.setFontSize(settings.fontSize + 1),
  ArrowDown: () => settings.setFontSize(settings.fontSize - 1),
};

/** Whether the terminal gets a key. */
function key(event: KeyboardEvent): boolean {
  if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
  if (event.code === "KeyV") return false;
  const act = KEYS[event.code];
  if (act === undefined) return true;
  if (event.type === "keydown") {
    event.preventDefault();
    act();
  }
  return false;
}

function input(text: string): string {
  if (text.includes("\r")) leaving.entered();
  return withHeldControl(text);
}

const theme = (label: string, value: Theme): Item => ({
  label, checked: settings.theme === value, choice: true, act: () => settings.setTheme(value),
});

const menu = makeMenu(() => {
  if (tabs === null) return [[theme("Theme of the system", "system"), theme("Light", "light"), theme("Dark", "dark")]];
  const several = tabs.count > 1;
  return [
    [
      { label: "Copy", hint: MAC ? "Cmd-C" : "Ctrl-Shift-C", act: copy },
      { label: "Paste", hint: MAC ? "Cmd-V" : "Ctrl-Shift-V", act: () => void paste() },
      { label: "Select all", act: () => attachment()?.selectAll() },
      { label: "Find", hint: "Ctrl-Shift-F", act: search.open },
      { label: "Clear", act: () => attachment()?.clear() },
    ],
    [
      { label: "Files", hint: "Ctrl-Shift-E", act: openFiles },
      { label: "Save snapshot", act: () => void saveSnapshot() },
      { label: "Copy link", act: () => void makeLink() },
    ],
    [
      { label: "New terminal", act: () => find("tab-new").click() },
      ...(several ? [{ label: "Next terminal", hint: "Ctrl-Shift-→", act: () => tabs?.turn(1) }] : []),
      ...(several ? [{ label: "Close terminal", act: () => tabs?.closeCurrent() }] : []),
      { label: "Restart the machine", act: () => void restart() },
      { label: "Benchmark", hint: "in a new tab", act: () => void open("bench.html", "_blank", "noopener") },
    ],
    recordingItems({ restart: () => void restart(), rewind: (run) => void openRun(run), kept: () => void openKept() }),
    [
      { label: "Larger text", hint: "Ctrl-Shift-↑", act: () => settings.setFontSize(settings.fontSize + 1) },
      { label: "Smaller text", hint: "Ctrl-Shift-↓", act: () => settings.setFontSize(settings.fontSize - 1) },
      theme("Theme of the system", "system"),
      theme("Light", "light"),
      theme("Dark", "dark"),
      { label: "Screen reader mode", checked: settings.screenReader, act: () => settings.setScreenReader(!settings.screenReader) },
    ],
  ];
}, toTerminal);

async function makeLink(): Promise<void> {
  const cwd = await tabs?.current()?.directory().catch(() => undefined);
  await offerLink({ ...link, cwd: cwd === "/" ? undefined : cwd });
  toTerminal();
}

let rewinding: RewindView | null = null;

/** Show a run; loaded when it is asked for. */
async function openRun(run: () => Promise<string>): Promise<void> {
  const sdk = window.sdk;
  if (sdk === undefined) return;
  rewinding?.close();
  try {
    const { openRewind } = await import("./rewind.js");
    rewinding = await openRewind(sdk.runs, await run(), { left: toTerminal, mayEnd, goOn: (from) => void start(from) });
  } catch (error) {
    notifyError("The run could not be opened.", error);
  }
}

let kept: KeptPanel | null = null;

/** Show what this browser keeps; loaded when it is asked for. */
async function openKept(): Promise<void> {
  try {
    const { makeKept } = await import("./kept.js");
    kept ??= makeKept({
      sdk: () => window.sdk,
      openRun: (id) => void openRun(async () => (id === window.sdk?.recording?.id ? thisRun() : id)),
      goOn: (snapshot) => void goOn(snapshot),
      left: toTerminal,
    });
    find("files").hidden = true;
    await kept.open();
  } catch (error) {
    notifyError("What is kept cannot be shown.", error);
  }
}

/** What a machine goes on from: a moment of a run, or a snapshot. */
type From = Branched | { readonly snapshot: string };

/** Whether the machine of now may end for one that goes on from elsewhere: asks if something would be lost. */
async function mayEnd(): Promise<boolean> {
  if (!leaving.dirty) return true;
  find("ask-title").textContent = "Go on from there?";
  find("ask-text").textContent = "The machine of now ends, with its files and programs.";
  find("ask-yes").textContent = "Go on from there";
  return ask("ask");
}

/** Leave the machine of now for that of a snapshot. */
async function goOn(snapshot: string): Promise<void> {
  if (await mayEnd()) await start({ snapshot });
  else toTerminal();
}

// ---- The machine ---------------------------------------------------------------------------------------------

async function restart(): Promise<void> {
  if (leaving.dirty) {
    find("ask-title").textContent = "Restart the machine?";
    find("ask-text").textContent = "Its files and running programs are lost.";
    find("ask-yes").textContent = "Restart";
    if (!(await ask("ask"))) return toTerminal();
  }
  await start();
}

/** Boot a machine in place of the one before, if any, and open a terminal on it. */
async function start(from?: From): Promise<void> {
  const before = window.sdk;
  setState("starting", "starting");
  for (const id of ["failure", "terminal", "files", "kept", "search"]) find(id).hidden = true;
  rewinding?.close();
  find("terminal").hidden = true;
  tabs?.end();
  tabs = null;
  window.sdk = undefined;
  showBoot();
  try {
    await before?.close();
    showRecording(null); // its last word on that has come
    const failed = (error: EbbError): void => showFailure(error, () => void start(), window.sdk);
    const branched = from !== undefined && "branch" in from ? from : undefined;
    const snapshot = from === undefined ? link.snapshot : "snapshot" in from ? from.snapshot : undefined;
    const always = {
      record: settings.record, ...(link.jit && { jit: link.jit }),
      onRecording: showRecording, onProgress: showProgress, onPanic: failed, onFailure: failed,
    };
    const booting =
      branched ? boot({ branch: branched.branch, ...always })
      : snapshot !== undefined ? boot({ snapshot, ...always })
      : boot({ image: link.image, ...(link.harts !== undefined && { harts: link.harts }), ...always });
    void preloadTerminal();
    const sdk = await booting;
    window.sdk = sdk;
    find("fact-memory").textContent = memory(sdk.memory);
    find("fact-harts").textContent = String(sdk.harts);
    find("fact-image").textContent = sdk.image;
    if (settings.record) showRecording({ id: "", bytes: 0, ended: null });
    find("boot").hidden = true;
    find("terminal").hidden = false;
    tabs = openTabs(sdk, { key, input });
    const taken = from || snapshot ? await sdk.terminals() : [];
    for (const process of taken) {
      if (snapshot) await process.resize(NOBODYS); // the terminal's own size is news then, and the program draws all anew
      await tabs.open({ process, intro: branched?.drawn.get(process.pid) ?? "" });
    }
    if (taken.length === 0) {
      await tabs.open({ intro: intro(), cwd: link.cwd, command: link.command });
      await attachment()?.awake;
    }
    leaving.reset(sdk);
  } catch (error) {
    if (find("failure").hidden) showFailure(error, () => void start(), window.sdk);
  }
}

/** A size that no terminal has. */
const NOBODYS = { rows: 2, cols: 500 };

async function saveSnapshot(): Promise<void> {
  const sdk = window.sdk;
  if (sdk === undefined) return;
  try {
    const id = await sdk.snapshot();
    save(await sdk.snapshots.export(id), `${id.slice(0, 12)}.ebbsnap`);
    await sdk.snapshots.remove(id);
  } catch (error) {
    notifyError("No snapshot was made.", error);
  }
  toTerminal();
}

const memory = (bytes: number): string =>
  bytes % (1 << 30) === 0 ? `${bytes / (1 << 30)} GiB` : `${Math.round(bytes / (1 << 20))} MiB`;

restoreSettings();
makeKeyBar(attachment);
followKeyboard();
find("fact-image").textContent = link.image;
window.screenText = () => (rewinding?.isOpen ? rewinding.text() : (attachment()?.text() ?? ""));
void start();
