/**
 * A terminal in an element of the page, connected to a process on a pty. xterm.js is loaded when the first
 * terminal is made, so an SDK without terminals costs nothing for it.
 */

import type { ITheme } from "@xterm/xterm";
import type { ExitStatus } from "./messages.js";
import type { Process } from "./process.js";

export interface AttachOptions {
  /** Colours; the terminal follows `prefers-color-scheme` with its own two palettes unless given. */
  theme?: ITheme;
  fontSize?: number;
  fontFamily?: string;
  /** Lines kept above the screen. */
  scrollback?: number;
  /** Give the terminal the keyboard at once. True unless given. */
  focus?: boolean;
}

/** A terminal in the page. */
export interface Attachment {
  /** Settles when the process has ended and all its output is on the screen. */
  readonly exit: Promise<ExitStatus>;
  focus(): void;
  /** What the screen shows, without trailing blanks. */
  text(): string;
  /** Remove the terminal from its element. The process gets a hangup from its closed terminal. */
  dispose(): void;
}

/** Load the terminal's code now, so that the first `attach` need not wait for it. */
export async function preloadTerminal(): Promise<void> {
  await import("./xterm.js");
}

/** Make a terminal in `element`, sized to it, until the process ends or `dispose` is called. */
export async function attachTerminal(
  element: HTMLElement,
  process: Process,
  options: AttachOptions = {},
): Promise<Attachment> {
  const { openTerminal } = await import("./xterm.js");
  return openTerminal(element, process, options);
}
