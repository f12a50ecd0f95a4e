"""An editor's breakpoints and data breakpoints as gdb's. The editor always names all of a kind: those
that were there before are taken away.
"""

from __future__ import annotations

from typing import Any

from .dap_values import Frame, Values, address
from .gdb_mi import Gdb, GdbSaid, quote

_WATCH = {"write": "", "read": "-r ", "readWrite": "-a "}


class Breakpoints:
    """Those of one session, by kind: a source's path, or the name of the request that set them."""

    def __init__(self, gdb: Gdb, values: Values) -> None:
        self._gdb = gdb
        self._values = values
        self._numbers: dict[str, list[str]] = {}
        self._unresolved: set[str] = set()
        self.kinds: dict[str, str] = {}  # of each number, as a stop's reason

    async def lines(self, path: str, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Set those of a source."""
        # A program may have been compiled elsewhere: then its source goes by its name alone.
        names = [path, path.rpartition("/")[2]]
        places = [[f"--source {quote(name)} --line {one['line']}" for name in names]
                  for one in wanted]  # fmt: skip
        return await self._set(path, "breakpoint", wanted, places)

    async def once(self, path: str, line: int) -> None:
        """Set one that goes when it is met."""
        names = path, path.rpartition("/")[2]
        row = await self._insert("-t ", [f"--source {quote(one)} --line {line}" for one in names])
        self.kinds[row["number"]] = "goto"

    async def functions(self, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Set those of functions."""
        places = [[f"--function {quote(one['name'])}"] for one in wanted]
        return await self._set("functions", "function breakpoint", wanted, places)

    async def instructions(self, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Set those of addresses."""
        places = [
            [f"*{int(one['instructionReference'], 0) + one.get('offset', 0):#x}"] for one in wanted
        ]
        return await self._set("instructions", "instruction breakpoint", wanted, places)

    async def data(self, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Set those of data."""
        await self._clear("data")
        found = []
        for one in wanted:
            how = _WATCH[one.get("accessType", "write")]
            try:
                said = await self._gdb.command(f"-break-watch {how}{quote(one['dataId'])}")
                number = next(iter(said.values()))["number"]  # wpt, hw-rwpt or hw-awpt
                if one.get("condition"):
                    await self._gdb.command(f"-break-condition {number} {one['condition']}")
            except GdbSaid as error:
                found.append({"verified": False, "message": str(error)})
                continue
            self._numbers["data"].append(number)
            self.kinds[number] = "data breakpoint"
            found.append({"id": int(number), "verified": True})
        return found

    async def place(self, expression: str, frame: Frame) -> str | None:
        """Return an expression that names the same bytes whatever frame is looked at; None if it has
        no address.
        """
        try:
            made = await self._gdb.command(
                f"-var-create {frame.options} - * {quote(f'&({expression})')}"
            )
            await self._gdb.command(f"-var-delete {made['name']}")
            length = await self._values.plain(f"sizeof({expression})", frame)
        except GdbSaid:
            return None
        at = address(made["value"])
        if at is None or not length.isdecimal():
            return None
        typed = f"*({made['type']}) {at}"
        try:
            await self._values.plain(typed, frame)
            return typed
        except GdbSaid:  # a type that has no name
            return f"*(unsigned char (*)[{length}]) {at}"

    def resolved(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Take news of a breakpoint; returns it if it has found its place only now."""
        if row.get("number") not in self._unresolved or row.get("addr") == "<PENDING>":
            return None
        self._unresolved.discard(row["number"])
        return self._shown(row)

    async def _clear(self, kind: str) -> None:
        if old := self._numbers.pop(kind, None):
            self._unresolved.difference_update(old)
            await self._gdb.command(f"-break-delete {' '.join(old)}")
        self._numbers[kind] = []

    async def _set(
        self, kind: str, reason: str, wanted: list[dict[str, Any]], places: list[list[str]]
    ) -> list[dict[str, Any]]:
        await self._clear(kind)
        found = []
        for one, names in zip(wanted, places, strict=True):
            options = f"-c {quote(one['condition'])} " if one.get("condition") else ""
            if one.get("hitCondition", "").strip().isdecimal():
                options += f"-i {max(0, int(one['hitCondition']) - 1)} "
            try:
                row = await self._insert(options, names)
            except GdbSaid as error:
                found.append({"verified": False, "message": str(error)})
                continue
            number = row["number"]
            self._numbers[kind].append(number)
            self.kinds[number] = reason
            if row.get("addr") == "<PENDING>":
                self._unresolved.add(number)
            found.append(self._shown(row))
        return found

    async def _insert(self, options: str, names: list[str]) -> dict[str, Any]:
        for name in names:
            try:
                said = await self._gdb.command(f"-break-insert {options}{name}")
                return dict(said["bkpt"])
            except GdbSaid:
                continue
        said = await self._gdb.command(f"-break-insert -f {options}{names[0]}")
        return dict(said["bkpt"])

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        places = row.get("locations") or [row]
        shown: dict[str, Any] = {
            "id": int(row["number"]),
            "verified": row.get("addr") != "<PENDING>",
        }
        if line := places[0].get("line"):
            shown["line"] = int(line)
        if (at := address(places[0].get("addr", ""))) is not None:
            shown["instructionReference"] = at
        return shown
