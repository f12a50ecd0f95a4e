"""Putting tar archives, packages and directories into a tree.

Rule: names, owners, modes and times come from the archive; what is left out is left out by the
table here and for every image alike.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from pathlib import Path

from .deb import KINDS, Deb
from .dpkgdb import Installed
from .errors import ImageError
from .index import CHUNK_SIZE
from .tree import Node, Tree

# Documentation and translations stay out of images made from packages; copyright files stay in.
LEFT_OUT = re.compile(
    r"/usr/share/(?:man|info|lintian|bug|doc-base|locale|menu|pixmaps|applications|icons|gdb|lintian)/."
    r"|/usr/share/doc/[^/]+/(?!copyright$)"
)


def unpack_tar(
    tree: Tree, tar: tarfile.TarFile, left_out: re.Pattern[str] | None = None
) -> list[str]:
    """Place every member of an archive; return the paths in order."""
    paths: list[str] = []
    for info in tar:
        path = "/" + info.name.removeprefix(".").strip("/")
        if left_out is not None and left_out.match(path):
            continue
        if info.islnk():
            target = tree.find("/" + info.linkname.removeprefix("."), follow=False)
            if target is None:
                raise ImageError(f"{path} is a hard link to {info.linkname}, which is not there")
            tree.put(path, target)
        elif info.type not in KINDS:
            raise ImageError(f"{path} is of a kind that tar type {info.type!r} does not make clear")
        else:
            node = Node(KINDS[info.type] | info.mode & 0o7777, info.uid, info.gid, int(info.mtime))
            file = tar.extractfile(info) if info.isreg() else None
            if file is not None:
                node.size = info.size
                while piece := file.read(CHUNK_SIZE):
                    node.chunks.append((tree.store.put(piece), len(piece)))
            elif info.issym():
                node.mode = stat.S_IFLNK | 0o777
                node.target = os.fsencode(info.linkname)
            elif info.ischr() or info.isblk():
                node.rdev = (info.devmajor, info.devminor)
            if path == "/":
                tree.root.mode, tree.root.mtime = node.mode, node.mtime
            else:
                tree.put(path, node)
        if path != "/":
            paths.append(path)
    return paths


def unpack_deb(tree: Tree, name: str, deb: Deb) -> Installed:
    """Place a package's files."""
    with deb.data as tar:
        return Installed(name, deb.control, unpack_tar(tree, tar, LEFT_OUT))


def unpack_directory(tree: Tree, top: Path) -> None:
    """Place a directory of the host; all becomes root's: the host's numbers mean nothing."""
    links: dict[tuple[int, int], Node] = {}
    for here, dirs, files in os.walk(top):
        dirs.sort()
        for name in sorted(dirs + files):
            source = Path(here, name)
            status = source.lstat()
            path = "/" + source.relative_to(top).as_posix()
            node = Node(status.st_mode, mtime=int(status.st_mtime))
            if stat.S_ISSOCK(status.st_mode):
                continue
            if stat.S_ISREG(status.st_mode):
                key = (status.st_dev, status.st_ino)
                if key in links:
                    tree.put(path, links[key])
                    continue
                if status.st_nlink > 1:
                    links[key] = node
                with source.open("rb") as file:
                    while piece := file.read(CHUNK_SIZE):
                        node.chunks.append((tree.store.put(piece), len(piece)))
                        node.size += len(piece)
            elif stat.S_ISLNK(status.st_mode):
                node.mode = stat.S_IFLNK | 0o777
                node.target = os.fsencode(os.readlink(source))
            elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                node.rdev = (os.major(status.st_rdev), os.minor(status.st_rdev))
            tree.put(path, node)
