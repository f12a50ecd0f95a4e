"""The commands of build.py."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from . import check, dist, kernel, npm, reference, setup, site
from .common import BUILD, CACHE, ME, ROOT, VENV, Failure, report, say

COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace, list[str]], int | None]]] = {}

EPILOG = f"""\
Each command first makes what it needs, and does nothing twice; a second run uses no network.
Outputs are in build/, the virtual environment in .venv, downloads and the compiler's cache in
$EBB_CACHE ({CACHE}), shared by all clones.

  {ME} demo            everything, from nothing to a page with a shell
  {ME} test            everything, then all tests, as many at once as there are processors (at most 4)
  {ME} test tests/unit -k pipe    only these, one after the other; -n 2: two at once

Other variables: EBB_CHROMIUM and EBB_FIREFOX (browsers for tests), EBB_MIRROR (Debian mirror for images).
"""


def build_all(install: bool = False) -> None:
    """Make everything that tests, the demo and the wheel stand on."""
    kernel.kernel()
    kernel.native(install)
    kernel.guests()
    site.pyodide()
    site.web()
    site.bench()
    site.images(["base"])
    dist.dist(["base"])


def _setup(options: argparse.Namespace, rest: list[str]) -> None:
    setup.setup()
    if options.tests:
        setup.qemu(install=True)
        setup.gdb(install=True)
        setup.libasan(install=True)
        say("setup", f"browsers: {setup.chromium()}, {setup.firefox()}")
    say("setup", "ready")


def _kernel(options: argparse.Namespace, rest: list[str]) -> None:
    setup.venv()
    if options.native:
        kernel.native()
    else:
        kernel.kernel()


def _guests(options: argparse.Namespace, rest: list[str]) -> None:
    setup.venv()
    kernel.guests(options.names)


def _pyodide(options: argparse.Namespace, rest: list[str]) -> None:
    setup.setup()
    site.pyodide()


def _web(options: argparse.Namespace, rest: list[str]) -> None:
    setup.setup()
    kernel.kernel()
    site.pyodide()
    site.web()


def _image(options: argparse.Namespace, rest: list[str]) -> None:
    names = options.names or ["base"]
    if not rest:  # arguments may make an image of any name
        site.images_check(names)  # before anything is built
    setup.venv()
    kernel.kernel()
    site.images_build(names, rest)


def _wheel(options: argparse.Namespace, rest: list[str]) -> None:
    _web(options, rest)
    site.bench()
    site.wheel()


def _npm(options: argparse.Namespace, rest: list[str]) -> None:
    _web(options, rest)
    npm.npm()


def _dist(options: argparse.Namespace, rest: list[str]) -> None:
    images = options.images or ["base"]
    site.images_check(images, site.images_built())  # before anything is built
    _web(options, rest)
    site.bench()
    site.images(images)
    dist.dist(images)


def _demo(options: argparse.Namespace, rest: list[str]) -> int:
    setup.setup()
    kernel.kernel()
    with ThreadPoolExecutor() as pool:
        # Behind the page: the benchmark's programs want a C library, which takes a minute, once.
        programs = pool.submit(site.bench)
        site.pyodide()
        site.web()
        site.images(["base", "debian"] if options.check else ["base"])
        if options.check:
            programs.result()
            return site.demo_check()
        programs.add_done_callback(_told)
        return site.serve([*_port(options), *rest])


def _told(programs: Future[None]) -> None:
    if failure := programs.exception():
        say("demo", f"the benchmark has no programs: {failure}")


def _serve(options: argparse.Namespace, rest: list[str]) -> int:
    setup.venv()
    return site.serve([*_port(options), *rest])


def _port(options: argparse.Namespace) -> list[str]:
    return [] if options.port is None else ["--port", str(options.port)]


def _test(options: argparse.Namespace, rest: list[str]) -> int:
    return check.test(rest)


def _bench(options: argparse.Namespace, rest: list[str]) -> int:
    return check.bench(rest)


def _docs(options: argparse.Namespace, rest: list[str]) -> None:
    reference.docs()


def _clean(options: argparse.Namespace, rest: list[str]) -> None:
    doomed = [BUILD]
    if options.all:
        doomed += [VENV, setup.NODE_PACKAGES / "node_modules"]
    for path in doomed:
        say("clean", os.path.relpath(path, ROOT))
        shutil.rmtree(path, ignore_errors=True)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="build.py",
        description="Build, test and run Ebb.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str,
        action: Callable[[argparse.Namespace, list[str]], int | None],
        help: str,
        rest: str = "",
        own_help: bool = True,
    ) -> argparse.ArgumentParser:
        # Without help of its own, -h goes on with the further arguments.
        more = f"Further arguments go to {rest}." if rest else ""
        one = commands.add_parser(name, help=help, description=f"{help}. {more}", add_help=own_help)
        one.set_defaults(action=action, takes_rest=bool(rest))
        return one

    one = add("setup", _setup, "make .venv and sdk/node_modules")
    one.add_argument("--tests", action="store_true", help="also browsers, qemu and libasan")
    one = add("kernel", _kernel, "compile kernel/ to build/kernel.wasm")
    one.add_argument(
        "--native", action="store_true", help="instead, the unit tests in build/native"
    )
    one = add("guests", _guests, "compile the tests' guest programs into build/guests")
    one.add_argument("names", nargs="*", metavar="NAME", help="only these (file names without .c)")
    add("pyodide", _pyodide, "prepare Pyodide and the runtime's snapshot in build/web/pyodide")
    add("web", _web, "bundle the SDK and the page into build/web")
    one = add(
        "image", _image, "build root file systems into the folder of images", "`ebb image build`"
    )
    one.add_argument("names", nargs="*", metavar="NAME", help="base (default), debian")
    add("wheel", _wheel, "build the installable package into build/wheel")
    add("npm", _npm, "pack the SDK as an npm package into build/npm")
    one = add("dist", _dist, "write a site of static files for any server into build/dist")
    one.add_argument("images", nargs="*", metavar="IMAGE", help="images it offers (base)")
    one = add("demo", _demo, "build everything and serve the page with a shell", "`ebb serve`")
    one.add_argument("--check", action="store_true", help="instead, try it in a headless browser")
    one.add_argument("--port", type=int, help="default: the first free one from 8080")
    one = add("serve", _serve, "serve build/web as it is", "`ebb serve`")
    one.add_argument("--port", type=int, help="default: the first free one from 8080")
    add("test", _test, "set everything up and run all tests", "pytest")
    add(
        "bench",
        _bench,
        "measure, and print one table of ratios",
        "tests/bench/bench.py",
        own_help=False,
    )
    add("docs", _docs, "write the pages of docs/ that come from tables")
    one = add("clean", _clean, "remove build/")
    one.add_argument("--all", action="store_true", help="also .venv and sdk/node_modules")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    top = parser()
    options, rest = top.parse_known_args(arguments)
    if rest and not options.takes_rest:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.action(options, [word for word in rest if word != "--"]) or 0
    except Failure as failure:
        report(failure)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted; the same command goes on where it was: {ME} {options.command}")
        return 130
