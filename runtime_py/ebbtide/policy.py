"""Admission: who may clone and exec, asked in the thread role that saw the status.

A policy answers with 0 or an errno's name. Without a policy the kernel's own limits hold and the
two SPAWN statuses are not raised.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .port import Report


class Policy(Protocol):
    """What the loop asks before a process or program is made."""

    def clone(self, report: Report) -> str | None:
        """Return None to admit, or the name of the errno the caller gets."""

    def exec(self, report: Report) -> str | None:
        """Return None to admit, or the name of the errno the caller gets."""


@dataclass(frozen=True)
class Limits:
    """Kernel limits; 0 keeps the kernel's default."""

    tasks: int = 0
    files: int = 0


class AdmitAll:
    """Admit everything."""

    def clone(self, report: Report) -> str | None:
        return None

    def exec(self, report: Report) -> str | None:
        return None


@dataclass(frozen=True)
class Refuse:
    """Refuse by kind; plain data, so that it can cross to another worker."""

    clone_error: str | None = None
    exec_error: str | None = None

    def clone(self, report: Report) -> str | None:
        return self.clone_error

    def exec(self, report: Report) -> str | None:
        return self.exec_error

    def to_message(self) -> dict[str, Any]:
        """Return a form for `policy_from`."""
        return asdict(self)


def policy_from(message: dict[str, Any] | None) -> Policy:
    """Build the policy that a message describes; None admits everything."""
    return Refuse(**message) if message else AdmitAll()
