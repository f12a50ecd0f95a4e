/**
 * The shell page, a customer of the SDK: shows how booting comes along, then a shell in a terminal, or one clear
 * error. Scripts find the machine as `window.sdk`.
 */

import { boot, EbbError, preloadTerminal, type PanicError, type Progress, type Sdk, type Stage } from "ebbtide";

declare global {
  interface Window {
    /** The machine of this page, once it has booted. */
    sdk?: Sdk;
    /** What the terminal shows. */
    screenText?: () => string;
  }
}

const STAGES: Readonly<Record<Stage, string>> = {
  download: "Kernel and Python",
  workers: "Workers",
  image: "Root file system",
  boot: "Machine",
};

const SHELLS = ["bash", "sh"] as const;

function find<E extends HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element "${id}"`);
  return element as E;
}

function setState(state: "starting" | "ready" | "failed" | "ended", text: string): void {
  document.body.dataset["state"] = state;
  find("state").textContent = text;
}

// ---- Boot progress -------------------------------------------------------------------------------------------

const rows = new Map<Stage, HTMLLIElement>();

function makeStages(): void {
  for (const [stage, title] of Object.entries(STAGES) as [Stage, string][]) {
    const row = document.createElement("li");
    row.dataset["stage"] = stage;
    const name = document.createElement("span");
    name.textContent = title;
    const amount = document.createElement("span");
    amount.className = "amount";
    row.append(name, amount);
    find("stages").append(row);
    rows.set(stage, row);
  }
}

function showProgress({ stage, done, total, unit }: Progress): void {
  const row = rows.get(stage);
  const amount = row?.querySelector(".amount");
  if (row === undefined || amount === null || amount === undefined) return;
  row.dataset["state"] = total > 0 && done >= total ? "done" : "active";
  row.style.setProperty("--done", `${total > 0 ? Math.min(100, (100 * done) / total) : 0}%`);
  if (unit === "bytes") amount.textContent = `${megabytes(done)} of ${megabytes(total)} MB`;
  else amount.textContent = unit === "workers" ? `${done} of ${total}` : "";
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

// ---- Failing -------------------------------------------------------------------------------------------------

function showFailure(title: string, error: unknown, sdk?: Sdk): void {
  const details = error instanceof EbbError ? error.details : error instanceof Error ? (error.stack ?? "") : "";
  const message = error instanceof Error ? error.message : String(error);
  setState("failed", "stopped");
  find("boot").hidden = true;
  find("terminal").hidden = true;
  find("failure").hidden = false;
  find("failure").dataset["code"] = error instanceof EbbError ? error.code : "internal";
  find("failure-title").textContent = title;
  find("failure-message").textContent = message;
  find("failure-details").textContent = details;
  find("failure-details").hidden = details === "";
  find("failure-copy").onclick = () => void navigator.clipboard.writeText(report(message, details));
  const download = find<HTMLButtonElement>("failure-state");
  download.hidden = sdk === undefined;
  download.onclick = () => void sdk?.state().then((state) => save(state, "ebb-state.gz"));
}

function report(message: string, details: string): string {
  const facts = { isolated: crossOriginIsolated, secure: isSecureContext, cores: navigator.hardwareConcurrency };
  return [message, details, navigator.userAgent, JSON.stringify(facts)].filter(Boolean).join("\n\n");
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---- The shell -----------------------------------------------------------------------------------------------

async function openShell(sdk: Sdk): Promise<void> {
  find("boot").hidden = true;
  const section = find("terminal");
  section.hidden = false;
  for (;;) {
    const screen = document.createElement("div");
    screen.className = "screen";
    section.replaceChildren(screen);
    const shell = await spawnShell(sdk);
    const attachment = await sdk.attach(screen, shell);
    window.screenText = () => attachment.text();
    setState("ready", "running");
    const { exitCode } = await attachment.exit;
    setState("ended", `shell ended with ${exitCode}; Enter starts a new one`);
    await pressedEnter();
    attachment.dispose();
  }
}

async function spawnShell(sdk: Sdk): ReturnType<Sdk["spawn"]> {
  const size = { rows: 24, cols: 80 }; // the terminal corrects it as soon as it knows its own
  for (const shell of SHELLS) {
    try {
      return await sdk.spawn(shell, ["-i"], { pty: size });
    } catch (error) {
      const missing = error instanceof EbbError && error.code === "linux";
      if (!missing || shell === SHELLS[SHELLS.length - 1]) throw error;
    }
  }
  throw new Error("no shell");
}

function pressedEnter(): Promise<void> {
  return new Promise((resolve) => {
    const listen = (event: KeyboardEvent): void => {
      if (event.key !== "Enter") return;
      window.removeEventListener("keydown", listen, true);
      resolve();
    };
    window.addEventListener("keydown", listen, true);
  });
}

async function main(): Promise<void> {
  const query = new URLSearchParams(location.search);
  const image = query.get("image") ?? "base";
  makeStages();
  setState("starting", "starting");
  find("fact-image").textContent = image;
  const onPanic = (error: PanicError): void => showFailure("The kernel stopped.", error, window.sdk);
  const booting = boot({ image, onProgress: showProgress, onPanic });
  void preloadTerminal();
  const sdk = await booting;
  window.sdk = sdk;
  find("fact-memory").textContent = `${Math.round(sdk.memory / (1 << 20))} MiB`;
  find("fact-harts").textContent = String(sdk.harts);
  await openShell(sdk);
}

main().catch((error: unknown) => {
  if (find("failure").hidden) showFailure("The machine could not start.", error, window.sdk);
});
