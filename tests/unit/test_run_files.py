"""Files of recorded runs in the origin's private file system, of which a stand-in says what was there after each operation."""

from __future__ import annotations

from pathlib import Path

from support.node import run_script

SCRIPT = """
import { privateFiles } from "../../sdk/src/worker/run_files.ts";

let bytes = "1762000000000";
const seen = [];
const handle = {
  getSize: () => bytes.length,
  truncate: (size) => seen.push((bytes = bytes.slice(0, size))),
  write(data, { at }) {
    const text = new TextDecoder().decode(data);
    seen.push((bytes = bytes.slice(0, at) + text + bytes.slice(at + text.length)));
    return data.length;
  },
  close: () => undefined,
};
const folder = { getFileHandle: async () => ({ createSyncAccessHandle: async () => handle }) };
const files = privateFiles({ getDirectoryHandle: async () => folder });
await files.write("lasts/a", new TextEncoder().encode("1762000000007"));
await files.write("lasts/a", new TextEncoder().encode("17"));
await files.append("lasts/a", new TextEncoder().encode("62"));
say({ bytes, shortest: Math.min(...seen.map((text) => text.length)) });
"""


def test_what_is_replaced_is_never_gone(tmp_path: Path) -> None:
    """A tab may be closed between any two operations."""
    found = run_script(tmp_path, SCRIPT, Path(__file__).parent)
    assert found == {"bytes": "1762", "shortest": 2}
