"""Building an image: fetch, unpack, settle, write index, packs and manifest.

Rule: the manifest is written last, so a name is there only when everything it points to is; the
index depends on the lock (or the archive given) and on this code, never on when or where it is
built.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import bytecode as _bytecode
from .deb import open_deb
from .errors import ImageError
from .fetch import Cache, Progress, file_sha256, need_disk, no_progress
from .index import CHUNK_SIZE, Index, read_index, write_index
from .lock import Lock, known_images, lock_path, read_list, read_lock
from .mirror import ARCH, find_mirror
from .settle import settle
from .store import BlobStore, locked
from .tree import Tree
from .unpack import unpack_deb, unpack_directory, unpack_tar

FORMAT = 1
BOOT = "boot"  # the pack that is fetched at start
FIRST = "base-files"  # brings /bin -> usr/bin and its like, so it is unpacked first
GROWTH = 6  # disk needed per byte of package, generously

Packs = dict[str, list[str]]


def manifest_path(out: Path, name: str) -> Path:
    """Say where the manifest of an image lies."""
    return out / name / "manifest.json"


@contextlib.contextmanager
def _building(out: Path, name: str) -> Iterator[None]:
    """Let no other process build the same image now, and none delete blobs of a tree half made."""
    with locked(out / "locks" / "blobs", shared=True), locked(out / "locks" / f"image-{name}"):
        yield


def build_image(
    source: str | Lock, out: Path, progress: Progress = no_progress, *,
    mirror: str | None = None, cache: Cache | None = None, packs: Packs | None = None,
    bytecode: Sequence[str] | None = None, compile: _bytecode.Compile | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Build a known image, or the one a lock describes, below out; return its manifest."""
    with _building(out, source if isinstance(source, str) else source.name):
        return _build_image(
            source, out, progress, mirror=mirror, cache=cache, packs=packs, bytecode=bytecode,
            compile=compile,
        )  # fmt: skip


def _build_image(
    source: str | Lock, out: Path, progress: Progress = no_progress, *,
    mirror: str | None = None, cache: Cache | None = None, packs: Packs | None = None,
    bytecode: Sequence[str] | None = None, compile: _bytecode.Compile | None = None,
) -> dict[str, Any]:  # fmt: skip
    more: dict[str, Any] = {}
    if isinstance(source, str):
        wanted = read_list(source)
        more["recipe"] = recipe(source)
        lock = read_lock(lock_path(source))
        packs = wanted.packs if packs is None else packs
        bytecode = wanted.bytecode if bytecode is None else bytecode
    else:
        lock = source
    cache = cache or Cache()
    tree = tree_of(lock, out, progress, mirror, cache)
    packages = [
        {
            "name": p.name,
            "version": p.version,
            "source": p.source,
            "source_version": p.source_version,
        }
        for p in lock.packages
    ]
    compiled: dict[str, str] = {}
    if bytecode:
        compiled = _bytecode.add_bytecode(
            tree, lock.name, bytecode, out, lambda draft: finish(tree, draft, out, [], {}, {}),
            cache.root, progress, compile,
        )  # fmt: skip
        more["bytecode"] = len(compiled)
    more["release"] = lock.release
    return finish(tree, lock.name, out, packages, packs or {}, more, compiled)


def tree_of(lock: Lock, out: Path, progress: Progress, mirror: str | None, cache: Cache) -> Tree:
    """Fetch and unpack the packages of a lock, and settle them."""
    files = [package.wanted for package in lock.packages]
    size = sum(file.size for file in files)
    need_disk(out, size * GROWTH)
    if not all(cache.has(file) for file in files):
        gone = f"The lock of {lock.name} is older than the mirror. Run: ebb image lock {lock.name}"
        cache.fetch_all(find_mirror(mirror).url, files, progress, gone, f"{lock.name}: download")
    tree = Tree(BlobStore(out / "blobs"), lock.date)
    installed = []
    done = 0
    for package in sorted(lock.packages, key=lambda p: (p.name != FIRST, p.name)):
        deb = open_deb(cache.get(package.wanted))
        arch = _field(deb.fields, "Architecture")
        if arch not in (lock.arch, "all"):
            raise ImageError(f"{package.filename} is for {arch}; only {lock.arch} runs here")
        installed.append(unpack_deb(tree, package.name, deb))
        done += package.size
        progress(f"{lock.name}: unpack", done, size)
    installed.sort(key=lambda package: package.name)
    settle(tree, installed)
    return tree


def recipe(name: str) -> str:
    """Return a hash of all that a known image is made by: its lock, its lists and this code."""
    here = Path(__file__).parent
    files = [
        *here.glob("*.py"),
        *(here / "skel").rglob("*"),
        *here.glob("lists/*.toml"),
        lock_path(name),
    ]
    total = hashlib.sha256()
    for path in sorted(files):
        if path.is_file():
            total.update(f"{path.name} {file_sha256(path)}\n".encode())
    return total.hexdigest()


def ensure_image(name: str, out: Path, progress: Progress = no_progress) -> dict[str, Any]:
    """Return an image's manifest; a known image that is not built, or built otherwise, is built."""
    if name not in known_images():
        return read_manifest(out, name)
    manifest = _current(name, out)
    if manifest:
        return manifest
    with _building(out, name):  # which may have waited for one who built it
        return _current(name, out) or _build_image(name, out, progress)


def _current(name: str, out: Path) -> dict[str, Any] | None:
    if not manifest_path(out, name).exists():
        return None
    manifest = read_manifest(out, name)
    lacks = manifest.get("bytecode") == 0 and _bytecode.at_hand()
    return None if lacks or manifest.get("recipe") != recipe(name) else manifest


def build_from(path: Path, name: str, out: Path, packs: Packs | None = None) -> dict[str, Any]:
    """Build an image from a directory or a tar archive."""
    with _building(out, name):
        return _build_from(path, name, out, packs)


def _build_from(path: Path, name: str, out: Path, packs: Packs | None) -> dict[str, Any]:
    tree = Tree(BlobStore(out / "blobs"))
    if path.is_dir():
        unpack_directory(tree, path)
    else:
        try:
            with tarfile.open(path) as tar:
                unpack_tar(tree, tar)
        except FileNotFoundError:
            raise ImageError(f"there is no {path}") from None
        except tarfile.TarError as error:
            raise ImageError(f"{path} is neither a directory nor a tar archive: {error}") from None
    return finish(tree, name, out, [], packs or {}, {})


def finish(
    tree: Tree, name: str, out: Path, packages: list[dict[str, str]], packs: Packs,
    more: dict[str, Any], compiled: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write index, packs and manifest of a tree."""
    data = write_index(tree)
    index = read_index(data)
    sha = tree.store.put(data)
    regular = [e for _, e in index.walk() if stat.S_ISREG(e.mode)]
    manifest: dict[str, Any] = {
        "format": FORMAT, "name": name, "arch": ARCH, **more,
        "index": sha, "index_size": len(data), "chunk_size": CHUNK_SIZE,
        "files": len(index.entries), "bytes": sum(e.size for e in regular),
        "packages": packages, "boot": [BOOT] if BOOT in packs else [],
        "packs": [write_pack(tree, index, *pack, compiled or {}) for pack in packs.items()],
    }  # fmt: skip
    path = manifest_path(out, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    draft.replace(path)
    return manifest


def write_pack(
    tree: Tree, index: Index, name: str, paths: list[str], compiled: Mapping[str, str]
) -> dict[str, Any]:
    """Store the chunks of some files (paths or glob patterns) as one blob, each chunk once.

    A source that was compiled stands for its byte code, which is read instead.
    """
    at = dict(index.walk())
    numbers: dict[str, int] = {}
    for pattern in paths:
        real = tree.resolve(pattern)
        found = [real] if real else fnmatch.filter(at, pattern)
        if not found:
            raise ImageError(f"pack {name} names {pattern}, which is not in the image")
        for path in found:
            entry = at[compiled.get(path, path)]
            if stat.S_ISREG(entry.mode):
                for number in range(entry.first, entry.first + entry.count):
                    numbers.setdefault(index.chunks[number].sha256, number)
    blob = b"".join(tree.store.get(sha) for sha in numbers)
    chunks = list(numbers.values())
    return {"name": name, "blob": tree.store.put(blob), "size": len(blob), "chunks": chunks}


def check_image(out: Path, name: str, progress: Progress = no_progress) -> int:
    """Read every blob of a built image; raise naming the first that is missing or corrupt."""
    manifest = read_manifest(out, name)
    store = BlobStore(out / "blobs")
    index = read_index(store.get(manifest["index"]))
    names = dict.fromkeys([c.sha256 for c in index.chunks] + [p["blob"] for p in manifest["packs"]])
    for count, sha in enumerate(names, 1):
        store.get(sha)
        progress(f"{name}: check", count, len(names))
    return len(names)


def read_manifest(out: Path, name: str) -> dict[str, Any]:
    """Read a built image's manifest."""
    path = manifest_path(out, name)
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ImageError(
            f"image {name} is not built ({path}). Run: ebb image build {name}"
        ) from None
    except ValueError:
        raise ImageError(f"{path} is damaged. Run: ebb image build {name}") from None
    if manifest.get("arch") != ARCH:
        raise ImageError(f"image {name} is for {manifest.get('arch')}; only {ARCH} runs here")
    if manifest.get("format") != FORMAT:
        raise ImageError(f"image {name} has format {manifest.get('format')}, not {FORMAT}")
    return manifest


def prune(out: Path) -> tuple[int, int]:
    """Delete the blobs that no built image needs; return how many and their bytes."""
    with locked(out / "locks" / "blobs"):
        return _prune(out)


def _prune(out: Path) -> tuple[int, int]:
    store = BlobStore(out / "blobs")
    needed: set[str] = set()
    for path in out.glob("*/manifest.json"):
        manifest = read_manifest(out, path.parent.name)
        needed.add(manifest["index"])
        needed.update(pack["blob"] for pack in manifest["packs"])
        needed.update(chunk.sha256 for chunk in read_index(store.get(manifest["index"])).chunks)
    gone = [path for path in (out / "blobs").glob("*/*") if path.name not in needed]
    size = sum(path.stat().st_size for path in gone)
    for path in gone:
        path.unlink()
    return len(gone), size


def open_index(out: Path, name: str) -> Index:
    """Read a built image's index."""
    return read_index(BlobStore(out / "blobs").get(read_manifest(out, name)["index"]))


def extract(out: Path, name: str, to: Path) -> None:
    """Write an image's files to a directory of the host, without owners, devices and times."""
    write_files(BlobStore(out / "blobs"), open_index(out, name), to)


def write_files(store: BlobStore, index: Index, to: Path) -> None:
    """Write the files of an index to a directory."""
    links: dict[int, Path] = {}
    for path, entry in index.walk():
        place = to / path.lstrip("/")
        if stat.S_ISDIR(entry.mode):
            place.mkdir(parents=True, exist_ok=True)
        elif stat.S_ISLNK(entry.mode):
            place.unlink(missing_ok=True)
            place.symlink_to(entry.target.decode("utf-8", "surrogateescape"))
        elif stat.S_ISREG(entry.mode):
            place.unlink(missing_ok=True)
            if entry.link in links:
                place.hardlink_to(links[entry.link])
                continue
            with place.open("wb") as file:
                for chunk in index.chunks_of(entry):
                    file.write(store.get(chunk.sha256))
            place.chmod(entry.mode & 0o777 | 0o200)
            if entry.link:
                links[entry.link] = place


def _field(stanza: bytes, name: str) -> str:
    for line in stanza.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return ""
