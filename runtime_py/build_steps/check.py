"""Tests, checks of form, benchmarks: what stands on everything else being built."""

from __future__ import annotations

import os
import runpy
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from . import kernel, setup, site
from .common import BUILD, ME, ROOT, VENV, VENV_PYTHON, Failure, done, report, run, say

E2E = ROOT / "tests" / "e2e"
# Most tests keep one processor busy. A worker with its browser and machines takes about 2 GB of memory.
ALL_AT_ONCE = ("--numprocesses=auto", "--maxprocesses=4")
ENDING_S = 30  # after an interrupt; mostly it takes a second


def test(arguments: Sequence[str]) -> int:
    """Set everything up and run all tests, on all processors; with pytest arguments, pytest as it is."""
    from .main import build_all

    start = time.monotonic()
    failed = []
    try:
        setup.setup()
        build_all(install=True)
        if not arguments:
            site.images(["debian"])  # for a sample of its programs
    except Failure as failure:
        report(failure)
        print("\n   TESTS DID NOT RUN: the build failed")
        return 1
    checks: dict[str, Callable[[], None]] = {} if arguments else {"form": form}
    checks["pytest"] = lambda: pytest(arguments)
    for name, check in checks.items():
        try:
            check()
        except Failure as failure:
            report(failure)
            failed.append(name)
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    verdict = f"FAILED: {', '.join(failed)}" if failed else "ALL TESTS PASSED"
    print(f"\n   {verdict} ({minutes} min {seconds} s)", flush=True)
    return 1 if failed else 0


def form() -> None:
    """Run ruff, mypy and the TypeScript compiler."""
    start = time.monotonic()
    binaries = VENV / "bin"
    mend = f"{binaries.relative_to(ROOT)}/ruff check --fix && .venv/bin/ruff format"
    run([binaries / "ruff", "check", "--quiet", "."], mend=mend)
    run([binaries / "ruff", "format", "--quiet", "--check", "."], mend=mend)
    run([binaries / "mypy"], mend="mend the types: .venv/bin/mypy")
    types()
    done("check", "ruff, mypy and tsc agree", start)


def types() -> None:
    """Type-check the TypeScript projects: every tsconfig*.json of sdk/ and web/."""
    projects = sorted([*ROOT.glob("sdk/tsconfig*.json"), *ROOT.glob("web/tsconfig*.json")])
    for project in projects:
        shown = project.relative_to(ROOT)
        if project.name == "tsconfig.base.json":
            continue
        tsc = setup.NODE_PACKAGES / "node_modules" / ".bin" / "tsc"
        run([tsc, "--noEmit", "-p", shown], env=setup.node_env(), mend=f"mend the types of {shown}")


def pytest(arguments: Sequence[str]) -> None:
    """Run pytest with what the fixtures need in the environment."""
    if not list(ROOT.glob("tests/**/test_*.py")):
        say("test", "there are no tests yet")
        return
    env = {"EBB_BUILD": str(BUILD), **setup.node_env()}
    env["PYTHONDONTWRITEBYTECODE"] = ""  # a thousand commands that tests start are a fifth faster
    setup.gdb(install=True)
    qemu = setup.qemu(install=True)
    if qemu:
        env["EBB_QEMU"] = str(qemu)
    if reaches(arguments, E2E):
        env["EBB_CHROMIUM"] = str(setup.chromium())
    if reaches(arguments, E2E / "test_firefox.py"):
        try:
            env["EBB_FIREFOX"] = str(setup.firefox())
        except Failure as failure:  # one file of tests fails by it, and says so again
            report(failure)
    words = arguments or ALL_AT_ONCE
    say("test", f"pytest {' '.join(words)}")
    command = [str(VENV_PYTHON), "-m", "pytest", *words]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}) as running:
        try:
            code = running.wait()
        except KeyboardInterrupt:
            # At a terminal pytest has it too: it ends what it began and sums up.
            with suppress(subprocess.TimeoutExpired):
                running.wait(ENDING_S)
            running.kill()
            raise
    if code:
        shown = " ".join(arguments) or "--last-failed"
        mend = f"mend what failed; again: {ME} test {shown}"
        raise Failure(f"pytest ended with {code}", mend)


def reaches(arguments: Sequence[str], place: Path) -> bool:
    """Say whether the selection can reach tests at a place: no path given, or one in, of or above it."""
    paths = [Path(word.split("::")[0]) for word in arguments if not word.startswith("-")]
    paths = [(ROOT / path).resolve() for path in paths if (ROOT / path).exists()]
    return not paths or any(
        path.is_relative_to(place) or place.is_relative_to(path) for path in paths
    )


def bench(arguments: Sequence[str]) -> int:
    """Run tests/bench, which prints one table of ratios."""
    from .main import build_all

    # Ends here if it is asked for help, or for what there is not.
    runpy.run_path(str(ROOT / "tests" / "bench" / "options.py"))["read"](arguments)
    setup.setup()
    build_all(install=True)
    env = {"EBB_BUILD": str(BUILD), "EBB_CHROMIUM": str(setup.chromium()), **setup.node_env()}
    setup.gdb(install=True)
    qemu = setup.qemu(install=True)
    if qemu:
        env["EBB_QEMU"] = str(qemu)
    os.environ.update(env)
    site.images(["debian"])
    kernel.guests(bench=True)
    run([VENV_PYTHON, "tests/bench/bench.py", *arguments], mend="see above", show=True)
    return 0
