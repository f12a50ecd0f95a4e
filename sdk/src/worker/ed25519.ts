/** Signatures by Ed25519, where the browser can check them (Chromium from 137, Firefox from 129). */

/** Whether a signature is its key's; null: the browser cannot tell. */
export async function checkEd25519(key: Uint8Array<ArrayBuffer>, message: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>): Promise<boolean | null> {
  try {
    const known = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", known, signature, message);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") return null;
    return false; // no point of the curve, or no signature's length
  }
}
