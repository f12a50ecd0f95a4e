"""The benchmark's command line, which is read before anything is built: standard library only."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]  # where bench.py is run, and what --json is relative to
WORKLOADS: dict[str, Any] = runpy.run_path(str(HERE / "workloads.py"))

PATIENCE_S = 6  # a row that took so long gets no further runs: sixty rows in ten minutes
EVERYWHERE = ("native", "chromium")

LEGEND = f"""\
columns:
  ebb         median of the runs; of our own programs less that of the same program doing nothing
  unit        of ebb, native, qemu, off, first and first_off; "times" in the rows harts-*: how much
              faster two harts are than one
  native      the same on this machine's own Linux
  qemu        the same under qemu-riscv64
  off         the same in Ebb without its compiler (--jit both)
  /native, /qemu, /off    ebb as a multiple of these
  guest_mips  guest instructions, in millions a second
  compiled    per cent of the last run's instructions that ran as compiled code
  compile_ms  time that compiling took, in all runs of the row
  first       the first run, which is not in the median, with what it compiles
  first_off   the first run without the compiler (--jit both)
  spread      of the runs: (longest - shortest) / median
  runs        how many there were after the first: --runs, or fewer of a row that takes long. After
              {PATIENCE_S} s, in all places together, a row of a program gets no further run.
A "-" stands where nothing was measured. This machine may be shared: read ratios, not times.
"""


def known_rows() -> dict[str, tuple[set[str], Sequence[str]]]:
    """Give the groups of every row, and where it is measured."""
    found: dict[str, tuple[set[str], Sequence[str]]] = {}
    for group, members in WORKLOADS["PROGRAMS"].items():
        found |= {name: ({group}, EVERYWHERE) for name in members}
    for name, command in WORKLOADS["COMMANDS"].items():
        found[name] = ({command.group, "debian"}, EVERYWHERE)
    found |= {f"harts-{name}": ({"harts"}, EVERYWHERE) for name in WORKLOADS["HARTS"]}
    found |= {name: (set(), ["native"]) for name in WORKLOADS["CLI"]}
    for group, members in WORKLOADS["TOGETHER"].items():
        where = "native" if group == "record" else "chromium"
        found |= {name: ({group}, [where]) for name in members}
    return found


def groups() -> list[str]:
    return list(dict.fromkeys(group for of, _ in known_rows().values() for group in sorted(of)))


def chosen(only: Sequence[str] | None, where: str | None) -> set[str]:
    """Give the rows that are asked for: whose name begins so, or that are in a group of that name."""
    return {
        name
        for name, (of, places) in known_rows().items()
        if where in (None, *places)
        and (not only or any(name.startswith(one) or one in of for one in only))
    }


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(
        prog="build.py bench",
        usage="%(prog)s [OPTION]...",
        description="Measure, and print one table: Ebb in Chromium and natively, as ratios to native x86-64 and to"
        " qemu-riscv64.",
        epilog=LEGEND,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the table there too, in a folder that exists",
    )
    one.add_argument(
        "--only", action="append", metavar="NAME",
        help=f"only rows whose name begins so, or a group: {', '.join(groups())}; may be given again",
    )  # fmt: skip
    one.add_argument("--where", choices=EVERYWHERE, help="only there")
    one.add_argument(
        "--runs", type=_count, default=5, metavar="N", help="alternating runs of each (5)"
    )
    one.add_argument(
        "--page-runs", type=_count, default=10, metavar="N", help="new profiles per image (10)"
    )
    one.add_argument("--again", action="store_true", help="in a page: in a second visit")
    one.add_argument("--jit", choices=["on", "off", "both"], help="boot machines with this")
    return one


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1")
    return int(text)


def read(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse, and end with a sentence if what is asked for cannot be had."""
    top = parser()
    got = top.parse_args(arguments)
    for one in got.only or ():
        if not chosen([one], None):
            together = {name for names in WORKLOADS["TOGETHER"].values() for name in names}
            others = [name for name in known_rows() if name not in together]
            top.error(
                f"there is no row {one}; groups are {', '.join(groups())}, rows of programs "
                + ", ".join(others)
            )
        if not chosen([one], got.where):
            top.error(f"{one} is not measured in {got.where}".replace("in native", "natively"))
    if got.json and not (ROOT / got.json).parent.is_dir():
        top.error(f"there is no folder {(ROOT / got.json).parent} for --json")
    if got.json and (ROOT / got.json).is_dir():
        top.error(f"{got.json} is a folder; --json wants a file")
    return got
