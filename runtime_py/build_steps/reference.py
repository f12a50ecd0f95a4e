"""Pages of docs/ that are written from tables: syscalls.md, abi.md, and troubleshooting.md."""

from __future__ import annotations

import re

from . import troubleshooting
from .common import ROOT, say

TABLE = ROOT / "kernel" / "syscalls.tbl"
BORDER = ROOT / "kernel" / "abi.h"
DOCS = ROOT / "docs"

ROW = re.compile(
    r'^SYS\((\d+), (\w+), "([^"]*)", (\w+), (FULL|PARTIAL\("(.*)"\)|NONE\("(.*)"\)), "([^"]*)"\)$'
)
RESTARTS = {
    "ALWAYS_ENDS": "",
    "LOCAL": "local",
    "RESTART_SYS": "with SA_RESTART",
    "RESTART_NOHAND": "if no handler ran",
    "RESTART_BLOCK": "continues if no handler ran",
    "RESTART_NEVER": "never",
}


def syscalls() -> str:
    """The system call table as Markdown."""
    lines = [
        "# System calls",
        "",
        "Written from `kernel/syscalls.tbl` by `python3 build.py docs`. A number that is not here answers",
        "`ENOSYS` and is logged once. *Restarts* is what becomes of a waiting call when a signal arrives; a *local* call is",
        "answered without leaving guest code.",
        "",
        "| number | name | support | restarts | in |",
        "|---|---|---|---|---|",
    ]
    for line in TABLE.read_text().splitlines():
        if not line.startswith("SYS("):
            continue
        match = ROW.match(line)
        if not match:
            raise ValueError(f"syscalls.tbl: not a row: {line}")
        number, name, _, waits, support, part, none, file = match.groups()
        text = "full" if support == "FULL" else f"partial: {part}" if part else f"none: {none}"
        where = f"`kernel/{file}.c`" if file != "-" else ""
        lines.append(f"| {number} | `{name}` | {text} | {RESTARTS[waits]} | {where} |")
    return "\n".join(lines) + "\n"


def abi() -> str:
    """The border's tables and exports as Markdown."""
    text = BORDER.read_text()
    lines = [
        "# The border",
        "",
        "Written from `kernel/abi.h` by `python3 build.py docs`; that file has every structure. The runtime reads",
        "all numbers and offsets from `k_abi()` when it starts and keeps no copy.",
    ]
    titles = {
        "STATUS_TABLE": "Statuses of `k_step`",
        "EVENT_TABLE": "Events: the only way in",
        "OUT_TABLE": "Outbox records: the only way out",
        "AGENT_CALL_TABLE": "Calls that only agents may make",
    }
    for table, title in titles.items():
        body = re.search(rf"#define {table}\(X\)(.*?)\n\n", text + "\n\n", re.S)
        assert body, table
        lines += ["", f"## {title}", "", "| name | number | |", "|---|---|---|"]
        for name, number, note in re.findall(
            r"X\((\w+), (\d+)\)[ \\]*(?:/\*\s*(.*?)\s*\*/)?", body[1]
        ):
            lines.append(f"| `{name}` | {number} | {' '.join(note.split())} |")
    exports = text[text.index("// ---- Exports") :]
    lines += ["", "## Exports", "", "All take and return 32-bit integers.", "", "```text"]
    lines += [line[3:] for line in exports.splitlines()[1:] if line.startswith("// ")]
    lines += ["```"]
    return "\n".join(lines) + "\n"


PAGES = {"syscalls.md": syscalls, "abi.md": abi, "troubleshooting.md": troubleshooting.page}


def docs() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())
        say("docs", f"docs/{name}")
