"""Rules of the tree that nothing else enforces."""

from __future__ import annotations

import re
from pathlib import Path

from build_steps import reference

ROOT = Path(__file__).resolve().parents[2]
KERNEL = ROOT / "kernel"

# A kernel directory includes its own headers, those above it, and the ones beside abi.h.
# cpu and jit are one layer, the processor: what the one finds hot the other compiles, and hands back.
LAYERS = [{"lib"}, {"mem"}, {"cpu", "jit"}, {"task"}, {"fs"}, {"net"}, {"proc"}, {"sys"}]
# The root ties the layers together; kernel.h is what every layer may see of it.
SHARED = {
    "types.h",
    "abi.h",
    "chaos.h",
    "linux.h",
    "kernel.h",
    "outbox.h",
    "park.h",
    "tap.h",
    "syscalls.tbl",
}


def layer(directory: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if directory in names)


def includes(path: Path) -> list[str]:
    return re.findall(r'^#include "([^"]+)"', path.read_text(), re.M)


def test_kernel_directories_include_only_what_is_above_them() -> None:
    wrong = []
    for path in sorted(KERNEL.rglob("*.[ch]")):
        place = path.relative_to(KERNEL).parts
        if len(place) == 1 or place[0] == "vdso":
            continue
        for name in includes(path):
            target = (path.parent / name).resolve().relative_to(KERNEL).parts
            if len(target) == 1:
                if target[0] not in SHARED:
                    wrong.append(f"{path.relative_to(KERNEL)} includes {name}")
            elif layer(target[0]) > layer(place[0]):
                wrong.append(f"{path.relative_to(KERNEL)} includes {name}")
    assert not wrong, "\n".join(wrong)


def test_generated_pages_are_current() -> None:
    for name, make in reference.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == make(), f"run: python3 build.py docs ({name})"
