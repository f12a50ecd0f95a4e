"""What an editor shows of a stopped program: stack frames, their variables, registers, expressions.

Numbers given out for frames and values hold until the program moves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .gdb_mi import Gdb, GdbSaid, quote

DEPTH_MOST = 10_000
SUMMARY_MOST = 200  # characters of a whole structure
CHILDREN_MOST = 1000  # shown of one value when the editor asks for no part of it
_SHORTENED = re.compile(r"\{\.\.\.\}|\[\d+\]")
_ADDRESS = re.compile(r"(?:\([^()]*\) )?(0x[0-9a-f]+)")
_ACCESS = ("public", "private", "protected")  # gdb puts a level of these between class and member


@dataclass(frozen=True)
class Frame:
    """A frame of a thread, both as gdb counts them."""

    thread: int
    level: int

    @property
    def options(self) -> str:
        """Return what makes a command be about this frame."""
        return f"--thread {self.thread} --frame {self.level}"


@dataclass(frozen=True)
class Group:
    """What belongs to one number: a frame's locals or registers, or a value's parts."""

    kind: str  # locals, registers, parts
    frame: Frame
    object: str = ""  # gdb's name of the value


def address(value: str) -> str | None:
    """Return the address that a shown value is."""
    found = _ADDRESS.match(value)
    return found[1] if found else None


class Values:
    """Those of one stop after the other."""

    def __init__(self, gdb: Gdb) -> None:
        self._gdb = gdb
        self._frames: list[Frame] = []
        self._groups: list[Group] = []
        self._objects: list[str] = []
        self._registers: list[tuple[int, str]] = []

    async def forget(self) -> None:
        """The program has moved."""
        objects, self._objects = self._objects, []
        self._frames, self._groups = [], []
        for one in objects:
            await self._gdb.command(f"-var-delete {one}")

    # ---- Frames ---------------------------------------------------------------------------------

    async def stack(self, thread: int, first: int, count: int) -> list[tuple[int, dict[str, Any]]]:
        """Return frames of a thread, each with its number."""
        last = min(first + count, DEPTH_MOST) - 1
        depth = int((await self._gdb.command(
            f"-stack-info-depth --thread {thread} {last + 1}"))["depth"])  # fmt: skip
        if depth <= first:
            return []
        said = await self._gdb.command(
            f"-stack-list-frames --thread {thread} {first} {min(last, depth - 1)}"
        )
        found = []
        for row in said["stack"]:
            self._frames.append(Frame(thread, int(row["level"])))
            found.append((len(self._frames), row))
        return found

    def frame(self, number: int) -> Frame:
        """Return the frame that has this number."""
        if not 0 < number <= len(self._frames):
            raise GdbSaid("that frame is of an earlier stop")
        return self._frames[number - 1]

    # ---- Values ---------------------------------------------------------------------------------

    def group(self, kind: str, frame: Frame, object: str = "") -> int:
        """Give a number to a group of values."""
        self._groups.append(Group(kind, frame, object))
        return len(self._groups)

    def groups(self, number: int) -> Group:
        """Return the group that has this number."""
        if not 0 < number <= len(self._groups):
            raise GdbSaid("that value is of an earlier stop")
        return self._groups[number - 1]

    async def of(self, number: int, start: int = 0, count: int = 0) -> list[dict[str, Any]]:
        """Return the values of a group, as DAP has them."""
        group = self.groups(number)
        match group.kind:
            case "locals":
                return await self._locals(group.frame)
            case "registers":
                return await self._register_values(group.frame)
        return await self._parts(group.frame, group.object, start, count or CHILDREN_MOST)

    async def evaluate(self, expression: str, frame: Frame | None) -> dict[str, Any]:
        """Return an expression's value, as DAP has variables."""
        frame = frame or Frame(await self.thread(), 0)
        try:
            made = await self._gdb.command(f"-var-create {frame.options} - * {quote(expression)}")
        except GdbSaid:  # without a reason; this says one, or has the value
            value = await self.plain(expression, frame)
            return {"name": expression, "value": value, "variablesReference": 0}
        self._objects.append(made["name"])
        return await self._shown(made, expression, expression, frame)

    async def plain(self, expression: str, frame: Frame) -> str:
        """Return an expression's value as text."""
        command = f"-data-evaluate-expression {frame.options} {quote(expression)}"
        return str((await self._gdb.command(command))["value"])

    async def thread(self) -> int:
        """Return the thread that gdb looks at."""
        said = await self._gdb.command("-thread-info")
        return int(said.get("current-thread-id") or said["threads"][0]["id"])

    async def _locals(self, frame: Frame) -> list[dict[str, Any]]:
        said = await self._gdb.command(f"-stack-list-variables {frame.options} --no-values")
        names = dict.fromkeys(row["name"] for row in said["variables"])  # the innermost of a name
        found = []
        for name in names:
            try:
                found.append(await self.evaluate(name, frame))
            except GdbSaid as error:
                found.append({"name": name, "value": f"<{error}>", "variablesReference": 0})
        return found

    async def _parts(
        self, frame: Frame, object: str, start: int, count: int
    ) -> list[dict[str, Any]]:
        said = await self._gdb.command(
            f"-var-list-children --all-values {object} {start} {start + count}"
        )
        found = []
        for child in said.get("children", ()):
            if child["exp"] in _ACCESS and "type" not in child:
                found += await self._parts(frame, child["name"], 0, CHILDREN_MOST)
                continue
            try:
                path = await self._gdb.command(f"-var-info-path-expression {child['name']}")
            except GdbSaid:  # what a pretty-printer has made has none
                path = {}
            found.append(await self._shown(child, child["exp"], path.get("path_expr", ""), frame))
        return found

    async def _shown(
        self, row: dict[str, Any], name: str, path: str, frame: Frame
    ) -> dict[str, Any]:
        value, parts = row.get("value", ""), int(row.get("numchild", 0))
        more = parts > 0 or row.get("dynamic") == "1"
        shown: dict[str, Any] = {"name": name, "type": row.get("type", ""), "value": value}
        if path:
            shown["evaluateName"] = path
        if path and _SHORTENED.fullmatch(value):
            shown["value"] = await self._summary(path, frame, value)
        shown["variablesReference"] = self.group("parts", frame, row["name"]) if more else 0
        if _SHORTENED.fullmatch(value) and value.startswith("["):
            shown["indexedVariables"] = parts
        elif at := address(value):
            shown["memoryReference"] = at
        return shown

    async def _summary(self, path: str, frame: Frame, short: str) -> str:
        try:
            text = await self.plain(path, frame)
        except GdbSaid:
            return short
        return text if len(text) <= SUMMARY_MOST else text[:SUMMARY_MOST] + "…"

    async def _register_values(self, frame: Frame) -> list[dict[str, Any]]:
        if not self._registers:
            said = await self._gdb.command("-data-list-register-names")
            names = said["register-names"]
            self._registers = [(at, name) for at, name in enumerate(names) if name]
        numbers = " ".join(str(number) for number, _ in self._registers)
        said = await self._gdb.command(
            f"-data-list-register-values {frame.options} --skip-unavailable x {numbers}"
        )
        names = dict(self._registers)
        return [
            {
                "name": names[int(row["number"])],
                "value": row["value"],
                "evaluateName": f"${names[int(row['number'])]}",
                "variablesReference": 0,
            }
            for row in said["register-values"]
        ]
