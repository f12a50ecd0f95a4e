"""The binary index: what is written is read back, and damage is named."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ebbtide.image.errors import ImageError
from ebbtide.image.index import CHUNK_SIZE, read_index, write_index
from ebbtide.image.store import BlobStore
from ebbtide.image.tree import Node, Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(BlobStore(tmp_path / "blobs"), mtime=7)
    tree.write("/b/file", b"hello", 0o640, uid=3, gid=4, mtime=-5)
    tree.write("/b/big", bytes(CHUNK_SIZE) + b"x")
    tree.write("/b/empty", b"")
    tree.symlink("/a", "b/file")
    tree.put("/b/same", tree.find("/b/big") or Node(0))
    tree.put("/b/null", Node(0o20666, rdev=(1, 3)))
    return tree


def test_walk_gives_every_path_in_order(tree: Tree) -> None:
    index = read_index(write_index(tree))
    assert [path for path, _ in index.walk()] == [
        "/", "/a", "/b", "/b/big", "/b/empty", "/b/file", "/b/null", "/b/same",
    ]  # fmt: skip


def test_metadata_survives(tree: Tree) -> None:
    index = read_index(write_index(tree))
    at = dict(index.walk())
    file = at["/b/file"]
    assert (file.mode, file.uid, file.gid, file.size, file.mtime) == (0o100640, 3, 4, 5, -5)
    assert at["/a"].target == b"b/file"
    assert at["/b/null"].first == 1 << 20 | 3
    assert at["/b/empty"].count == 0
    assert at["/b"].count == 5 and at["/b"].size == 0


def test_all_but_the_last_chunk_are_full(tree: Tree) -> None:
    index = read_index(write_index(tree))
    big = dict(index.walk())["/b/big"]
    assert [chunk.size for chunk in index.chunks_of(big)] == [CHUNK_SIZE, 1]


def test_hard_links_share_a_number_and_chunks(tree: Tree) -> None:
    at = dict(read_index(write_index(tree)).walk())
    assert at["/b/big"].link == at["/b/same"].link != 0
    assert at["/b/big"].first == at["/b/same"].first
    assert at["/b/file"].link == 0


def test_layout_is_as_documented(tree: Tree) -> None:
    data = write_index(tree)
    magic, version, entries, chunks, strings, size, *offsets = struct.unpack_from("<4s8I", data)
    assert (magic, version, entries, chunks, size) == (b"EBBI", 1, 8, 3, 262144)
    assert all(offset % 8 == 0 for offset in offsets)
    assert offsets[2] + strings == len(data)
    name_off, name_len, mode = struct.unpack_from("<IHH", data, offsets[0] + 48)
    assert data[offsets[2] + name_off :][:name_len] == b"a" and mode == 0o120777


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, b"XXXX"), (4, b"\2"), (8, b"\xff\xff"), (20, b"\1"), (24, b"\1"), (64 + 32, b"\0\0\0\0")],
)
def test_damage_is_an_image_error(tree: Tree, offset: int, value: bytes) -> None:
    data = bytearray(write_index(tree))
    data[offset : offset + len(value)] = value
    with pytest.raises(ImageError, match="index is damaged"):
        read_index(bytes(data))


def test_paths_follow_links_as_the_guest_would(tmp_path: Path) -> None:
    tree = Tree(BlobStore(tmp_path))
    tree.mkdir("/usr/lib")
    tree.symlink("/lib", "usr/lib")
    tree.write("/lib/x", b"1")
    tree.symlink("/loop", "loop")
    assert tree.read("/usr/lib/x") == b"1"
    assert tree.resolve("/lib/../lib/./x") == "/usr/lib/x"
    assert tree.find("/loop") is None
    assert tree.resolve("/lib/none") is None
