"""Debian's files for amd64 and riscv64 in folders of the host, for programs to run in natively and
under qemu.

Rule: the same list of packages as image `debian`, fetched, verified and unpacked by the code that
makes images. The riscv64 folder is that image itself. A closure that was resolved once is kept
beside the downloads, so a second run needs no network.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ebbtide.assets import images_folder
from ebbtide.image.build import extract, read_manifest, tree_of, write_files
from ebbtide.image.fetch import Cache, Progress, file_sha256, no_progress
from ebbtide.image.index import read_index, write_index
from ebbtide.image.lock import Lock, lock_path, make_lock, read_list, read_lock, write_lock
from ebbtide.image.store import BlobStore

IMAGE = "debian"
ARCH = "amd64"


def amd64_lock(progress: Progress, cache: Cache) -> Lock:
    """Return the twin's packages, resolved once for each lock of the image."""
    path = cache.root / "bench" / f"{ARCH}-{file_sha256(lock_path(IMAGE))[:16]}.lock.json"
    if path.exists():
        return read_lock(path, ARCH)
    lock = make_lock(read_list(IMAGE), None, progress, cache=cache, arch=ARCH)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lock(lock, path)
    return lock


def upstream(version: str) -> str:
    """Drop epoch and Debian's revision."""
    return version.rpartition(":")[2].rpartition("-")[0] or version


def different() -> set[str]:
    """Name the packages whose upstream version is not the same on both sides."""
    ours = {p.name: upstream(p.version) for p in read_lock(lock_path(IMAGE)).packages}
    theirs = {p.name: upstream(p.version) for p in amd64_lock(no_progress, Cache()).packages}
    return {name for name in ours if theirs.get(name) != ours[name]}


def amd64(folder: Path, progress: Progress) -> Path:
    """Make the amd64 folder if it is not there; what is in place is complete."""
    cache = Cache()
    lock = amd64_lock(progress, cache)
    return _made(folder, f"{ARCH}-{lock.date}", lambda to: _unpack(lock, to, progress, cache))


def riscv64(folder: Path) -> Path:
    """Make the riscv64 folder if it is not there."""
    index = read_manifest(images_folder(), IMAGE)["index"]
    return _made(folder, f"riscv64-{index[:16]}", lambda to: extract(images_folder(), IMAGE, to))


def _unpack(lock: Lock, to: Path, progress: Progress, cache: Cache) -> None:
    work = to.with_suffix(".blobs")
    try:
        tree = tree_of(lock, work, progress, None, cache)
        write_files(BlobStore(work / "blobs"), read_index(write_index(tree)), to)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _made(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    place = folder / name
    if not place.exists():
        draft = folder / f"{name}.part"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        make(draft)
        draft.rename(place)
    return place
