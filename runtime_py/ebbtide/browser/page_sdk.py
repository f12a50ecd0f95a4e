"""The SDK as Python in a page asks it: values become JavaScript's, its errors become ours."""

from __future__ import annotations

import errno
from typing import Any

from .. import errors, linux


def sdk_folder() -> str:
    """Return where the SDK is looked for: the folder of our wheel, else of the page."""
    from importlib.metadata import PackageNotFoundError, distribution

    from js import URL, location

    try:
        wheel = distribution("ebbtide").read_text("PYODIDE_URL")  # written by micropip
    except PackageNotFoundError:
        wheel = None
    return str(URL.new(".", wheel or _locked() or location.href).href)


def _locked() -> str | None:
    """Return the address of our wheel in Pyodide's lock file, if it is named there."""
    import pyodide_js
    from js import URL

    entry = getattr(pyodide_js.lockfile.packages, "ebbtide", None)
    return entry and str(URL.new(entry.file_name, pyodide_js.lockfileBaseUrl).href)


def js_value(value: object) -> Any:
    from js import Object
    from pyodide.ffi import to_js

    return to_js(value, dict_converter=Object.fromEntries)


async def asked(promise: Any) -> Any:
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
    kind = errors.BY_CODE.get(code, errors.EbbError)
    if issubclass(kind, errors.ProcessError):
        return kind(message, stdout=bytes_of(error, "stdout"), stderr=bytes_of(error, "stderr"))
    return kind(message)


def bytes_of(holder: Any, name: str) -> bytes:
    value = getattr(holder, name, None)
    return bytes(value.to_bytes()) if value is not None else b""


def exit_of(status: Any) -> tuple[int, int | None]:
    """Return the exit code and the number of the signal of the SDK's `ExitStatus`."""
    return status.exitCode, linux.signal_number(status.signal) if status.signal else None
