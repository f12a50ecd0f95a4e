"""The SDK as Python in a page asks it: values become JavaScript's, its errors become ours."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from .. import errors, linux

# Codes of the SDK's errors (sdk/src/errors.ts) that have a class of their own here.
_ERRORS: Mapping[str, type[errors.EbbError]] = {
    "no-memory": errors.MemoryRefused,
    "image-missing": errors.ImageMissing,
    "image-corrupt": errors.ImageCorrupt,
    "panic": errors.MachinePanic,
    "closed": errors.MachineClosed,
    "internal": errors.InternalError,
}
_RUN_ERRORS: Mapping[str, type[errors.ProcessError]] = {
    "timeout": errors.ProcessTimeout,
    "aborted": errors.ProcessAborted,
    "output-limit": errors.OutputLimit,
}


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
    if code in _RUN_ERRORS:
        return _RUN_ERRORS[code](
            message, stdout=bytes_of(error, "stdout"), stderr=bytes_of(error, "stderr")
        )
    return _ERRORS.get(code, errors.EbbError)(message)


def bytes_of(holder: Any, name: str) -> bytes:
    value = getattr(holder, name, None)
    return bytes(value.to_bytes()) if value is not None else b""


def exit_of(status: Any) -> tuple[int, int | None]:
    """Return the exit code and the number of the signal of the SDK's `ExitStatus`."""
    return status.exitCode, linux.signal_number(status.signal) if status.signal else None
