"""Admission: who may clone and exec, asked in the thread role that saw the status.

A policy answers with None or an errno's name. It is a Python object, natively, or everywhere plain
data that `policy_from` reads:

    {"clone": "EAGAIN"}                                      refuse every clone, fork and vfork
    {"exec": {"error": "EACCES", "after": 2, "times": 1}}    refuse the third exec only
    {"clone": "admit", "exec": "admit"}                      ask, and admit

A kind that is not named is not asked about. Without a policy the kernel's own limits hold and the two
SPAWN statuses are not raised. What the host itself starts is never asked about.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias

from .meant import meant
from .port import Report

ADMIT = "admit"
KINDS = ("clone", "exec")


class Policy(Protocol):
    """What the loop asks before a process or program is made; by several harts at once.

    `report.detail` is the request's number among all of its kind since boot, from 1.
    """

    def clone(self, report: Report) -> str | None:
        """Return None to admit, or the name of the errno the caller gets."""

    def exec(self, report: Report) -> str | None:
        """Return None to admit, or the name of the errno the caller gets."""


SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(value: int | str, of: str = "") -> int:
    """Return a size that may be text such as 512M or 1G, or raise ValueError; `of`: whose it is."""
    if type(value) is int:
        return value
    text = str(value)
    number = text.lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in SIZES else ""
    try:
        return int(float(number.removesuffix(unit)) * SIZES[unit])
    except (ValueError, OverflowError):
        said = f"{text!r} is no size; write 512M or 1G"
        raise ValueError(f"{of}: {said}" if of else said) from None


@dataclass(frozen=True)
class Limits:
    """What a machine may use at most; 0: no limit but the default. The same names everywhere."""

    timeout: float = 0  # seconds from the start of each program that the host starts
    memory: int = 0  # bytes of the machine; what needs more is killed
    pids: int = 0  # tasks, processes and their threads alike (EAGAIN)
    files: int = 0  # open files of a process (EMFILE)
    disk: int = 0  # bytes of files beyond the image's, and so many in mounts (ENOSPC)
    max_output: int = 0  # bytes of both outputs of a run


BYTES = {"memory", "disk", "max_output"}  # of the limits


@dataclass(frozen=True)
class Rule:
    """Refuse with `error`, once `after` requests were admitted, `times` times or for ever.

    It counts nothing itself, so that all harts agree: the kernel numbers the requests.
    """

    error: str | None = None
    after: int = 0
    times: int | None = None

    def answer(self, number: int) -> str | None:
        """Return None to admit request `number`, or the errno's name."""
        most = number if self.times is None else self.after + self.times
        return self.error if self.after < number <= most else None


@dataclass(frozen=True)
class Rules:
    """A policy of plain rules; None: not asked about."""

    clone_rule: Rule | None = None
    exec_rule: Rule | None = None

    def clone(self, report: Report) -> str | None:
        return self.clone_rule.answer(report.detail) if self.clone_rule else None

    def exec(self, report: Report) -> str | None:
        return self.exec_rule.answer(report.detail) if self.exec_rule else None


PolicyForm: TypeAlias = Mapping[str, str | Mapping[str, Any]]


def policy_from(
    asked: Policy | PolicyForm | None, errors: Container[str] | None = None
) -> Policy | None:
    """Return the policy that a form describes; one that is a policy already is left alone."""
    if asked is None or not isinstance(asked, Mapping):
        return asked
    _known("policy", asked, KINDS)
    rules = {kind: _rule(f"policy: {kind}", form) for kind, form in asked.items()}
    for rule in rules.values():
        if rule.error is not None and errors is not None and rule.error not in errors:
            raise ValueError(f"policy: no errno has the name {rule.error!r}")
    return Rules(rules.get("clone"), rules.get("exec"))


def _rule(what: str, form: str | Mapping[str, Any]) -> Rule:
    if isinstance(form, str):
        return Rule(None if form == ADMIT else form)
    if not isinstance(form, Mapping):
        raise TypeError(f"{what} is 'admit', an errno's name or a mapping, not {form!r}")
    _known(what, form, [field.name for field in fields(Rule)])
    rule = Rule(**form)
    _count(f"{what}: after", rule.after)
    if rule.times is not None:
        _count(f"{what}: times", rule.times)
    return rule


def limits_from(asked: Limits | Mapping[str, Any] | None) -> Limits:
    """Return the limits that plain data describes; what is bytes may be text such as 512M."""
    form = dict(vars(asked) if isinstance(asked, Limits) else asked or {})
    _known("limits", form, [field.name for field in fields(Limits)])
    for name in BYTES & form.keys():
        if isinstance(form[name], str):
            form[name] = size(form[name], f"limits: {name}")
    for name, value in form.items():
        if name == "timeout":
            seconds(f"limits: {name}", value)
        else:
            _count(f"limits: {name}", value, 1 << (32 if name in ("pids", "files") else 53))
    return Limits(**form)


def asked_kinds(policy: Policy | None) -> tuple[bool, bool]:
    """Return whether clones, and whether execs, are asked about."""
    if isinstance(policy, Rules):
        return policy.clone_rule is not None, policy.exec_rule is not None
    return policy is not None, policy is not None


def _known(what: str, form: Mapping[str, Any], names: Collection[str]) -> None:
    for name in form:
        if name not in names:
            hint = meant(name, sorted(names))
            raise ValueError(
                f"{what}: {name!r} is not known"
                + (f"; {hint}" if hint else f"; known are {', '.join(names)}")
            )


def _count(what: str, value: Any, end: int = 1 << 32) -> None:
    if type(value) is not int or not 0 <= value < end:
        raise ValueError(f"{what} is a whole number, not {value!r}")


def seconds(what: str, value: Any) -> None:
    """Refuse what is no time."""
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError(f"{what} is a number of seconds, not {value!r}")
