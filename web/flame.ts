/**
 * A profile as a flame graph, outermost functions on top, drawn on a canvas. A click or Enter makes a box as wide as the
 * graph, Backspace goes back; arrow keys walk from box to box; boxes whose names hold the searched text are marked.
 */

import { make } from "./dom.js";

/** Of speedscope's format, what we use. */
interface Speedscope {
  readonly shared: { readonly frames: readonly { readonly name: string; readonly file?: string }[] };
  readonly profiles: readonly {
    readonly unit: string;
    readonly samples: readonly (readonly number[])[];
    readonly weights: readonly number[];
  }[];
}

interface Box {
  readonly name: string;
  readonly file: string;
  readonly above: Box | null;
  readonly depth: number;
  weight: number;
  readonly below: Map<number, Box>;
}

export interface Flame {
  /** Mark what a text matches; gives its part of the whole, or null without a text. */
  search(text: string): number | null;
  dispose(): void;
}

const LINE = 18;
const LEAST = 0.5; // pixels of a box that is drawn

export function makeFlame(place: HTMLElement, json: string): Flame {
  const { shared, profiles } = JSON.parse(json) as Speedscope;
  const profile = profiles[0];
  const root: Box = { name: "all", file: "", above: null, depth: 0, weight: 0, below: new Map() };
  let depth = 0;
  for (const [number, stack] of (profile?.samples ?? []).entries()) {
    const weight = profile?.weights[number] ?? 0;
    let box = root;
    box.weight += weight;
    for (const frame of stack) {
      let next = box.below.get(frame);
      if (next === undefined) {
        const { name, file = "" } = shared.frames[frame] ?? { name: "?" };
        next = { name, file, above: box, depth: box.depth + 1, weight: 0, below: new Map() };
        box.below.set(frame, next);
        depth = Math.max(depth, next.depth);
      }
      next.weight += weight;
      box = next;
    }
  }

  const canvas = make("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "flame graph");
  canvas.setAttribute("aria-describedby", "flame-said");
  const said = make("output", { id: "flame-said", className: "said" });
  const scroll = make("div", { className: "flame" }, canvas);
  place.replaceChildren(scroll, said);

  let zoom = root;
  let active: Box = root;
  let wanted = "";
  let drawn: { readonly box: Box; readonly x: number; readonly y: number; readonly width: number }[] = [];
  let asked = 0;

  const children = (box: Box): Box[] => [...box.below.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const amount = (weight: number): string =>
    profile?.unit === "nanoseconds" ? `${(weight / 1e6).toFixed(2)} ms` : `${weight.toLocaleString("en")} ticks`;
  const percent = (weight: number): string => `${((100 * weight) / (root.weight || 1)).toFixed(1)} %`;
  const matches = (box: Box): boolean => wanted !== "" && box.name.toLowerCase().includes(wanted);

  function say(box: Box): void {
    const where = box.file && box.file !== box.name ? `, ${box.file}` : "";
    said.textContent = `${box.name}${where}: ${amount(box.weight)}, ${percent(box.weight)}`;
    canvas.setAttribute("aria-label", said.textContent);
  }

  function draw(): void {
    asked = 0;
    const { color: ink, backgroundColor: paper, caretColor: accent, font } = getComputedStyle(canvas);
    const width = scroll.clientWidth;
    const height = (depth + 1) * LINE;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.scale(ratio, ratio);
    context.font = font;
    context.textBaseline = "middle";
    drawn = [];
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const scheme = document.documentElement.dataset["theme"] ?? (dark ? "dark" : "light");
    const one = (box: Box, x: number, wide: number): void => {
      const y = box.depth * LINE;
      drawn.push({ box, x, y, width: wide });
      const [hue, light] = [hash(box.file || box.name) % 360, scheme === "dark" ? 26 : 88];
      context.fillStyle = matches(box) ? accent : `hsl(${hue} 32% ${light}%)`;
      context.fillRect(x, y, Math.max(wide - 0.5, LEAST), LINE - 1);
      context.fillStyle = matches(box) ? paper : ink;
      if (wide > 24) context.fillText(fit(context, box.name, wide - 8), x + 4, y + LINE / 2);
      if (box === active && document.activeElement === canvas) {
        context.strokeStyle = ink;
        context.strokeRect(x + 0.5, y + 0.5, Math.max(wide - 1.5, 1), LINE - 2);
      }
    };
    const down = (box: Box, x: number, wide: number): void => {
      one(box, x, wide);
      for (const child of children(box)) {
        const part = (wide * child.weight) / (box.weight || 1);
        if (part >= LEAST) down(child, x, part);
        x += part;
      }
    };
    for (let box = zoom.above; box !== null; box = box.above) one(box, 0, width);
    down(zoom, 0, width);
  }

  const later = (): void => {
    if (asked === 0) asked = requestAnimationFrame(draw);
  };

  function at(event: MouseEvent): Box | null {
    const { left, top } = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    return drawn.find((one) => x >= one.x && x < one.x + one.width && y >= one.y && y < one.y + LINE)?.box ?? null;
  }

  function go(box: Box | null | undefined): void {
    if (!box) return;
    active = box;
    say(box);
    later();
  }

  function enlarge(box: Box): void {
    zoom = box;
    go(box);
  }

  canvas.onmousemove = (event) => say(at(event) ?? active);
  canvas.onmouseleave = () => say(active);
  canvas.onclick = (event) => {
    const box = at(event);
    if (box) enlarge(box);
  };
  canvas.onfocus = canvas.onblur = later;
  canvas.onkeydown = (event) => {
    const beside = active.above ? children(active.above) : [active];
    const number = beside.indexOf(active);
    const next = {
      ArrowDown: children(active).reduce<Box | null>((most, one) => (most && most.weight >= one.weight ? most : one), null),
      ArrowUp: active.above,
      ArrowLeft: beside[number - 1],
      ArrowRight: beside[number + 1],
      Home: root,
    }[event.key];
    if (next !== undefined) {
      go(next);
      if (next && !drawn.some((one) => one.box === next)) zoom = next.above ?? root;
    } else if (event.key === "Enter") enlarge(active);
    else if (event.key === "Backspace") enlarge(zoom.above ?? root);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const watching = new ResizeObserver(later);
  watching.observe(scroll);
  say(root);
  later();

  /** What boxes that match weigh, those in others not twice. */
  function part(box: Box): number {
    return matches(box) ? box.weight : [...box.below.values()].reduce((sum, one) => sum + part(one), 0);
  }

  return {
    search(text) {
      wanted = text.toLowerCase();
      later();
      return wanted === "" ? null : part(root) / (root.weight || 1);
    },
    dispose() {
      watching.disconnect();
      cancelAnimationFrame(asked);
    },
  };
}

function fit(context: CanvasRenderingContext2D, text: string, width: number): string {
  const most = Math.floor(width / context.measureText("x").width);
  return text.length <= most ? text : most > 2 ? `${text.slice(0, most - 1)}…` : "";
}

function hash(text: string): number {
  let value = 7;
  for (const letter of text) value = (value * 31 + (letter.codePointAt(0) ?? 0)) % 65521;
  return value;
}
