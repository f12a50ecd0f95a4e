"""Runs a program with the compiler on; the counters say what became of it."""

from __future__ import annotations

from ebbtide import blocking
from ebbtide.stats import Stats


def run(program: bytes, *, threshold: int = 16, harts: int = 1) -> Stats:
    """Run an executable in a machine of its own, which keeps no code."""
    options = {"jit": "on", "jit_threshold": threshold, "keep_code": False, "harts": harts}
    with blocking.Machine.boot(None, memory=128 << 20, budget=20_000, **options) as machine:
        machine.fs.write_file("/program", program, mode=0o755)
        assert machine.run("/program", timeout=300).exit_code == 0
        stats: Stats = machine.stats()
        return stats
