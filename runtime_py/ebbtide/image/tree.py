"""A root file system being put together in memory: what lies where, contents by chunk.

Rule: a path is resolved as the guest would resolve it (symbolic links inside the tree are
followed for all but the last part), so a file of a package that says /lib lands in /usr/lib.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from .errors import ImageError
from .index import CHUNK_SIZE
from .store import BlobStore


@dataclass(slots=True, eq=False)
class Node:
    """One inode; hard links are several names of one node."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    chunks: list[tuple[str, int]] = field(default_factory=list)
    target: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    children: dict[bytes, Node] = field(default_factory=dict)


class Tree:
    """The files of one image; owns its nodes and writes their contents to a blob store."""

    def __init__(self, store: BlobStore, mtime: int = 0) -> None:
        self.store = store
        self.mtime = mtime
        self.root = Node(stat.S_IFDIR | 0o755, mtime=mtime)

    # -- looking up

    def find(self, path: str, follow: bool = True) -> Node | None:
        """Return the node at a path, or None."""
        try:
            return self._walk(path, follow, make=False)
        except KeyError:
            return None

    def resolve(self, path: str) -> str | None:
        """Return the real absolute path of a path, links followed, or None if it leads nowhere."""
        trail: list[bytes] = []
        try:
            self._walk(path, follow=True, make=False, trail=trail)
        except KeyError:
            return None
        return "/" + b"/".join(trail).decode("utf-8", "surrogateescape")

    def _walk(self, path: str, follow: bool, make: bool, trail: list[bytes] | None = None) -> Node:
        parts = [p for p in _encode(path).split(b"/") if p and p != b"."]
        stack: list[tuple[bytes, Node]] = []
        parts.reverse()
        links = 0
        node = self.root
        while parts:
            part = parts.pop()
            if part == b"..":
                if stack:
                    stack.pop()
                node = stack[-1][1] if stack else self.root
                continue
            child = node.children.get(part)
            if child is None:
                if not make or not stat.S_ISDIR(node.mode):
                    raise KeyError(path)
                child = node.children[part] = Node(stat.S_IFDIR | 0o755, mtime=self.mtime)
            if stat.S_ISLNK(child.mode) and (parts or follow):
                links += 1
                if links > 40:
                    raise KeyError(path)
                if child.target.startswith(b"/"):
                    stack, node = [], self.root
                parts.extend(p for p in reversed(child.target.split(b"/")) if p and p != b".")
                continue
            stack.append((part, child))
            node = child
        if trail is not None:
            trail.extend(name for name, _ in stack)
        return node

    def read(self, path: str) -> bytes:
        """Return the contents of a regular file, links followed; b'' if there is none."""
        node = self.find(path)
        if node is None or not stat.S_ISREG(node.mode):
            return b""
        return b"".join(self.store.get(sha) for sha, _ in node.chunks)

    def walk(self, top: str = "/") -> Iterator[tuple[str, Node]]:
        """Yield every path below and including top with its node, in order."""
        start = self.find(top)
        if start is None:
            return
        stack = [("/" + top.strip("/"), start)]
        while stack:
            path, node = stack.pop()
            yield path, node
            prefix = path.rstrip("/") + "/"
            for name, child in sorted(node.children.items(), reverse=True):
                stack.append((prefix + name.decode("utf-8", "surrogateescape"), child))

    # -- changing

    def _parent(self, path: str) -> tuple[Node, bytes]:
        head, name = posixpath.split("/" + path.strip("/"))
        node = self._walk(head, follow=True, make=True)
        if not stat.S_ISDIR(node.mode):
            raise ImageError(f"{head} is not a directory, yet {path} lies in it")
        return node, _encode(name)

    def put(self, path: str, node: Node) -> Node:
        """Place a node at a path; an existing directory stays and keeps its children."""
        if not path.strip("/"):
            return self.root
        parent, name = self._parent(path)
        old = parent.children.get(name)
        if stat.S_ISDIR(node.mode) and old is not None:
            there = self.find(path)
            if there is not None and stat.S_ISDIR(there.mode):
                there.mtime = max(there.mtime, node.mtime)
                return there
        parent.children[name] = node
        return node

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Node:
        """Make a directory with its parents; an existing one takes the mode and owner."""
        node = self.put(path, Node(stat.S_IFDIR | mode, mtime=self.mtime))
        node.mode, node.uid, node.gid = stat.S_IFDIR | mode, uid, gid
        return node

    def write(
        self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0,
        mtime: int | None = None,
    ) -> Node:  # fmt: skip
        """Place a regular file."""
        node = Node(stat.S_IFREG | mode, uid, gid, self.mtime if mtime is None else mtime)
        node.size = len(data)
        for at in range(0, len(data), CHUNK_SIZE):
            piece = data[at : at + CHUNK_SIZE]
            node.chunks.append((self.store.put(piece), len(piece)))
        return self.put(path, node)

    def symlink(self, path: str, target: str, mtime: int | None = None) -> Node:
        """Place a symbolic link."""
        when = self.mtime if mtime is None else mtime
        return self.put(path, Node(stat.S_IFLNK | 0o777, mtime=when, target=_encode(target)))

    def remove(self, path: str) -> None:
        """Take a name out, with all below it; nothing happens if there is none."""
        parent, name = self._parent(path)
        parent.children.pop(name, None)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
