"""A machine for Python that runs in a page: booted by the SDK, which starts our workers beside it.

The names are those of `machine.Machine`; what runs here is only the asking. The SDK (ebbtide.js)
is looked for beside the wheel that this package was installed from; `base_url` names another place.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from .. import errors, linux
from ..process import CompletedProcess
from ..stats import Stats, camel

# Codes of the SDK's errors (sdk/src/errors.ts) that have a class of their own here.
_ERRORS: Mapping[str, type[errors.EbbError]] = {
    "no-memory": errors.MemoryRefused,
    "image-missing": errors.ImageMissing,
    "image-corrupt": errors.ImageCorrupt,
    "user-unknown": errors.UserUnknown,
    "panic": errors.MachinePanic,
    "closed": errors.MachineClosed,
    "internal": errors.InternalError,
}
_RUN_ERRORS: Mapping[str, type[errors.ProcessError]] = {
    "timeout": errors.ProcessTimeout,
    "aborted": errors.ProcessAborted,
    "output-limit": errors.OutputLimit,
}


def _js(value: object) -> Any:
    from js import Object
    from pyodide.ffi import to_js

    return to_js(value, dict_converter=Object.fromEntries)


def _default_base() -> str:
    """Return the folder of our wheel, else of the page."""
    from importlib.metadata import PackageNotFoundError, distribution

    from js import URL, location

    try:
        wheel = distribution("ebbtide").read_text("PYODIDE_URL")
    except PackageNotFoundError:
        wheel = None
    return str(URL.new(".", wheel or location.href).href)


async def _asked(promise: Any) -> Any:
    """Wait for the SDK; its errors become ours."""
    from pyodide.ffi import JsException

    try:
        return await promise
    except JsException as error:
        raise _error(error) from None


def _error(error: Any) -> Exception:
    code, message = str(getattr(error, "code", "")), str(getattr(error, "message", error))
    if code == "linux":
        number = getattr(errno, error.errno, 0)
        return OSError(number, message, getattr(error, "path", None))
    if code in _RUN_ERRORS:
        return _RUN_ERRORS[code](
            message, stdout=_bytes(error, "stdout"), stderr=_bytes(error, "stderr")
        )
    return _ERRORS.get(code, errors.EbbError)(message)


def _bytes(holder: Any, name: str) -> bytes:
    value = getattr(holder, name, None)
    return bytes(value.to_bytes()) if value is not None else b""


class Machine:
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

        base = base_url or _default_base()
        load = run_js("(url) => import(url)")
        module = await _asked(load(base.rstrip("/") + "/ebbtide.js"))
        return cls(await _asked(module.boot(_js({"image": image, "baseURL": base, **options}))))

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
            options["maxOutput"] = options.pop("max_output")
        if timeout is not None:
            options["timeout"] = timeout * 1000
        wanted = {name: value for name, value in options.items() if value is not None}
        given = _js({**wanted, "encoding": "bytes"})
        done = await _asked(self.sdk.run(args[0], _js(list(args[1:])), given))
        signal = linux.signal_number(done.signal) if done.signal else None
        output, trouble = _bytes(done, "stdout"), _bytes(done, "stderr")
        if encoding in (None, "bytes"):
            completed = CompletedProcess(args, done.exitCode, signal, output, trouble)
        else:
            words = [data.decode(encoding, "replace") for data in (output, trouble)]
            completed = CompletedProcess(args, done.exitCode, signal, *words)
        if check:
            completed.check_returncode()
        return completed

    async def stats(self) -> Stats:
        """Return what the machine has done so far, and how much of it in compiled code."""
        values = (await _asked(self.sdk.stats())).to_py()
        names = {camel(field.name): field.name for field in fields(Stats)}
        return Stats(**{names[name]: value for name, value in values.items()})

    async def close(self) -> None:
        """End the machine: its workers end, its memory is free."""
        await _asked(self.sdk.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class Files:
    """The guest's files."""

    def __init__(self, files: Any) -> None:
        self._files = files

    async def read_file(self, path: str) -> bytes:
        return bytes((await _asked(self._files.readFile(path))).to_bytes())

    async def read_text(self, path: str) -> str:
        return (await self.read_file(path)).decode()

    async def write_file(self, path: str, data: bytes | str) -> None:
        await _asked(self._files.writeFile(path, _js(data)))

    async def mkdir(self, path: str, mode: int = 0o755, *, parents: bool = False) -> None:
        await _asked(self._files.mkdir(path, _js({"mode": mode, "parents": parents})))

    async def readdir(self, path: str = "/") -> list[str]:
        return list((await _asked(self._files.readdir(path))).to_py())

    async def exists(self, path: str) -> bool:
        return bool(await _asked(self._files.exists(path)))

    async def unlink(self, path: str) -> None:
        await _asked(self._files.unlink(path))
