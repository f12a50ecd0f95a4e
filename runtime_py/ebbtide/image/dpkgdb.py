"""dpkg's database: what is installed, and which files belong to it.

Rule: it says of each package what dpkg would have recorded after configuring it, so that dpkg -l,
-L and -S answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import md5

from .tree import Tree

ROOT = "/var/lib/dpkg"
KEPT = ("conffiles", "md5sums")


@dataclass(frozen=True)
class Installed:
    """One package as it was unpacked."""

    name: str
    control: dict[str, bytes]
    files: list[str]


def write_database(tree: Tree, packages: list[Installed]) -> None:
    """Write status, info/ and the small files beside them."""
    status = b""
    for package in packages:
        stanza = package.control["control"].decode("utf-8").strip()
        lines = stanza.splitlines()
        multi = any(line.lower() == "multi-arch: same" for line in lines)
        arch = next(
            row.partition(":")[2].strip()
            for row in lines
            if row.lower().startswith("architecture:")
        )
        lines.insert(1, "Status: install ok installed")
        conffiles = package.control.get("conffiles", b"").decode("utf-8").split("\n")
        rows = [
            f" {path} {md5(tree.read(path), usedforsecurity=False).hexdigest()}"
            for path in map(str.strip, conffiles)
            if path.startswith("/")
        ]
        if rows:
            lines += ["Conffiles:", *rows]
        status += "\n".join(lines).encode() + b"\n\n"
        stem = f"{ROOT}/info/{package.name}" + (f":{arch}" if multi else "")
        tree.write(f"{stem}.list", ("\n".join(["/.", *package.files]) + "\n").encode())
        for kind in KEPT:
            if kind in package.control:
                tree.write(f"{stem}.{kind}", package.control[kind])
    tree.write(f"{ROOT}/status", status)
    tree.write(f"{ROOT}/available", b"")
    tree.write(f"{ROOT}/info/format", b"1\n")
    tree.write(f"{ROOT}/arch-native", b"riscv64\n")
    for name in ("updates", "triggers", "alternatives"):
        tree.mkdir(f"{ROOT}/{name}")
