"""One table: Ebb in Chromium and natively, as ratios to native x86-64 and to qemu-riscv64 user mode.

Run it with `python3 build.py bench`; options.py has its options and what the columns mean. Every
workload prints what it found, which must be the same everywhere. A figure is the median of
alternating runs, after a first one that is reported beside it. From our own programs' figures that
of the same program doing nothing is taken, so that starting a process is counted only where it is
what is measured. This machine may be shared: read ratios, not times.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "runtime_py")]

import page_record  # noqa: E402
import pages  # noqa: E402
import record  # noqa: E402
import twins  # noqa: E402
import workloads  # noqa: E402
from hosts import BUILD, GUESTS, QEMU, TWINS, Chromium, Failed, Host, Jail, Native, Static, give  # noqa: E402
from options import PATIENCE_S, chosen, known_rows, read  # noqa: E402

from e2e.conftest import CHROMIUM_ARGS  # noqa: E402
from ebbtide.assets import images_folder, web_folder  # noqa: E402
from ebbtide.image import ImageError  # noqa: E402
from ebbtide.image.progress import print_progress  # noqa: E402
from ebbtide.serve import Server, site  # noqa: E402

Machine: TypeAlias = Native | Chromium
Boot: TypeAlias = Callable[[str, dict[str, Any]], Machine]  # image, options


@dataclass
class Row:
    """One line of the table; `off` is the figure with the compiler off, asked for by --jit both."""

    workload: str
    where: str
    ebb: float | None
    unit: str = "ms"
    native: float | None = None
    qemu: float | None = None
    off: float | None = None
    ratio_native: float | None = None
    ratio_qemu: float | None = None
    ratio_off: float | None = None
    guest_mips: float | None = None
    compiled: float | None = None  # per cent of the last run's instructions
    compile_ms: float | None = None  # in all runs of the row
    first: float | None = None
    first_off: float | None = None
    runs: int = 0
    spread: float | None = None

    def finish(self) -> Row:
        """Fill in the ratios, and print."""
        for key in ("native", "qemu", "off"):
            other = getattr(self, key)
            if self.ebb and other:
                setattr(self, f"ratio_{key}", round(self.ebb / other, 2))
        cells = [f"{self.workload:24} {self.where:9}"]
        for name, width in COLUMNS.items():
            value = getattr(self, name)
            text = f"{value:,.2f}" if isinstance(value, float) else str(value or "-")
            cells.append(f"{text:>{width}}")
        print(" ".join(cells), flush=True)
        return self


COLUMNS = {
    "ebb": 10, "unit": 5, "native": 9, "qemu": 9, "off": 9, "ratio_native": 12, "ratio_qemu": 10,
    "ratio_off": 9, "guest_mips": 10, "compiled": 8, "compile_ms": 10, "first": 10, "first_off": 10, "spread": 6, "runs": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """One workload as hosts run it."""

    name: str
    argv: Sequence[str]
    empty: Sequence[str] | None = None
    setup: str = ""
    check: str = ""


@dataclass
class Samples:
    """What one host needed, run by run."""

    first: float = 0
    full: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    mips: list[float] = field(default_factory=list)
    compiled: float | None = None
    compile_ms: float = 0

    @property
    def net(self) -> float:
        """Return the median, less that of doing nothing."""
        empty = statistics.median(self.empty) if self.empty else 0
        return round(max(statistics.median(self.full) - empty, 0.001), 3)


def program(name: str, repetitions: int) -> Work:
    path = f"{workloads.AT}/{name}"
    return Work(name, (path, str(repetitions)), empty=(path, "0"))


def measure(work: Work, hosts: dict[str, Host], runs: int) -> dict[str, Samples]:
    """Alternate between the hosts; all must print the same."""
    got = {key: Samples() for key in hosts}
    outputs: dict[str, str] = {}

    def same(key: str, output: str) -> None:
        if outputs.setdefault("first", output) != output:
            raise Failed(f"{work.name}: {key} prints {output!r}, not {outputs['first']!r}")

    start = time.monotonic()
    for key, host in hosts.items():
        if work.setup:
            host.run(("bash", "-c", work.setup))
        if isinstance(host, Machine):
            got[key].compile_ms = -host.done().compile_s * 1000
        got[key].first, output = host.run(work.argv)
        same(key, host.run(("bash", "-c", work.check))[1] if work.check else output)
    for count in range(runs):
        if count and time.monotonic() - start > PATIENCE_S:
            break
        for key, host in hosts.items():
            if work.empty:
                got[key].empty.append(host.run(work.empty)[0])
            before = host.done() if isinstance(host, Machine) else None
            ms, output = host.run(work.argv)
            got[key].full.append(ms)
            if isinstance(host, Machine) and before:
                after = host.done()
                ran = after.instructions - before.instructions
                got[key].mips.append(ran / ms / 1000)
                got[key].compiled = round(100 * (after.compiled - before.compiled) / max(ran, 1), 1)
            if not work.check:
                same(key, output)
    for key, host in hosts.items():
        if isinstance(host, Machine):
            got[key].compile_ms += host.done().compile_s * 1000
    return got


def row_of(work: Work, where: str, hosts: dict[str, Host], runs: int) -> Row:
    got = measure(work, hosts, runs)
    ebb, net = got["ebb"], {key: samples.net for key, samples in got.items()}
    row = Row(work.name, where, net["ebb"], first=round(ebb.first, 2), runs=len(ebb.full))
    row.native, row.qemu, row.off = net.get("native"), net.get("qemu"), net.get("off")
    row.first_off = round(got["off"].first, 2) if "off" in got else None
    row.guest_mips = round(statistics.median(ebb.mips), 1)
    row.compiled, row.compile_ms = ebb.compiled, round(ebb.compile_ms, 1)
    row.spread = pages.spread(ebb.full)
    return row.finish()


# ---- Rows ---------------------------------------------------------------------------------------


def machines(boot: Boot, image: str, jit: str | None) -> dict[str, Host]:
    """Boot what is measured; with `both`, a machine without the compiler beside one with it."""
    wanted = {"ebb": "on", "off": "off"} if jit == "both" else {"ebb": jit}
    return {
        key: boot(image, {"harts": 1} | ({"jit": value} if value else {}))
        for key, value in wanted.items()
    }


def prepared(
    boot: Boot, image: str, works: Sequence[Work], prepare: Callable[[Host], None], options: Any
) -> dict[str, Host]:
    """Return machines that have the works' files; with --again pages that were visited before."""
    hosts = machines(boot, image, options.jit)
    for host in hosts.values():
        prepare(host)
        if options.again and isinstance(host, Chromium):
            for work in works:
                if work.setup:
                    host.run(("bash", "-c", work.setup))
                for _ in range(2):
                    host.run(work.argv)
            host.revisit()
            prepare(host)
    return hosts


def program_rows(where: str, boot: Boot, works: Sequence[Work], options: Any) -> list[Row]:
    if not works:
        return []
    names = [work.name for work in works]
    hosts = prepared(boot, "base", works, lambda host: give(host, names), options)
    others: dict[str, Host] = {"native": Static(TWINS)}
    if QEMU:
        others["qemu"] = Static(GUESTS, [QEMU])
    rows = []
    for work in works:
        # A program under qemu-user starts others without it.
        keys = [key for key in others if (key, work.name) != ("qemu", "exec")]
        rows.append(row_of(work, where, hosts | {key: others[key] for key in keys}, options.runs))
    close(hosts)
    return rows


def command_rows(
    where: str, boot: Boot, works: Sequence[Work], jails: dict[str, Host], options: Any
) -> list[Row]:
    if not works:
        return []

    def prepare(host: Host) -> None:
        for path, data in workloads.inputs().items():
            host.put(path, data)

    hosts = prepared(boot, twins.IMAGE, works, prepare, options)
    rows = [row_of(work, where, hosts | jails, options.runs) for work in works]
    close(hosts)
    return rows


def hart_rows(where: str, boot: Boot, names: Sequence[str], options: Any) -> list[Row]:
    """How many times faster two harts are than one; the same of this machine's processors."""
    if not names:
        return []
    jit = {} if options.jit in (None, "both") else {"jit": options.jit}
    hosts: dict[str, Host] = {f"ebb {n}": boot("base", {"harts": n} | jit) for n in (1, 2)}
    booted = dict(hosts)
    for n in (1, 2):
        give(hosts[f"ebb {n}"], names)
        hosts[f"native {n}"] = Static(TWINS, cpus=n)
        if QEMU:
            hosts[f"qemu {n}"] = Static(GUESTS, [QEMU], cpus=n)
    rows = []
    for name in names:
        got = measure(program(name, 5), hosts, options.runs)

        def gain(of: str, got: dict[str, Samples] = got) -> float:
            return round(got[f"{of} 1"].net / got[f"{of} 2"].net, 2)

        row = Row(f"harts-{name}", where, gain("ebb"), "times", native=gain("native"))
        row.qemu = gain("qemu") if QEMU else None
        row.runs = len(got["ebb 1"].full)
        rows.append(row.finish())
    close(booted)
    return rows


def close(hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        if isinstance(host, Machine | Jail):
            host.close()


def mean_rows(rows: Sequence[Row]) -> list[Row]:
    """Geometric means of groups that were measured whole or in part; their ratios are the rows'."""
    means, known = [], known_rows()
    for where in ("native", "chromium"):
        for group in workloads.MEANS:
            members = [r for r in rows if r.where == where and group in known[r.workload][0]]
            if len(members) < 2:
                continue
            mean = Row(f"{group}-mean", where, None)
            for key in ("ebb", "native", "qemu", "off"):
                values = [getattr(row, key) for row in members]
                if all(values):
                    setattr(mean, key, round(statistics.geometric_mean(values), 2))
            means.append(mean.finish())
    return means


def worst_rows(rows: Sequence[Row]) -> list[str]:
    """Say where the compiler gains least, or costs most: in a first run, and in later ones."""
    lines = []
    for where in ("native", "chromium"):
        both = [row for row in rows if row.where == where and row.off and row.first_off]
        later = {row.workload: row.ratio_off or 0 for row in both}
        first = {row.workload: (row.first or 0) / (row.first_off or 1) for row in both}
        for run, ratios in {"later runs": later, "first run": first}.items():
            if ratios:
                name = max(ratios, key=lambda one: ratios[one])
                lines.append(
                    f"worst row compiled/interpreted ({where}, {run}): {name} {ratios[name]:.2f},"
                    f" slower: {sum(ratio > 1 for ratio in ratios.values())} of {len(ratios)}"
                )
    return lines


def make_jails(works: Sequence[Work]) -> dict[str, Host]:
    """Prepare both twins of image debian for the commands; what cannot be had is said and left out."""
    if not works:
        return {}
    progress, folder = print_progress(), BUILD / "bench"
    jails = {"qemu": Jail(twins.riscv64(folder), QEMU)} if QEMU else {}
    try:
        jails["native"] = Jail(twins.amd64(folder, progress))
        unlike = twins.different() & {workloads.COMMANDS[work.name].package for work in works}
        if unlike:
            print(f"other versions natively: {', '.join(sorted(unlike))}", file=sys.stderr)
    except ImageError as error:
        print(f"no native column for Debian's programs: {error}", file=sys.stderr)
    for key, jail in list(jails.items()):
        if jail.refused:
            print(f"no {key} column for Debian's programs: {jail.refused}", file=sys.stderr)
            jails.pop(key).close()
            continue
        for path, data in workloads.inputs().items():
            jail.put(path, data)
    return dict(jails)


def cli_rows(names: Sequence[str], runs: int) -> list[Row]:
    rows = []
    for name in names:
        ebb = Static(Path(sys.executable).parent)
        argv = ["ebb", *workloads.CLI[name]]
        first = ebb.run(argv)[0]  # its compiled code is there
        times = [ebb.run(argv)[0] for _ in range(runs)]
        row = Row(name, "native", round(statistics.median(times), 1), first=first, runs=runs)
        rows.append(row.finish())
    return rows


def record_rows(runs: int) -> list[Row]:
    return [
        Row(one.name, "native", round(one.value, 3), one.unit, runs=runs).finish()
        for one in record.measure(runs)
    ]


def page_record_rows(url: str, runs: int) -> list[Row]:
    """What page_record.py measures, in a profile on disk, as visitors have: of a private window files are in
    another process, and slower.
    """
    with (
        sync_playwright() as play,
        tempfile.TemporaryDirectory() as profile,
        pages.visit(play, profile, link=False) as page,
    ):
        kernel = (web_folder() / "kernel.wasm").read_bytes()
        return [
            Row(one.name, "chromium", round(one.value, 3), one.unit, runs=runs).finish()
            for one in page_record.measure(page, url, kernel, runs)
        ]


def page_rows(url: str, packed_url: str, runs: int) -> list[Row]:
    """What pages.py measures, each image by itself."""
    rows = []
    with sync_playwright() as play:
        for image in pages.IMAGES:
            for name, values in pages.measure(play, url, packed_url, image, runs).items():
                unit = "MiB" if "memory" in name else "steps" if "steps" in name else "ms"
                row = Row(name, "chromium", round(statistics.median(values), 1), unit)
                row.runs, row.spread = len(values), pages.spread(values)
                rows.append(row.finish())
    return rows


def main() -> int:
    options = read()
    wanted = chosen(options.only, options.where)
    programs = [
        program(name, repetitions)
        for members in workloads.PROGRAMS.values()
        for name, repetitions in members.items()
        if name in wanted
    ]
    commands = [
        Work(name, command.argv, setup=command.setup, check=command.check)
        for name, command in workloads.COMMANDS.items()
        if name in wanted
    ]
    harts = [name for name in workloads.HARTS if f"harts-{name}" in wanted]
    together = {group for group, members in workloads.TOGETHER.items() if wanted & {*members}}

    start = time.monotonic()
    jails = make_jails(commands)
    print(f"{'workload':24} {'where':9}", end="")
    print("", *(f"{name.replace('ratio_', '/'):>{width}}" for name, width in COLUMNS.items()))
    rows: list[Row] = []

    def all_rows(where: str, boot: Boot) -> None:
        rows.extend(program_rows(where, boot, programs, options))
        rows.extend(command_rows(where, boot, commands, jails, options))
        rows.extend(hart_rows(where, boot, harts, options))

    if options.where != "chromium":
        all_rows("native", Native)
        rows += cli_rows([name for name in workloads.CLI if name in wanted], options.runs)
        if "record" in together:
            rows += record_rows(options.runs)
    if options.where != "native":
        mounts = site(web_folder(), images_folder())
        with Server(mounts, port=0) as server, Server(mounts, port=0, compress=True) as packed:
            if programs or commands or harts:
                with sync_playwright() as play:
                    path = os.environ.get("EBB_CHROMIUM")
                    browser = play.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGS))
                    all_rows("chromium", partial(Chromium, browser, server.url))
                    browser.close()
            if "record-page" in together:
                rows += page_record_rows(server.url, options.runs)
            if "pages" in together:
                rows += page_rows(server.url, packed.url, options.page_runs)
    close(jails)
    rows += mean_rows(rows)
    for line in worst_rows(rows):
        print(line)
    print(f"{len(rows)} rows in {(time.monotonic() - start) / 60:.1f} minutes")
    if options.json:
        machine = {"system": platform.platform(), "cpus": os.cpu_count(), "processor": cpu_name()}
        options.json.write_text(
            json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1)
        )
    return 0


def cpu_name() -> str:
    try:
        return str(re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[0])
    except (OSError, IndexError):
        return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
