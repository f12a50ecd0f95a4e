"""Options of the commands that look into recorded runs; light, for every start of `ebb` reads them."""

from __future__ import annotations

import argparse

from .rewind.moment import moment

LAYERS = {
    "syscalls": "system calls, in strace's format",
    "process": "processes: what they ran, how they ended",
    "files": "files that were opened, made, changed, asked for",
    "signals": "signals that were sent and delivered",
    "network": "what happened on connections",
    "request": "HTTP/1.1 requests with their responses",
}


def add_trace(command: argparse.ArgumentParser) -> None:
    """Add the options of `ebb trace`."""
    command.add_argument("layer", choices=tuple(LAYERS), metavar="|".join(LAYERS),
                         help="; ".join(f"{name}: {what}" for name, what in LAYERS.items()))  # fmt: skip
    command.add_argument("run", nargs="?", default="last", metavar="RUN",
                         help="a run's id, the beginning of one, or last (the default)")  # fmt: skip
    command.add_argument("-o", "--output", choices=("text", "json", "har"), default="text",
                         help="text; json: one value per line; har (request): an HTTP archive")  # fmt: skip
    command.add_argument("--from", dest="since", type=moment, metavar="WHEN",
                         help="from this tick, or time since boot, on (1.5s, 200ms)")  # fmt: skip
    command.add_argument("--to", type=moment, metavar="WHEN", help="up to this tick or time")
    command.add_argument("-p", "--pid", type=int, action="append", default=[], metavar="PID",
                         help="only of this process")  # fmt: skip
    command.add_argument("-f", "--follow", action="store_true",
                         help="syscalls: of the program's children, too")  # fmt: skip
    command.add_argument("-e", "--calls", metavar="CALLS", default="",
                         help="syscalls: only these, with commas between them")  # fmt: skip
    command.add_argument("-t", "--times", action="store_true",
                         help="syscalls: begin each line with the time since boot")  # fmt: skip
    command.add_argument("-v", "--verbose", action="store_true",
                         help="request: with headers and bodies")  # fmt: skip
    command.add_argument("--max-body", type=int, default=1 << 16, metavar="BYTES",
                         help="request: show so much of a body (65536)")  # fmt: skip
    command.add_argument("--show-secrets", action="store_true",
                         help="request: show cookies and authorization")  # fmt: skip
