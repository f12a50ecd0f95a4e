/** The menu of the bar: a list of things to do, all reachable by arrow keys and by name. */

import { find, make } from "./dom.js";

export interface Item {
  readonly label: string;
  /** Shown at the end of the line: a key, or a value. */
  readonly hint?: string;
  /** For what is on or off, or one of several. */
  readonly checked?: boolean;
  readonly choice?: boolean;
  readonly act: () => void;
}

/** `contents` is asked each time the menu opens; an empty list of items makes no group. */
export function makeMenu(contents: () => readonly (readonly Item[])[], left: () => void): { open(): void } {
  const button = find("menu-button");
  const menu = find("menu");

  function close(refocus: boolean): void {
    if (menu.hidden) return;
    menu.hidden = true;
    button.setAttribute("aria-expanded", "false");
    if (refocus) button.focus();
  }

  function open(): void {
    const groups = contents().filter((group) => group.length > 0);
    menu.replaceChildren(...groups.map((group) => make("div", { attributes: { role: "group" } }, ...group.map(line))));
    menu.hidden = false;
    button.setAttribute("aria-expanded", "true");
    lines()[0]?.focus();
  }

  function line(item: Item): HTMLElement {
    const role = item.checked === undefined ? "menuitem" : item.choice ? "menuitemradio" : "menuitemcheckbox";
    const attributes: Record<string, string> = { role, tabindex: "-1" };
    if (item.checked !== undefined) attributes["aria-checked"] = String(item.checked);
    const made = make("button", { type: "button", attributes }, make("span", { textContent: item.label }));
    if (item.hint !== undefined) made.append(make("kbd", { textContent: item.hint }));
    made.onclick = () => {
      close(false);
      left();
      item.act();
    };
    return made;
  }

  const lines = (): HTMLElement[] => [...menu.querySelectorAll<HTMLElement>("button")];

  function move(event: KeyboardEvent): void {
    const all = lines();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const starting = event.key.length === 1 && !event.ctrlKey && !event.metaKey ? event.key.toLowerCase() : null;
    const turned = [...all.slice(at + 1), ...all.slice(0, at + 1)];
    const to =
      event.key === "ArrowDown" ? all[(at + 1) % all.length]
      : event.key === "ArrowUp" ? all[(at - 1 + all.length) % all.length]
      : event.key === "Home" ? all[0]
      : event.key === "End" ? all[all.length - 1]
      : starting !== null ? turned.find((one) => one.textContent.toLowerCase().startsWith(starting))
      : undefined;
    if (to !== undefined) {
      event.preventDefault();
      to.focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      close(false);
      left();
    } else if (event.key === "Tab") {
      event.preventDefault(); // to the button; from there Tab goes on, or back to the tabs
      close(true);
    }
  }

  button.onclick = () => (menu.hidden ? open() : close(true));
  button.onkeydown = (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    open();
  };
  menu.onkeydown = move;
  document.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Node && !menu.contains(event.target) && !button.contains(event.target)) close(false);
  });
  return { open };
}
