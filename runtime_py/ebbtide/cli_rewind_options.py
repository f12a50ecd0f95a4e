"""Options of the commands that look into recorded runs; light, for every start of `ebb` reads them."""

from __future__ import annotations

import argparse

FORMS = "123456 (a tick), 1.5s or 200ms (time since boot), e17 (before the tape's entry 17)"

LAYERS = {
    "syscalls": "system calls, in strace's format",
    "process": "processes: what they ran, how they ended",
    "files": "files that were opened, made, changed, asked for",
    "signals": "signals that were sent and delivered",
    "network": "what happened on connections",
    "chaos": "what --chaos has injected",
    "request": "HTTP/1.1 requests with their responses",
}


def when(text: str) -> object:
    """Read a moment."""
    from .rewind.moment import moment

    return moment(text)


KEPT = "a run's id, the beginning of one, or last"
RUN = "a run's id, the beginning of one, last, or the path of an exported run"


def count(text: str) -> int:
    """Read a number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add the run."""
    command.add_argument("run", nargs="?", default="last", metavar="RUN",
                         help=f"{RUN} (last)")  # fmt: skip


def add_times(command: argparse.ArgumentParser) -> None:
    """Add --from and --to."""
    command.add_argument("--from", dest="since", type=when, metavar="WHEN",
                         help=f"from this moment on: {FORMS}")  # fmt: skip
    command.add_argument("--to", type=when, metavar="WHEN", help="up to this moment")


def _add_pid(command: argparse.ArgumentParser) -> None:
    command.add_argument("-p", "--pid", action="append", default=[], metavar="PID|NAME",
                         help="only of this process, or of those that ran this program last")  # fmt: skip


def add_goto(command: argparse.ArgumentParser, what: str) -> None:
    """Add --goto."""
    command.add_argument("--goto", type=when, metavar="WHEN", help=f"{what}: {FORMS}")


def add_trace(command: argparse.ArgumentParser) -> None:
    """Add what `ebb trace` takes."""
    layers = command.add_subparsers(dest="layer", metavar="LAYER", required=True)
    for name, what in LAYERS.items():
        layer = layers.add_parser(name, help=what, description=f"Show {what}.")
        add_run(layer)
        add_times(layer)
        _add_pid(layer)
        formats = ("text", "json", "har") if name == "request" else ("text", "json")
        har = "; har: one HTTP archive" if name == "request" else ""
        layer.add_argument("-o", "--output", choices=formats, default="text",
                           help=f"json: one value per line{har}")  # fmt: skip
        if name == "syscalls":
            _add_syscalls(layer)
        if name == "request":
            _add_request(layer)


def _add_syscalls(layer: argparse.ArgumentParser) -> None:
    layer.add_argument("-f", "--follow", action="store_true", help="of the children, too")
    layer.add_argument("-e", "--calls", metavar="CALLS", default="",
                       help="only these, with commas between them")  # fmt: skip
    layer.add_argument("-t", "--times", action="store_true",
                       help="begin each line with the time since boot")  # fmt: skip


def _add_request(layer: argparse.ArgumentParser) -> None:
    layer.add_argument("-v", "--verbose", action="store_true", help="with headers and bodies")
    layer.add_argument("--max-body", type=int, default=1 << 16, metavar="BYTES",
                       help="show so much of a body (65536)")  # fmt: skip
    layer.add_argument("--show-secrets", action="store_true",
                       help="show cookies and authorization")  # fmt: skip


def exported(text: str) -> tuple[str, str]:
    """Read cpu:FILE or offcpu:FILE."""
    kind, colon, path = text.partition(":")
    if kind not in ("cpu", "offcpu") or not colon or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not cpu:FILE or offcpu:FILE")
    return kind, path


def add_profile(command: argparse.ArgumentParser) -> None:
    """Add what `ebb profile` takes."""
    add_run(command)
    add_times(command)
    command.add_argument("--type", choices=("cpu", "offcpu"), default="cpu",
                         help="cpu: what ran (the default); offcpu: what was waited for")  # fmt: skip
    command.add_argument("--request", type=int, metavar="N", help="only while this HTTP exchange "
                         "lasted; `ebb trace request` shows the numbers")  # fmt: skip
    command.add_argument("--period", type=count, metavar="TICKS",
                         help="look every so many ticks (99991; for --request, so many that there "
                         "are 1000 samples)")  # fmt: skip
    _add_pid(command)
    command.add_argument("-o", "--output", choices=("text", "collapsed", "speedscope"),
                         default="text", help="a table (the default), stacks, or speedscope's JSON")  # fmt: skip
    command.add_argument("--export", type=exported, action="append", default=[],
                         metavar="TYPE:FILE", help="write the profile to a file instead: speedscope's for "
                         ".json, stacks for .txt and .folded, else pprof's")  # fmt: skip
