/**
 * Leaving the page asks only if the visitor would lose something: a file in the machine that is newer than its first
 * prompt. The browser wants to know at once when it asks, so the question is put to the machine some time after
 * each command, less and less often while nothing is found.
 */

import type { Sdk } from "ebbtide";

const WAITS_MS = [1000, 4000, 15_000, 60_000] as const;
const LOOK = [
  "/", "-xdev", "(", "-path", "/usr/lib", "-o", "-path", "/usr/share", ")", "-prune",
  "-o", "!", "-type", "d", "!", "-name", ".*_history", "-cmin",
];
/** Changed in the last so many ms: the machine's own clock may show another time than ours. */
const LEAST_NEW = (ms: number): string[] => [...LOOK, `-${(ms / 60_000).toFixed(4)}`, "-print", "-quit"];

/** Whether a program of a run, by its words, was this page's look and nothing that the visitor has run. */
export function isLook([program, ...args]: readonly string[]): boolean {
  return program === "find" && LOOK.every((word, at) => word === args[at]);
}

const refuse = (event: BeforeUnloadEvent): void => event.preventDefault();

export interface Leaving {
  /** Whether something would be lost. */
  readonly dirty: boolean;
  /** A command has been entered. */
  entered(): void;
  /** Something has been written for certain. */
  written(): void;
  /** A new machine, with nothing in it yet. */
  reset(sdk: Sdk): void;
}

export function watchLeaving(): Leaving {
  let machine: Sdk | undefined;
  let since = 0;
  let dirty = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function written(): void {
    dirty = true;
    clearTimeout(timer);
    window.addEventListener("beforeunload", refuse);
  }

  function look(round: number): void {
    clearTimeout(timer);
    const wait = WAITS_MS[round];
    if (dirty || wait === undefined) return;
    timer = setTimeout(async () => {
      const asked = machine;
      const found = await asked?.run("find", LEAST_NEW(Date.now() - since)).catch(() => undefined);
      if (asked !== machine || dirty) return;
      if (found !== undefined && (found.stdout !== "" || found.exitCode === 127)) written();
      else look(round + 1);
    }, wait);
  }

  return {
    get dirty() {
      return dirty;
    },
    entered: () => look(0),
    written,
    reset(sdk) {
      clearTimeout(timer);
      window.removeEventListener("beforeunload", refuse);
      [machine, since, dirty] = [sdk, Date.now(), false];
    },
  };
}
