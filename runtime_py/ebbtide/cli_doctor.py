"""`ebb doctor`: what this installation consists of, and what is wrong with it.

Everything is found out anew, nothing is changed; a problem is one sentence with its cure.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

from . import assets
from .cli_output import trouble

DISK_LEAST = 500_000_000


def run(options: argparse.Namespace) -> int:
    """Print the findings; 1 if something is wrong."""
    problems: list[str] = []
    found: dict[str, Any] = {
        "versions": _versions(),
        "features": _features(problems),
        "kernel": _kernel(problems),
        "page": _page(problems),
        "mirror": _mirror(),
        "folders": _folders(problems),
        "runs": _runs(problems),
        "images": _images(problems),
        "problems": problems,
    }
    if options.output == "json":
        print(json.dumps(found, indent=1))
    else:
        _print(found)
    return 1 if problems else 0


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "system": platform.platform()}
    for name in ("ebbtide", "wasmtime"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _features(problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"processors": os.cpu_count()}
    try:
        from .wasmtime_kernel import REQUIRED, engine_features

        found |= engine_features()
    except Exception as error:  # whatever it is, the user must hear of it
        problems.append(f"the engine does not start: {error}; reinstall wasmtime 50")
        return found
    lacking = [name for name in REQUIRED if not found[name]]
    problems += [f"the engine has no {name}; reinstall wasmtime 50" for name in lacking]
    return found


def _kernel(problems: list[str]) -> dict[str, Any]:
    path = Path(os.environ.get("EBB_KERNEL") or assets.kernel_wasm())
    if not path.is_file():
        problems.append(f"there is no kernel at {path}; build it with: python3 build.py kernel")
        return {"path": str(path), "sha256": None, "runs": False}
    found = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    try:
        from .wasmtime_kernel import KernelModule

        KernelModule(path)
    except Exception as error:  # whatever it is, the user must hear of it
        problems.append(f"the kernel does not load: {error}; reinstall wasmtime 50")
        return {**found, "runs": False}
    return {**found, "runs": True}


def _page(problems: list[str]) -> dict[str, Any]:
    folder = assets.web_folder()
    there = (folder / "index.html").is_file()
    if not there:
        problems.append(f"there is no page in {folder}; build it with: python3 build.py web")
    return {"path": str(folder), "there": there}


def _mirror() -> dict[str, Any]:
    """Say which mirrors would be tried; none is asked."""
    from .image.fetch import without_secret
    from .image.mirror import apt_uris

    named = os.environ.get("EBB_MIRROR")
    return {
        "from": "EBB_MIRROR" if named else "the host's apt sources",
        "urls": [without_secret(url) for url in ([named] if named else apt_uris())],
    }


def _folders(problems: list[str]) -> list[dict[str, Any]]:
    rows = []
    places = assets.cache_folder(), assets.images_folder(), assets.runs_folder()
    for use, folder in zip(("cache", "images", "runs"), places, strict=True):
        place = folder
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        writable = os.access(place, os.W_OK)
        own = f"EBB_{use.upper()}"  # counts before EBB_HOME
        name = own if os.environ.get(own) else "EBB_HOME"
        if not writable:
            problems.append(f"{folder} cannot be written; set {name} to a folder that can")
        if free < DISK_LEAST:
            problems.append(f"{folder} has {free / 1e6:.0f} MB left; set {name} to another disk")
        rows.append({"use": use, "path": str(folder), "free": free, "writable": writable})
    return rows


def _runs(problems: list[str]) -> dict[str, Any]:
    """Count recorded runs and what they take; the store is not made for it."""
    folder = assets.runs_folder()
    found = {"path": str(folder), "count": 0, "bytes": 0}
    if (folder / "runs.db").is_file():
        from .rewind.store import RunStore

        try:
            with contextlib.closing(RunStore(folder)) as store:
                found |= {"count": len(store.rows()), "bytes": store.size()}
        except (OSError, sqlite3.Error) as error:
            problems.append(f"the runs in {folder} cannot be read: {trouble(error)}")
    return found


def _images(problems: list[str]) -> list[dict[str, Any]]:
    from .image.__main__ import listing

    rows = listing(assets.images_folder())
    if not any(row["built"] for row in rows):
        problems.append("no image is built; build one with: ebb image build base")
    return rows


def _print(found: dict[str, Any]) -> None:
    for name, version in found["versions"].items():
        print(f"{name:10} {version}")
    features = {name: value for name, value in found["features"].items() if name != "processors"}
    print(f"{'processors':10} {found['features']['processors']}")
    print(f"{'features':10} {', '.join(name for name, there in features.items() if there)}")
    if lacking := [name for name, there in features.items() if not there]:
        print(f"{'lacking':10} {', '.join(lacking)}")
    kernel, page = found["kernel"], found["page"]
    print(f"{'kernel':10} {kernel['path']} {(kernel['sha256'] or 'missing')[:16]}")
    print(f"{'page':10} {page['path']}{'' if page['there'] else ' (missing)'}")
    mirror = found["mirror"]
    print(f"{'mirror':10} {' '.join(mirror['urls']) or 'none'} (from {mirror['from']})")
    runs = found["runs"]
    count = f"{runs['count']} run{'s' * (runs['count'] != 1)}"
    taken = {"runs": f"{count}, {runs['bytes'] / 1e6:.1f} MB; "}
    for row in found["folders"]:
        free = f"{row['free'] / 1e9:.1f} GB free"
        print(f"{row['use']:10} {row['path']} ({taken.get(row['use'], '')}{free})")
    for row in found["images"]:
        print(f"{'image':10} {row['name']} {row['id'][:16] if row['built'] else 'not built'}")
    for problem in found["problems"]:
        print(f"problem: {problem}", file=sys.stderr)
    if not found["problems"]:
        print("Nothing is wrong.")
