"""Exceptions of the public API.

    EbbError
    ├── AbiError              kernel.wasm and this package do not fit together
    ├── KernelMissing         no kernel.wasm was found
    ├── MachineClosed         the machine was closed while, or before, it was used
    ├── MachinePanic          the kernel stopped on a bug of ours; carries the report
    ├── InternalError         the runtime met what only it can cause
    ├── JitDiffers            jit="verify" found that compiled code did something else
    ├── MemoryRefused         the host would not give the memory asked for
    ├── UserUnknown           the image has no user of that name
    ├── ImageError
    │   ├── ImageMissing      no image of that name; names the command that builds it
    │   ├── ImageCorrupt      a blob's bytes do not have its hash; names the blob
    │   └── FetchFailed       a part of an image could not be fetched
    └── ProcessError          a guest process did not do what was asked; holds its output so far
        ├── CommandFailed     check=True and the exit code was not 0
        ├── ProcessTimeout    `timeout` seconds passed; the process group was killed
        ├── ProcessAborted    the caller gave up; the process group was killed
        └── OutputLimit       more than `max_output` bytes came; the process group was killed

Errors of single guest operations are plain `OSError` with the guest's errno. `code` is what a page
calls the error; sdk/src/errors.json has the cause and the cure of each.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EbbError(Exception):
    """Base of all errors of this package."""

    code: ClassVar[str] = "internal"


class AbiError(EbbError):
    """kernel.wasm exports other constants than this package was written for."""


class KernelMissing(EbbError):
    """No kernel.wasm was found."""


class MachineClosed(EbbError):
    """The machine was closed."""

    code = "closed"


class InternalError(EbbError):
    """The runtime met what only the runtime or the kernel can cause."""

    code = "internal"


class MachinePanic(EbbError):
    """The kernel stopped on a bug; `report` is what the hart said last."""

    code = "panic"

    def __init__(self, message: str, report: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.report = report or {}


class JitDiffers(EbbError):
    """Compiled code and the interpreter did not make the same machine."""


class MemoryRefused(EbbError):
    """The host refused the memory that was asked for."""

    code = "no-memory"


class ImageError(EbbError):
    """An image cannot be used."""


class ImageMissing(ImageError):
    """There is no image of that name."""

    code = "image-missing"


class ImageCorrupt(ImageError):
    """A blob's bytes do not have the hash it is named by."""

    code = "image-corrupt"


class FetchFailed(ImageError):
    """A part of an image could not be fetched."""

    code = "network"


class UserUnknown(EbbError, LookupError):
    """The image has no user of that name or number."""

    code = "user-unknown"


class ProcessError(EbbError):
    """A guest process did not do what was asked; `stdout` and `stderr` hold its output so far."""

    limit: str | None = None  # which ended it

    def __init__(
        self,
        message: str,
        *,
        args: tuple[str, ...] = (),
        stdout: str | bytes = b"",
        stderr: str | bytes = b"",
        exit_code: int | None = None,
        signal: int | None = None,
    ) -> None:
        super().__init__(message)
        self.command = args
        self.stdout = stdout
        self.stderr = stderr
        self.exit_code = exit_code
        self.signal = signal


class CommandFailed(ProcessError):
    """`check=True` and the exit code was not 0."""


class ProcessTimeout(ProcessError):
    """The time given was over; the process group was killed."""

    limit = "timeout"
    code = "timeout"


class ProcessAborted(ProcessError):
    """The caller gave up; the process group was killed."""

    code = "aborted"


class OutputLimit(ProcessError):
    """More output came than `max_output` allows; the process group was killed."""

    limit = "max_output"
    code = "output-limit"


BY_CODE: dict[str, type[EbbError]] = {
    kind.code: kind
    for kind in vars().copy().values()
    if isinstance(kind, type) and issubclass(kind, EbbError) and "code" in vars(kind)
}
