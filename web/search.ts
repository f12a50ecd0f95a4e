/** Find in the terminal: a line over its corner. Enter goes on, Shift-Enter back, Escape returns to the shell. */

import type { Attachment, Found } from "ebbtide";
import { find } from "./dom.js";

export function makeSearch(current: () => Attachment | undefined): { open(): void } {
  const form = find("search");
  const input = find<HTMLInputElement>("search-text");

  function show(found: Found | undefined): void {
    const { index, count } = found ?? { index: 0, count: 0 };
    const text = count === 0 ? "none" : `${index} of ${count}`;
    find("search-count").textContent = input.value === "" ? "" : text;
  }
  const go = (backwards: boolean): void => show(current()?.find(input.value, { backwards }));

  function close(): void {
    form.hidden = true;
    current()?.find("");
    current()?.focus();
  }

  input.oninput = () => show(current()?.find(input.value, { incremental: true }));
  form.onsubmit = (event) => {
    event.preventDefault();
    go(false);
  };
  find("search-previous").onclick = () => go(true);
  find("search-close").onclick = close;
  form.onkeydown = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      go(true);
    }
  };
  return {
    open() {
      form.hidden = false;
      input.select();
      input.focus();
    },
  };
}
