"""/etc/ld.so.cache, as ldconfig would write it for the libraries of a tree.

Rule: same directories, same choice and same order as glibc's; Debian's dynamic loader finds the
libraries of the multiarch directory through this file.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import stat
import struct
from collections.abc import Iterator

from .tree import Node, Tree

SYSTEM = ["/lib", "/usr/lib"]
FLAGS = 0x1003  # a glibc ELF library (3) with double-precision calling convention (0x1000)
HEADER = struct.Struct("<17s3sIIB3xI12x")
ENTRY = struct.Struct("<IIIIQ")
LITTLE_ENDIAN = 2
RISCV = 243
PT_LOAD, PT_DYNAMIC = 1, 2
DT_STRTAB, DT_SONAME = 5, 14


def soname(data: bytes, name: str) -> str | None:
    """Return the name a riscv64 shared library goes by; None for anything else."""
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        return None
    kind, machine = struct.unpack_from("<HH", data, 16)
    if kind != 3 or machine != RISCV:
        return None
    table, size, count = (
        struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54),
    )  # fmt: skip
    heads = [struct.unpack_from("<IIQQQQQQ", data, table + i * size) for i in range(count)]
    loads: list[tuple[int, int, int]] = [(h[3], h[2], h[5]) for h in heads if h[0] == PT_LOAD]

    def offset(address: int) -> int:
        return next(address - va + off for va, off, length in loads if va <= address < va + length)

    for head in heads:
        if head[0] == PT_DYNAMIC:
            rows = dict(
                reversed(
                    list(struct.iter_unpack("<QQ", data[head[2] : head[2] + head[5] // 16 * 16]))
                )
            )
            if DT_SONAME in rows:
                start = offset(rows[DT_STRTAB]) + rows[DT_SONAME]
                return data[start : data.index(b"\0", start)].decode()
            return name
    return None


def _conf(tree: Tree, path: str) -> Iterator[str]:
    for line in tree.read(path).decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                head, tail = posixpath.split(posixpath.join(posixpath.dirname(path), pattern))
                node = tree.find(head)
                for name in sorted(node.children if node else ()):
                    if fnmatch.fnmatchcase(name.decode(), tail):
                        yield from _conf(tree, f"{head}/{name.decode()}")
        elif words:
            yield words[0]


def _directories(tree: Tree) -> Iterator[tuple[str, Node]]:
    """Yield each library directory once, under the name it is first known by."""
    seen: set[int] = set()
    for path in [*_conf(tree, "/etc/ld.so.conf"), *SYSTEM]:
        node = tree.find(path)
        if node is not None and stat.S_ISDIR(node.mode) and id(node) not in seen:
            seen.add(id(node))
            yield path.rstrip("/"), node


def libcmp_key(name: str) -> list[tuple[int, int]]:
    """Order names as the loader's search does: runs of digits by value, and above any character."""
    return [
        (1, int(part)) if part.isdigit() else (0, ord(part))
        for part in re.findall(r"[0-9]+|[^0-9]", name)
    ]


def _libraries(tree: Tree, top: str, node: Node) -> dict[str, str]:
    """Return what a directory offers: name looked for -> the file that best serves."""
    found: dict[str, tuple[bool, str]] = {}
    for raw, child in sorted(node.children.items()):
        name = raw.decode("utf-8", "surrogateescape")
        if not name.startswith(("lib", "ld-")) or ".so" not in name:
            continue
        is_link = stat.S_ISLNK(child.mode)
        real = tree.find(f"{top}/{name}")
        if real is None or not stat.S_ISREG(real.mode):
            continue
        key = soname(tree.read(f"{top}/{name}"), name)
        if key is None:
            continue
        if is_link:
            # A link counts as one when it is the soname or the development name; else as a file.
            if name.endswith(".so") and key.startswith(name):
                key = name
            is_link = key == name
        old = found.get(key)
        if (
            old is None
            or (not is_link and old[0])
            or (is_link == old[0] and libcmp_key(old[1]) < libcmp_key(name))
        ):
            found[key] = (is_link, name)
    return {key: name for key, (_, name) in found.items()}


def write_cache(tree: Tree) -> None:
    """Make missing soname links and the cache."""
    rows: list[tuple[str, str]] = []
    for top, node in list(_directories(tree)):
        for key, name in _libraries(tree, top, node).items():
            if key.encode() not in node.children:
                tree.symlink(f"{top}/{key}", name)
            rows.append((key, f"{top}/{key}"))
    tree.write("/etc/ld.so.cache", pack(rows))


def pack(rows: list[tuple[str, str]]) -> bytes:
    """Lay out (name, path) rows; of equal names the directory named first stays first."""
    order = sorted(rows, key=lambda row: libcmp_key(row[0]), reverse=True)
    strings = bytearray()
    base = HEADER.size + ENTRY.size * len(order)
    table = bytearray()
    for name, path in order:
        value = base + len(strings)
        strings += path.encode() + b"\0"
        key = base + len(strings) - 1 - len(name.encode())  # a path ends with its name
        table += ENTRY.pack(FLAGS, key, value, 0, 0)
    head = HEADER.pack(b"glibc-ld.so.cache", b"1.1", len(order), len(strings), LITTLE_ENDIAN, 0)
    return head + bytes(table) + bytes(strings)
