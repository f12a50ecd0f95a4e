/** SHA-256, the name of everything that is kept by its content, and how names are written. */

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The name of what is kept. */
export async function nameOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return hex(await sha256(bytes));
}
