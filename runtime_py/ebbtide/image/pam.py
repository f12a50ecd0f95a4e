"""The common PAM files, as pam-auth-update makes them from the profiles that packages bring.

Rule: profiles that are on by default, highest priority first; the first of a block takes its
-Initial lines.
"""

from __future__ import annotations

import re
import stat

from .mirror import stanzas
from .tree import Tree

TEMPLATES = "/usr/share/pam"
PROFILES = "/usr/share/pam-configs"
MARK = re.compile(r"^\$(auth|account|password|session)(_nonint)?_(primary|additional)$", re.M)


def write_pam(tree: Tree) -> None:
    """Fill every template whose result is not there yet."""
    profiles = []
    for path, node in tree.walk(PROFILES):
        if stat.S_ISREG(node.mode):
            profiles += stanzas(tree.read(path).decode())
    chosen = [p for p in profiles if p.get("default") == "yes"]
    chosen.sort(key=lambda p: (-int(p.get("priority", "0")), p.get("name", "")))
    for path, node in tree.walk(TEMPLATES):
        name = path.rpartition("/")[2]
        if stat.S_ISREG(node.mode) and "." not in name and tree.find(f"/etc/pam.d/{name}") is None:
            text = MARK.sub(lambda mark: _block(chosen, *mark.groups()), tree.read(path).decode())
            tree.write(f"/etc/pam.d/{name}", text.encode())


def _block(profiles: list[dict[str, str]], kind: str, quiet: str | None, block: str) -> str:
    rows: list[str] = []
    for profile in profiles:
        if profile.get(f"{kind}-type", "").lower() != block:
            continue
        if quiet and profile.get(f"{kind}-interactive-only") == "yes":
            continue
        text = profile.get(f"{kind}-initial") if not rows else None
        rows += (text or profile.get(kind, "")).strip().splitlines()
    if not rows and block == "primary":
        rows = ["[default=1]\t\t\tpam_permit.so"]
    # "end" jumps over what is left of the block and over the pam_deny behind it.
    return "\n".join(
        f"{kind}\t{row.strip().replace('=end', f'={len(rows) - at}')}"
        for at, row in enumerate(rows)
    )
