/** The page's address as a description of a machine: `?image=NAME&cwd=DIRECTORY&cmd=COMMAND&harts=NUMBER&jit=off&snapshot=URL`. */

import type { JitMode } from "ebbtide";
import { ask, find } from "./dom.js";
import { notify, notifyError } from "./failure.js";

export interface Link {
  readonly image: string;
  readonly cwd: string | undefined;
  readonly command: string | undefined;
  /** As many as there are processors, at most four, unless given. */
  readonly harts: number | undefined;
  /** Whether hot guest code is compiled; it is unless given. */
  readonly jit: JitMode | undefined;
  /** The address of a snapshot to go on from. */
  readonly snapshot: string | undefined;
}

/** A command from an address is only typed: what could run it, or play with the terminal, is left out. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

export function readLink(): Link {
  const query = new URLSearchParams(location.search);
  const command = query.get("cmd")?.replace(CONTROL, "");
  const harts = query.get("harts");
  return {
    image: query.get("image") || "base",
    cwd: query.get("cwd") || undefined,
    command: command || undefined,
    harts: harts ? Number(harts) : undefined, // boot says what it may be, and
    jit: (query.get("jit") as JitMode | null) || undefined, // this
    snapshot: query.get("snapshot") || undefined,
  };
}

function linkTo({ image, cwd, command, harts, jit, snapshot }: Link): string {
  const url = new URL(location.href);
  url.search = url.hash = "";
  if (image !== "base") url.searchParams.set("image", image);
  if (cwd) url.searchParams.set("cwd", cwd);
  if (command) url.searchParams.set("cmd", command);
  if (harts) url.searchParams.set("harts", String(harts));
  if (jit) url.searchParams.set("jit", jit);
  if (snapshot) url.searchParams.set("snapshot", snapshot);
  return url.href;
}

/** Ask what the link is to hold, show it, and copy it. */
export async function offerLink(now: Link): Promise<void> {
  const [cwd, command] = [find<HTMLInputElement>("link-cwd"), find<HTMLInputElement>("link-cmd")];
  const made = (): string => linkTo({ ...now, cwd: cwd.value, command: command.value });
  const show = (): void => void (find("link-url").textContent = made());
  cwd.value = now.cwd ?? "";
  command.value = now.command ?? "";
  cwd.oninput = command.oninput = show;
  show();
  if (!(await ask("link"))) return;
  try {
    await navigator.clipboard.writeText(made());
    notify("The link is copied.");
  } catch (error) {
    notifyError("The link could not be copied.", error);
  }
}
