"""The debug adapter protocol over a recorded run: what an editor asks is asked of gdb, which `ebb gdb`
gives us, and goes backwards as it goes forwards.

Requests and gdb's news are worked off one after the other, in the order in which they came; only what
shall end a wait is heard at once.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..errors import EbbError
from .dap_breakpoints import Breakpoints
from .dap_link import DapLink, Message
from .dap_values import Frame, Values
from .gdb_mi import Gdb, GdbSaid, Record, quote

CAPABILITIES = {
    f"supports{name}": True
    for name in (
        "ConfigurationDoneRequest", "StepBack", "FunctionBreakpoints", "ConditionalBreakpoints",
        "HitConditionalBreakpoints", "DataBreakpoints", "InstructionBreakpoints",
        "EvaluateForHovers", "DisassembleRequest", "ReadMemoryRequest", "SteppingGranularity",
        "GotoTargetsRequest", "ExceptionInfoRequest", "DelayedStackTraceLoading",
    )
}  # fmt: skip
# What a configuration may say beside what the editor needs of it; docs/rewind.md explains them.
ATTRIBUTES = ("run", "program", "pid", "goto", "sourceMap", "sourceFolders", "setup")
# Lines of the console after which we may be elsewhere without gdb having run there.
JUMPS = ("seek", "back", "monitor seek", "monitor back", "monitor restart", "monitor end")
# What a stop is called, by what gdb gives as its reason.
REASONS = {
    "breakpoint-hit": "breakpoint",
    "watchpoint-trigger": "data breakpoint",
    "read-watchpoint-trigger": "data breakpoint",
    "access-watchpoint-trigger": "data breakpoint",
    "end-stepping-range": "step",
    "function-finished": "step",
    "location-reached": "step",
    "signal-received": "exception",
}

Answer = dict[str, Any] | None


class DapServer:
    """One session; `run` is the run if the configuration names none."""

    def __init__(self, link: DapLink, run: str) -> None:
        self._link = link
        self._run = run
        self._work: asyncio.Queue[Message | Record | None] = asyncio.Queue()
        self._gdb: Gdb | None = None
        self._opening: asyncio.Task[Gdb] | None = None
        self._values: Values
        self._breakpoints: Breakpoints
        self._stop = Record("*", "stopped")
        self._backwards = self._asked_to_move = self._pausing = False
        self._sources: list[bytes] = []
        self._source_of: dict[str, int] = {}  # 0: there is none
        self._targets: list[tuple[str, int, bool]] = []

    async def serve(self) -> None:
        """Answer until the editor goes."""
        listening = asyncio.ensure_future(self._listen())
        try:
            while (one := await self._work.get()) is not None:
                if isinstance(one, Record):
                    await self._news(one)
                elif not await self._request(one):
                    break
        finally:
            listening.cancel()
            if self._gdb is not None:
                await self._gdb.close()

    async def _listen(self) -> None:
        while (message := await self._link.receive()) is not None:
            if message.get("type") == "request":
                if message["command"] == "disconnect" and self._opening:
                    self._opening.cancel()
                self._work.put_nowait(message)
        if self._opening:
            self._opening.cancel()
        self._work.put_nowait(None)

    async def _request(self, message: Message) -> bool:
        name = message["command"]
        work: Callable[[dict[str, Any]], Awaitable[Answer]] | None
        work = getattr(self, f"_on_{name}", None)
        reply: Message = {"type": "response", "request_seq": message["seq"], "command": name}
        try:
            if work is None:
                raise EbbError(f"{name} is not supported")
            if self._gdb is None and name not in ("initialize", "launch", "attach", "disconnect"):
                raise EbbError(f"{name} before launch")
            body = await work(message.get("arguments") or {})
            reply |= {"success": True, **({"body": body} if body is not None else {})}
        except (EbbError, KeyError, ValueError) as error:
            text = f"{name} without {error}" if isinstance(error, KeyError) else str(error)
            told = {"id": 1, "format": text.replace("{", "(").replace("}", ")"), "showUser": True}
            reply |= {"success": False, "message": text, "body": {"error": told}}
        self._link.send(reply)
        if reply["success"] and name in ("launch", "attach"):
            self._link.event("initialized")
        if reply["success"] and name == "configurationDone":
            await self._stopped(self._stop, reason="entry")
        return bool(name != "disconnect")

    @property
    def _mi(self) -> Gdb:
        assert self._gdb is not None
        return self._gdb

    # ---- Beginning and end ----------------------------------------------------------------------

    async def _on_initialize(self, asked: dict[str, Any]) -> Answer:
        return CAPABILITIES

    async def _on_launch(self, asked: dict[str, Any]) -> Answer:
        self._opening = asyncio.ensure_future(self._open(asked))
        try:
            self._gdb = await self._opening
        except asyncio.CancelledError:
            raise EbbError("ended while the run was being opened") from None
        finally:
            self._opening = None
        self._values = Values(self._gdb)
        self._breakpoints = Breakpoints(self._gdb, self._values)
        for there, here in (asked.get("sourceMap") or {}).items():
            await self._gdb.console(f"set substitute-path {quote(there)} {quote(here)}")
        for folder in reversed(asked.get("sourceFolders") or []):
            await self._gdb.console(f"directory {quote(folder)}")
        for line in asked.get("setup") or []:
            self._say(await self._gdb.console(line))
        return None

    _on_attach = _on_launch

    async def _open(self, asked: dict[str, Any]) -> Gdb:
        words = [sys.executable, "-m", "ebbtide.cli", "gdb", str(asked.get("run") or self._run)]
        which = asked.get("pid") or asked.get("program")
        if which:
            words += ["--pid", str(which)]
        if asked.get("goto") is not None:
            words += ["--goto", str(asked["goto"])]
        gdb = await Gdb.start([*words, "--", "-iex", "set mi-async on", "-i=mi3"],
                              self._work.put_nowait)  # fmt: skip
        try:
            self._stop = await gdb.ready
        except BaseException:
            await gdb.close()
            raise
        return gdb

    async def _on_configurationDone(self, asked: dict[str, Any]) -> Answer:
        return None

    async def _on_disconnect(self, asked: dict[str, Any]) -> Answer:
        return None

    # ---- Stops ----------------------------------------------------------------------------------

    async def _news(self, record: Record) -> None:
        match record.sign, record.name:
            case "*", "stopped":
                await self._stopped(record)
            case "*", "running" if not self._asked_to_move:
                self._link.event("continued", threadId=1, allThreadsContinued=True)
            case "@", text:
                self._say(text)
            case "=", "breakpoint-modified":
                if found := self._breakpoints.resolved(record.data["bkpt"]):
                    self._link.event("breakpoint", reason="changed", breakpoint=found)
            case "=", "gone":
                self._link.event("terminated")

    async def _stopped(self, record: Record, reason: str | None = None) -> None:
        data, self._stop = record.data, record
        await self._values.forget()
        numbers = [data[key] for key in ("bkptno",) if key in data]
        for key, value in data.items():
            if key in ("wpt", "hw-rwpt", "hw-awpt"):
                numbers.append(value["number"])
        why = data.get("reason", "")
        text = None
        if why == "signal-received":
            reason = "pause" if self._pausing else "exception"
            text = f"{data.get('signal-name')}: {data.get('signal-meaning')}"
        elif reason is None and why in ("no-history", ""):  # no reason: gdb before 14
            text = "The program begins here" if self._backwards else "The program ends here"
        elif value := data.get("value"):
            text = f"{value.get('old', '?')} → {value.get('new', value.get('value', '?'))}"
        if reason is None:
            kinds = [self._breakpoints.kinds.get(number) for number in numbers]
            reason = next(filter(None, kinds), None) or REASONS.get(why, "pause")
        self._asked_to_move = self._pausing = False
        self._link.event(
            "stopped",
            reason=reason,
            threadId=int(data.get("thread-id") or await self._values.thread()),
            allThreadsStopped=True,
            text=text,
            description=f"Paused: {text}" if text else None,
            hitBreakpointIds=[int(number) for number in numbers] or None,
        )

    def _say(self, text: str) -> None:
        if text:
            self._link.event("output", category="console", output=text)

    async def _on_exceptionInfo(self, asked: dict[str, Any]) -> Answer:
        data = self._stop.data
        return {
            "exceptionId": data.get("signal-name", "none"),
            "description": data.get("signal-meaning", ""),
            "breakMode": "always",
        }

    # ---- Moving ---------------------------------------------------------------------------------

    async def _move(self, command: str, asked: dict[str, Any], *, back: bool = False) -> None:
        thread = f" --thread {asked['threadId']}" if asked.get("threadId") else ""
        self._backwards = back
        self._asked_to_move = True
        try:
            await self._mi.command(command + thread + (" --reverse" if back else ""))
        except GdbSaid:
            self._asked_to_move = False
            raise

    async def _on_continue(self, asked: dict[str, Any]) -> Answer:
        await self._move("-exec-continue", asked)
        return {"allThreadsContinued": True}

    async def _on_reverseContinue(self, asked: dict[str, Any]) -> Answer:
        await self._move("-exec-continue", asked, back=True)
        return None

    async def _on_next(self, asked: dict[str, Any]) -> Answer:
        await self._move(_step(asked, "-exec-next"), asked)
        return None

    async def _on_stepIn(self, asked: dict[str, Any]) -> Answer:
        await self._move(_step(asked, "-exec-step"), asked)
        return None

    async def _on_stepBack(self, asked: dict[str, Any]) -> Answer:
        await self._move(_step(asked, "-exec-next"), asked, back=True)
        return None

    async def _on_stepOut(self, asked: dict[str, Any]) -> Answer:
        await self._move("-exec-finish", asked)
        return None

    async def _on_pause(self, asked: dict[str, Any]) -> Answer:
        self._pausing = True
        await self._mi.command("-exec-interrupt")
        return None

    async def _on_gotoTargets(self, asked: dict[str, Any]) -> Answer:
        path, line = asked["source"]["path"], asked["line"]
        first = len(self._targets)
        self._targets += [(path, line, True), (path, line, False)]
        labels = "the last time this line ran", "the next time this line runs"
        return {
            "targets": [
                {"id": first + at, "label": label, "line": line} for at, label in enumerate(labels)
            ]
        }

    async def _on_goto(self, asked: dict[str, Any]) -> Answer:
        path, line, back = self._targets[asked["targetId"]]
        await self._breakpoints.once(path, line)
        await self._move("-exec-continue", {}, back=back)
        return None

    # ---- Breakpoints ----------------------------------------------------------------------------

    async def _on_setBreakpoints(self, asked: dict[str, Any]) -> Answer:
        wanted = asked.get("breakpoints") or []
        return {"breakpoints": await self._breakpoints.lines(asked["source"]["path"], wanted)}

    async def _on_setFunctionBreakpoints(self, asked: dict[str, Any]) -> Answer:
        return {"breakpoints": await self._breakpoints.functions(asked["breakpoints"])}

    async def _on_setInstructionBreakpoints(self, asked: dict[str, Any]) -> Answer:
        return {"breakpoints": await self._breakpoints.instructions(asked["breakpoints"])}

    async def _on_setDataBreakpoints(self, asked: dict[str, Any]) -> Answer:
        return {"breakpoints": await self._breakpoints.data(asked["breakpoints"])}

    async def _on_setExceptionBreakpoints(self, asked: dict[str, Any]) -> Answer:
        return {"breakpoints": []}

    async def _on_dataBreakpointInfo(self, asked: dict[str, Any]) -> Answer:
        name = asked["name"]
        if number := asked.get("variablesReference"):
            group = self._values.groups(number)
            frame = group.frame
            for one in await self._values.of(number):
                if one["name"] == name:
                    name = one.get("evaluateName", name)
        elif asked.get("frameId"):
            frame = self._values.frame(asked["frameId"])
        else:
            frame = Frame(await self._values.thread(), 0)
        place = await self._breakpoints.place(name, frame)
        if place is None:
            return {"dataId": None, "description": f"{name} has no place in memory"}
        how = ["write", "read", "readWrite"]
        return {"dataId": place, "description": name, "accessTypes": how}

    # ---- Looking --------------------------------------------------------------------------------

    async def _on_threads(self, asked: dict[str, Any]) -> Answer:
        said = await self._mi.command("-thread-info")
        return {
            "threads": [
                {"id": int(row["id"]), "name": row.get("name") or row["target-id"]}
                for row in said["threads"]
            ]
        }

    async def _on_stackTrace(self, asked: dict[str, Any]) -> Answer:
        first, count = asked.get("startFrame") or 0, asked.get("levels") or 1000
        rows = await self._values.stack(asked["threadId"], first, count)
        frames = [await self._frame(number, row) for number, row in rows]
        more = len(frames) == count
        return {"stackFrames": frames, **({} if more else {"totalFrames": first + len(frames)})}

    async def _frame(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": number,
            "name": row.get("func") or row["addr"],
            "line": int(row.get("line", 0)),
            "column": 0,
            "instructionPointerReference": row["addr"],
        }
        if row.get("func") == "??":
            shown["name"] = row["addr"]
        if source := await self._source(row):
            shown["source"] = source
        else:
            shown["presentationHint"] = "subtle"
            if row.get("from"):
                shown["name"] += f" ({row['from'].removeprefix('target:').rpartition('/')[2]})"
        return shown

    async def _source(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return a frame's source: the host's, or as it was in the run."""
        path = row.get("fullname")
        if not path:
            return None
        name = path.rpartition("/")[2]
        if os.path.exists(path):
            return {"name": name, "path": path}
        if path not in self._source_of:
            self._source_of[path] = await self._past_source(path)
        if number := self._source_of[path]:
            return {"name": name, "path": path, "sourceReference": number, "origin": "of the run"}
        return {"name": name, "path": path, "presentationHint": "deemphasize"}

    async def _past_source(self, path: str) -> int:
        with tempfile.TemporaryDirectory(prefix="ebb-dap") as folder:
            copy = Path(folder, "source")
            try:
                await self._mi.console(f"remote get {quote(path)} {quote(str(copy))}")
            except GdbSaid:
                return 0
            self._sources.append(copy.read_bytes())
        return len(self._sources)

    async def _on_source(self, asked: dict[str, Any]) -> Answer:
        number = asked.get("sourceReference") or asked.get("source", {}).get("sourceReference", 0)
        if not 0 < number <= len(self._sources):
            raise EbbError("there is no such source")
        return {"content": self._sources[number - 1].decode(errors="replace")}

    async def _on_scopes(self, asked: dict[str, Any]) -> Answer:
        frame = self._values.frame(asked["frameId"])
        scopes = ("Locals", "locals", False), ("Registers", "registers", True)
        return {
            "scopes": [
                {
                    "name": name,
                    "presentationHint": kind,
                    "variablesReference": self._values.group(kind, frame),
                    "expensive": expensive,
                }
                for name, kind, expensive in scopes
            ]
        }

    async def _on_variables(self, asked: dict[str, Any]) -> Answer:
        start, count = asked.get("start") or 0, asked.get("count") or 0
        return {"variables": await self._values.of(asked["variablesReference"], start, count)}

    async def _on_evaluate(self, asked: dict[str, Any]) -> Answer:
        text = asked["expression"].strip()
        frame = self._values.frame(asked["frameId"]) if asked.get("frameId") else None
        if asked.get("context") == "repl":
            try:
                return {"result": await self._typed(text, frame), "variablesReference": 0}
            except GdbSaid as error:
                if not str(error).startswith("Undefined command"):
                    raise
        shown = await self._values.evaluate(text, frame)
        shown["result"] = shown.pop("value")
        return shown

    async def _typed(self, text: str, frame: Frame | None) -> str:
        """Do what a user types at the console: a command of gdb's."""
        if frame is not None:
            await self._mi.command(f"-thread-select {frame.thread}")
            await self._mi.command(f"-stack-select-frame {frame.level}")
        words = " ".join(text.split())
        self._backwards = words.startswith(("reverse", "rc", "rs", "rn"))
        said = await self._mi.console(text)
        if words.startswith(JUMPS):
            if words.startswith("monitor"):
                await self._mi.console("ebb-moved")
            await self._stopped(Record("*", "stopped"), reason="goto")
        return said.rstrip("\n")

    async def _on_disassemble(self, asked: dict[str, Any]) -> Answer:
        at = int(asked["memoryReference"], 0) + (asked.get("offset") or 0)
        before, count = -(asked.get("instructionOffset") or 0), asked["instructionCount"]
        rows = await self._instructions(at, max(before, 0), max(count - before, 1))
        here = next((n for n, row in enumerate(rows) if int(row["address"], 0) == at), len(rows))
        first = here - before
        missing = {"instruction": "??", "presentationHint": "invalid"}
        shown = []
        for number in range(first, first + count):
            if 0 <= number < len(rows):
                shown.append(_instruction(rows[number]))
            else:
                shown.append({"address": hex(max(0, at + 4 * (number - here))), **missing})
        return {"instructions": shown}

    async def _instructions(self, at: int, before: int, after: int) -> list[dict[str, Any]]:
        """Disassemble around an address, which is the beginning of one of them."""
        for back in (4 * before, 4 * before - 2, 0):  # a jump into a long one's middle is possible
            begin = max(0, at - max(0, back))
            try:
                said = await self._mi.command(
                    f"-data-disassemble -s {begin:#x} -e {at + 4 * after:#x} -- 2"
                )
            except GdbSaid:
                continue
            rows = list(said["asm_insns"])
            if any(int(row["address"], 0) == at for row in rows):
                return rows
        return []

    async def _on_readMemory(self, asked: dict[str, Any]) -> Answer:
        at = int(asked["memoryReference"], 0) + (asked.get("offset") or 0)
        try:
            said = await self._mi.command(f"-data-read-memory-bytes {at:#x} {asked['count']}")
            data = bytes.fromhex(said["memory"][0]["contents"])
        except GdbSaid:
            data = b""
        missing = asked["count"] - len(data)
        return {
            "address": hex(at),
            "data": base64.b64encode(data).decode(),
            **({"unreadableBytes": missing} if missing else {}),
        }


def _step(asked: dict[str, Any], command: str) -> str:
    return command + ("-instruction" if asked.get("granularity") == "instruction" else "")


def _instruction(row: dict[str, Any]) -> dict[str, Any]:
    shown = {"address": row["address"], "instruction": row["inst"].replace("\t", " ")}
    if opcodes := row.get("opcodes"):
        shown["instructionBytes"] = opcodes
    if name := row.get("func-name"):
        shown["symbol"] = f"{name}+{row.get('offset', 0)}"
    return shown


async def serve(run: str, port: int | None) -> int:
    """Serve one editor, at standard input and output or at a port of localhost."""
    if port is None:
        await DapServer(await DapLink.stdio(), run).serve()
        return 0
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    print(f"port {server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    reader, writer = await accepted.get()
    server.close()
    await DapServer(DapLink(reader, writer.write), run).serve()
    await writer.drain()
    writer.close()
    return 0
