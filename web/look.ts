/**
 * What else a run shows beside its screen: what its programs did, where time went, whether it is what was written. All of it
 * comes from replaying the run in the worker that has it open.
 */

import type { Rewind, Runs, TraceLayer } from "ebbtide";
import { find, make, save } from "./dom.js";
import { notifyError } from "./failure.js";
import { makeFlame, type Flame } from "./flame.js";
import { makeRows } from "./rows.js";

const LOOKS = {
  "": "Screen only",
  syscalls: "System calls",
  process: "Processes",
  request: "HTTP requests",
  network: "Network",
  files: "Files",
  signals: "Signals",
  chaos: "Chaos",
  cpu: "Processor time",
  offcpu: "Waiting",
  verify: "Verify",
} as const;
type Look = keyof typeof LOOKS;

const STATES = {
  whole: "It is what was written.",
  cut: "It breaks off; all up to there is what was written.",
  live: "It is what was written so far; it is still being recorded.",
  damaged: "It is damaged.",
  diverged: "It does something else now.",
};

export interface LookPanel {
  /** The slider has moved. */
  mark(tick: number): void;
  close(): void;
}

/** `without`: processes that are not shown. */
export function openLook(
  runs: Runs, rewind: Rewind, id: string, without: readonly number[], moveTo: (tick: number) => void,
): LookPanel {
  const [panel, choice] = [find("look"), find<HTMLSelectElement>("look-what")];
  const [filter, count, body] = [find<HTMLInputElement>("look-filter"), find("look-count"), find("look-body")];
  const list = find("look-list");
  const rows = makeRows(list, ([tick]) => moveTo(tick));
  let now: Look = "";
  let asked = 0; // number of the look under way
  let flame: Flame | null = null;
  let file: { blob: Blob; name: string } | null = null;

  choice.replaceChildren(...Object.entries(LOOKS).map(([value, textContent]) => make("option", { value, textContent })));

  function say(text: string): void {
    count.textContent = text;
  }

  function filtered(): void {
    if (flame !== null) {
      const part = flame.search(filter.value);
      say(part === null ? "" : `${(100 * part).toFixed(1)} %`);
    } else say(lines(rows.filter(filter.value)));
  }

  async function trace(layer: TraceLayer, mine: number): Promise<void> {
    let heard = 0;
    list.hidden = false;
    list.setAttribute("aria-label", LOOKS[layer]);
    await rewind.trace(layer, {
      times: true,
      without,
      onProgress(part, found) {
        if (mine !== asked) return;
        rows.add(found);
        heard += found.length;
        say(`${Math.floor(part * 100)} %, ${lines(heard)}`);
      },
    });
    if (mine === asked) filtered();
  }

  async function profile(type: "cpu" | "offcpu", mine: number): Promise<void> {
    const onProgress = (part: number): void => {
      if (mine === asked) say(`${Math.floor(part * 100)} %`);
    };
    const json = await rewind.profile({ type, without, onProgress });
    if (mine !== asked) return;
    body.hidden = false;
    flame = makeFlame(body, json);
    file = { blob: new Blob([json], { type: "application/json" }), name: `${id}.${type}.speedscope.json` };
    filtered();
  }

  async function verify(mine: number): Promise<void> {
    body.hidden = false;
    const onProgress = (part: number): void => {
      if (mine === asked) say(`${Math.floor(part * 100)} %`);
    };
    const { state, said, why } = await runs.verify(id, { objects: true, signatures: true, replay: true, onProgress });
    const live = (await runs.list()).some((run) => run.id === id && run.live);
    if (mine !== asked) return;
    say("");
    const parts = [...said, ...(why ? [why] : [])].map((textContent) => make("li", { textContent }));
    body.replaceChildren(make("p", { className: "lead", textContent: STATES[state === "cut" && live ? "live" : state] }), make("ul", {}, ...parts));
  }

  async function look(what: Look): Promise<void> {
    const mine = ++asked;
    now = what;
    flame?.dispose();
    flame = file = null;
    filter.value = "";
    rows.filter("");
    rows.clear();
    body.replaceChildren();
    body.hidden = list.hidden = true;
    panel.hidden = what === "";
    find("look-filter-line").hidden = what === "verify";
    filter.placeholder = what === "cpu" || what === "offcpu" ? "Search" : "Filter";
    filter.setAttribute("aria-label", filter.placeholder);
    if (what === "") return;
    panel.dataset["state"] = "busy";
    say("0 %");
    try {
      if (what === "verify") await verify(mine);
      else if (what === "cpu" || what === "offcpu") await profile(what, mine);
      else await trace(what, mine);
    } catch (error) {
      if (mine !== asked) return;
      say("");
      notifyError("The run could not be looked at.", error);
    }
    if (mine === asked) panel.dataset["state"] = "ready";
  }

  choice.value = "";
  choice.disabled = false;
  choice.onchange = () => void look(choice.value as Look);
  filter.oninput = filtered;
  filter.onkeydown = (event) => {
    if (event.key === "Escape" && filter.value !== "") {
      filter.value = "";
      filtered();
    } else if (event.key === "Escape") return;
    event.stopPropagation(); // the view's own keys are letters
  };
  find("look-save").onclick = () => {
    const made = file ?? { blob: new Blob([rows.text()], { type: "text/plain" }), name: `${id}.${now}.txt` };
    save(made.blob, made.name);
  };
  find("look-close").onclick = () => {
    choice.value = "";
    void look("");
    choice.focus();
  };
  return {
    mark: (tick) => rows.mark(tick),
    close() {
      asked++;
      flame?.dispose();
      panel.hidden = choice.disabled = true;
    },
  };
}

const lines = (number: number): string => `${number.toLocaleString("en")} ${number === 1 ? "line" : "lines"}`;
