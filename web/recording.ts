/** What the page says of its recording: a word and a size in the bar, and a switch in the menu. */

import type { Recording, Sdk } from "ebbtide";
import { amount, ask, find } from "./dom.js";
import { notify } from "./failure.js";
import type { Item } from "./menu.js";
import { settings } from "./settings.js";

let shown: Recording | null = null;

/** Show how the recording goes; null: there is none. */
export function showRecording(recording: Recording | null): void {
  if (recording?.ended && shown?.ended === null) notify(`The recording has ended, the machine goes on: ${recording.ended}.`);
  shown = recording;
  const line = find("recording");
  line.hidden = recording === null || recording.ended !== null;
  if (!line.hidden) line.textContent = `recording ${amount(recording?.bytes ?? 0)}`;
}

export function recordingItems(page: { restart(): void; rewind(run: () => Promise<string>): void; kept(): void }): readonly Item[] {
  return [
    ...(shown !== null && (shown.ended === null || shown.id !== "") ? [{ label: "Rewind", act: () => page.rewind(thisRun) }] : []),
    { label: "Runs and snapshots", act: page.kept },
    { label: "Record sessions", hint: "stays in this browser", checked: settings.record, act: () => void turn(page.restart) },
  ];
}

function machine(): Sdk {
  if (window.sdk === undefined) throw new Error("there is no machine");
  return window.sdk;
}

/** This session's run, with all that has happened up to now. */
export async function thisRun(): Promise<string> {
  await machine().saveRun();
  return machine().recording?.id ?? "";
}

async function turn(restart: () => void): Promise<void> {
  settings.setRecord(!settings.record);
  if (!settings.record) {
    await window.sdk?.endRecording();
    return notify("Nothing more is recorded.");
  }
  find("ask-title").textContent = "Record from now on?";
  find("ask-text").textContent = "A recording begins with the machine: it starts anew, and its files and programs are lost.";
  find("ask-yes").textContent = "Restart";
  if (await ask("ask")) restart();
}
