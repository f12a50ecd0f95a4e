"""Byte code for an image's Python files, made by the image's own Python in a machine.

Rule: what is compiled stands in the list (`bytecode`), and the same files give the same bytes: the
work is dealt to the same number of processes on every host, each in one order, hashing is fixed,
and no time gets into a file (PEP 552, "unchecked": an image's sources do not change). Nothing of
this is needed to boot, so an image built where no kernel is at hand goes without.
"""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import logging
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import ImageError
from .fetch import Progress
from .index import write_index
from .tree import Tree

PYTHON = "/usr/bin/python3"
PROCESSES = 2  # not the number of cores: what a process did before can show in its output
MEMORY = 512 << 20
NOT = "!"  # begins a pattern whose files are left out

# What the guest runs: out come lines of source, place and size, and after each line that many bytes.
GUEST = """
import importlib.util, marshal, sys
out = sys.stdout.buffer
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = marshal.dumps(compile(source, path, "exec", dont_inherit=True))
        head = importlib.util.MAGIC_NUMBER + b"\\1\\0\\0\\0" + importlib.util.source_hash(source)
        data = head + code
    except (SyntaxError, ValueError):
        data = b""
    out.write(f"{path}\\t{importlib.util.cache_from_source(path)}\\t{len(data)}\\n".encode() + data)
    out.flush()
"""
COMMAND = (PYTHON, "-sSB", "-Wignore", "-c", GUEST)
ENVIRONMENT = {"PYTHONHASHSEED": "0"}

Files = dict[str, tuple[str, bytes]]
"""By path of a source: the path of its byte code, and the bytes."""
Compile = Callable[[Path, str, Sequence[Sequence[str]], Callable[[int], None]], Files]
"""Compiles parts of sources in an image (directory, name), telling how many are done."""

_log = logging.getLogger(__name__)


class NoMachine(Exception):
    """There is no kernel, or nothing to run it with."""


def sources(tree: Tree, patterns: Sequence[str]) -> list[str]:
    """Return the regular files that patterns choose; the last one that fits a path decides."""

    def chosen(path: str) -> bool:
        for pattern in reversed(patterns):
            if fnmatch.fnmatchcase(path, pattern.removeprefix(NOT)):
                return not pattern.startswith(NOT)
        return False

    return [path for path, node in tree.walk() if stat.S_ISREG(node.mode) and chosen(path)]


def deal(tree: Tree, paths: Sequence[str]) -> list[list[str]]:
    """Share files out so that the processes have about the same to do."""
    parts: list[list[str]] = [[] for _ in range(PROCESSES)]
    loads = [0] * PROCESSES
    sizes = {path: node.size for path in paths if (node := tree.find(path))}
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        least = loads.index(min(loads))
        parts[least].append(path)
        loads[least] += sizes[path]
    return parts


def add_bytecode(
    tree: Tree, name: str, patterns: Sequence[str], out: Path, draft: Callable[[str], Any],
    cache: Path, progress: Progress, compile: Compile | None = None,
) -> dict[str, str]:  # fmt: skip
    """Add byte code to a tree; return its paths by those of the sources.

    `draft` writes the tree as a bootable image of the name given.
    """
    paths = sources(tree, patterns) if tree.find(PYTHON) else []
    if not paths:
        return {}
    facts = [write_index(tree), GUEST.encode(), "\n".join([str(PROCESSES), *paths]).encode()]
    key = hashlib.sha256(b"".join(hashlib.sha256(fact).digest() for fact in facts)).hexdigest()
    kept = cache / "bytecode" / f"{key}.zip"
    files = _read(kept)
    if files is None:
        trial = f"{name}.draft-{os.getpid()}"

        def done(count: int) -> None:
            progress(f"{name}: byte code", count, len(paths))

        try:
            done(0)
            draft(trial)
            files = (compile or compile_in_machine)(out, trial, deal(tree, paths), done)
        except NoMachine as reason:
            _log.warning("image %s is built without byte code for Python: %s", name, reason)
            return {}
        finally:
            shutil.rmtree(out / trial, ignore_errors=True)
        _write(kept, files)
    for path, (place, data) in sorted(files.items()):
        source = tree.find(path)
        if data and source:
            tree.write(place, data, mtime=source.mtime)
    return {path: place for path, (place, data) in files.items() if data}


def at_hand() -> bool:
    """Say whether there is a kernel to compile with."""
    try:
        from ..errors import KernelMissing
        from ..wasmtime_kernel import kernel_path

        kernel_path()
    except (ImportError, KernelMissing):
        return False
    return True


def compile_in_machine(
    out: Path, image: str, parts: Sequence[Sequence[str]], done: Callable[[int], None]
) -> Files:
    """Compile with the image's own Python, one process for each part."""
    if not at_hand():
        raise NoMachine("there is no kernel to run it. Run: python3 build.py kernel")
    from ..placement_native import NativePlacement

    return asyncio.run(_compile(NativePlacement(images=out), image, parts, done))


async def _compile(
    placement: Any, image: str, parts: Sequence[Sequence[str]], done: Callable[[int], None]
) -> Files:
    from ..errors import EbbError
    from ..machine import Machine

    files: Files = {}

    async def one(machine: Machine, paths: Sequence[str]) -> None:
        process = await machine.spawn(*COMMAND, *paths, env=ENVIRONMENT, stdin=False)
        assert process.stdout and process.stderr
        rest = b""
        async for chunk in process.stdout:
            rest = _take(rest + chunk, files)
            done(len(files))
        said = await process.stderr.read()
        if (await process.wait()).exit_code or rest:
            raise ImageError(said.decode("utf-8", "replace").strip())

    try:
        async with await Machine.boot(
            image, placement=placement, harts=PROCESSES, memory=MEMORY
        ) as machine:
            await asyncio.gather(*(one(machine, paths) for paths in parts if paths))
    except (EbbError, ImageError, OSError) as error:
        raise ImageError(f"the Python of {image} makes no byte code: {error}") from error
    return files


def _take(data: bytes, files: Files) -> bytes:
    """Take the whole files that a process has written so far; return what is left over."""
    while True:
        line, newline, rest = data.partition(b"\n")
        if not newline:
            return data
        path, place, size = line.decode("utf-8", "surrogateescape").split("\t")
        if len(rest) < int(size):
            return data
        files[path] = place, rest[: int(size)]
        data = rest[int(size) :]


def _read(path: Path) -> Files | None:
    try:
        with zipfile.ZipFile(path) as kept:
            rows = [(info.comment, info.filename, kept.read(info)) for info in kept.infolist()]
    except (FileNotFoundError, zipfile.BadZipFile):
        return None
    return {comment.decode("utf-8"): (f"/{name}", data) for comment, name, data in rows}


def _write(path: Path, files: Files) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    with zipfile.ZipFile(draft, "w") as kept:
        for source, (place, data) in sorted(files.items()):
            info = zipfile.ZipInfo(place.lstrip("/"))
            info.comment = source.encode("utf-8")
            kept.writestr(info, data, zipfile.ZIP_DEFLATED)
    draft.replace(path)
