/**
 * Errors as a person sees them: one sentence, what to do, and details to copy. What ends the machine takes the
 * screen; what does not is a notice at its foot.
 */

import { EbbError, ERROR_CODES, type Sdk } from "ebbtide";
import { find, make, save, setState } from "./dom.js";

const AGAIN = "Try again; if it happens again, please report it with the details.";
/** What boot says of numbers: all that it gets from somebody else stands in the address. */
const ADDRESS = {
  title: "The address asks for what there is not.",
  advice: "Check what follows “?” in the address, or open the page without it.",
};

/** Take the screen with an error that leaves no machine. */
export function showFailure(error: unknown, again: () => void, sdk?: Sdk): void {
  const code = error instanceof EbbError ? error.code : "internal";
  const asked = error instanceof RangeError && sdk === undefined;
  const { title = "The machine could not go on.", advice = AGAIN } = asked ? ADDRESS : ERROR_CODES[code];
  const message = messageOf(error);
  setState("failed", "stopped");
  for (const id of ["boot", "terminal", "tabs", "files", "search", "notice"]) find(id).hidden = true;
  const screen = find("failure");
  screen.hidden = false;
  screen.dataset["code"] = asked ? "arguments" : code;
  find("failure-title").textContent = title;
  find("failure-message").textContent = message;
  find("failure-advice").textContent = advice;
  const details = find("failure-details");
  details.textContent = report(error, "being read");
  const complete = reportWithKernel(error).then((text) => (details.textContent = text));
  find("failure-again").onclick = again;
  find("failure-copy").onclick = async () => copy(await complete, find("failure-copy"));
  const download = find<HTMLButtonElement>("failure-state");
  download.hidden = sdk === undefined;
  download.onclick = () => void sdk?.state().then((state) => save(state, "ebb-state.gz"));
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function report(error: unknown, kernel: string): string {
  const more = error instanceof EbbError ? error.details : error instanceof Error ? (error.stack ?? "") : "";
  const facts = [
    `browser    ${navigator.userAgent}`,
    `isolated   ${crossOriginIsolated}, secure context ${isSecureContext}`,
    `processors ${navigator.hardwareConcurrency}`,
    `memory     ${"deviceMemory" in navigator ? `${String(navigator.deviceMemory)} GiB or more` : "not told"}`,
    `kernel     ${kernel}`,
  ];
  return [messageOf(error), more, facts.join("\n")].filter(Boolean).join("\n\n");
}

async function reportWithKernel(error: unknown): Promise<string> {
  return report(error, await kernelHash());
}

/** SHA-256 of the kernel this page came with. */
async function kernelHash(): Promise<string> {
  try {
    const response = await fetch(new URL("kernel.wasm", import.meta.url), { cache: "force-cache" });
    const hash = await crypto.subtle.digest("SHA-256", await response.arrayBuffer());
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch (error) {
    return `unknown (${messageOf(error)})`;
  }
}

async function copy(text: string, button: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    find("failure").querySelector("details")!.open = true; // the browser keeps its clipboard: the text can be selected
  }
}

// ---- Notices ---------------------------------------------------------------------------------------------------

const NOTICE_MS = 6000;
let expiry: ReturnType<typeof setTimeout> | undefined;

/** Say something at the foot of the screen for a while. */
export function notify(text: string): void {
  showNotice(text);
  expiry = setTimeout(hideNotice, NOTICE_MS);
}

/** Say what is under way, until there is something else to say. */
export function say(text: string): void {
  showNotice(text);
}

/** Say what failed; it stays until it is dismissed. */
export function notifyError(sentence: string, error: unknown): void {
  const copyButton = make("button", { type: "button", textContent: "Copy details" });
  copyButton.onclick = async () => navigator.clipboard.writeText(await reportWithKernel(error)).then(hideNotice, hideNotice);
  const close = make("button", { type: "button", textContent: "Dismiss", onclick: hideNotice });
  showNotice(`${sentence} ${messageOf(error)}`, copyButton, close);
}

/** Show how far something has come; call what it gives to say more. */
export function showNoticeProgress(text: string): (text: string, part: number) => void {
  const label = make("span", { textContent: text });
  const bar = make("progress", { max: 1, value: 0, attributes: { "aria-label": "Progress" } });
  showNotice(label, bar);
  return (now, part) => {
    label.textContent = now;
    bar.value = part;
  };
}

function showNotice(...content: (Node | string)[]): void {
  clearTimeout(expiry);
  const notice = find("notice");
  notice.replaceChildren(...content);
  notice.hidden = false;
}

export function hideNotice(): void {
  clearTimeout(expiry);
  find("notice").hidden = true;
}
