"""The page's messages (sdk/src/messages.ts) as calls of a Machine.

One asyncio task per request, so that requests in flight are independent; one per stream being read. A reader
sends no more than the page has granted, and a write is answered when the guest has taken it: back-pressure
reaches from the page to the guest's pipe and back.
"""

from __future__ import annotations

import asyncio
import errno
import json
import tarfile
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pyodide.ffi import jsnull

from .. import errors, linux
from ..machine import Machine
from ..owner_role import Exit, Process
from ..process import CompletedProcess
from ..stats import camel
from ..stream import Descriptor, Pty

Message = Mapping[str, Any]
Send = Callable[[dict[str, Any]], None]

CHUNK = 64 * 1024


class WrongArgument(Exception):
    """The page has asked for what cannot be; `kind` is JavaScript's error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@contextmanager
def arguments() -> Iterator[None]:
    """Stand around the reading of what a page has given, and nothing else: what that raises is the page's mistake.
    What needs no knowledge of the machine is checked before it is sent (sdk/src/arguments.ts).
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        kind = "TypeError" if isinstance(error, TypeError) else "RangeError"
        raise WrongArgument(kind, str(error)) from error


def _code(error: BaseException) -> str:
    """What the page calls an error (sdk/src/errors.json)."""
    match error:
        case WrongArgument():
            return error.kind
        case errors.EbbError():
            return error.code
        case asyncio.CancelledError():
            return "aborted"
        case OSError():
            return "linux"
        case _:
            return "internal"


def error_shape(error: BaseException) -> dict[str, Any]:
    """Describe an error as the page's `ErrorShape`."""
    code = _code(error)
    shape: dict[str, Any] = {"code": code, "message": str(error) or type(error).__name__}
    if isinstance(error, OSError):
        shape["errno"] = errno.errorcode.get(error.errno or 0, "EIO")
        shape["message"] = error.strerror or str(error)
        if error.filename is not None:
            path = shape["path"] = str(error.filename)
            both = path if error.filename2 is None else f"{path} -> {error.filename2}"
            if f"{path}: " not in shape["message"]:  # what a program could not be started for does
                shape["message"] += f": {both}"
    if isinstance(error, errors.ProcessError):
        shape["stdout"] = _as_bytes(error.stdout)
        shape["stderr"] = _as_bytes(error.stderr)
    if isinstance(error, asyncio.CancelledError):
        shape["message"] = "The command was aborted."
    if code == "internal":
        shape["message"] = f"Something is wrong in Ebb itself: {type(error).__name__}: {error}"
        shape["details"] = "".join(traceback.format_exception(error))
    return shape


def _as_bytes(output: str | bytes) -> bytes:
    return output.encode() if isinstance(output, str) else bytes(output)


def _plain(params: Message) -> dict[str, Any]:
    """Return parameters with bytes for buffers and None for null, which is a value of its own here."""
    return {name: _plain_value(value) for name, value in params.items()}


def _plain_value(value: Any) -> Any:
    match value:
        case memoryview():
            return value.tobytes()
        case dict():
            return _plain(value)
        case list():
            return [_plain_value(item) for item in value]
    return None if value is jsnull else value


def _ended(end: Exit | CompletedProcess, limit: str | None) -> dict[str, Any]:
    """Give the page's `ExitStatus`."""
    signal = None if end.signal is None else linux.signal_name(end.signal)
    met = {} if limit is None else {"limit": limit}
    return {"exitCode": end.exit_code, "signal": signal, **met}


class Machinery(Protocol):
    """What the page may ask of a machine's placement."""

    branch: dict[str, Any] | None

    def counters(self) -> dict[str, Any]: ...
    async def rest(self) -> None: ...
    async def save_run(self) -> None: ...
    def started(self, args: list[str]) -> None: ...
    def end_recording(self) -> None: ...
    async def snapshot_begin(
        self, ping: Callable[[], Awaitable[tuple[int, tuple[int, ...]]]]
    ) -> dict[str, Any]: ...
    async def snapshot_end(self) -> None: ...


class Reader(Protocol):
    """What a stream to the page is read from."""

    async def read(self, size: int, /) -> bytes: ...
    async def close(self) -> None: ...


@dataclass
class Outgoing:
    """A stream to the page: its task, and the bytes it may still send."""

    reader: Reader
    credit: int = 0
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class Incoming:
    """A stream from the page."""

    write: Callable[[bytes], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


class PageProtocol:
    """Serves one page. `take` is given every message after boot."""

    def __init__(self, machine: Machine, machinery: Machinery, send: Send) -> None:
        self._machine = machine
        self._machinery = machinery
        self._send_raw = send
        self._next_id = 1
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._aborts: dict[int, asyncio.Event] = {}  # of runs: what they wrote so far is not lost
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._processes: dict[int, Process] = {}
        self.messages = 0

    def take(self, message: Message) -> None:
        """Act on one message of the page."""
        self.messages += 1
        match message["type"]:
            case "request":
                self._requests[message["id"]] = asyncio.ensure_future(self._answer(message))
            case "cancel":
                if abort := self._aborts.get(message["id"]):
                    abort.set()
                elif task := self._requests.get(message["id"]):
                    task.cancel()
            case "credit":
                if stream := self._outgoing.get(message["stream"]):
                    stream.credit += message["bytes"]
                    stream.granted.set()
            case "release":
                if (stream := self._outgoing.get(message["stream"])) and stream.task:
                    stream.task.cancel()

    def _send(self, **message: Any) -> None:
        self.messages += 1
        self._send_raw(message)

    async def _answer(self, request: Message) -> None:
        id = request["id"]
        try:
            method = getattr(self, f"_on_{request['method']}")
            value = await method(**_plain(request["params"]), **self._abort(request))
        except (
            asyncio.CancelledError,
            Exception,
        ) as error:  # the top of a request: becomes a message
            self._send(type="refusal", id=id, error=error_shape(error))
        else:
            self._send(type="reply", id=id, value=value)
        finally:
            del self._requests[id]
            self._aborts.pop(id, None)

    def _abort(self, request: Message) -> dict[str, asyncio.Event]:
        if request["method"] != "run":
            return {}
        abort = self._aborts[request["id"]] = asyncio.Event()
        return {"abort": abort}

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    # ---- Streams ---------------------------------------------------------------------------------------------

    def _open_outgoing(self, reader: Reader) -> int:
        id = self._id()
        stream = self._outgoing[id] = Outgoing(reader)
        stream.task = asyncio.ensure_future(self._pump(id, stream))
        return id

    async def _pump(self, id: int, stream: Outgoing) -> None:
        error: dict[str, Any] | None = None
        try:
            while True:
                while stream.credit <= 0:
                    stream.granted.clear()
                    await stream.granted.wait()
                data = await stream.reader.read(min(stream.credit, CHUNK))
                if not data:
                    break
                stream.credit -= len(data)
                self._send(type="data", stream=id, data=data)
        except asyncio.CancelledError:
            pass  # the page wants no more
        except Exception as failure:  # the top of a stream: becomes a message
            error = error_shape(failure)
        del self._outgoing[id]
        self._send(type="end", stream=id, error=error)
        await stream.reader.close()

    def _open_incoming(
        self, write: Callable[[bytes], Awaitable[None]], close: Callable[[], Awaitable[None]]
    ) -> int:
        id = self._id()
        self._incoming[id] = Incoming(write, close)
        return id

    async def _on_write(self, stream: int, data: bytes) -> None:
        if stream not in self._incoming:
            raise BrokenPipeError(errno.EPIPE, "the stream is closed")
        await self._incoming[stream].write(data)

    async def _on_closeWriter(self, stream: int) -> None:
        if incoming := self._incoming.pop(stream, None):
            await incoming.close()

    # ---- Processes -------------------------------------------------------------------------------------------

    async def _on_run(
        self,
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        user: str | None,
        stdin: bytes | None,
        timeoutMs: float | None,
        maxOutput: int | None,
        abort: asyncio.Event,
    ) -> dict[str, Any]:
        self._machinery.started(argv)
        result = await self._machine.run(
            *argv,
            env=env,
            cwd=cwd,
            user=user,
            stdin=stdin,
            timeout=None if timeoutMs is None else timeoutMs / 1000,
            max_output=maxOutput,
            encoding="bytes",
            abort=abort,
        )
        return {
            **_ended(result, result.limit),
            "stdout": result.stdout,
            "stderr": result.stderr,
        }

    async def _on_spawn(
        self,
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        user: str | None,
        pty: dict[str, int] | None,
    ) -> dict[str, Any]:
        size = None if pty is None else (pty["rows"], pty["cols"])
        self._machinery.started(argv)
        try:
            process = await self._machine.spawn(*argv, env=env, cwd=cwd, user=user, pty=size)
        except OSError as error:
            if error.errno == errno.EIO and self._machine.trouble_seen:
                raise self._machine.trouble_seen[-1] from None
            _, text = await self._machine.not_started(tuple(argv), cwd, error)
            raise OSError(error.errno, text, error.filename) from None
        id = self._id()
        self._processes[id] = process
        value = {"process": id, "pid": process.pid, "stderr": None}
        if process.pty:
            value["stdin"] = self._open_incoming(process.pty.write, process.pty.close)
            value["stdout"] = self._open_outgoing(process.pty)
        else:
            assert process.stdin and process.stdout and process.stderr
            value["stdin"] = self._open_incoming(process.stdin.write, process.stdin.close)
            value["stdout"] = self._open_outgoing(process.stdout)
            value["stderr"] = self._open_outgoing(process.stderr)
        return value

    async def _on_terminals(self) -> list[dict[str, Any]]:
        """Take over the terminals that were open at the moment this machine has branched from."""
        taken = []
        for one in (self._machinery.branch or {}).pop("terminals", []):
            agent = self._machine.agent
            pty = Pty(Descriptor(agent, one["fd"]))
            process = Process(agent, one["pid"], tuple(one["args"]), None, None, None, pty)
            id = self._id()
            self._processes[id] = process
            value = {"process": id, "pid": process.pid, "stderr": None}
            value["stdin"] = self._open_incoming(pty.write, pty.close)
            value["stdout"] = self._open_outgoing(pty)
            taken.append(value)
        return taken

    async def _on_wait(self, process: int) -> dict[str, Any]:
        end = await self._processes[process].wait()
        return _ended(end, self._processes[process].limit)

    async def _on_kill(self, process: int, signal: str | int) -> None:
        with arguments():
            number = linux.signal_number(signal)
        await self._processes[process].kill(number)

    async def _on_resize(self, process: int, rows: int, cols: int) -> None:
        pty = self._processes[process].pty
        if not pty:
            raise OSError(errno.ENOTTY, "the process does not run on a terminal")
        await pty.resize(rows, cols)

    async def _on_connect(self, port: int) -> dict[str, Any]:
        stream = await self._machine.connect(port)
        return {
            "read": self._open_outgoing(stream),
            "write": self._open_incoming(stream.write, stream.end),
        }

    # ---- Files -----------------------------------------------------------------------------------------------

    async def _on_readFile(self, path: str) -> bytes:
        return await self._machine.fs.read_file(path)

    async def _on_writeFile(self, path: str, data: bytes, mode: int | None) -> None:
        await self._machine.fs.write_file(path, data, mode=mode)

    async def _on_mkdir(self, path: str, parents: bool, mode: int) -> None:
        await self._machine.fs.mkdir(path, mode=mode, parents=parents)

    async def _on_readdir(self, path: str) -> list[str]:
        return await self._machine.fs.readdir(path)

    async def _on_stat(self, path: str, follow: bool) -> dict[str, Any]:
        info = await self._machine.fs.stat(path, follow=follow)
        return {
            "kind": info.kind,
            "mode": info.mode & 0o7777,
            "size": info.size,
            "uid": info.uid,
            "gid": info.gid,
            "nlink": info.nlink,
            "ino": info.ino,
            "mtime": info.mtime_ns // 1_000_000,
            "atime": info.atime_ns // 1_000_000,
            "ctime": info.ctime_ns // 1_000_000,
        }

    async def _on_symlink(self, path: str, target: str) -> None:
        await self._machine.fs.symlink(target, path)

    async def _on_readlink(self, path: str) -> str:
        return await self._machine.fs.readlink(path)

    async def _on_unlink(self, path: str, recursive: bool) -> None:
        if recursive:
            await self._machine.fs.remove_tree(path)
            return
        try:
            await self._machine.fs.unlink(path)
        except IsADirectoryError:
            await self._machine.fs.rmdir(path)

    async def _on_rename(self, path: str, to: str) -> None:
        await self._machine.fs.rename(path, to)

    async def _on_chmod(self, path: str, mode: int) -> None:
        await self._machine.fs.chmod(path, mode)

    async def _on_readFiles(self, paths: list[str]) -> list[bytes]:
        return await self._machine.fs.read_files(paths)

    async def _on_writeFiles(self, files: list[dict[str, Any]]) -> None:
        await self._machine.fs.write_files({file["path"]: file["data"] for file in files})

    async def _on_unpack(self, path: str, tar: bytes) -> None:
        try:
            await self._machine.fs.unpack(path, tar)
        except tarfile.ReadError as error:
            raise WrongArgument("RangeError", "what is to be unpacked is no tar archive") from error

    async def _on_pack(self, path: str) -> bytes:
        return await self._machine.fs.pack(path)

    # ---- The machine -----------------------------------------------------------------------------------------

    async def _on_counters(self) -> dict[str, Any]:
        return {**self._machinery.counters(), "messages": self.messages}

    async def _on_rest(self) -> None:
        await self._machinery.rest()

    async def _on_stats(self) -> dict[str, Any]:
        stats = await self._machine.stats()
        return {camel(name): value for name, value in asdict(stats).items()}

    async def _on_digest(self) -> str:
        return (await self._machine.digest()).hex()

    async def _on_snapshotBegin(self) -> str:
        async def ping() -> tuple[int, tuple[int, ...]]:
            await self._machine.agent.call(
                "getpid"
            )  # all that was posted before has been delivered
            return self._machine.agent.waiting()

        found = await self._machinery.snapshot_begin(ping)
        found["about"]["terminals"] = [
            {"pid": one.pid, "fd": one.pty.fd, "args": one.args}
            for one in self._processes.values()
            if one.pty and not one.pty.closed
        ]
        return json.dumps(found)

    async def _on_snapshotEnd(self) -> None:
        await self._machinery.snapshot_end()

    async def _on_saveRun(self) -> None:
        await self._machinery.save_run()

    async def _on_endRecording(self) -> None:
        self._machinery.end_recording()

    async def _on_close(self) -> None:
        await self._machine.close()
