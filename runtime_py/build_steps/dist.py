"""The site as static files in build/dist, for any server and any path: nothing in it is absolute.

A file that others name carries the hash of its content in its name, so caches may keep it for
ever; what a person or a page of theirs names (index.html, bench.html, ebbtide.js, ...) keeps its name.
Brotli twins (.br) are for servers that send those.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebbtide.assets import images_folder
from ebbtide.image.index import read_index

from . import lockfile, notices, site
from .common import (
    BUILD,
    CACHE,
    ME,
    ROOT,
    VENV_PYTHON,
    Failure,
    digest,
    done,
    files,
    fresh,
    run,
    stamp,
    write,
)

DIST = BUILD / "dist"
EXAMPLES = ROOT / "web" / "examples"
# Named from outside: by people, by pages that embed, by the browser's update of a service worker.
STABLE = ("index.html", "bench.html", "ebbtide.js", "isolate.js", "service_worker.js")
LEAVE_OUT = (".map", ".br")
STOCK = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
)
# Version, and SHA-256 of the wheel on PyPI.
MICROPIP = ("0.11.1", "768de165adb8e66906039d8fec4127a57f522dfdf8e6fbff877a4616941ecfd3")
TEXT = (".js", ".css", ".html", ".json")


def dist(images: Sequence[str]) -> None:
    """Write the site anew; only images, which name themselves by content, are kept."""
    start = time.monotonic()
    manifests = [images_folder() / name / "manifest.json" for name in images]
    made_from = [files(folder, "*") for folder in (site.WEB, site.RUNTIME / "ebbtide", EXAMPLES)]
    inputs = digest(
        *made_from, manifests, notices.inputs(), Path(__file__), ROOT / "pyproject.toml"
    )
    if fresh("dist", inputs, DIST / "index.html"):
        return
    for path in DIST.glob("*"):
        if path.name != "images":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _hashed()
    shutil.copytree(site.PYODIDE, DIST / "pyodide")
    shutil.copytree(site.WEB / "types", DIST / "types")
    if site.BENCH.is_dir():
        shutil.copytree(site.BENCH, DIST / "bench")
    if EXAMPLES.is_dir():
        shutil.copytree(EXAMPLES, DIST / "examples")
    wheel = site.thin_wheel(DIST)
    lockfile.add(wheel, _stock())
    notices.put(DIST, notices.SITE)
    for name in images:
        _image(name)
    stamp("dist", inputs)
    done("dist", "build/dist is ready for any server", start, DIST)


def _stock() -> Path:
    """Copy Pyodide as it is published, with micropip beside it, for Python pages; gives its lock."""
    source, target = ROOT / "sdk" / "node_modules" / "pyodide", DIST / "stock"
    version, sha = MICROPIP
    lock = json.loads((source / "pyodide-lock.json").read_bytes())
    entry = lock["packages"]["micropip"]
    if entry["version"] != version:
        raise Failure(f"this Pyodide wants micropip {entry['version']}", "set MICROPIP in dist.py")
    wheel = CACHE / "wheels" / str(entry["file_name"])
    if not wheel.is_file():
        command: list[str | Path] = [
            VENV_PYTHON,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ]
        command += ["--no-deps", "--only-binary=:all:", "--python-version", "3.14"]
        command += ["--dest", wheel.parent, f"micropip=={version}"]
        run(command, mend=f"{ME} dist   (when PyPI, or pip's index, can be reached)")
    data = wheel.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha:
        wheel.unlink()
        raise Failure(f"{wheel.name} does not have the bytes it should have", f"{ME} dist")
    entry["sha256"] = sha  # the lock's is of a build of Pyodide's own
    write(target / wheel.name, data)
    write(target / "pyodide-lock.json", json.dumps(lock))
    for name in STOCK:
        shutil.copy(source / name, target / name)
    return target / "pyodide-lock.json"


def _hashed() -> None:
    """Copy the files of build/web, each renamed after those it names."""
    sources = {
        path.name: path.read_bytes()
        for path in sorted(site.WEB.iterdir())
        if path.is_file() and path.suffix not in LEAVE_OUT
    }
    names: dict[str, str] = {}
    while len(names) < len(sources):
        before = len(names)
        for name, data in sources.items():
            wanted = _named(name, data, sources) - names.keys()
            if name not in names and not wanted - {name}:
                names[name] = _write(name, _renamed(data, names) if _text(name) else data)
        if len(names) == before:
            left = ", ".join(sorted(sources.keys() - names.keys()))
            raise AssertionError(f"these files name each other in a circle: {left}")


def _text(name: str) -> bool:
    return Path(name).suffix in TEXT


def _named(name: str, data: bytes, sources: dict[str, bytes]) -> set[str]:
    """Give the names of files that a text file mentions."""
    if not _text(name):
        return set()
    return {found.decode() for _, found in _QUOTED.findall(data)} & sources.keys()


_QUOTED = re.compile(rb"""(["'`](?:\./)?)([\w.-]+\.[a-z]+)(?=["'`])""")


def _renamed(data: bytes, names: dict[str, str]) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        return match[1] + names.get(match[2].decode(), match[2].decode()).encode()

    data = _QUOTED.sub(replace, data)
    return re.sub(rb"\n?//# sourceMappingURL=\S+\n?", b"", data)


def _write(name: str, data: bytes) -> str:
    """Write a file, with a hash in its name unless the name is known outside."""
    stem, ending = name.split(".")[0], name.split(".")[-1]
    hash = hashlib.sha256(data).hexdigest()[:16]
    target = DIST / (name if name in STABLE else f"{stem}.{hash}.{ending}")
    write(target, data)
    twin = site.WEB / f"{name}.br"
    if twin.is_file() and (site.WEB / name).read_bytes() == data:
        shutil.copy(twin, f"{target}.br")
    else:
        site.compress([target])
    return target.name


def _image(name: str) -> None:
    """Copy an image: its manifest and the blobs it names, the large ones with twins."""
    source, target = images_folder(), DIST / "images"
    text = (source / name / "manifest.json").read_bytes()
    blobs = _blobs(json.loads(text), source)
    new = []
    for hash in blobs:
        path = target / "blobs" / hash[:2] / hash
        if not path.with_name(path.name + ".br").is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / "blobs" / hash[:2] / hash, path)
            new.append(path)
    site.compress(new, quality=7)
    write(target / name / "manifest.json", text)
    site.compress([target / name / "manifest.json"])


def _blobs(manifest: dict[str, Any], source: Path) -> list[str]:
    """Give the hashes of an image's index, packs, and the chunks that are in no pack."""
    index = manifest["index"]
    chunks = read_index((source / "blobs" / index[:2] / index).read_bytes()).chunks
    packed = {number for pack in manifest["packs"] for number in pack["chunks"]}
    loose = {chunk.sha256 for number, chunk in enumerate(chunks) if number not in packed}
    return [index, *(pack["blob"] for pack in manifest["packs"]), *sorted(loose)]
