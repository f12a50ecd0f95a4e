/**
 * A terminal in an element of the page, connected to a process on a pty. xterm.js is loaded when the first
 * terminal is made, so an SDK without terminals costs nothing for it.
 */

import type { ITheme } from "@xterm/xterm";
import { shown } from "./arguments.js";
import type { ExitStatus } from "./messages.js";
import { refuseUnknown } from "./options.js";
import type { Process } from "./process.js";

/** What of a terminal can be changed while it is open. */
export interface TerminalSettings {
  /** Colours: one of the two built in, or your own; follows `prefers-color-scheme` unless given. */
  theme?: "light" | "dark" | ITheme | undefined;
  /** In CSS pixels; 14 unless given. */
  fontSize?: number;
  fontFamily?: string;
  /** Lines kept above the screen. */
  scrollback?: number;
  /** Keep a copy of the screen for screen readers, which costs some speed. */
  screenReader?: boolean;
}

export interface AttachOptions extends TerminalSettings {
  /** Give the terminal the keyboard at once. True unless given. */
  focus?: boolean;
  /** Text shown above what the process writes; may hold escape sequences. */
  intro?: string;
  /** The name of the terminal for assistive technology. */
  label?: string;
  /** Sees each key first; what it returns false for does not reach the terminal. */
  onKey?: (event: KeyboardEvent) => boolean;
  /** Sees what is typed or pasted and gives what is sent instead. */
  onInput?: (text: string) => string;
  /** The process has rung. The terminal itself shows it with a frame for a moment. */
  onBell?: () => void;
}

/** Keys a page can press for its user. */
export type TerminalKey = "Escape" | "Tab" | "Enter" | "ArrowUp" | "ArrowDown" | "ArrowRight" | "ArrowLeft";

/** What a search found: the number of the match shown, from 1 (0 if none), and how many there are. */
export interface Found {
  readonly index: number;
  readonly count: number;
}

/** A terminal in the page. */
export interface Attachment {
  /** Settles when the first process has ended and all its output is on the screen. */
  readonly exit: Promise<ExitStatus>;
  /** Settles when the process shown last has written something (a prompt, say), or has ended. */
  readonly awake: Promise<void>;
  focus(): void;
  /** What the terminal shows and has shown, without trailing blanks. */
  text(): string;
  /** The selected text. */
  selection(): string;
  selectAll(): void;
  /** Show text of the page's own; may hold escape sequences. */
  print(text: string): void;
  /** Forget what has been shown, but for the line of the cursor. */
  clear(): void;
  /** Send text as if typed. */
  type(text: string): void;
  /** Send text as a paste, which programs that ask for it can tell from typing. */
  paste(text: string): void;
  /** Send a key, as the running program asked for it. */
  press(key: TerminalKey): void;
  /** Mark all matches and show the next one (or the one before). An empty text ends the search. */
  find(text: string, options?: { backwards?: boolean; incremental?: boolean }): Found;
  set(settings: TerminalSettings): void;
  /** Show another process, whose predecessor has ended; settles as `exit` does. */
  show(process: Process): Promise<ExitStatus>;
  /** Remove the terminal from its element. The process gets a hangup from its closed terminal. */
  dispose(): void;
}

/** How a screen that only shows looks. */
export interface ScreenOptions extends TerminalSettings {
  label?: string;
}

/** A terminal that only shows. */
export interface Screen {
  draw(data: Uint8Array | string): void;
  /** Change its size, after what was drawn before. */
  resize(rows: number, cols: number): void;
  /** As it was when it was made, but for the size. */
  reset(): void;
  /** What it shows and has shown, without trailing blanks. */
  text(): string;
  /** Settles when all is on the screen. */
  drawn(): Promise<void>;
  dispose(): void;
}

const SCREEN_OPTIONS = { theme: 0, fontSize: 0, fontFamily: 0, scrollback: 0, screenReader: 0, label: 0 } satisfies Record<keyof ScreenOptions, 0>;

/** Make a screen in `element`. */
export async function openScreen(element: HTMLElement, options: ScreenOptions = {}): Promise<Screen> {
  refuseUnknown("openScreen", options, SCREEN_OPTIONS);
  const { makeScreen } = await import("./screen.js");
  return makeScreen(element, options);
}

/** Load the terminal's code now, so that the first `attach` need not wait for it. */
export async function preloadTerminal(): Promise<void> {
  await import("./xterm.js");
}

const ATTACH_OPTIONS = {
  ...SCREEN_OPTIONS, focus: 0, intro: 0, onKey: 0, onInput: 0, onBell: 0,
} satisfies Record<keyof AttachOptions, 0>;

/** An element may be another frame's; a process that nobody has waited for is a promise. */
function checkAttached(element: Partial<Element> | null | undefined, process: Partial<Process> | null | undefined): void {
  if (element?.nodeType !== 1) throw new TypeError(`attach needs an element of the page; got ${shown(element)}`);
  if (typeof process?.resize !== "function") throw new TypeError("attach needs a process: what `await sdk.spawn(…)` gives");
  if (!process.pty) throw new TypeError('attach needs a process on a terminal: spawn it with one, as in spawn("bash", ["-i"], { pty: { rows: 24, cols: 80 } })');
  if (process.stdin?.locked || process.stdout?.locked) throw new TypeError("attach takes over stdin and stdout, but this process's are in other hands");
}

/** Make a terminal in `element`, sized to it, until the process ends or `dispose` is called. */
export async function attachTerminal(
  element: HTMLElement,
  process: Process,
  options: AttachOptions = {},
): Promise<Attachment> {
  refuseUnknown("attach", options, ATTACH_OPTIONS);
  checkAttached(element, process);
  const { openTerminal } = await import("./xterm.js");
  return openTerminal(element, process, options);
}
