"""docs/troubleshooting.md: every error, its messages, its cause and its cure.

Cause and cure stand in one table, sdk/src/errors.json. The messages are read from where they are
raised, so none can be forgotten; what stands for a value there is "…" here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ebbtide import errors

from .common import ROOT

TABLE = ROOT / "sdk" / "src" / "errors.json"
PYTHON = ROOT / "runtime_py" / "ebbtide"
STEPS = ROOT / "runtime_py" / "build_steps"
SCRIPTS = (ROOT / "sdk" / "src", ROOT / "web")

HEAD = """\
# Troubleshooting

Written by `python3 build.py docs` from the table of errors, `sdk/src/errors.json`, and from where the messages
are raised; "…" stands for a value. Search this page for a few words of yours. `ebb doctor` finds what is
wrong with an installation.
"""
# Ours, not the user's: the class alone says what to do.
UNLISTED = ("InternalError", "AbiError")
ARGUMENTS = ("TypeError", "RangeError", "ValueError", "LookupError", "ArgumentTypeError")
# Within these files such errors are slips of ours, not of a user.
INNER = ("abi.py", "agent.py", "pyodide_port.py", "http.py")

Messages = dict[str, list[str]]
Row = dict[str, str]


# ---- Python -------------------------------------------------------------------------------------


def _template(node: ast.expr | None) -> str | None:
    """The text an expression gives, with … for what is known only then."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_template(part) or "…" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_template(left) or "…") + (_template(right) or "…")
    return None


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield function.id, node
            elif isinstance(function, ast.Attribute):
                yield function.attr, node


def _python_messages() -> Messages:
    """Messages by exception class; "ebb" is what commands print."""
    found: Messages = {}
    for path in sorted(PYTHON.rglob("*.py")):
        for name, call in _calls(path):
            text = _template(call.args[0]) if call.args else None
            if name == "print" and any(word.arg == "file" for word in call.keywords):
                name = "ebb"
            if name == "ImageError" and path.parent.name == "image":
                name = "image"
            if text is None or path.name in INNER and name in ARGUMENTS:
                continue
            found.setdefault(name, []).append(text)
    return found


def _failures() -> Iterator[tuple[str, str]]:
    """What build.py says, and what mends it."""
    for path in sorted(STEPS.glob("*.py")):
        for name, call in _calls(path):
            text = _template(call.args[0]) if name == "Failure" and call.args else None
            if text:
                mend = _template(call.args[1]) if len(call.args) > 1 else None
                yield text, (mend or "").replace("… ", "python3 build.py ", 1)


# ---- TypeScript ---------------------------------------------------------------------------------

_NEW = re.compile(r"(?:new (\w*Error)|\b(notifyError|super))\(")
_STRING = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`""")


def _arguments(source: str, at: int) -> list[str]:
    """The texts of a call's arguments; `at` is behind its opening parenthesis."""
    depth, start, found = 0, at, []
    while True:
        string = _STRING.match(source, at)
        if string:
            at = string.end()
            continue
        letter = source[at]
        if letter in "([{":
            depth += 1
        elif letter in ")]}" and depth:
            depth -= 1
        elif letter in ",)" and not depth:
            found.append(source[start:at])
            start = at + 1
            if letter == ")":
                return found
        at += 1


def _said(argument: str) -> str:
    """The strings of an argument as one text."""
    parts = ["".join(filter(None, match.groups())) for match in _STRING.finditer(argument)]
    return re.sub(r"\\(.)", r"\1", re.sub(r"\$\{(?:[^{}]|\{[^{}]*\})*\}", "…", "".join(parts)))


def _script_messages() -> Messages:
    """Messages by code of the SDK, or by class for those that have none."""
    found: Messages = {}
    for path in sorted(path for folder in SCRIPTS for path in folder.rglob("*.ts")):
        source = path.read_text("utf-8")
        for match in _NEW.finditer(source):
            arguments = _arguments(source, match.end())
            code = _said(arguments[0])
            name = match[1] or match[2]
            if name in ("notifyError", *ARGUMENTS):
                found.setdefault(name, []).append(code)
            elif len(arguments) > 1 and re.fullmatch(r"[a-z-]+", code):
                text = _said(arguments[1])
                if text and text != "…":
                    found.setdefault(code, []).append(text)
    return found


# ---- the page -----------------------------------------------------------------------------------


def _listed(first: list[str], more: Sequence[str]) -> list[str]:
    """Messages as a list, those that say anything."""
    lines = (line for text in [*first, *sorted(more)] for line in text.splitlines())
    texts = dict.fromkeys(re.sub("…+", "…", " ".join(line.split())) for line in lines)
    return [f"* {text}" for text in texts if len(_WORD.findall(_PREFIX.sub("", text))) > 1]


_PREFIX = re.compile(r"^(?:ebb(?: \w+)?|problem): ")
_WORD = re.compile(r"[A-Za-z]{2,}")


def _told(row: Row, messages: Sequence[str]) -> list[str]:
    """A row's messages, then cause and cure; `says` has what is put together at run time."""
    cause = row["cause"]
    cause = cause if cause[0] in '`"' else cause[0].upper() + cause[1:]
    first = [row["title"]] if "advice" in row else []  # the page says it above the message
    listed = _listed([*first, *row.get("says", "").splitlines()], messages)
    return [*(["", *listed] if listed else []), "", f"*Cause:* {cause}. *Cure:* {row['cure']}"]


def page() -> str:
    """The page as Markdown."""
    table = json.loads(TABLE.read_bytes())
    python, scripts = _python_messages(), _script_messages()
    lines = [HEAD, "## Errors with a code", ""]
    lines += ["In JavaScript it is the error's `code`; the second name is the class in Python."]
    for code, row in table["codes"].items():
        kind = OSError if code == "linux" else errors.BY_CODE.get(code, errors.EbbError)
        own = [] if kind.__name__ in (*UNLISTED, "EbbError", "OSError") else [kind.__name__]
        said = [text for name in (code, *own) for text in (scripts | python).get(name, [])]
        lines += ["", f"### `{code}`, `{kind.__name__}`", *_told(row, said)]
    lines += ["", "## Errors of Python alone"]
    for name, row in table["python"].items():
        lines += ["", f"### `{name}`"]
        lines += _told(row, [] if name in UNLISTED else python.get(name, []))
    others = {
        "arguments": [
            text
            for name in ARGUMENTS
            for found in (scripts, python)
            for text in found.get(name, [])
        ],
        "command": python["ebb"],
        "image": python["image"],
        "notice": scripts["notifyError"],
    }
    for key, row in table["other"].items():
        lines += ["", f"## {row['title']}", *_told(row, others[key])]
    lines += ["", "## Exit codes of `ebb run`", "", "Else it is the program's own.", ""]
    lines += ["| code | |", "| --- | --- |"]
    lines += [f"| {code} | {text} |" for code, text in table["exits"].items()]
    lines += ["", "## What `build.py` says", "", "| message | cure |", "| --- | --- |"]
    lines += [f"| {text} | {mend} |" for text, mend in sorted(set(_failures()))]
    return "\n".join(lines) + "\n"
