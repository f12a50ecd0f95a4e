/**
 * Several terminals on one machine. Each tab is one terminal with one shell; when its shell ends the tab stays, says
 * how it ended, and Enter starts a new one in it.
 */

import { EbbError, type Attachment, type ExitStatus, type Process, type Sdk } from "ebbtide";
import { notifyError } from "./failure.js";
import { find, make, setState } from "./dom.js";
import { settings } from "./settings.js";

const SHELLS = ["bash", "sh"] as const;
const GREY = "\x1b[90m";
const PLAIN = "\x1b[0m";

/** What the page does with keys and text before a terminal gets them. */
export interface TabEvents {
  /** False for a key that is the page's own. */
  key(event: KeyboardEvent): boolean;
  /** What is sent instead of what was typed. */
  input(text: string): string;
}

export interface TabOptions {
  readonly intro?: string;
  readonly cwd?: string | undefined;
  /** Shown instead of a new shell. */
  readonly process?: Process | undefined;
  /** Typed at the first prompt. */
  readonly command?: string | undefined;
}

export interface Tab {
  readonly attachment: Attachment;
  /** The shell's directory. */
  directory(): Promise<string>;
}

export interface Tabs {
  open(options?: TabOptions): Promise<void>;
  current(): Tab | null;
  closeCurrent(): void;
  readonly count: number;
  /** Show the tab so many places further on. */
  turn(by: number): void;
  /** Forget all, without a word to their shells: the machine is gone. */
  end(): void;
}

interface Shown extends Tab {
  readonly button: HTMLButtonElement;
  readonly panel: HTMLElement;
  ended: ExitStatus | null;
  close(): void;
}

export function openTabs(sdk: Sdk, events: TabEvents): Tabs {
  let made = 0;
  let tabs: Shown[] = [];
  let current: Shown | null = null;

  function showState(): void {
    if (current === null) return;
    if (current.ended === null) setState("ready", "running");
    else setState("ended", `shell ended with ${current.ended.exitCode}; Enter starts a new one`);
  }

  function select(tab: Shown, focus = true): void {
    current = tab;
    for (const one of tabs) {
      const chosen = one === tab;
      one.panel.hidden = !chosen;
      one.button.setAttribute("aria-selected", String(chosen));
      one.button.tabIndex = chosen ? 0 : -1;
    }
    showState();
    if (focus) tab.attachment.focus();
  }

  function showButtons(): void {
    const several = tabs.length > 1;
    find("tabs").hidden = tabs.length === 0;
    find("tab-list").hidden = !several;
    find("tab-close").hidden = !several;
    for (const { panel } of tabs) {
      if (several) panel.setAttribute("role", "tabpanel");
      else panel.removeAttribute("role");
    }
  }

  function turn(by: number, focus = true): Shown | undefined {
    if (current === null) return undefined;
    const next = tabs[(tabs.indexOf(current) + by + tabs.length) % tabs.length];
    if (next !== undefined) select(next, focus);
    return next;
  }

  async function open({ intro = "", cwd, command, process }: TabOptions = {}): Promise<void> {
    const number = ++made;
    let shell = process ?? (await startShell(sdk, cwd));
    const panel = make("div", { className: "screen", id: `screen-${number}`, attributes: { "aria-labelledby": `tab-${number}` } });
    const button = make("button", {
      type: "button", id: `tab-${number}`, textContent: String(number),
      attributes: { role: "tab", "aria-controls": panel.id, "aria-label": `Terminal ${number}` },
    });
    const frame = make("div", { className: "frame" });
    panel.append(frame);
    for (const one of tabs) one.panel.hidden = true;
    find("terminal").append(panel);
    find("tab-list").append(button);

    const attachment = await sdk.attach(frame, shell, {
      ...settings.terminal,
      intro,
      label: `Terminal ${number}. Ctrl-Shift-X leaves it.`,
      onKey: events.key,
      onInput(text) {
        if (tab.ended === null) return events.input(text);
        if (text.includes("\r")) void again();
        return "";
      },
      onBell: () => {
        if (tab !== current) button.dataset["bell"] = "";
      },
    });
    const tab: Shown = {
      attachment, button, panel, ended: null,
      directory: async () => sdk.fs.readlink(`/proc/${shell.pid}/cwd`),
      close() {
        attachment.dispose();
        panel.remove();
        button.remove();
      },
    };

    const watch = (exit: Promise<ExitStatus>): void => {
      exit.then((status) => {
        tab.ended = status;
        attachment.print(`\r\n${GREY}${describe(status)}\r\nEnter starts a new one.${PLAIN}\r\n`);
        if (tab === current) showState();
      }, () => undefined); // the machine is gone, and says so itself
    };
    async function again(): Promise<void> {
      const before = tab.ended;
      if (before === null) return;
      tab.ended = null;
      try {
        shell = await startShell(sdk, cwd);
        watch(attachment.show(shell));
      } catch (error) {
        tab.ended = before;
        notifyError("No new shell could be started.", error);
      }
      if (tab === current) showState();
    }

    button.onclick = () => {
      delete button.dataset["bell"];
      select(tab);
    };
    tabs.push(tab);
    showButtons();
    select(tab);
    watch(attachment.exit);
    if (command !== undefined) {
      await attachment.awake;
      attachment.type(command);
    }
  }

  function close(tab: Shown): void {
    if (tabs.length < 2) return;
    if (tab === current) turn(tabs.indexOf(tab) === 0 ? 1 : -1);
    tabs = tabs.filter((one) => one !== tab);
    tab.close();
    showButtons();
  }

  find("tab-list").onkeydown = (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") turn(event.key === "ArrowLeft" ? -1 : 1, false)?.button.focus();
    else if (event.key === "Delete" && current !== null) close(current);
    else return;
    event.preventDefault();
  };
  find("tab-new").onclick = () => void open().catch((error: unknown) => notifyError("No terminal could be opened.", error));
  find("tab-close").onclick = () => current && close(current);
  settings.listen(() => tabs.forEach(({ attachment }) => attachment.set(settings.terminal)));

  return {
    open,
    current: () => current,
    closeCurrent: () => current && close(current),
    get count() {
      return tabs.length;
    },
    turn: (by) => void turn(by),
    end() {
      for (const tab of tabs) tab.close();
      tabs = [];
      current = null;
      showButtons();
    },
  };
}

function describe({ exitCode, signal }: ExitStatus): string {
  return signal === null ? `The shell ended with exit code ${exitCode}.` : `The shell was ended by ${signal} (exit code ${exitCode}).`;
}

async function startShell(sdk: Sdk, cwd: string | undefined): Promise<Process> {
  const size = { rows: 24, cols: 80 }; // the terminal corrects it as soon as it knows its own
  const directory = cwd !== undefined && (await isDirectory(sdk, cwd)) ? cwd : undefined;
  if (cwd !== undefined && directory === undefined) notifyError("The shell starts elsewhere.", `There is no directory ${cwd}.`);
  for (const shell of SHELLS) {
    try {
      return await sdk.spawn(shell, ["-i"], { pty: size, ...(directory === undefined ? {} : { cwd: directory }) });
    } catch (error) {
      const missing = error instanceof EbbError && error.code === "linux";
      if (!missing || shell === SHELLS[SHELLS.length - 1]) throw error;
    }
  }
  throw new Error("no shell");
}

async function isDirectory(sdk: Sdk, path: string): Promise<boolean> {
  return path.startsWith("/") && (await sdk.fs.exists(path)) && (await sdk.fs.stat(path)).kind === "directory";
}
