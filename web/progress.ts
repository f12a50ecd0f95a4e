/** The first screen: how far booting has come, by stage, in bytes where bytes are what is waited for. */

import type { Progress, Stage } from "ebbtide";
import { find, make, megabytes } from "./dom.js";

const STAGES: Readonly<Record<Stage, string>> = {
  download: "Kernel and Python",
  workers: "Workers",
  image: "Root file system",
  boot: "Machine",
};

const rows = new Map<Stage, HTMLLIElement>();

/** Show the first screen with nothing done yet. */
export function showBoot(): void {
  rows.clear();
  for (const [stage, title] of Object.entries(STAGES) as [Stage, string][]) {
    const row = make("li", {}, make("span", { textContent: title }), make("span", { className: "amount" }));
    row.dataset["stage"] = stage;
    rows.set(stage, row);
  }
  find("stages").replaceChildren(...rows.values());
  find("boot").hidden = false;
}

export function showProgress({ stage, done, total, unit }: Progress): void {
  const row = rows.get(stage);
  const amount = row?.querySelector(".amount");
  if (row === undefined || amount === null || amount === undefined) return;
  row.dataset["state"] = total > 0 && done >= total ? "done" : "active";
  row.style.setProperty("--done", `${total > 0 ? Math.min(100, (100 * done) / total) : 0}%`);
  if (unit === "bytes") amount.textContent = `${megabytes(done)} of ${megabytes(total)} MB`;
  else amount.textContent = unit === "workers" ? `${done} of ${total}` : "";
}
