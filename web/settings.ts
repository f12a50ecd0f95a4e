/** How the page and its terminals look: theme, size of text, screen reader mode. Each is one wish, kept and told on. */

import type { TerminalSettings } from "ebbtide";
import { recall, remember } from "./stored.js";

export type Theme = "system" | "light" | "dark";

const SIZE = { least: 8, usual: 14, most: 32 } as const;

let theme: Theme = "system";
let fontSize: number = SIZE.usual;
let screenReader = false;
let record = true;
const listeners = new Set<() => void>();

export const settings = {
  get theme(): Theme {
    return theme;
  },
  get fontSize(): number {
    return fontSize;
  },
  get screenReader(): boolean {
    return screenReader;
  },
  /** Record the next machine. */
  get record(): boolean {
    return record;
  },
  /** The same, as a terminal takes it. */
  get terminal(): TerminalSettings {
    return { theme: theme === "system" ? undefined : theme, fontSize, screenReader };
  },
  setTheme(wish: Theme): void {
    theme = wish;
    remember("theme", wish === "system" ? null : wish);
    tell();
  },
  setFontSize(wish: number): void {
    fontSize = Math.min(SIZE.most, Math.max(SIZE.least, wish));
    remember("fontSize", fontSize === SIZE.usual ? null : String(fontSize));
    tell();
  },
  setScreenReader(wish: boolean): void {
    screenReader = wish;
    remember("screenReader", wish ? "on" : null);
    tell();
  },
  setRecord(wish: boolean): void {
    record = wish;
    remember("record", wish ? null : "off");
    tell();
  },
  listen(listener: () => void): void {
    listeners.add(listener);
  },
};

function tell(): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  for (const listener of listeners) listener();
}

/** Take up what was wished for on an earlier visit. */
export function restoreSettings(): void {
  const kept = recall("theme");
  theme = kept === "light" || kept === "dark" ? kept : "system";
  fontSize = Math.min(SIZE.most, Math.max(SIZE.least, Number(recall("fontSize")) || SIZE.usual));
  screenReader = recall("screenReader") === "on";
  record = recall("record") !== "off";
  tell();
}
