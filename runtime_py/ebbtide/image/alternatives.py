"""Debian's alternatives: which of several programs a common name means.

Rule: the calls are read from the packages' own scripts, the highest priority wins, and both the
links and update-alternatives' records are left as it would leave them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .tree import Tree

DIRECTORY = "/etc/alternatives"
RECORDS = "/var/lib/dpkg/alternatives"
CALL = re.compile(
    r"--install\s+(?P<link>/[^\s$]+)\s+(?P<name>[^\s$]+)\s+(?P<path>/[^\s$]+)\s+(?P<priority>\d+)"
)
ASSIGNMENT = re.compile(r"""^\s*(?P<name>\w+)=(?:'([^']*)'|"([^"]*)"|([^\s;`(]*))\s*$""")
LOOP = re.compile(r"^\s*(?:for\s+(?P<name>\w+)\s+in\s+(?P<words>[^;]*)|while\b|until\b)")
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
SLAVE = re.compile(r"--slave\s+(/[^\s$]+)\s+([^\s$]+)\s+(/[^\s$]+)")

DEEPEST = 4  # variables in variables

# What a script computes cannot be read from it: name -> slave, link, program.
COMPUTED = {
    "lzma": [
        (old, f"/usr/bin/{old}", f"/usr/bin/{new}")
        for old, new in [
            ("unlzma", "unxz"), ("lzcat", "xzcat"), ("lzmore", "xzmore"), ("lzless", "xzless"),
            ("lzdiff", "xzdiff"), ("lzcmp", "xzcmp"), ("lzgrep", "xzgrep"), ("lzegrep", "xzegrep"),
            ("lzfgrep", "xzfgrep"),
        ]
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One --install: a program that can stand for a name, with what goes along with it."""

    name: str
    link: str
    path: str
    priority: int
    slaves: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (link, path)


def read_calls(script: str) -> list[Choice]:
    """Find the update-alternatives calls of a maintainer script, those in loops over words, too."""
    text = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    found: list[Choice] = []
    variables: dict[str, str] = {}
    loops: list[tuple[str, str]] = []  # variable and words, of those around this line
    for line in text.replace("\\\n", " ").splitlines():
        if assignment := ASSIGNMENT.match(line):
            variables[assignment["name"]] = assignment[assignment.lastindex or 1]
        elif loop := LOOP.match(line):
            loops.append((loop["name"] or "", loop["words"] or ""))
        elif line.strip() == "done" and loops:
            loops.pop()
        elif "update-alternatives" in line:
            for values in _rounds(loops, variables):
                found += _calls(_expand(line, values))
    return found


def _rounds(loops: list[tuple[str, str]], variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """Give the variables as they are in each round of all loops."""
    if not loops:
        yield variables
        return
    (name, words), *inner = loops
    for word in _expand(words, variables).split() if name else [""]:
        yield from _rounds(inner, variables | {name: word})


def _expand(text: str, variables: dict[str, str]) -> str:
    """Put in what variables stand for, which may name others; what is not known stays."""
    for _ in range(DEEPEST):
        text = VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), text)
    return text


def _calls(line: str) -> Iterator[Choice]:
    if call := CALL.search(line):
        slaves = {name: (link, path) for link, name, path in SLAVE.findall(line)}
        slaves |= {name: (link, path) for name, link, path in COMPUTED.get(call["name"], [])}
        yield Choice(call["name"], call["link"], call["path"], int(call["priority"]), slaves)


def apply(tree: Tree, choices: Iterable[Choice]) -> None:
    """Make the links and records for all choices whose program is there."""
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        if tree.find(choice.path) is not None:
            groups.setdefault(choice.name, []).append(choice)
    for name, group in sorted(groups.items()):
        group.sort(key=lambda choice: (-choice.priority, choice.path))
        best = group[0]
        _link(tree, name, best.link, best.path)
        for slave, (link, path) in sorted(best.slaves.items()):
            if tree.find(path) is not None:
                _link(tree, slave, link, path)
        tree.write(f"{RECORDS}/{name}", _record(tree, group))


def _link(tree: Tree, name: str, link: str, path: str) -> None:
    tree.symlink(f"{DIRECTORY}/{name}", path)
    tree.symlink(link, f"{DIRECTORY}/{name}")


def _record(tree: Tree, group: list[Choice]) -> bytes:
    slaves = {
        name: link
        for choice in group
        for name, (link, path) in choice.slaves.items()
        if tree.find(path) is not None
    }
    lines = ["auto", group[0].link]
    for name in sorted(slaves):
        lines += [name, slaves[name]]
    lines.append("")
    for choice in sorted(group, key=lambda c: c.path):
        lines += [choice.path, str(choice.priority)]
        for name in sorted(slaves):
            path = choice.slaves.get(name, ("", ""))[1]
            lines.append(path if path and tree.find(path) is not None else "")
    return ("\n".join([*lines, ""]) + "\n").encode()
