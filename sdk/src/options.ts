/** Refuses options that do not exist: a misspelt one would otherwise do nothing, silently. */

import { shown } from "./arguments.js";

/** Reject what `where` does not know. `known` has every option as a key, which the compiler checks. */
export function refuseUnknown(where: string, options: unknown, known: object): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`the options of ${where} are an object; got ${shown(options)}`);
  }
  const names = Object.keys(known);
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    const near = nearest(name, names);
    throw new TypeError(
      `${where} has no option "${name}"; ${near === null ? `it takes ${names.join(", ")}` : `did you mean "${near}"?`}`,
    );
  }
}

function nearest(word: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(1, Math.floor(word.length / 2)) + 1; // more changes than that is another word
  for (const name of names) {
    const changes = distance(word.toLowerCase(), name.toLowerCase());
    if (changes < least) [best, least] = [name, changes];
  }
  return best;
}

/** How many letters must be added, removed or changed to make `a` into `b`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const changed = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
