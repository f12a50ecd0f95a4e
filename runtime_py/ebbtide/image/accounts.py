"""Users and groups: Debian's master files plus the one user of the guest.

Rule: passwd and shadow (group and gshadow) always name the same accounts; no account has a
password.
"""

from __future__ import annotations

from collections.abc import Iterable

from .tree import Tree

MASTERS = "/usr/share/base-passwd"
USER = ("user", 1000, "/home/user", "/bin/bash")


def write_accounts(tree: Tree) -> None:
    """Write passwd, group, shadow and gshadow, and make the user's home."""
    name, number, home, shell = USER
    passwd = _rows(tree, f"{MASTERS}/passwd.master") or [
        ["root", "*", "0", "0", "root", "/root", "/bin/bash"]
    ]
    group = _rows(tree, f"{MASTERS}/group.master") or [["root", "*", "0", ""]]
    passwd.append([name, "*", str(number), str(number), "", home, shell])
    group.append([name, "*", str(number), ""])
    shadow_gid = next((int(row[2]) for row in group if row[0] == "shadow"), 0)
    day = str(tree.mtime // 86400)
    tree.write("/etc/passwd", _join([row[0], "x", *row[2:]] for row in passwd))
    tree.write("/etc/group", _join([row[0], "x", *row[2:]] for row in group))
    tree.write(
        "/etc/shadow", _join([row[0], "*", day, "0", "99999", "7", "", "", ""] for row in passwd),
        0o640, gid=shadow_gid,
    )  # fmt: skip
    tree.write(
        "/etc/gshadow", _join([row[0], "*", "", row[3]] for row in group), 0o640, gid=shadow_gid
    )
    tree.mkdir(home, 0o755, number, number)


def _rows(tree: Tree, path: str) -> list[list[str]]:
    return [line.split(":") for line in tree.read(path).decode().splitlines() if line]


def _join(rows: Iterable[list[str]]) -> bytes:
    return "".join(":".join(row) + "\n" for row in rows).encode()
