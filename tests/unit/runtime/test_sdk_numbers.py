"""Numbers that the SDK needs before it has a kernel are those of the kernel's border."""

from __future__ import annotations

import re
from pathlib import Path

from ebbtide.placement import MEMORY_MIN


def number(path: Path, pattern: str) -> int:
    found = re.search(pattern, path.read_text())
    assert found, (path, pattern)
    return int(found[1])


def test_harts_and_memory(root: Path) -> None:
    harts = number(root / "kernel" / "abi.h", r"#define HART_MAX (\d+)")
    assert number(root / "sdk" / "src" / "boot.ts", r"HARTS_MOST = (\d+)") == harts
    memory = root / "sdk" / "src" / "memory.ts"
    assert number(memory, r"MIN = (\d+) \* MIB") << 20 == MEMORY_MIN
