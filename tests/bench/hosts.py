"""Where workloads run: Ebb under CPython and in a page, and this machine's own Linux and qemu.

Every host takes files and runs command lines; time is from asking for the program to having its
output. A machine has one hart unless told otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pages
import workloads
from playwright.sync_api import Browser, Page

from ebbtide import Machine

BUILD = Path(os.environ.get("EBB_BUILD", "build"))
GUESTS = BUILD / "guests" / "bench"
TWINS = BUILD / "native-guests" / "bench"
QEMU = os.environ.get("EBB_QEMU")


class Failed(Exception):
    """A program did not do what it does elsewhere."""


class Host(Protocol):
    """What runs programs."""

    def put(self, path: str, data: bytes) -> None:
        """Write an executable file."""

    def run(self, argv: Sequence[str]) -> tuple[float, str]:
        """Run a program to its end; milliseconds and output."""


class Done(NamedTuple):
    """What a machine has done so far."""

    instructions: int
    compiled: int  # of these, in compiled code
    compile_s: float


class Native:
    """Ebb under CPython."""

    def __init__(self, image: str, options: dict[str, Any]) -> None:
        self.loop = asyncio.new_event_loop()
        self.machine = self.loop.run_until_complete(Machine.boot(image, **options))

    def put(self, path: str, data: bytes) -> None:
        self.loop.run_until_complete(self.machine.fs.write_file(path, data, mode=0o755))

    def run(self, argv: Sequence[str]) -> tuple[float, str]:
        start = time.perf_counter()
        result = self.loop.run_until_complete(self.machine.run(*argv))
        ms = (time.perf_counter() - start) * 1000
        return ms, _good(argv, result.exit_code, str(result.stdout), str(result.stderr))

    def done(self) -> Done:
        stats = self.loop.run_until_complete(self.machine.stats())
        return Done(stats.instructions, stats.compiled_instructions, stats.compile_seconds)

    def close(self) -> None:
        self.loop.run_until_complete(self.machine.close())
        self.loop.close()


REST_MS = 30_000
BOOT = """async (options) => {
  const { boot } = await import("/ebbtide.js");
  window.sdk = await boot(options);
}"""
PUT = """async ([path, base64]) => {
  const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  await window.sdk.fs.writeFile(path, data, { mode: 0o755 });
}"""
STATS = """async () => {
  const stats = await window.sdk.stats();
  return [stats.instructions, stats.compiledInstructions, stats.compileSeconds];
}"""


class Chromium:
    """Ebb in a page that holds nothing else."""

    def __init__(self, browser: Browser, url: str, image: str, options: dict[str, Any]) -> None:
        self.context = browser.new_context()
        self.url, self.options = url, {"image": image, **options}
        self._visit()

    def _visit(self) -> None:
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(300_000)
        self.page.goto(f"{self.url}/commands.json")
        self.page.evaluate(BOOT, self.options)

    def revisit(self) -> None:
        """Come again, when the browser has had time to keep what it has compiled."""
        self.page.wait_for_timeout(REST_MS)
        self.page.close()
        self._visit()

    def put(self, path: str, data: bytes) -> None:
        self.page.evaluate(PUT, [path, base64.b64encode(data).decode()])

    def run(self, argv: Sequence[str]) -> tuple[float, str]:
        ms, output, code = self.page.evaluate(pages.RUN, [argv[0], list(argv[1:])])
        return ms, _good(argv, code, output)

    def done(self) -> Done:
        return Done(*self.page.evaluate(STATS))

    def close(self) -> None:
        self.context.close()


class Static:
    """This machine, for our static programs: of their own kind, or under qemu."""

    def __init__(self, folder: Path, prefix: Sequence[str] = (), cpus: int | None = None) -> None:
        self.folder, self.prefix, self.cpus = folder, prefix, cpus

    def put(self, path: str, data: bytes) -> None:
        """Do nothing: they lie where they were built."""

    def run(self, argv: Sequence[str]) -> tuple[float, str]:
        command = [*self.prefix, str(self.folder / Path(argv[0]).name), *argv[1:]]
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(allowed)[: self.cpus])  # children inherit it
        try:
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            ms = (time.perf_counter() - start) * 1000
        finally:
            os.sched_setaffinity(0, allowed)
        return ms, _good(argv, done.returncode, done.stdout, done.stderr)


class Jail:
    """This machine, for Debian's programs: in a folder that has all of another system."""

    def __init__(self, root: Path, qemu: str | None = None) -> None:
        command = [sys.executable, str(Path(__file__).with_name("jail.py")), str(root)]
        self.process = subprocess.Popen(
            [*command, *([qemu] if qemu else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.refused: str | None = self._answer().get("refused")
        if not self.refused:
            try:
                self.run(["true"])  # a qemu that is not static finds no loader here
                self.run(["ldconfig"])  # the builder writes the loader's cache for guests only
            except Failed as error:
                self.refused = str(error)

    def put(self, path: str, data: bytes) -> None:
        self._ask({"put": path, "data": base64.b64encode(data).decode()})

    def run(self, argv: Sequence[str]) -> tuple[float, str]:
        got = self._ask({"run": list(argv)})
        return got["ms"], _good(argv, got["code"], got["output"], got["error"])

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        got: dict[str, Any] = json.loads(self.process.stdout.readline())
        return got


def _good(argv: Sequence[str], code: int, output: str, error: str = "") -> str:
    if code:
        raise Failed(f"{' '.join(argv)[:80]}: exit {code}: {(error or output)[-400:]}")
    return output.strip()


def give(host: Host, names: Sequence[str]) -> None:
    """Put our programs where a machine finds them."""
    for name in names:
        host.put(f"{workloads.AT}/{name}", (GUESTS / name).read_bytes())
