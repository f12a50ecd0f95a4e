"""What a machine has done so far, and how much of it in compiled code.

Read from each hart's report and counters at any moment; nothing decides by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .port import HostPort, Seat


@dataclass(frozen=True)
class Stats:
    """All harts together."""

    ticks: int  # machine time: instructions and kernel work, of harts at work at once the longest
    instructions: int  # of the guest
    compiled_instructions: int  # of these, in compiled code
    entries: int  # of compiled code from outside it
    regions: int
    region_instructions: int
    modules: int
    module_bytes: int
    compile_seconds: float
    refused: int  # modules that the host did not take
    evictions: int  # times that all compiled code was dropped
    stale: int  # regions whose guest code had changed
    kept_regions: int  # taken from what other runs have compiled
    kept_modules: int
    epochs: int  # times that a hart has looked at all regions again
    flushes: int  # times that one has dropped all decoded code

    def __str__(self) -> str:
        share = 100 * self.compiled_instructions / max(1, self.instructions)
        rows = (
            ("machine time", f"{self.ticks:,}", "ticks"),
            ("guest's work", f"{self.instructions:,}", "instructions"),
            ("in compiled code", f"{self.compiled_instructions:,}", f"instructions: {share:.2f} %"),
            ("entered", f"{self.entries:,}", "times"),
            (
                "compiled",
                f"{self.regions:,}",
                f"regions of {self.region_instructions:,} instructions",
            ),
            ("modules", f"{self.modules:,}", f"of {self.module_bytes:,} bytes"),
            ("compiling took", f"{self.compile_seconds * 1000:,.1f}", "ms"),
            (
                "kept from before",
                f"{self.kept_regions:,}",
                f"regions in {self.kept_modules:,} modules",
            ),
            ("out of date", f"{self.stale:,}", "regions"),
            ("refused", f"{self.refused:,}", "modules"),
            ("all dropped", f"{self.evictions:,}", "times"),
            ("looked at anew", f"{self.epochs:,}", "times"),
            ("decoded dropped", f"{self.flushes:,}", "times"),
        )
        return "\n".join(f"{name:16}  {value:>16}  {unit}" for name, value, unit in rows)


def read_stats(port: HostPort, seats: Iterable[Seat]) -> Stats:
    """Add up what all harts have done."""
    layout = port.abi.structs["report"]
    ticks, sums = 0, dict.fromkeys(port.abi.structs["jit_counters"].fields, 0)
    retired = 0
    for seat in seats:
        # Plain numbers: a hart that has not come yet has no status.
        report = layout.integers(port.read(seat.report, layout.size))
        ticks = max(ticks, report["tick"])
        retired += report["retired"]
        for name, value in port.jit_counters(seat.hart).items():
            sums[name] += value
    return Stats(
        ticks=ticks,
        instructions=retired,
        compiled_instructions=sums["instructions"],
        entries=sums["entries"],
        regions=sums["regions"],
        region_instructions=sums["region_instructions"],
        modules=sums["modules"],
        module_bytes=sums["module_bytes"],
        compile_seconds=sums["compile_ns"] / 1e9,
        refused=sums["refused"],
        evictions=sums["evictions"],
        stale=sums["stale"],
        kept_regions=sums["kept_regions"],
        kept_modules=sums["kept_modules"],
        epochs=sums["epochs"],
        flushes=sums["flushes"],
    )


def camel(name: str) -> str:
    """Return a field's name as the page has it."""
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)
