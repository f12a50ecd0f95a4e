/** A terminal that only shows: what a program on a terminal had drawn, replayed. Loaded on first use, like the other. */

import { Terminal } from "@xterm/xterm";
import type { Screen, ScreenOptions } from "./terminal.js";
import { addStyles, baseOptions, screenText } from "./xterm.js";

export function makeScreen(element: HTMLElement, options: ScreenOptions): Screen {
  addStyles();
  const terminal = new Terminal({ ...baseOptions(options), disableStdin: true });
  terminal.open(element);
  if (options.label !== undefined) terminal.textarea?.setAttribute("aria-label", options.label);
  if (terminal.textarea) terminal.textarea.tabIndex = -1; // it takes no keys
  return {
    draw: (data) => terminal.write(data),
    resize: (rows, cols) => terminal.write("", () => terminal.resize(cols, rows)), // after what was drawn before
    reset: () => terminal.write("\x1bc"),
    text: () => screenText(terminal),
    drawn: () => new Promise((resolve) => terminal.write("", resolve)),
    dispose: () => terminal.dispose(),
  };
}
