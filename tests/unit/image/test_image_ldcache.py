"""The loader's cache: names, order and layout."""

from __future__ import annotations

import struct
from pathlib import Path

from ebbtide.image.ldcache import libcmp_key, soname, write_cache
from ebbtide.image.store import BlobStore
from ebbtide.image.tree import Tree


def library(name: str | None, machine: int = 243) -> bytes:
    """Make the smallest shared library that has a soname."""
    strings = b"\0" + (name or "").encode() + b"\0"
    at = 64 + 2 * 56
    tags = [(14, 1)] if name else []
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (5, 0x1000 + at), (0, 0)])
    size = at + len(strings) + len(dynamic)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0x1000, 0x1000, size, size, 4096)
    where = at + len(strings)
    dyn = struct.pack(
        "<IIQQQQQQ", 2, 4, where, 0x1000 + where, 0x1000 + where, len(dynamic), len(dynamic), 8
    )
    return head + load + dyn + strings + dynamic


def rows(data: bytes) -> list[tuple[int, str, str]]:
    count, length, endian, extension = struct.unpack_from("<IIB3xI", data, 20)
    assert (endian, extension) == (2, 0)
    assert len(data) == 48 + 24 * count + length

    def text(at: int) -> str:
        return data[at : data.index(b"\0", at)].decode()

    return [
        (flags, text(key), text(value))
        for flags, key, value, _, _ in struct.iter_unpack("<IIIIQ", data[48 : 48 + 24 * count])
    ]


def test_soname_is_read_and_other_files_are_not_libraries() -> None:
    assert soname(library("libx.so.1"), "f") == "libx.so.1"
    assert soname(library(None), "libf.so") == "libf.so"
    assert soname(library("libx.so.1", machine=62), "f") is None
    assert soname(b"/* GNU ld script */", "f") is None


def test_the_cache_lists_sonames_highest_first(tmp_path: Path) -> None:
    tree = Tree(BlobStore(tmp_path))
    tree.mkdir("/usr/lib")
    tree.symlink("/lib", "usr/lib")
    tree.write("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n")
    tree.write("/etc/ld.so.conf.d/a.conf", b"# multiarch\n/lib/riscv64-linux-gnu\n")
    here = "/usr/lib/riscv64-linux-gnu"
    tree.write(f"{here}/libb.so.10.2", library("libb.so.10"))
    tree.symlink(f"{here}/libb.so.10", "libb.so.10.2")
    tree.symlink(f"{here}/libb.so", "libb.so.10.2")
    tree.write(f"{here}/libb.so.9", library("libb.so.9"))
    tree.write(f"{here}/libnew.so.1.0", library("libnew.so.1"))
    tree.write(f"{here}/libtext.so", b"GROUP(x)")
    tree.write("/usr/lib/libs.so.1", library("libs.so.1"))
    write_cache(tree)
    top = "/lib/riscv64-linux-gnu"
    assert rows(tree.read("/etc/ld.so.cache")) == [
        (0x1003, "libs.so.1", "/lib/libs.so.1"),
        (0x1003, "libnew.so.1", f"{top}/libnew.so.1"),
        (0x1003, "libb.so.10", f"{top}/libb.so.10"),
        (0x1003, "libb.so.9", f"{top}/libb.so.9"),
        (0x1003, "libb.so", f"{top}/libb.so"),
    ]
    assert tree.resolve(f"{here}/libnew.so.1") == f"{here}/libnew.so.1.0"


def test_numbers_compare_by_value() -> None:
    assert libcmp_key("liba.so.9") < libcmp_key("liba.so.10") < libcmp_key("libb.so.1")
    assert libcmp_key("liba.so") < libcmp_key("liba.so.1")
