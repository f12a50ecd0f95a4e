/** The terminal itself: xterm.js, its addons, and the pumps between it and a process. Loaded on first use. */

import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon, type ISearchDecorationOptions } from "@xterm/addon-search";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal, type ITerminalOptions, type ITheme } from "@xterm/xterm";
import css from "@xterm/xterm/css/xterm.css";
import type { ExitStatus } from "./messages.js";
import type { Process } from "./process.js";
import type { Input } from "./streams.js";
import type { AttachOptions, Attachment, Found, TerminalKey, TerminalSettings } from "./terminal.js";

const FONT = 'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

const LIGHT: ITheme = {
  foreground: "#24292e", background: "#fbfaf7", cursor: "#24292e", cursorAccent: "#fbfaf7", selectionBackground: "#d8d3c4",
  black: "#24292e", red: "#b3261e", green: "#2f6f3e", yellow: "#8a5a00", blue: "#1f5fa8", magenta: "#83388c", cyan: "#14696e", white: "#6b6f76",
  brightBlack: "#5b6068", brightRed: "#c5362d", brightGreen: "#34774a", brightYellow: "#8f6200", brightBlue: "#2a68b5",
  brightMagenta: "#91439b", brightCyan: "#1b7177", brightWhite: "#33383e",
};

const DARK: ITheme = {
  foreground: "#d9dbd6", background: "#14171a", cursor: "#d9dbd6", cursorAccent: "#14171a", selectionBackground: "#3a4149",
  black: "#14171a", red: "#f08a7e", green: "#98c38a", yellow: "#e2be76", blue: "#86b3e6", magenta: "#cf9fdb", cyan: "#7fc6c4", white: "#d9dbd6",
  brightBlack: "#8a9199", brightRed: "#f7a59b", brightGreen: "#b1d6a4", brightYellow: "#edd196", brightBlue: "#a5c8f0",
  brightMagenta: "#dfb9e8", brightCyan: "#a0d9d7", brightWhite: "#f4f5f2",
};

/** Bytes handed to xterm.js and not yet on the screen, above which reading waits. */
const UNDRAWN_MOST = 256 * 1024;

/** Matches are marked with these; the one shown with the last two. */
const MATCHES: Readonly<Record<"light" | "dark", ISearchDecorationOptions>> = {
  light: {
    matchBackground: "#efe3b8", matchOverviewRuler: "#c9a227",
    activeMatchBackground: "#e8c14a", activeMatchColorOverviewRuler: "#8a5a00",
  },
  dark: {
    matchBackground: "#4a4327", matchOverviewRuler: "#a98f3d",
    activeMatchBackground: "#7d6a1f", activeMatchColorOverviewRuler: "#e2be76",
  },
};

const BELL_MS = 180;
/** What a bell shows: a frame, without motion. */
const BELL_STYLE = "[data-bell] { outline: 2px solid currentColor; outline-offset: 1px; }";

let styled = false;

/** xterm's own rules, as a sheet of the document's, which a strict content policy allows. */
export function addStyles(): void {
  if (styled) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css + BELL_STYLE);
  document.adoptedStyleSheets.push(sheet);
  styled = true;
}

function paletteOf(theme: TerminalSettings["theme"]): ITheme {
  if (typeof theme === "object") return theme;
  const dark = theme === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
  return dark ? DARK : LIGHT;
}

/** What all our terminals have in common. */
export function baseOptions(settings: TerminalSettings): ITerminalOptions {
  return {
    fontFamily: settings.fontFamily ?? FONT,
    fontSize: settings.fontSize ?? 14,
    lineHeight: 1.25,
    scrollback: settings.scrollback ?? 5000,
    cursorBlink: false, // a blinking cursor keeps an idle page drawing
    minimumContrastRatio: 4.5,
    screenReaderMode: settings.screenReader ?? false,
    theme: paletteOf(settings.theme),
  };
}

const gone = (): void => undefined; // the process has ended: what is sent now has no reader

export async function openTerminal(element: HTMLElement, first: Process, options: AttachOptions): Promise<Attachment> {
  addStyles();
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  let theme = options.theme;
  const isDark = (): boolean => (theme === "light" || theme === "dark" ? theme === "dark" : systemDark.matches);
  const palette = (): ITheme => paletteOf(theme);
  const terminal = new Terminal({
    ...baseOptions(options),
    allowProposedApi: true, // the Unicode version is one
    linkHandler: {
      activate: (_event, uri) => openLink(uri),
      hover: (_event, uri) => void (element.title = uri), // its text may say anything
      leave: () => element.removeAttribute("title"),
    },
  });
  const fit = new FitAddon();
  const search = new SearchAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(search);
  terminal.loadAddon(new Unicode11Addon()); // widths as the C library counts them, so that programs and screen agree
  terminal.loadAddon(new WebLinksAddon((_event, uri) => openLink(uri)));
  terminal.unicode.activeVersion = "11";
  terminal.open(element);
  if (options.label !== undefined) terminal.textarea?.setAttribute("aria-label", options.label);
  const refit = (): void => {
    if (element.clientWidth > 0 && element.clientHeight > 0) fit.fit(); // a hidden terminal keeps its size
  };
  refit();

  const recolour = (): void => void (terminal.options.theme = palette());
  systemDark.addEventListener("change", recolour);
  const observer = new ResizeObserver(refit);
  observer.observe(element);

  const encoder = new TextEncoder();
  const { onInput = (text: string) => text, onKey } = options;
  let shown: { process: Process; writer: WritableStreamDefaultWriter<Input>; reader: ReadableStreamDefaultReader<Uint8Array> };
  const send = (bytes: Uint8Array): void => {
    if (bytes.length > 0) void shown.writer.write(bytes).catch(gone);
  };
  const resize = (): void =>
    void shown.process.resize({ rows: terminal.rows, cols: terminal.cols }).catch(gone);
  terminal.onData((text) => send(encoder.encode(onInput(text))));
  terminal.onBinary((text) => send(Uint8Array.from(text, (char) => char.charCodeAt(0))));
  terminal.onResize(resize);
  if (onKey) terminal.attachCustomKeyEventHandler(onKey);
  terminal.onBell(() => {
    options.onBell?.();
    if (element.dataset["bell"] !== undefined) return; // a storm of bells is one frame, not a flicker
    element.dataset["bell"] = "";
    setTimeout(() => delete element.dataset["bell"], BELL_MS);
  });
  if (options.intro !== undefined) terminal.write(options.intro);

  let awake: Promise<void> = Promise.resolve();
  async function show(process: Process): Promise<ExitStatus> {
    shown = { process, writer: process.stdin.getWriter(), reader: process.stdout.getReader() };
    let wake = gone;
    awake = new Promise((resolve) => (wake = resolve));
    resize();
    await pump(shown.reader, terminal, wake);
    wake();
    return process.exit;
  }
  const exit = show(first);
  exit.catch(gone); // a closed machine rejects it; who does not look must not be told
  let found: Found = { index: 0, count: 0 };
  search.onDidChangeResults(({ resultIndex, resultCount }) => (found = { index: resultIndex + 1, count: resultCount }));
  if (options.focus ?? true) terminal.focus();

  return {
    exit,
    get awake() {
      return awake;
    },
    show,
    focus: () => terminal.focus(),
    text: () => screenText(terminal),
    selection: () => terminal.getSelection(),
    selectAll: () => terminal.selectAll(),
    print: (text) => terminal.write(text),
    clear: () => terminal.clear(),
    type: (text) => terminal.input(text),
    paste: (text) => terminal.paste(text),
    press: (key) => terminal.input(sequence(key, terminal.modes.applicationCursorKeysMode)),
    find(text, { backwards = false, incremental = false } = {}) {
      found = { index: 0, count: 0 };
      if (text === "") search.clearDecorations();
      else if (backwards) search.findPrevious(text, { decorations: MATCHES[isDark() ? "dark" : "light"] });
      else search.findNext(text, { incremental, decorations: MATCHES[isDark() ? "dark" : "light"] });
      return found;
    },
    set(settings) {
      if ("theme" in settings) theme = settings.theme;
      recolour();
      const { fontSize, fontFamily, scrollback, screenReader } = settings;
      if (fontSize !== undefined) terminal.options.fontSize = fontSize;
      if (fontFamily !== undefined) terminal.options.fontFamily = fontFamily;
      if (scrollback !== undefined) terminal.options.scrollback = scrollback;
      if (screenReader !== undefined) terminal.options.screenReaderMode = screenReader;
      refit();
    },
    dispose() {
      observer.disconnect();
      systemDark.removeEventListener("change", recolour);
      void shown.reader.cancel().catch(gone);
      void shown.writer.close().catch(gone);
      void shown.process.kill("SIGHUP").catch(gone); // closing waits for the read that is under way; this does not
      terminal.dispose();
    },
  };
}

const SEQUENCES: Readonly<Record<TerminalKey, string>> = {
  Escape: "\x1b", Tab: "\t", Enter: "\r",
  ArrowUp: "\x1b[A", ArrowDown: "\x1b[B", ArrowRight: "\x1b[C", ArrowLeft: "\x1b[D",
};

/** What a key sends; programs may ask for another form of the arrows. */
function sequence(key: TerminalKey, application: boolean): string {
  return application ? SEQUENCES[key].replace("[", "O") : SEQUENCES[key];
}

/** Draw all output. Reading waits while much is undrawn, so a fast writer in the guest is held back. */
async function pump(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  terminal: Terminal,
  wake: () => void,
): Promise<void> {
  let undrawn = 0;
  let resume: (() => void) | null = null;
  try {
    for (;;) {
      const { value } = await reader.read();
      if (value === undefined) break;
      undrawn += value.length;
      terminal.write(value, () => {
        undrawn -= value.length;
        wake();
        if (undrawn < UNDRAWN_MOST) resume?.();
      });
      if (undrawn >= UNDRAWN_MOST) await new Promise<void>((resolve) => (resume = resolve));
    }
  } catch (error) {
    terminal.write(`\r\n[${error instanceof Error ? error.message : String(error)}]\r\n`);
  }
  await new Promise<void>((resolve) => terminal.write("", resolve));
}

export function screenText(terminal: Terminal): string {
  const { active } = terminal.buffer;
  const lines: string[] = [];
  for (let row = 0; row < active.length; row++) lines.push(active.getLine(row)?.translateToString(true) ?? "");
  return lines.join("\n").trimEnd();
}

function openLink(uri: string): void {
  if (/^https?:/.test(uri)) window.open(uri, "_blank", "noopener,noreferrer");
}
