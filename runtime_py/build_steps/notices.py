"""NOTICES.txt: the licences of what others wrote and we ship; LICENSE and NOTICE go with it.

One table says what is in which of our products. A text comes from the package's own licence file
where it has one, else from licenses/. A test compares the table with what the bundler took.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .common import CACHE, ROOT, VENV, write

PACKAGES = ROOT / "sdk" / "node_modules"
TEXTS = ROOT / "licenses"
OURS = ("LICENSE", "NOTICE")
NOTICES = "NOTICES.txt"

SITE, WHEEL, NPM, THIN = "site", "wheel", "npm", "thin wheel"
RUNS = (SITE, WHEEL, NPM)
HEAD = """\
Software of others in this package. Ebb itself is under the Apache License 2.0, see LICENSE.
"""
NOTHING = """\
There is no software of others in this package.
"""


@dataclass(frozen=True)
class Part:
    """Something of others: what of it is shipped, and where its licence is to be read."""

    name: str
    version: Callable[[], str]
    what: str
    license: str
    texts: Callable[[], Sequence[str]]
    products: tuple[str, ...] = RUNS


def _text(path: Path) -> str:
    return path.read_text("utf-8").strip("\n")


def _of(path: str | Path) -> Callable[[], Sequence[str]]:
    return lambda: [_text(ROOT / path)]


def _npm_version(name: str) -> Callable[[], str]:
    return lambda: str(json.loads((PACKAGES / name / "package.json").read_bytes())["version"])


def _python_version() -> str:
    lock = json.loads((PACKAGES / "pyodide" / "pyodide-lock.json").read_bytes())
    return str(lock["info"]["python"])


def _zig(path: str) -> Callable[[], Sequence[str]]:
    return lambda: [_text(next(VENV.glob("lib/python3*/site-packages/ziglang")) / path)]


def _micropip() -> Sequence[str]:
    """The licences in micropip's wheel: its own and those of what it brings along."""
    (wheel,) = (CACHE / "wheels").glob(f"micropip-{_micropip_version()}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "LICENSE" in name.rsplit("/", 1)[-1]]
        return [f"{name}:\n\n{archive.read(name).decode().strip()}" for name in sorted(names)]


def _micropip_version() -> str:
    from .dist import MICROPIP

    return MICROPIP[0]


def _terminal() -> Sequence[str]:
    return sorted({_text(path) for path in PACKAGES.glob("@xterm/*/LICENSE")})


def _none() -> str:
    return ""


TABLE = (
    Part(
        "Pyodide",
        _npm_version("pyodide"),
        "pyodide/, stock/: Python for browsers; in pyodide/ its standard library is byte code. "
        "Source: https://github.com/pyodide/pyodide",
        "MPL-2.0",
        _of("licenses/MPL-2.0.txt"),
    ),
    Part(
        "Python",
        _python_version,
        "inside Pyodide: the interpreter and its standard library",
        "PSF-2.0",
        _of("licenses/Python.txt"),
    ),
    Part(
        "Libraries inside Pyodide",
        _none,
        "Emscripten, HACL*, Expat, libffi, zlib, bzip2, liblzma, libmpdec, SQLite and others",
        "MIT, Zlib, BSD",
        _of("licenses/Pyodide-parts.txt"),
    ),
    Part(
        "musl",
        _none,
        "inside Pyodide, and in the programs of bench/: the C library",
        "MIT",
        _zig("lib/libc/musl/COPYRIGHT"),
    ),
    Part(
        "LLVM",
        _none,
        "inside Pyodide: compiler-rt, libc++abi",
        "Apache-2.0 WITH LLVM-exception",
        _zig("lib/libcxxabi/LICENSE.TXT"),
    ),
    Part(
        "Zig",
        _none,
        "kernel.wasm: the compiler's run-time functions",
        "MIT",
        _zig("LICENSE"),
    ),
    Part(
        "xterm.js",
        _npm_version("@xterm/xterm"),
        "the terminal and its add-ons, bundled; within it parts of Visual Studio Code, "
        "Copyright (c) Microsoft Corporation, under the same licence",
        "MIT",
        _terminal,
    ),
    Part(
        "micropip",
        _micropip_version,
        "stock/: a wheel for Python pages. Source: https://github.com/pyodide/micropip",
        "MPL-2.0",
        _micropip,
        (SITE,),
    ),
    Part(
        "Debian packages",
        _none,
        "images/: each image's manifest.json names its packages, with the source package and version "
        "that Debian keeps for each",
        "various",
        lambda: ["The licence of a package is in the image at /usr/share/doc/PACKAGE/copyright."],
        (SITE,),
    ),
)


def notices(product: str) -> str:
    """The text for one product: a list of what is in it, then each licence."""
    parts = [part for part in TABLE if product in part.products]
    if not parts:
        return NOTHING
    rule = "=" * 100
    lines = [HEAD]
    for part in parts:
        lines.append(f"* {' '.join(filter(None, (part.name, part.version())))} ({part.license})")
        lines.append(f"  {part.what}")
    for part in parts:
        lines += ["", rule, part.name, rule, "", "\n\n".join(part.texts())]
    return "\n".join(lines) + "\n"


def put(folder: Path, product: str) -> None:
    """Put our licence and the notices into a product's folder."""
    for name in OURS:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    write(folder / NOTICES, notices(product).encode())


def inputs() -> list[Path]:
    """Give the files of our own that the notices are made from."""
    return [*sorted(TEXTS.iterdir()), *(ROOT / name for name in OURS), Path(__file__)]
