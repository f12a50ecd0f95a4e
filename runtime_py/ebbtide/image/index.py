"""The binary index of an image: its layout, one writer and one reader (docs/image.md).

Rule: the bytes depend on the tree alone, so equal trees have equal hashes; the reader trusts
nothing and checks every offset. Runs in Pyodide: standard library only.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ImageError

if TYPE_CHECKING:
    from .tree import Node, Tree

MAGIC = b"EBBI"
VERSION = 1
CHUNK_SIZE = 262144
HEADER = struct.Struct("<4s8I28x")
ENTRY = struct.Struct("<IHHIIQqIIII")
CHUNK = struct.Struct("<32sII")
assert (HEADER.size, ENTRY.size, CHUNK.size) == (64, 48, 40)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the entry table, its name and link target resolved."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    first: int
    count: int
    link: int
    target: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a regular file, stored as the blob of that name."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Index:
    """A whole index in memory; entry 0 is the root directory."""

    entries: list[Entry]
    chunks: list[Chunk]

    def walk(self) -> Iterator[tuple[str, Entry]]:
        """Yield every path with its entry, parents before children, names in order."""
        stack = [("/", 0)]
        while stack:
            path, number = stack.pop()
            entry = self.entries[number]
            yield path, entry
            if stat.S_ISDIR(entry.mode):
                prefix = path.rstrip("/") + "/"
                rows = range(entry.first, entry.first + entry.count)
                stack.extend(
                    (prefix + self.entries[i].name.decode("utf-8", "surrogateescape"), i)
                    for i in reversed(rows)
                )

    def chunks_of(self, entry: Entry) -> list[Chunk]:
        """Return the chunks of a regular file in order."""
        return self.chunks[entry.first : entry.first + entry.count]


def _align(offset: int) -> int:
    return (offset + 7) & ~7


class _Strings:
    """The string table: each distinct string once, in order of first use."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._known: dict[bytes, int] = {}

    def offset(self, text: bytes) -> int:
        if text not in self._known:
            self._known[text] = len(self.data)
            self.data += text
        return self._known[text]


def write_index(tree: Tree) -> bytes:
    """Lay a tree out as an index: breadth first, so that children are contiguous."""
    order: list[tuple[bytes, Node]] = [(b"", tree.root)]
    places: list[tuple[int, int]] = []
    at = 0
    while at < len(order):
        node = order[at][1]
        children = sorted(node.children.items()) if stat.S_ISDIR(node.mode) else []
        places.append((len(order) if children else 0, len(children)))
        order.extend(children)
        at += 1

    uses: dict[int, int] = {}
    for _, node in order:
        uses[id(node)] = uses.get(id(node), 0) + 1
    strings = _Strings()
    chunk_table = bytearray()
    entry_table = bytearray()
    chunk_count = 0
    shared: dict[int, tuple[int, int]] = {}  # node -> (first chunk, link number)
    for (name, node), (first, count) in zip(order, places, strict=True):
        link, size, kind = 0, 0, stat.S_IFMT(node.mode)
        if kind == stat.S_IFLNK:
            first, count, size = strings.offset(node.target), len(node.target), len(node.target)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            first = node.rdev[0] << 20 | node.rdev[1]
        elif kind == stat.S_IFREG:
            size, count = node.size, len(node.chunks)
            if id(node) in shared:
                first, link = shared[id(node)]
            else:
                first = chunk_count if count else 0
                for sha, length in node.chunks:
                    chunk_table += CHUNK.pack(bytes.fromhex(sha), length, 0)
                chunk_count += count
                if uses[id(node)] > 1:
                    link = 1 + sum(1 for _, known in shared.values() if known)
                    shared[id(node)] = (first, link)
        entry_table += ENTRY.pack(
            strings.offset(name), len(name), node.mode, node.uid, node.gid,
            size, node.mtime, first, count, link, 0,
        )  # fmt: skip

    entries_off = HEADER.size
    chunks_off = _align(entries_off + len(entry_table))
    strings_off = _align(chunks_off + len(chunk_table))
    out = bytearray(strings_off)
    HEADER.pack_into(
        out, 0, MAGIC, VERSION, len(order), chunk_count, len(strings.data), CHUNK_SIZE,
        entries_off, chunks_off, strings_off,
    )  # fmt: skip
    out[entries_off : entries_off + len(entry_table)] = entry_table
    out[chunks_off : chunks_off + len(chunk_table)] = chunk_table
    return bytes(out + strings.data)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ImageError(f"the image index is damaged: {what}")


def read_index(data: bytes) -> Index:
    """Parse and check an index."""
    _require(len(data) >= HEADER.size, "it is shorter than its header")
    (magic, version, entries, chunks, strings, chunk_size, entries_off, chunks_off, strings_off) = (
        HEADER.unpack_from(data)
    )
    _require(magic == MAGIC, "it has no EBBI mark")
    _require(version == VERSION, f"version {version} is unknown here")
    _require(chunk_size == CHUNK_SIZE, f"chunks of {chunk_size} bytes")
    _require(entries > 0, "it has no root")
    for offset, length in (
        (entries_off, entries * ENTRY.size),
        (chunks_off, chunks * CHUNK.size),
        (strings_off, strings),
    ):
        _require(offset % 8 == 0 and offset + length <= len(data), "a table leaves the file")
    table = [
        Chunk(sha.hex(), size)
        for sha, size, _ in CHUNK.iter_unpack(data[chunks_off : chunks_off + chunks * CHUNK.size])
    ]

    def text(offset: int, length: int) -> bytes:
        _require(offset + length <= strings, "a string leaves its table")
        return data[strings_off + offset : strings_off + offset + length]

    rows: list[Entry] = []
    packed = data[entries_off : entries_off + entries * ENTRY.size]
    for name_off, name_len, mode, uid, gid, size, mtime, first, count, link, _ in ENTRY.iter_unpack(
        packed
    ):
        kind, target = stat.S_IFMT(mode), b""
        if kind == stat.S_IFDIR:
            # Children lie behind their parent: that also rules out loops.
            _require(not count or len(rows) < first <= entries - count, "a directory is torn")
        elif kind == stat.S_IFLNK:
            target = text(first, count)
        elif kind == stat.S_IFREG:
            _require(count == -(-size // CHUNK_SIZE), "a file has a wrong number of chunks")
            _require(first + count <= chunks, "a file's chunks leave their table")
        rows.append(
            Entry(text(name_off, name_len), mode, uid, gid, size, mtime, first, count, link, target)
        )
    _require(stat.S_ISDIR(rows[0].mode), "its root is not a directory")
    return Index(rows, table)
