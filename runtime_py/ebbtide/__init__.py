"""Ebb: a Linux-compatible kernel in WebAssembly, driven from Python.

    async with await Machine.boot(image="base") as m:
        r = await m.run("ls", "-l", "/")

    import ebbtide
    ebbtide.run(["ls", "-l"], check=True).stdout

Everything is imported when it is first used, so that `import ebbtide` and `ebb --help` are fast.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # to load `typing` would take longer than all else here
    from typing import Any

_WHERE = {
    # In a page, Python asks workers of ours; within those it is machine.Machine that runs.
    "Machine": "browser.page_machine" if sys.platform == "emscripten" else "machine",
    "Options": "placement",
    "Mount": "placement",
    "Limits": "policy",
    "Policy": "policy",
    "Rule": "policy",
    "Rules": "policy",
    "CompletedProcess": "process",
    "Process": "owner_role",
    "Exit": "owner_role",
    "Stat": "filesystem",
    "Response": "http",
    "run": "blocking",
    "EbbError": "errors",
    "AbiError": "errors",
    "KernelMissing": "errors",
    "MachineClosed": "errors",
    "MachinePanic": "errors",
    "InternalError": "errors",
    "MemoryRefused": "errors",
    "ImageError": "errors",
    "ImageMissing": "errors",
    "ImageCorrupt": "errors",
    "UserUnknown": "errors",
    "FetchFailed": "errors",
    "ProcessError": "errors",
    "CommandFailed": "errors",
    "ProcessTimeout": "errors",
    "ProcessAborted": "errors",
    "OutputLimit": "errors",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
