"""A machine for Python that runs in a page: booted by the SDK, which starts our workers beside it.

The names are those of `machine.Machine`; what runs here is only the asking. The SDK (ebbtide.js)
is looked for beside the wheel that this package was installed from; `base_url` names another place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from .. import http
from ..policy import size
from ..process import CompletedProcess
from ..stats import Stats, camel
from .page_process import Process
from .page_sdk import asked, bytes_of, exit_of, js_value, sdk_folder
from .page_streams import Duplex


def _limits(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits as the SDK names and measures them."""
    given = dict(limits)
    if "timeout" in given:
        given["timeout"] *= 1000
    if "max_output" in given:
        given["maxOutput"] = size(given.pop("max_output"))
    return given


class Machine(http.Client):
    """One machine; made by `Machine.boot`."""

    def __init__(self, sdk: Any) -> None:
        self.sdk = sdk
        self.fs = Files(sdk.fs)

    @classmethod
    async def boot(
        cls, image: str = "base", *, base_url: str | None = None, **options: Any
    ) -> Self:
        """Boot a machine; options are those of the SDK's `boot`: harts, memory, env, user, ..."""
        from pyodide.code import run_js

        if limits := options.get("limits"):
            options["limits"] = _limits(limits)
        base = base_url or sdk_folder()
        load = run_js("(url) => import(url)")
        module = await asked(load(base.rstrip("/") + "/ebbtide.js"))
        return cls(await asked(module.boot(js_value({"image": image, "baseURL": base, **options}))))

    async def run(
        self,
        *args: str,
        timeout: float | None = None,
        encoding: str | None = "utf-8",
        check: bool = False,
        **options: Any,
    ) -> CompletedProcess:
        """Run a program to its end; the options are those of `machine.Machine.run`."""
        if not args:
            raise ValueError("no program was named")
        if "max_output" in options:
            options["maxOutput"] = size(options.pop("max_output"))
        if timeout is not None:
            options["timeout"] = timeout * 1000
        wanted = {name: value for name, value in options.items() if value is not None}
        given = js_value({**wanted, "encoding": "bytes"})
        done = await asked(self.sdk.run(args[0], js_value(list(args[1:])), given))
        code, signal = exit_of(done)
        limit = getattr(done, "limit", None)
        output, trouble = bytes_of(done, "stdout"), bytes_of(done, "stderr")
        if encoding in (None, "bytes"):
            completed = CompletedProcess(args, code, signal, output, trouble, limit)
        else:
            words = [data.decode(encoding, "replace") for data in (output, trouble)]
            completed = CompletedProcess(args, code, signal, words[0], words[1], limit)
        if check:
            completed.check()
        return completed

    async def spawn(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        pty: tuple[int, int] | None = None,
        stdin: bool = True,
    ) -> Process:
        """Start a program with streams, or on a terminal of (rows, cols)."""
        if not args:
            raise ValueError("no program was named")
        wanted = {
            "env": dict(env) if env else None,
            "cwd": cwd,
            "user": user,
            "pty": {"rows": pty[0], "cols": pty[1]} if pty else None,
        }
        given = js_value({name: value for name, value in wanted.items() if value is not None})
        started = await asked(self.sdk.spawn(args[0], js_value(list(args[1:])), given))
        process = Process(started, args)
        if process.stdin and not stdin:
            await process.stdin.close()
        return process

    async def connect(self, port: int) -> Duplex:
        """Connect to a TCP port on which a guest program listens."""
        connection = await asked(self.sdk.connect(port))
        return Duplex(connection.readable, connection.writable)

    async def stats(self) -> Stats:
        """Return what the machine has done so far, and how much of it in compiled code."""
        values = (await asked(self.sdk.stats())).to_py()
        names = {camel(field.name): field.name for field in fields(Stats)}
        return Stats(**{names[name]: value for name, value in values.items()})

    async def close(self) -> None:
        """End the machine: its workers end, its memory is free."""
        await asked(self.sdk.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class Files:
    """The guest's files."""

    def __init__(self, files: Any) -> None:
        self._files = files

    async def read_file(self, path: str) -> bytes:
        return bytes((await asked(self._files.readFile(path))).to_bytes())

    async def read_text(self, path: str) -> str:
        return (await self.read_file(path)).decode()

    async def write_file(self, path: str, data: bytes | str) -> None:
        await asked(self._files.writeFile(path, js_value(data)))

    async def mkdir(self, path: str, mode: int = 0o755, *, parents: bool = False) -> None:
        await asked(self._files.mkdir(path, js_value({"mode": mode, "parents": parents})))

    async def readdir(self, path: str = "/") -> list[str]:
        return list((await asked(self._files.readdir(path))).to_py())

    async def exists(self, path: str) -> bool:
        return bool(await asked(self._files.exists(path)))

    async def unlink(self, path: str) -> None:
        await asked(self._files.unlink(path))
