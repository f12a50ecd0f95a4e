/**
 * Rewind: a recorded session on the screen as it was, at any moment. One pass through the recording learns what was shown
 * when; after that the slider only draws. Times are the machine's own, with long silences shortened.
 */

import { openScreen, type Branch, type Rewind, type RunEvent, type Runs, type Screen } from "ebbtide";
import { clock, find, make, save } from "./dom.js";
import { hideNotice, notifyError, say } from "./failure.js";
import { isLook } from "./leaving.js";
import { openLook, type LookPanel } from "./look.js";
import { settings } from "./settings.js";

/** A silence is shown as this long at most, in ms. */
const SILENCE_MOST = 1500;
const STEPS = 400; // of the slider, by arrow keys
/** The screen of what ran without a terminal, which is no process's. */
const TEXT = 0;
const TEXT_SIZE = { rows: 24, cols: 80 };

interface Moment {
  /** Where on the slider, in ms. */
  readonly at: number;
  readonly event: RunEvent;
}

export interface RewindView {
  readonly isOpen: boolean;
  /** What the screen shows. */
  text(): string;
  close(): void;
}

/** A machine that goes on from the moment that was shown, and what its terminals had drawn, by process. */
export interface Branched {
  readonly branch: Branch;
  readonly drawn: ReadonlyMap<number, string>;
}

export interface RewindHost {
  /** The view has closed: who had the keyboard gets it back. */
  left(): void;
  /** Whether the machine of now may end; may ask. */
  mayEnd(): Promise<boolean>;
  goOn(from: Branched): void;
}

/** What no terminal has seen, for one: a line feed begins a line. */
function withReturns(data: Uint8Array): Uint8Array {
  const made = new Uint8Array(data.length * 2);
  let end = 0;
  for (const byte of data) {
    if (byte === 10) made[end++] = 13;
    made[end++] = byte;
  }
  return made.subarray(0, end);
}

/** Show a run until it is closed. */
export async function openRewind(runs: Runs, id: string, host: RewindHost): Promise<RewindView> {
  const section = find("rewind");
  const [slider, time] = [find<HTMLInputElement>("rewind-slider"), find<HTMLOutputElement>("rewind-time")];
  const [play, program] = [find<HTMLButtonElement>("rewind-play"), find<HTMLSelectElement>("rewind-program")];
  find("terminal").hidden = true;
  section.hidden = false;
  section.dataset["state"] = "reading";
  program.replaceChildren();
  program.hidden = true;
  slider.value = slider.max = "0";
  time.textContent = "reading";
  slider.disabled = true;
  section.focus(); // for Esc

  const moments: Moment[] = [];
  let screen: Screen | null = null;
  let rewind: Rewind | null = null;
  let look: LookPanel | null = null;
  let open = true;
  const plain = new Map<number, readonly string[]>(); // programs without a terminal
  const ours = new Set<number>(); // programs of the page, which are not shown
  let pid = -1; // whose screen is shown
  let drawn = 0; // moments on the screen
  let now = -1; // of the slider
  let total = 0;
  let last = 0; // ms of the machine, of the latest moment
  let playing = 0; // a frame's request
  let whole = false;

  // ---- Reading ---------------------------------------------------------------------------------------------------

  function take(events: readonly RunEvent[]): void {
    for (const event of events) {
      if (event.type === "start" && isLook(event.args)) ours.add(event.pid);
      if (ours.has(event.pid)) continue;
      if (moments.length > 0) total += Math.min(Math.max(event.ms - last, 0), SILENCE_MOST);
      last = event.ms;
      moments.push({ at: total, event });
      if (event.type !== "start") continue;
      if (event.rows > 0) offer(event.pid, event.args);
      else plain.set(event.pid, event.args);
    }
    if (plain.size > 0) offerText();
  }

  let terminals = 0;

  function offer(started: number, args: readonly string[]): void {
    program.append(make("option", { value: String(started), textContent: `Terminal ${++terminals}: ${args.join(" ")}` }));
    program.hidden = program.options.length < 2;
    if (terminals > 1) return;
    pid = started;
    program.value = String(pid);
  }

  /** Offer, as one screen, what all programs without a terminal have put out. */
  function offerText(): void {
    let option = program.querySelector<HTMLOptionElement>(`option[value="${TEXT}"]`);
    if (option === null) program.append((option = make("option", { value: String(TEXT) })));
    const [first = []] = plain.values();
    option.textContent = `Without a terminal: ${plain.size > 1 ? `${plain.size} programs` : first.join(" ")}`;
    program.hidden = program.options.length < 2;
    if (terminals === 0) pid = TEXT;
  }

  /** On which screen an event shows. */
  const screenOf = (event: RunEvent): number => (plain.has(event.pid) ? TEXT : event.pid);

  // ---- Drawing ---------------------------------------------------------------------------------------------------

  function draw(): void {
    if (screen === null) return;
    let end = drawn;
    if (drawn > 0 && (moments[drawn - 1]?.at ?? 0) > now) {
      screen.reset();
      end = drawn = 0;
    }
    while (end < moments.length && (moments[end]?.at ?? Infinity) <= now) end++;
    for (const { event } of moments.slice(drawn, end)) {
      if (screenOf(event) !== pid) continue;
      if (event.type === "output") screen.draw(pid === TEXT ? withReturns(event.data) : event.data);
      else if (pid === TEXT) screen.resize(TEXT_SIZE.rows, TEXT_SIZE.cols);
      else if (event.type !== "exit" && event.rows > 0) screen.resize(event.rows, event.cols);
    }
    drawn = end;
  }

  function show(moment: number): void {
    now = Math.min(Math.max(moment, 0), total);
    slider.value = String(Math.round(now));
    const text = `${clock(now)} of ${clock(total)}`;
    slider.setAttribute("aria-valuetext", text);
    time.textContent = text;
    draw();
    look?.mark(moments[drawn - 1]?.event.tick ?? 0);
    const shown = now;
    void screen?.drawn().then(() => {
      if (shown === now) section.dataset["shown"] = String(now);
    });
  }

  /** Step to where something is put out next, or was before. */
  function step(by: 1 | -1): void {
    pause();
    const shown = moments.filter(({ event }) => screenOf(event) === pid && event.type === "output");
    const found = by > 0 ? shown.find(({ at }) => at > now) : shown.findLast(({ at }) => at < now);
    show(found?.at ?? (by > 0 ? total : 0));
  }

  /** Show the moment of a tick. */
  function showTick(tick: number): void {
    pause();
    const found = moments.findLast(({ event }) => event.tick <= tick);
    show(found?.at ?? 0);
  }

  function pause(): void {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
  }

  function run(): void {
    if (now >= total) show(0);
    play.textContent = "Pause";
    let before = performance.now();
    const frame = (at: number): void => {
      show(now + Math.max(at - before, 0));
      before = at;
      if (now >= total) pause();
      else playing = requestAnimationFrame(frame);
    };
    playing = requestAnimationFrame(frame);
  }

  let branching = false;

  /** What is shown, as a machine of its own. The question comes first, when nobody types at a terminal. */
  async function branch(): Promise<void> {
    pause();
    const shown = moments.slice(0, drawn);
    const last = shown.at(-1);
    if (branching || rewind === null || last === undefined) return;
    if (!(await host.mayEnd()) || !open) return;
    branching = true;
    say(`A machine of ${clock(last.at)} is being made.`);
    try {
      const made = await rewind.branch(last.event.tick);
      const decoders = new Map<number, TextDecoder>();
      const texts = new Map<number, string>();
      for (const { event } of shown) {
        if (event.type !== "output") continue;
        const decoder = decoders.get(event.pid) ?? new TextDecoder();
        decoders.set(event.pid, decoder);
        texts.set(event.pid, (texts.get(event.pid) ?? "") + decoder.decode(event.data, { stream: true }));
      }
      close();
      host.goOn({ branch: made, drawn: texts });
    } catch (error) {
      if (open) notifyError("No machine could go on from here.", error);
    } finally {
      branching = false;
    }
  }

  // ---- Controls --------------------------------------------------------------------------------------------------

  function close(): void {
    if (!open) return;
    open = false;
    pause();
    if (branching) hideNotice();
    look?.close();
    rewind?.close();
    screen?.dispose();
    section.hidden = true;
    find("terminal").hidden = false;
    host.left();
  }

  slider.oninput = () => {
    pause();
    show(Number(slider.value));
  };
  play.onclick = () => (playing === 0 ? run() : pause());
  find("rewind-back").onclick = () => step(-1);
  find("rewind-next").onclick = () => step(1);
  find("rewind-close").onclick = close;
  find("rewind-branch").onclick = () => void branch();
  find("rewind-save").onclick = () =>
    void runs.export(id).then((file) => save(file, `${id}.ebbrun`), (error: unknown) => notifyError("The run could not be saved.", error));
  program.onchange = () => {
    pid = Number(program.value);
    drawn = 0;
    screen?.reset();
    draw();
  };
  section.onkeydown = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === " " && event.target === slider) play.click();
    else if (event.key === "," || event.key === ".") step(event.key === "." ? 1 : -1);
    else return;
    event.preventDefault();
  };

  try {
    screen = await openScreen(find("rewind-screen"), { ...settings.terminal, label: "The session as it was" });
    rewind = await runs.open(id);
    while (open && !whole) {
      const part = await rewind.advance();
      take(part.events);
      whole = part.whole;
      if (!whole && rewind.end > 0) time.textContent = `reading ${Math.floor((part.tick / rewind.end) * 100)} %`;
    }
    if (!open) rewind.close(); // it has opened too late
    else {
      const stride = Math.max(1, Math.round(total / STEPS));
      slider.step = String(stride);
      slider.max = String(Math.ceil(total / stride) * stride); // what is no whole step cannot be reached
      slider.disabled = false;
      section.dataset["state"] = "ready";
      look = openLook(runs, rewind, id, [...ours], showTick);
      slider.focus();
      show(total);
    }
  } catch (error) {
    if (open) notifyError("The run could not be replayed.", error);
    close();
  }
  return {
    get isOpen() {
      return open;
    },
    text: () => screen?.text() ?? "",
    close,
  };
}
