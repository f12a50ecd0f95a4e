"""What is to go wrong in a machine, and how often: `--chaos 0.01`, `--chaos errno=0.01,short,sched`.

The kernel draws what happens from the seed (kernel/chaos.c), so that a recording needs no more than
this.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .abi import Abi

# By kind: its rate if none is given, and whether a rate without a kind is meant for it, too.
KINDS = {
    "errno": (0.01, True),
    "short": (0.1, True),
    "clock": (0.01, True),
    "sched": (1.0, False),
}


@dataclass(frozen=True)
class Chaos:
    """Rates by kind, from 0 to 1; the seed is a number of 64 bits."""

    rates: Mapping[str, float]
    seed: int = 0

    def __str__(self) -> str:
        return ",".join(f"{kind}={rate:g}" for kind, rate in self.rates.items())

    def event(self, abi: Abi) -> tuple[int, bytes]:
        """Return the seed and the rates as the CHAOS event has them."""
        numbers = abi.groups["chaos"]
        rates = bytearray(4 * len(numbers))
        for kind, rate in self.rates.items():
            at = 4 * numbers[kind.upper()]
            rates[at : at + 4] = min(round(rate * 2**32), 2**32 - 1).to_bytes(4, "little")
        return self.seed & (2**64 - 1), bytes(rates)


def chaos(text: str, seed: int = 0) -> Chaos:
    """Read rates with commas between them, of a kind or of all; or raise ValueError."""
    rates: dict[str, float] = {}
    for word in text.split(","):
        kind, given, number = word.partition("=")
        if kind[:1] in tuple("0123456789."):
            rate = _rate(word)
            rates |= {kind: rate if by_it else usual for kind, (usual, by_it) in KINDS.items()}
            continue
        if kind not in KINDS:
            raise ValueError(f"chaos has the kinds {', '.join(KINDS)}, and not {kind!r}")
        rates[kind] = _rate(number) if given else KINDS[kind][0]
    return Chaos(rates, seed)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ValueError(f"{text!r} is no rate: write a number from 0 to 1")
    return rate


def check_seed(seed: object) -> None:
    """Refuse what is no number of 64 bits: only those are kept apart."""
    if type(seed) is not int or not 0 <= seed < 1 << 64:
        raise ValueError(f"seed is a whole number from 0 to 2**64 - 1, not {seed!r}")


def chosen(what: Chaos | str | None, seed: int | None) -> dict[str, Any]:
    """Return the options to boot with: what is to go wrong, drawn from a seed, as random numbers are."""
    options: dict[str, Any] = {}
    if seed is not None:
        check_seed(seed)
        options["seed"] = hashlib.sha256(b"ebb-seed %d" % seed).digest()
    if what:
        drawn = secrets.randbits(32) if seed is None else seed
        found = chaos(what) if isinstance(what, str) else what
        options["chaos"] = replace(found, seed=drawn)
    return options


def chaos_from(value: object) -> Chaos | None:
    """Read what a machine is booted with: None, a Chaos, or text as on the command line."""
    if value is None or isinstance(value, Chaos):
        return value
    if isinstance(value, (str, int, float)):
        return chaos(str(value))
    raise ValueError(f"chaos is a rate or text such as 'errno=0.01,sched', not {value!r}")
