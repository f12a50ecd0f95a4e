"""What browsers load: build/web (Pyodide, SDK, page, kernel.wasm), images, the wheel, the demo."""

from __future__ import annotations

import ast
import fnmatch
import json
import os
import platform
import runpy
import shutil
import subprocess
import time
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ebbtide.assets import images_folder

from . import kernel, notices, setup
from .common import (
    BUILD,
    CACHE,
    ME,
    ROOT,
    VENV_PYTHON,
    Failure,
    digest,
    disk_check,
    done,
    file_digest,
    files,
    fresh,
    run,
    say,
    stamp,
    write,
)

SDK = ROOT / "sdk"
WEB = BUILD / "web"
PYODIDE = WEB / "pyodide"
BENCH = WEB / "bench"
RUNTIME = ROOT / "runtime_py"
PREPARE = SDK / "pyodide" / "prepare.mjs"
COMPILE = SDK / "pyodide" / "compile.py"
IMAGE_BYTES = {"base": 300_000_000, "debian": 2_500_000_000}


# ---- Pyodide ------------------------------------------------------------------------------------


def pyodide() -> None:
    """Prepare Pyodide with our runtime: bytecode, and a snapshot of a started interpreter."""
    version = SDK / "node_modules" / "pyodide" / "package.json"
    library = CACHE / "pyodide" / f"stdlib-{digest(version, COMPILE)[:16]}.zip"
    runtime, late, preload = runtime_modules()
    without = settings()["library-without"]
    inputs = digest(
        version, PREPARE, COMPILE, SDK / "compress.mjs", runtime, late, *preload, *without
    )
    if fresh("pyodide", inputs, PYODIDE / "index.json"):
        return
    node = setup.node()[0]
    if not library.exists():
        start = time.monotonic()
        say("pyodide", "compiling Python's standard library to bytecode, once")
        run([node, PREPARE, "stdlib", library], mend=f"{ME} clean && {ME} pyodide")
        done("pyodide", "bytecode is in the cache", start, library)
    start = time.monotonic()
    spec = BUILD / "pyodide" / "spec.json"
    files, late_files = (
        {str(path.relative_to(RUNTIME)): str(path) for path in paths} for paths in (runtime, late)
    )
    parts = {"files": files, "late": late_files, "preload": preload}
    write(spec, json.dumps(parts, indent=1))
    trimmed = BUILD / "pyodide" / "library.zip"
    trim(library, trimmed, set(without))
    text = run(
        [node, PREPARE, "runtime", trimmed, spec, PYODIDE],
        mend="a module that cannot run in Pyodide belongs into leave-out, pyproject.toml",
    )
    stamp("pyodide", inputs)
    size = json.loads(text.splitlines()[-1])["snapshot"]
    done("pyodide", f"{len(runtime)} modules, {size / 1e6:.1f} MB of snapshot", start)


def trim(library: Path, trimmed: Path, without: set[str]) -> None:
    """Copy the archive of the standard library, but for some modules and packages."""
    with zipfile.ZipFile(library) as old, zipfile.ZipFile(trimmed, "w") as new:
        for info in old.infolist():
            if info.filename.split("/")[0].removesuffix(".pyc") not in without:
                new.writestr(info, old.read(info), compresslevel=9)


def runtime_modules() -> tuple[list[Path], list[Path], list[str]]:
    """Give the files of ebbtide that go into Pyodide, those that few pages need (`late`), and the
    modules its snapshot has imported.

    A module that takes something from `js` when it is imported stays out of the snapshot, which
    cannot hold JavaScript objects.
    """
    leave_out, late = settings()["leave-out"], settings()["late"]
    package = RUNTIME / "ebbtide"
    chosen, after, preload = [], [], []

    def named(name: Path, rules: list[str]) -> bool:
        return any(
            fnmatch.fnmatch(part, rule) for part in [*name.parts, str(name)] for rule in rules
        )

    for path in files(package, "*.py"):
        name = path.relative_to(package).with_suffix("")
        if named(name, leave_out):
            continue
        if named(name, late):
            after.append(path)
            continue
        chosen.append(path)
        if not takes_js(path):
            parts = ["ebbtide", *name.parts]
            preload.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return chosen, after, sorted(preload)


def settings() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["tool"]["ebb"]["pyodide"])


def takes_js(path: Path) -> bool:
    """Say whether a module imports `js` at its top level."""
    for node in ast.parse(path.read_bytes()).body:
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [node.module or ""]
            case _:
                continue
        if any(name.split(".")[0] in ("js", "pyodide_js") for name in names):
            return True
    return False


# ---- page ---------------------------------------------------------------------------------------


def web() -> None:
    """Bundle SDK and page, and put kernel.wasm beside them."""
    sources = (
        files(ROOT / "web", "*")
        + files(SDK / "src", "*")
        + [SDK / "bundle.mjs", SDK / "compress.mjs"]
    )
    lock = SDK / "package-lock.json"
    if (ROOT / "web" / "main.ts").exists():
        inputs = digest(sources, lock)
        if not fresh("web", inputs, WEB / "main.js"):
            start = time.monotonic()
            WEB.mkdir(parents=True, exist_ok=True)
            run(
                [setup.node()[0], SDK / "bundle.mjs", WEB],
                mend="see the bundler's messages above",
            )
            types = SDK / "node_modules" / ".bin" / "tsc"
            project = SDK / "tsconfig.types.json"
            run(
                [types, "-p", project, "--outDir", WEB / "types"],
                env=setup.node_env(),
                mend=f"{ME} check",
            )
            for source in files(ROOT / "web", "*"):
                if source.suffix != ".ts" and not source.name.startswith("tsconfig"):
                    write(WEB / source.relative_to(ROOT / "web"), source.read_bytes())
            compress([*WEB.glob("*.js"), *WEB.glob("*.css")])
            stamp("web", inputs)
            parts = [path for path in WEB.iterdir() if path.suffix in (".js", ".html", ".css")]
            done("web", "page and SDK are bundled", start, *parts)
    else:
        say("web", "there is no page in web/ yet")
    lists = files(RUNTIME / "ebbtide" / "image" / "lists", "*.commands")
    commands = {path.stem: path.read_text("utf-8").split() for path in lists}
    write(WEB / "commands.json", json.dumps(commands))
    if kernel.KERNEL_WASM.exists():
        target = WEB / "kernel.wasm"
        if not (target.exists() and file_digest(target) == file_digest(kernel.KERNEL_WASM)):
            write(target, kernel.KERNEL_WASM.read_bytes())
            compress([target])


def bench() -> None:
    """Put the programs of tests/bench beside bench.html, with how often each repeats its work."""
    groups = runpy.run_path(str(ROOT / "tests" / "bench" / "workloads.py"))["PROGRAMS"]
    programs = {name: count for group in groups.values() for name, count in group.items()}
    kernel.guests([f"bench/{name}" for name in programs], twins=False)
    for name in programs:
        source, target = kernel.GUESTS / "bench" / name, BENCH / name
        if not (target.exists() and file_digest(target) == file_digest(source)):
            write(target, source.read_bytes())
    write(BENCH / "programs.json", json.dumps(programs))


def compress(paths: Sequence[Path], quality: int = 9) -> None:
    """Write compressed twins beside files."""
    for at in range(0, len(paths), 500):  # command lines have an end
        part = paths[at : at + 500]
        run([setup.node()[0], SDK / "compress.mjs", f"-{quality}", *part], mend=f"{ME} setup")


# ---- images -------------------------------------------------------------------------------------

ENSURE = """
import sys
from ebbtide.image.__main__ import default_out
from ebbtide.image.progress import print_progress
from ebbtide.image.build import ensure_image
from ebbtide.image.errors import ImageError
try:
    ensure_image(sys.argv[1], default_out(), print_progress())
except (ImageError, OSError) as error:
    sys.exit(f"ebb image: {error}")
"""


def images(names: Sequence[str]) -> None:
    """Build images that are not built, or built from another recipe."""
    for name in names:
        _image(name, [VENV_PYTHON, "-c", ENSURE, name])


def images_check(names: Sequence[str], built: Sequence[str] = ()) -> None:
    """Fail if an image has no list, and is none of those that are built."""
    known = sorted({*IMAGE_BYTES, *built})
    for name in names:
        if name not in known:
            raise Failure(f"there is no image {name}", f"known are {', '.join(known)}")


def images_built() -> list[str]:
    """Return the names of the images that are built, of whatever packages."""
    return [path.parent.name for path in images_folder().glob("*/manifest.json")]


def images_build(names: Sequence[str], arguments: Sequence[str]) -> None:
    """Build images anew, with arguments of `ebb image build`."""
    for name in names:
        _image(name, [VENV_PYTHON, "-m", "ebbtide.image", "build", name, *arguments])


def _image(name: str, command: Sequence[str | Path]) -> None:
    if not (RUNTIME / "ebbtide" / "image" / "__main__.py").exists():
        say("image", "there is no image builder in runtime_py/ebbtide/image yet")
        return
    start = time.monotonic()
    if not (images_folder() / name / "manifest.json").exists():
        need = IMAGE_BYTES.get(name, 0)
        disk_check(images_folder(), need, f"image {name}")
        say("image", f"{name}: packages from Debian's mirror (needs {need / 1e9:.1f} GB of disk)")
    run(command, mend=f"{ME} image {name}   (EBB_MIRROR names another mirror)", show=True)
    if time.monotonic() - start > 2:
        done("image", f"{name} is ready", start)


# ---- wheel --------------------------------------------------------------------------------------


def wheel(out: Path = BUILD / "wheel") -> Path:
    """Build the installable package: our Python with kernel.wasm and the page inside."""
    start = time.monotonic()
    stage = BUILD / "wheel-stage"
    shutil.rmtree(out, ignore_errors=True)
    _stage(stage, notices.WHEEL)
    built = stage / "runtime_py" / "ebbtide" / "_built"
    shutil.copytree(WEB, built / "web", ignore=shutil.ignore_patterns("*.map"))
    shutil.copy(kernel.KERNEL_WASM, built / "kernel.wasm")
    made = _pack(stage, out)
    done("wheel", os.path.relpath(made, ROOT), start, made)
    return made


def thin_wheel(out: Path) -> Path:
    """Build the wheel that a page installs: Python alone, for the rest lies beside it."""
    stage = BUILD / "wheel-stage"
    _stage(stage, notices.THIN)
    return _pack(stage, out)


def _stage(stage: Path, product: str) -> None:
    """Lay out what a wheel is made from."""
    shutil.rmtree(stage, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache")
    shutil.copytree(RUNTIME / "ebbtide", stage / "runtime_py" / "ebbtide", ignore=ignore)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, stage / name)
    notices.put(stage, product)


def _pack(stage: Path, out: Path) -> Path:
    """Make the wheel of a stage, which is then gone."""
    pip = [str(VENV_PYTHON), "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, stage],
        mend=f"{ME} setup && {ME} wheel",
    )
    shutil.rmtree(stage)
    (made,) = out.glob("*.whl")
    return made


# ---- demo ---------------------------------------------------------------------------------------


def serve(arguments: Sequence[str]) -> int:
    """Serve until interrupted; Ctrl-C belongs to the server."""
    try:
        command = [str(VENV_PYTHON), "-m", "ebbtide.serve", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    except KeyboardInterrupt:
        return 0


def demo_check() -> int:
    """Try the page headless, with both images, by its end-to-end test."""
    program = ROOT / "tests" / "e2e" / "demo_check.py"
    browser = setup.chromium()
    start = time.monotonic()
    env = {"EBB_CHROMIUM": str(browser), "EBB_BUILD": str(BUILD)}
    run([VENV_PYTHON, program], env=env, mend=f"{ME} test tests/e2e", show=True)
    done("demo", f"the page works on {platform.node() or 'this machine'}", start)
    return 0
