/** The key bar for screens without a keyboard: keys that such a keyboard lacks. Ctrl holds for the next key typed. */

import type { Attachment, TerminalKey } from "ebbtide";
import { find, make } from "./dom.js";

/** What stands on a key, its name if that is none, and what it does. */
const KEYS: readonly (readonly [shown: string, name: string | null, key: TerminalKey | "Control" | { readonly type: string }])[] = [
  ["Esc", null, "Escape"],
  ["Tab", null, "Tab"],
  ["Ctrl", null, "Control"],
  ["←", "Left", "ArrowLeft"],
  ["↓", "Down", "ArrowDown"],
  ["↑", "Up", "ArrowUp"],
  ["→", "Right", "ArrowRight"],
  ["/", "Slash", { type: "/" }],
  ["|", "Bar", { type: "|" }],
  ["-", "Minus", { type: "-" }],
];

let held: HTMLButtonElement | null = null;

function hold(button: HTMLButtonElement | null): void {
  held?.setAttribute("aria-pressed", "false");
  held = button;
  held?.setAttribute("aria-pressed", "true");
}

/** What is sent for a text that was typed: with Ctrl held, the control character. */
export function withHeldControl(text: string): string {
  if (held === null) return text;
  hold(null);
  return /^[@-_a-z ?]$/.test(text) ? String.fromCharCode(text === "?" ? 127 : text.toUpperCase().charCodeAt(0) & 0x1f) : text;
}

export function makeKeyBar(current: () => Attachment | undefined): void {
  const bar = find("keys");
  for (const [shown, name, key] of KEYS) {
    const button = make("button", { type: "button", textContent: shown });
    if (name !== null) button.setAttribute("aria-label", name);
    if (key === "Control") button.setAttribute("aria-pressed", "false");
    button.onpointerdown = (event) => event.preventDefault(); // the terminal, and so the screen's keyboard, stays
    button.onclick = () => {
      if (key === "Control") hold(held === null ? button : null);
      else if (typeof key === "object") current()?.type(key.type);
      else current()?.press(key);
    };
    bar.append(button);
  }
}

/** Keep the page above a keyboard that covers part of the window. */
export function followKeyboard(): void {
  const viewport = window.visualViewport;
  viewport?.addEventListener("resize", () => {
    if (viewport.scale > 1.01) return; // a person looks closer: that is no keyboard
    const covered = window.innerHeight - viewport.height > 1;
    document.body.style.height = covered ? `${viewport.height}px` : "";
    window.scrollTo(0, 0);
  });
}
