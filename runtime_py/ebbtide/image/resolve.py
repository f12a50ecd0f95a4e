"""The closure of a list of packages under Depends and Pre-Depends (never Recommends).

Rule: the result depends on the list and the archive alone. An alternative that is already chosen
wins, then the first real package, then the provider whose name sorts first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import ImageError
from .release import Archive, Package

RELATION = re.compile(r"^([a-z0-9][a-z0-9.+-]*)(?::\w+)?\s*(?:\(\s*([<>=]+)\s*([^)\s]+)\s*\))?")
PROMISE = re.compile(r"([a-z0-9][a-z0-9.+-]*)\s*(?:\(=\s*([^)\s]+)\s*\))?")

VersionPart = list[tuple[tuple[int, ...], int]]


def _letter(char: str) -> int:
    """Order of a character inside a version: ~ before the end, letters before the rest."""
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256


def _part_key(part: str) -> VersionPart:
    key: VersionPart = []
    for text, number in re.findall(r"([^0-9]*)([0-9]*)", part):
        if text or number:
            # 0 marks the end of a run of non-digits: after ~, before everything else.
            key.append(((*map(_letter, text), 0), int(number or 0)))
    key.append(((0,), 0))
    return key


def version_key(version: str) -> tuple[int, VersionPart, VersionPart]:
    """Return a key that sorts versions as Debian policy 5.6.12 says."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, "0"
    return int(epoch), _part_key(upstream), _part_key(revision)


def satisfies(have: str, relation: str, want: str) -> bool:
    """Tell whether a version stands in a relation to another."""
    a, b = version_key(have), version_key(want)
    return {
        "<<": a < b, "<=": a <= b, "<": a <= b, "=": a == b, ">=": a >= b, ">": a >= b, ">>": a > b,
    }[relation]  # fmt: skip


class _Resolver:
    def __init__(self, archive: Archive, leave_out: frozenset[str]) -> None:
        self.packages = archive.packages
        self.leave_out = leave_out
        self.chosen: dict[str, Package] = {}
        self.given: set[str] = set(leave_out)
        self.providers: dict[str, list[tuple[str, str]]] = {}
        for package in archive.packages.values():
            for name, version in PROMISE.findall(package.provides):
                self.providers.setdefault(name, []).append((package.name, version))

    def options(self, alternatives: str) -> list[str]:
        """Return the packages that would satisfy one clause, best first."""
        found: list[str] = []
        for part in alternatives.split("|"):
            match = RELATION.match(part.strip())
            if not match:
                raise ImageError(f"cannot read the dependency {part!r}")
            name, relation, want = match[1], match[2], match[3]
            real = self.packages.get(name)
            if name in self.leave_out or (
                real and (not relation or satisfies(real.version, relation, want))
            ):
                found.append(name)
            for provider, version in sorted(self.providers.get(name, [])):
                if not relation or (version and satisfies(version, relation, want)):
                    found.append(provider)
        return found

    def choose(self, name: str) -> None:
        pending = [name]
        while pending:
            name = pending.pop(0)
            if name in self.chosen:
                continue
            package = self.chosen[name] = self.packages[name]
            for clause in f"{package.pre_depends},{package.depends}".split(","):
                if not clause.strip():
                    continue
                options = self.options(clause)
                if not options:
                    raise ImageError(f"{name} depends on {clause.strip()}, which the archive lacks")
                if not any(o in self.chosen or o in self.given for o in options):
                    pending.append(options[0])


def closure(archive: Archive, names: Iterable[str], leave_out: Iterable[str] = ()) -> list[Package]:
    """Return the packages the named ones need, sorted; those left out are taken as given."""
    resolver = _Resolver(archive, frozenset(leave_out))
    wanted = list(names)
    for name in wanted:
        if name not in archive.packages:
            raise ImageError(f"the archive has no package {name}")
        resolver.given.add(name)
    for name in wanted:
        resolver.choose(name)
    return [resolver.chosen[name] for name in sorted(resolver.chosen)]
