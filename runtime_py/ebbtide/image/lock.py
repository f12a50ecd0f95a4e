"""Lists of packages and their locks: what an image is made of, to the byte.

Rule: an image is built from its lock alone. The lock was written after the archive's signature
was checked, and is committed; so its hashes are what is trusted from then on.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import ImageError
from .fetch import Cache, Progress, Wanted, no_progress
from .mirror import ARCH, SUITE, find_mirror
from .release import Archive, Package, Verifier, load_archive, verify_inrelease
from .resolve import closure

LISTS = Path(__file__).parent / "lists"
FORMAT = 1


@dataclass(frozen=True)
class PackageList:
    """What is asked for: package names, what is left out, paths fetched together, Python to compile."""

    name: str
    packages: list[str]
    leave_out: list[str] = field(default_factory=list)
    packs: dict[str, list[str]] = field(default_factory=dict)
    bytecode: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Locked:
    """One package of a lock."""

    name: str
    version: str
    sha256: str
    size: int
    filename: str
    source: str
    source_version: str

    @property
    def wanted(self) -> Wanted:
        """Return the file to fetch."""
        return Wanted(self.filename, self.sha256, self.size)


@dataclass(frozen=True)
class Lock:
    """A closure, and the archive state it was taken from."""

    name: str
    release: str
    date: int
    packages: list[Locked]
    arch: str = ARCH


def known_images(lists: Path = LISTS) -> list[str]:
    """Return the names of the images that have a list."""
    return sorted(path.stem for path in lists.glob("*.toml"))


def read_list(name: str, lists: Path = LISTS) -> PackageList:
    """Read a list with the lists it includes."""
    path = lists / f"{name}.toml"
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ImageError(
            f"there is no image {name!r}; known are {', '.join(known_images(lists))}"
        ) from None
    packages, packs = list(table["packages"]), dict(table.get("packs", {}))
    bytecode = list(table.get("bytecode", []))
    if "include" in table:
        below = read_list(table["include"], lists)
        packages, packs = below.packages + packages, below.packs | packs
        bytecode = below.bytecode + bytecode
    return PackageList(name, packages, list(table.get("leave_out", [])), packs, bytecode)


def list_with(name: str, packages: Sequence[str], lists: Path = LISTS) -> PackageList:
    """List packages and what `base` has: Debian's packages count on a shell and its tools without a word."""
    base = read_list("base", lists)
    leave_out = read_list("debian", lists).leave_out  # base lacks libraries that others may need
    return PackageList(name, [*base.packages, *packages], leave_out, base.packs)


def lock_packages(
    name: str, date: int, release: str, packages: Iterable[Package], arch: str = ARCH
) -> Lock:
    """Turn resolved packages into a lock."""
    rows = [
        Locked(p.name, p.version, p.sha256, p.size, p.filename, p.source, p.source_version)
        for p in packages
    ]
    return Lock(name, release, date, rows, arch)


def make_lock(
    wanted: PackageList, mirror: str | None = None, progress: Progress = no_progress,
    verify: Verifier = verify_inrelease, cache: Cache | None = None, arch: str = ARCH,
) -> Lock:  # fmt: skip
    """Resolve a list against the mirror's present state."""
    archive: Archive = load_archive(find_mirror(mirror), cache or Cache(), progress, verify, arch)
    chosen = closure(archive, wanted.packages, wanted.leave_out)
    return lock_packages(wanted.name, archive.date, archive.version, chosen, arch)


def write_lock(lock: Lock, path: Path) -> None:
    """Write a lock, one package a line, so that a renewal reads well as a diff."""
    rows = ",\n".join("  " + json.dumps(asdict(p)) for p in lock.packages)
    head = {
        "format": FORMAT, "name": lock.name, "suite": SUITE, "arch": lock.arch,
        "release": lock.release, "date": lock.date,
    }  # fmt: skip
    path.write_text(json.dumps(head)[:-1] + f', "packages": [\n{rows}\n]}}\n', "utf-8")


def read_lock(path: Path, arch: str = ARCH) -> Lock:
    """Read a lock."""
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ImageError(
            f"there is no lock {path}. Run: ebb image lock {path.stem.split('.')[0]}"
        ) from None
    if table.get("format") != FORMAT:
        raise ImageError(f"{path} has format {table.get('format')}, not {FORMAT}")
    if table["arch"] != arch:
        raise ImageError(f"{path} is a lock for {table['arch']}; only {arch} runs here")
    rows = [Locked(**row) for row in table["packages"]]
    return Lock(table["name"], table["release"], table["date"], rows, arch)


def lock_path(name: str, lists: Path = LISTS) -> Path:
    """Say where the lock of a known image lies."""
    return lists / f"{name}.lock.json"
