"""One table: Ebb in Chromium and natively, as ratios to native x86-64 and to qemu-riscv64 user mode.

Run it with `python3 build.py bench [--json FILE] [--only NAME] [--where native|chromium] [--runs N]`.
Every program prints a checksum, which must be the same everywhere. A figure is the median of
alternating runs less the median of the same program doing nothing, so that starting a process is
counted only where it is what is measured. This machine may be shared: read ratios, not times.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "runtime_py")]

import pages  # noqa: E402

from e2e.conftest import CHROMIUM_ARGS  # noqa: E402
from ebbtide import Machine  # noqa: E402
from ebbtide.assets import images_folder, web_folder  # noqa: E402
from ebbtide.serve import Server, site  # noqa: E402

BUILD = Path(os.environ.get("EBB_BUILD", "build"))
GUESTS = BUILD / "guests" / "bench"
TWINS = BUILD / "native-guests" / "bench"
QEMU = os.environ.get("EBB_QEMU")

# Name and repetitions: half a second here, some milliseconds natively: a start does not show.
PROGRAMS = {
    "sieve": 6, "sha256": 4, "matmul": 12, "qsort": 4, "quick": 4, "memcpy": 4, "fib": 400,
    "malloc": 3, "dhrystone": 2, "coremark": 30, "getpid": 20, "pipe": 20, "futex": 10, "fork": 10,
    "exec": 10,
}  # fmt: skip
# Debian's own programs: no x86-64 twin of the same version is at hand, so native stays empty.
COMMANDS = {
    "python3-start": ("debian", ["python3", "-c", "print(1)"]),
    "bash-start": ("base", ["bash", "-c", "true"]),
    "gzip": ("base", ["bash", "-c", "head -c 4000000 /usr/bin/bash | gzip -c | wc -c"]),
}

# What a person waits for at a prompt: 0.2 s and 0.4 s at most.
CLI = {"ebb-help": ["--help"], "ebb-run-true": ["run", "--", "true"]}


@dataclass
class Row:
    """One line of the table; times in `unit`."""

    workload: str
    where: str
    ebb: float | None
    unit: str = "ms"
    native: float | None = None
    qemu: float | None = None
    ratio_native: float | None = None
    ratio_qemu: float | None = None
    guest_mips: float | None = None
    runs: int = 0
    spread: float | None = None

    def finish(self) -> Row:
        """Fill in the ratios."""
        if self.ebb and self.native:
            self.ratio_native = round(self.ebb / self.native, 2)
        if self.ebb and self.qemu:
            self.ratio_qemu = round(self.ebb / self.qemu, 2)
        return self


class Failed(Exception):
    """A program did not do what it does elsewhere."""


def timed(command: list[str]) -> tuple[float, str]:
    """Run a host process; milliseconds and output."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (time.perf_counter() - start) * 1000, done.stdout.strip()


Runner = Callable[[str, int], tuple[float, str]]  # program, repetitions -> ms, output


def median_of(
    runners: dict[str, Runner], name: str, repetitions: int, runs: int
) -> dict[str, tuple[float, float]]:
    """Alternate between the runners; net median and spread of each."""
    full: dict[str, list[float]] = {where: [] for where in runners}
    empty: dict[str, list[float]] = {where: [] for where in runners}
    sums = set()
    for _ in range(runs):
        for where, runner in runners.items():
            empty[where].append(runner(name, 0)[0])
            ms, output = runner(name, repetitions)
            full[where].append(ms)
            sums.add(output)
    if len(sums) != 1:
        raise Failed(f"{name}: checksums differ: {sorted(sums)}")
    return {
        where: (
            max(statistics.median(full[where]) - statistics.median(empty[where]), 0.001),
            (max(full[where]) - min(full[where])) / statistics.median(full[where]),
        )
        for where in runners
    }


# ---- Hosts --------------------------------------------------------------------------------------


class Native:
    """Ebb under CPython; one hart, as a recorded machine has."""

    def __init__(self, image: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.machine = self.loop.run_until_complete(Machine.boot(image, harts=1))
        self.put: set[str] = set()

    def run(self, command: list[str]) -> tuple[float, str]:
        start = time.perf_counter()
        result = self.loop.run_until_complete(self.machine.run(*command))
        ms = (time.perf_counter() - start) * 1000
        if result.exit_code:
            raise Failed(f"{command}: {result}")
        return ms, str(result.stdout).strip()

    def program(self, name: str, repetitions: int) -> tuple[float, str]:
        if name not in self.put:
            data = (GUESTS / name).read_bytes()
            self.loop.run_until_complete(
                self.machine.fs.write_file(f"/tmp/{name}", data, mode=0o755)
            )
            self.put.add(name)
        return self.run([f"/tmp/{name}", str(repetitions)])

    def close(self) -> None:
        self.loop.run_until_complete(self.machine.close())
        self.loop.close()


PUT = """async ([path, base64]) => {
  const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  await window.sdk.fs.writeFile(path, data, { mode: 0o755 });
}"""


class Chromium:
    """Ebb in a page."""

    def __init__(self, browser: Browser, url: str, image: str) -> None:
        self.context = browser.new_context()
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.goto(f"{url}/?image={image}")
        self.page.wait_for_function("() => window.sdk")
        self.put: set[str] = set()

    def run(self, command: list[str]) -> tuple[float, str]:
        ms, output, code = self.page.evaluate(pages.RUN, [command[0], command[1:]])
        if code:
            raise Failed(f"{command}: exit {code}: {output}")
        return ms, output

    def program(self, name: str, repetitions: int) -> tuple[float, str]:
        if name not in self.put:
            data = base64.b64encode((GUESTS / name).read_bytes()).decode()
            self.page.evaluate(PUT, [f"/tmp/{name}", data])
            self.put.add(name)
        return self.run([f"/tmp/{name}", str(repetitions)])

    def retired(self) -> int:
        return sum(self.page.evaluate("async () => (await window.sdk.counters()).retired"))

    def close(self) -> None:
        self.context.close()


def native_twin(name: str, repetitions: int) -> tuple[float, str]:
    return timed([str(TWINS / name), str(repetitions)])


def under_qemu(name: str, repetitions: int) -> tuple[float, str]:
    assert QEMU
    return timed([QEMU, str(GUESTS / name), str(repetitions)])


# ---- Rows ---------------------------------------------------------------------------------------


def program_rows(where: str, host: Native | Chromium, names: list[str], runs: int) -> list[Row]:
    rows = []
    for name in names:
        runners: dict[str, Runner] = {"ebb": host.program, "native": native_twin}
        if QEMU and name != "exec":  # a program under qemu-user starts others without it
            runners["qemu"] = under_qemu
        repetitions = PROGRAMS[name]
        got = median_of(runners, name, repetitions, runs)
        row = Row(name, where, round(got["ebb"][0], 2), runs=runs, spread=round(got["ebb"][1], 2))
        row.native = round(got["native"][0], 2)
        row.qemu = round(got["qemu"][0], 2) if "qemu" in got else None
        if isinstance(host, Chromium):
            before = host.retired()
            ms, _ = host.program(name, repetitions)
            row.guest_mips = round((host.retired() - before) / ms / 1000, 1)
        rows.append(show(row.finish()))
    return rows


def command_rows(
    where: str, hosts: Callable[[str], Native | Chromium], names: list[str], runs: int
) -> list[Row]:
    rows = []
    for name in names:
        image, command = COMMANDS[name]
        host = hosts(image)
        host.run(command)  # its files are there
        times = [host.run(command)[0] for _ in range(runs)]
        rows.append(show(Row(name, where, round(statistics.median(times), 2), runs=runs)))
        host.close()
    return rows


def chromium_rows(url: str, programs: list[str], commands: list[str], runs: int) -> list[Row]:
    rows: list[Row] = []
    with sync_playwright() as play:
        path = os.environ.get("EBB_CHROMIUM")
        browser = play.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGS))
        if programs:
            page = Chromium(browser, url, "base")
            rows += program_rows("chromium", page, programs, runs)
            page.close()
        rows += command_rows(
            "chromium", lambda image: Chromium(browser, url, image), commands, runs
        )
        browser.close()
    return rows


def cli_rows(names: list[str], runs: int) -> list[Row]:
    rows = []
    for name in names:
        command = [str(Path(sys.executable).with_name("ebb")), *CLI[name]]
        timed(command)  # its compiled code is there
        times = [timed(command)[0] for _ in range(runs)]
        rows.append(show(Row(name, "native", round(statistics.median(times), 1), runs=runs)))
    return rows


def page_rows(url: str, packed_url: str, runs: int) -> list[Row]:
    """What pages.py measures, each image by itself."""
    rows = []
    with sync_playwright() as play:
        for image in pages.IMAGES:
            for name, values in pages.measure(play, url, packed_url, image, runs).items():
                unit = "MiB" if "memory" in name else "steps" if "steps" in name else "ms"
                row = Row(name, "chromium", round(statistics.median(values), 1), unit)
                row.runs, row.spread = len(values), pages.spread(values)
                rows.append(show(row))
    return rows


def show(row: Row) -> Row:
    def cell(value: float | None, suffix: str = "") -> str:
        return "-" if value is None else f"{value:,.2f}{suffix}"

    print(
        f"{row.workload:24} {row.where:9} {cell(row.ebb):>12} {row.unit:4} {cell(row.native):>10} {cell(row.qemu):>10}"
        f" {cell(row.ratio_native, 'x'):>9} {cell(row.ratio_qemu, 'x'):>9} {cell(row.guest_mips):>9}",
        flush=True,
    )
    return row


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="build.py bench", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only rows whose name begins so"
    )
    parser.add_argument("--where", choices=["native", "chromium"], help="only there")
    parser.add_argument("--runs", type=int, default=5, help="alternating runs of each (5)")
    parser.add_argument("--page-runs", type=int, default=10, help="new profiles per image (10)")
    options = parser.parse_args()

    def wanted(name: str) -> bool:
        return not options.only or any(name.startswith(one) for one in options.only)

    programs = [name for name in PROGRAMS if wanted(name)]
    commands = [name for name in COMMANDS if wanted(name)]
    of_pages = ("prompt", "sdk-run", "tab", "idle", "page")
    with_pages = not options.only or any(one.startswith(of_pages) for one in options.only)
    print(
        f"{'workload':24} {'where':9} {'ebb':>12} {'unit':4} {'native':>10} {'qemu':>10} {'/native':>9} {'/qemu':>9} {'guest M/s':>9}"
    )
    rows: list[Row] = []
    if options.where != "chromium":
        if programs:
            host = Native("base")
            rows += program_rows("native", host, programs, options.runs)
            host.close()
        rows += command_rows("native", Native, commands, options.runs)
        rows += cli_rows([name for name in CLI if wanted(name)], options.runs)
    if options.where != "native":
        mounts = site(web_folder(), images_folder())
        with Server(mounts, port=0) as server, Server(mounts, port=0, compress=True) as packed:
            if programs or commands:
                rows += chromium_rows(server.url, programs, commands, options.runs)
            if with_pages:
                rows += page_rows(server.url, packed.url, options.page_runs)
    if options.json:
        machine = {"system": platform.platform(), "cpus": os.cpu_count(), "processor": cpu_name()}
        options.json.write_text(
            json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1)
        )
    return 0


def cpu_name() -> str:
    try:
        return re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[0]
    except (OSError, IndexError):
        return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
