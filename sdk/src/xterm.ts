/** The terminal itself: xterm.js, its addons, and the pumps between it and a process. Loaded on first use. */

import { FitAddon } from "@xterm/addon-fit";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal, type ITheme } from "@xterm/xterm";
import css from "@xterm/xterm/css/xterm.css";
import type { Process } from "./process.js";
import type { AttachOptions, Attachment } from "./terminal.js";

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

let styled = false;

/** xterm's own rules, as a sheet of the document's, which a strict content policy allows. */
function addStyles(): void {
  if (styled) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  document.adoptedStyleSheets.push(sheet);
  styled = true;
}

export async function openTerminal(element: HTMLElement, process: Process, options: AttachOptions): Promise<Attachment> {
  addStyles();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const palette = (): ITheme => options.theme ?? (dark.matches ? DARK : LIGHT);
  const terminal = new Terminal({
    allowProposedApi: true, // the Unicode version is one
    fontFamily: options.fontFamily ?? FONT,
    fontSize: options.fontSize ?? 14,
    lineHeight: 1.25,
    scrollback: options.scrollback ?? 5000,
    cursorBlink: false, // a blinking cursor keeps an idle page drawing
    minimumContrastRatio: 4.5,
    theme: palette(),
    linkHandler: { activate: (_event, uri) => openLink(uri) },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(new Unicode11Addon());
  terminal.loadAddon(new WebLinksAddon((_event, uri) => openLink(uri)));
  terminal.unicode.activeVersion = "11";
  terminal.open(element);
  fit.fit();

  const recolour = (): void => void (terminal.options.theme = palette());
  dark.addEventListener("change", recolour);
  const observer = new ResizeObserver(() => fit.fit());
  observer.observe(element);

  const writer = process.stdin.getWriter();
  const encoder = new TextEncoder();
  const gone = (): void => undefined; // the process has ended: what is typed now has no reader
  const resize = (): void => void process.resize({ rows: terminal.rows, cols: terminal.cols }).catch(gone);
  terminal.onData((text) => void writer.write(encoder.encode(text)).catch(gone));
  terminal.onBinary((text) => void writer.write(Uint8Array.from(text, (char) => char.charCodeAt(0))).catch(gone));
  terminal.onResize(resize);
  resize();

  const reader = process.stdout.getReader();
  const drawn = pump(reader, terminal);
  if (options.focus ?? true) terminal.focus();

  return {
    exit: drawn.then(() => process.exit),
    focus: () => terminal.focus(),
    text: () => screenText(terminal),
    dispose() {
      observer.disconnect();
      dark.removeEventListener("change", recolour);
      void reader.cancel().catch(gone);
      void writer.close().catch(gone);
      terminal.dispose();
    },
  };
}

/** Draw all output. Reading waits while much is undrawn, so a fast writer in the guest is held back. */
async function pump(reader: ReadableStreamDefaultReader<Uint8Array>, terminal: Terminal): Promise<void> {
  let undrawn = 0;
  let resume: (() => void) | null = null;
  try {
    for (;;) {
      const { value } = await reader.read();
      if (value === undefined) break;
      undrawn += value.length;
      terminal.write(value, () => {
        undrawn -= value.length;
        if (undrawn < UNDRAWN_MOST) resume?.();
      });
      if (undrawn >= UNDRAWN_MOST) await new Promise<void>((resolve) => (resume = resolve));
    }
  } catch (error) {
    terminal.write(`\r\n[${error instanceof Error ? error.message : String(error)}]\r\n`);
  }
  await new Promise<void>((resolve) => terminal.write("", resolve));
}

function screenText(terminal: Terminal): string {
  const { active } = terminal.buffer;
  const lines: string[] = [];
  for (let row = 0; row < active.length; row++) lines.push(active.getLine(row)?.translateToString(true) ?? "");
  return lines.join("\n").trimEnd();
}

function openLink(uri: string): void {
  if (/^https?:/.test(uri)) window.open(uri, "_blank", "noopener,noreferrer");
}
