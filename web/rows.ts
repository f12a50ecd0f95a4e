/**
 * A long list of lines, of which only those in view are in the document. One line is chosen: by a click, or by the arrow
 * keys and Enter. Some may be filtered out.
 */

import { make } from "./dom.js";

export type Line = readonly [tick: number, text: string];

export interface Rows {
  add(lines: readonly Line[]): void;
  clear(): void;
  /** Show the lines that hold a text, in any case; gives how many. */
  filter(text: string): number;
  /** Mark the last line that is not behind a tick. */
  mark(tick: number): void;
  /** All that pass the filter. */
  text(): string;
}

const MARGIN = 10; // lines drawn beyond the view

/** `chosen` is told of the line that a person has chosen. */
export function makeRows(box: HTMLElement, chosen: (line: Line) => void): Rows {
  const inner = make("div", { className: "rows" });
  box.replaceChildren(inner);
  let all: Line[] = [];
  let shown: Line[] = all;
  let wanted = "";
  let at = -1; // of the line that is active
  let marked = -1;
  let height = 0;
  let asked = 0;

  const passes = ([, text]: Line): boolean => text.toLowerCase().includes(wanted);

  function measure(): number {
    if (height > 0) return height;
    const probe = make("div", { className: "row", textContent: "x" });
    inner.append(probe);
    height = probe.getBoundingClientRect().height;
    probe.remove();
    return height || 18;
  }

  function draw(): void {
    asked = 0;
    const line = measure();
    inner.style.height = `${shown.length * line}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / line) - MARGIN);
    const last = Math.min(shown.length, Math.ceil((box.scrollTop + box.clientHeight) / line) + MARGIN);
    const lines = shown.slice(first, last).map(([, text], offset) => {
      const number = first + offset;
      const row = make("div", { className: "row", id: `${box.id}-${number}`, textContent: text, title: text });
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(number === at));
      row.setAttribute("aria-posinset", String(number + 1));
      row.setAttribute("aria-setsize", String(shown.length));
      if (number === marked) row.dataset["marked"] = "";
      row.style.top = `${number * line}px`;
      row.onclick = () => go(number, true);
      return row;
    });
    inner.replaceChildren(...lines);
    if (at >= first && at < last) box.setAttribute("aria-activedescendant", `${box.id}-${at}`);
    else box.removeAttribute("aria-activedescendant");
  }

  const later = (): void => {
    if (asked === 0) asked = requestAnimationFrame(draw);
  };

  function go(number: number, choose: boolean): void {
    at = Math.min(Math.max(number, 0), shown.length - 1);
    const line = measure();
    if (at * line < box.scrollTop) box.scrollTop = at * line;
    if ((at + 1) * line > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * line - box.clientHeight;
    draw();
    const found = shown[at];
    if (choose && found !== undefined) chosen(found);
  }

  box.onscroll = later;
  new ResizeObserver(later).observe(box);
  box.onkeydown = (event) => {
    const page = Math.max(1, Math.floor(box.clientHeight / measure()) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: shown.length - 1 }[event.key];
    if (to !== undefined) go(to, false);
    else if (event.key === "Enter") go(at, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return {
    add(lines) {
      for (const line of lines) all.push(line);
      if (shown !== all) for (const line of lines) if (passes(line)) shown.push(line);
      later();
    },
    clear() {
      shown = all = [];
      at = marked = -1;
      box.scrollTop = 0;
      draw();
    },
    filter(text) {
      wanted = text.toLowerCase();
      shown = wanted === "" ? all : all.filter(passes);
      at = marked = -1;
      box.scrollTop = 0;
      later();
      return shown.length;
    },
    mark(tick) {
      const found = shown.findIndex(([behind]) => behind > tick);
      marked = (found === -1 ? shown.length : found) - 1;
      later();
    },
    text: () => shown.map(([, text]) => `${text}\n`).join(""),
  };
}
