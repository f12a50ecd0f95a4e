/** What the page remembers of a person's wishes. A browser that stores nothing costs only the memory. */

const PREFIX = "ebb.";

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // Storage is denied: the wish holds for this visit.
  }
}
