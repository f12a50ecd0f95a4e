"""The command `ebb`: its options and which command they belong to.

Nothing heavy is imported before a command is chosen. Each command is a module of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from .cli_rewind_options import (
    FORMS,
    KEPT,
    RUN,
    add_goto,
    add_profile,
    add_run,
    add_trace,
    count,
    when,
)

T = TypeVar("T")

COMMANDS = {
    "run": "run a program in a machine",
    "explore": "run a program with many seeds, until one of them fails",
    "replay": "run a recorded run again, exactly",
    "logs": "print what a recorded run put out",
    "get": "list recorded runs",
    "profile": "show where a recorded run spent its time",
    "describe": "say what is known of a recorded run",
    "verify": "check a recorded run for damage",
    "diff": "say where two recorded runs part",
    "export": "write a recorded run to a file",
    "import": "take a recorded run from a file",
    "pin": "keep a recorded run whatever its age",
    "unpin": "let a recorded run go when it is old",
    "rm": "remove recorded runs",
    "snapshot": "keep machines as they were at a moment, and go on from there",
    "trace": "show what the programs of a recorded run did",
    "gdb": "debug a recorded run with gdb, forwards and backwards",
    "core": "write a core file of a recorded run's program",
    "dap": "debug a recorded run in an editor, forwards and backwards",
    "serve": "serve the browser shell",
    "image": "build and list images",
    "doctor": "say what is installed and what is wrong with it",
    "completion": "print the completion script of a shell",
}


def size(text: str) -> int:
    """Read a size such as 512M or 1G."""
    from .policy import size

    try:
        return size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def room(text: str) -> int:
    """Read a size that is not 0, which would be no limit."""
    if not (found := size(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 512M or 1G")
    return found


def seconds(text: str) -> float:
    """Read a time such as 2, 2s, 500ms or 1m."""
    number = text.rstrip("mhs")
    unit = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}.get(text[len(number) :])
    try:
        value = float(number) * unit if unit else 0
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 10, 2s, 500ms or 1m")
    return value


def age(text: str) -> float:
    """Read a time such as 7d, or one that `seconds` reads."""
    try:
        return seconds(text[:-1] + "h") * 24 if text.endswith("d") else seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 7d, 12h or 30m") from None


def variable(text: str) -> tuple[str, str] | None:
    """Read NAME=VALUE, or NAME for the value it has here; None if it has none."""
    if "=" in text or not text:
        return assignment(text)
    value = os.environ.get(text)
    return None if value is None else (text, value)


def assignment(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def number(text: str) -> int:
    """Read a seed."""
    from .chaos import check_seed

    with contextlib.suppress(ValueError):
        if text.isdecimal():
            check_seed(int(text))
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 2**64 - 1")


def seeds(text: str) -> range:
    """Read A..B: both, and all between."""
    first, dots, last = text.partition("..")
    if not dots or not first.isdecimal() or not last.isdecimal() or int(last) < int(first):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST..LAST, such as 1..100")
    return range(int(first), int(last) + 1)


def until(text: str) -> str:
    """Read how a program is to end: nonzero, signal, or an exit code."""
    if text not in ("nonzero", "signal") and not (text.isdecimal() and int(text) < 256):
        raise argparse.ArgumentTypeError(f"{text!r} is not nonzero, signal or an exit code")
    return text


def key(text: str) -> bytes:
    """Read a public key."""
    with contextlib.suppress(ValueError):
        if len(found := bytes.fromhex(text)) == 32:
            return found
    raise argparse.ArgumentTypeError(f"{text!r} is no key; write its 64 digits from 0 to f")


def mount(text: str) -> tuple[str, str, bool]:
    """Read HOST:GUEST or HOST:GUEST:ro."""
    parts = text.split(":")
    if len(parts) == 3 and parts[2] in ("ro", "rw"):
        return parts[0], parts[1], parts[2] == "ro"
    if len(parts) != 2 or not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:GUEST or HOST:GUEST:ro")
    return parts[0], parts[1], False


def ports(text: str) -> tuple[int, int]:
    """Read HOST:GUEST port numbers."""
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:GUEST, such as 8099:8000")
    host, guest = (int(part) for part in parts)
    if not (0 < host < 1 << 16 and 0 < guest < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r}: a port is a number from 1 to 65535")
    return host, guest


def port(text: str) -> int:
    """Read a port's number; 0: any."""
    if not text.isdecimal() or int(text) >> 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: it is 0 to 65535")
    return int(text)


def chaos(text: str) -> object:
    """Read what is to go wrong."""
    from .chaos import chaos as read

    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


UNKNOWN = "unrecognized arguments: "
MISSING = "the following arguments are required: "
# Options of `ebb run` that many runs, which nobody sees, cannot have.
OF_ONE_RUN = ("--no-reseed", "-p", "--publish", "-i", "--interactive", "-T", "--no-tty", "--seed",
              "--jit-dump", "--record", "--no-record", "--core", "--id-file", "-q", "--quiet")  # fmt: skip


def _let_go() -> None:
    from .cli_output import let_go

    let_go(sys.stdout)


class _Version(argparse.Action):
    """Prints the version; reads it only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, *unused: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print("ebb", version("ebbtide"))
        except PackageNotFoundError:
            print("ebb (not installed)")
        sys.exit(0)


class Parser(argparse.ArgumentParser):
    """Names the option or command that was probably meant."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            known = wrong[2].replace("'", "").split(", ")
            super().error(message + _meant(wrong[1], known))
        if message.startswith(MISSING):
            for action in self._actions:
                if isinstance(action, argparse._SubParsersAction) and message == MISSING + str(
                    action.metavar
                ):
                    message += f", one of {', '.join(action.choices)}"
        if message.startswith(UNKNOWN):
            words = [word.partition("=")[0] for word in message.split() if word.startswith("-")]
            one = words[0] if words and words[0].startswith("--") else "".join(words)[:2]
            if self.prog == "ebb explore" and one in OF_ONE_RUN:
                message += f"; {one} is for one run, with `ebb run`"
            else:
                message += self._meant_option(words[0]) if words else ""
        super().error(message)

    def _meant_option(self, word: str) -> str:
        from .meant import nearest

        bare = {name.lstrip("-"): name for name in self._option_string_actions}  # all begin alike
        near = nearest(word.lstrip("-"), bare)
        return f"; did you mean {bare[near]}?" if near else ""

    def chosen(self, words: Sequence[str]) -> Parser:
        """Return the parser of the command that words name."""
        found = self
        for word in words:
            for action in found._actions:
                if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                    found = action.choices[word]
        return found


def _meant(word: str, known: Iterable[str]) -> str:
    from .meant import meant  # only for a mistake: it costs time

    hint = meant(word, known)
    return f"; {hint}" if hint else ""


def _add_store(commands: Any) -> None:
    """Add the commands about the store of runs."""

    def add(name: str, text: str, usage: str | None = None) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name, help=COMMANDS[name], description=text, usage=usage
        )
        return command

    get = add("get", "List recorded runs.")
    get.add_argument("what", choices=("runs", "snapshots"), metavar="runs|snapshots")
    describe = add("describe", "Say what is known of a run, and what its tape is made of.",
                   "ebb describe [run] [RUN] [-o {text,json}]")  # fmt: skip
    describe.add_argument("what", choices=("run",), metavar="run")
    add_run(describe)
    for command in (get, describe):
        command.add_argument("-o", "--output", choices=("text", "json"), default="text")
    verify = add("verify", "Check a run: checksums and the chain of hashes, and what is asked for. "
                 "Exit code 0, 3 if bytes are not what was written, 4 if the replay differs, 5 if the "
                 "recording was cut short.")  # fmt: skip
    add_run(verify)
    verify.add_argument(
        "--signatures", action="store_true", help="check who signed it, and all of it"
    )
    verify.add_argument(
        "--key",
        type=key,
        metavar="HEX",
        help="only this key counts (this store's own); with --signatures or without",
    )
    verify.add_argument("--objects", action="store_true", help="hash each object it names")
    verify.add_argument("--replay", action="store_true", help="run it again and compare")
    diff = add("diff", "Say where two runs part: in what they were told (programs, input, files of the "
               "host), and in their output. Clock, random seed and ticks, in which all runs differ, do not "
               "count. Exit code 1 if they part.")  # fmt: skip
    for which in ("run", "other"):
        diff.add_argument(which, metavar="RUN", help=RUN)
    export = add("export", "Write a run to one file, with all it takes to replay it elsewhere.",
                 "ebb export run RUN FILE [--redact] [--force]")  # fmt: skip
    export.add_argument("what", choices=("run",), metavar="run")
    export.add_argument("run", metavar="RUN", help=RUN)
    export.add_argument("file", metavar="FILE")
    export.add_argument("--redact", action="store_true",
                        help="without typed input, environments, and data of the host's directories; "
                        "such a file no longer replays")  # fmt: skip
    _add_force(export)
    taken = add("import", "Take a run from a file that `ebb export` or a page has written.")
    taken.add_argument("file", metavar="FILE")
    snapshot = add("snapshot", "Keep machines as they were at a moment of a run, and go on from there.")  # fmt: skip
    actions = snapshot.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="keep the machine of a run at a moment")
    create.add_argument("moment", metavar="RUN@WHEN", help=f"{RUN}; WHEN: {FORMS}; without it the "
                        "run's end")  # fmt: skip
    for name, text in (("fork", "go on from a snapshot with a program, as another machine with other "
                        "random numbers"),
                       ("restore", "go on from a snapshot with a program, with the same random "
                        "numbers")):  # fmt: skip
        actions.add_parser(
            name,
            usage=f"ebb snapshot {name} ID [OPTION…] [--] PROGRAM [ARGUMENT…]",
            help=text,
            description=text.capitalize() + "; the options are those of `ebb run`.",
        ).add_argument("id", metavar="ID", help="an id, the beginning of one, or last")
    listed = actions.add_parser("list", help="list snapshots")
    listed.add_argument("-o", "--output", choices=("text", "json"), default="text")
    exported = actions.add_parser(
        "export", help="write a snapshot to a file, for a page or elsewhere"
    )
    exported.add_argument("id", metavar="ID")
    exported.add_argument("file", metavar="FILE")
    _add_force(exported)
    actions.add_parser("import", help="take a snapshot from a file").add_argument(
        "file", metavar="FILE"
    )
    for name, text in (("verify", "hash every page"), ("rm", "remove snapshots")):
        one = actions.add_parser(name, help=text)
        one.add_argument(
            "ids", nargs="+", metavar="ID", help="an id, the beginning of one, or last"
        )
    for name in ("pin", "unpin", "rm"):
        command = add(name, COMMANDS[name].capitalize() + ".")
        command.add_argument("runs", nargs="*" if name == "rm" else "+", metavar="RUN", help=KEPT)
    command.add_argument("--older-than", type=age, metavar="TIME",
                         help="all but pinned ones that are older: 12h, 7d")  # fmt: skip
    command.add_argument("-f", "--force", action="store_true", help="pinned ones that are named, too")  # fmt: skip
    command.add_argument("--checkpoints", action="store_true", help="only what opening them in a "
                         "debugger has left, which the next time makes again")  # fmt: skip


def _add_force(command: argparse.ArgumentParser) -> None:
    command.add_argument("-f", "--force", action="store_true", help="replace a file that is there")


def _add_run_options(run: argparse.ArgumentParser, but: Iterable[str] = ()) -> None:
    """Add what a machine and its program are started with."""

    def add(*names: str, **options: Any) -> None:
        if not set(names).intersection(but):
            run.add_argument(*names, **options)

    add("--image", metavar="NAME", help="image to boot (base)")
    add("--snapshot", metavar="ID", help="go on from a snapshot instead of booting an "
                     "image")  # fmt: skip
    add("--no-reseed", action="store_true", help="go on with the snapshot's random "
                     "numbers, too")  # fmt: skip
    add("-e", "--env", action="append", type=variable, default=[], metavar="K[=V]",
                     help="set an environment variable; K alone: as it is here")  # fmt: skip
    add("-w", "--workdir", metavar="DIR", help="start in this directory")
    add("-v", "--volume", action="append", type=mount, default=[],
                     metavar="HOST:GUEST[:ro]", help="show a directory (not a file) of the host")  # fmt: skip
    add("-p", "--publish", action="append", type=ports, default=[],
                     metavar="HOST:GUEST", help="open a guest's TCP port on the host")  # fmt: skip
    add("-u", "--user", default="root", help="user name or number (root)")
    add("-i", "--interactive", action="store_true", help="pass input on (it always is)")
    add(
        "-t",
        "--tty",
        action="store_true",
        help="give it a terminal, even if we have none (but not with -i)",
    )
    add("-T", "--no-tty", action="store_true", help="give it no terminal, even if we have one")
    add("--log", action="store_true", help="write the kernel's log to stderr")
    add("--strace", action="store_true", help="write every system call to stderr")
    add(
        "--harts",
        type=int,
        metavar="N",
        help="processors, 1 to 6 (as the host has, at most 4; 1 with --seed, --chaos, --time=virtual, "
        "--jit=verify)",
    )
    add("--memory", type=size, default=1 << 30, metavar="SIZE",
                     help="memory, 64M or 1G, at least 16M (1G); the largest process is killed (137) "
                     "when there is no more")  # fmt: skip
    add("--pids", type=count, metavar="N",
                     help="processes and threads at most; more is EAGAIN")  # fmt: skip
    add("--files", type=count, metavar="N",
                     help="open files of a process at most; more is EMFILE")  # fmt: skip
    add("--disk", type=room, metavar="SIZE",
                     help="bytes to write to files at most, and so many in volumes; more is ENOSPC")  # fmt: skip
    add("--max-output", type=size, metavar="SIZE",
                     help="end it when it has written more (exit code 153)")  # fmt: skip
    add("--policy", action="append", type=assignment, default=[],
                     metavar="KIND=ERRNO",
                     help="refuse with this error every clone (fork, thread), or every exec, by the "
                     "program; what is started from here is not asked, only what it starts")  # fmt: skip
    add("--time", choices=("host", "virtual"), default="host",
                     help="virtual: waiting takes no time")  # fmt: skip
    add("--timeout", type=seconds, metavar="TIME",
                     help="end it after this time: seconds, or 500ms, 2s, 1m (exit code 124)")  # fmt: skip
    add("--chaos", type=chaos, metavar="RATE|KIND[=RATE],…",
                     help="let things go wrong that rarely do: errno (errors of system calls), short "
                     "(reads and writes of fewer bytes), clock (jumps and drift), sched (any order of "
                     "threads, which change at any instruction); by --seed")  # fmt: skip
    add("--seed", type=number, metavar="N",
                     help="what chaos and random numbers are drawn from (a random one)")  # fmt: skip
    if but:  # verify is told apart where it is refused
        add("--jit", choices=("on", "off", "verify"), metavar="{on,off}",
                     help="compile hot guest code or not")  # fmt: skip
    else:
        add("--jit", choices=("on", "off", "verify"),
                     help="compile hot guest code or not; verify: then run all again without, "
                     "compare the machines, and say so (exit code 125 if they differ)")  # fmt: skip
    add("--no-keep-code", action="store_true",
                     help="neither use compiled code of earlier runs nor leave any")  # fmt: skip
    add("--jit-dump", metavar="DIR",
                     help="write compiled code there (a new or empty folder), as modules and as text: of "
                     "each region guest instructions beside the WebAssembly made of them (no kept code "
                     "is used)")  # fmt: skip
    add("--stats", action="store_true",
                     help="at the end, write to stderr what was run and what was compiled")  # fmt: skip
    add("--record", action=argparse.BooleanOptionalAction,
                     help="record the run (the default but for --jit=verify); its id "
                     "goes to stderr first")  # fmt: skip
    add("--core", metavar="FILE", help="if a program crashes, replay the run to there "
                     "and write its ELF core (`ebb core` does it later)")  # fmt: skip
    add("--id-file", metavar="FILE", help="write the run's id there, not to stderr")
    add("-q", "--quiet", action="store_true", help="write nothing of our own to stderr")
    add("args", nargs=argparse.REMAINDER, metavar="-- CMD…", help="program and arguments")


def parser() -> Parser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="ebb",
        usage="ebb COMMAND [OPTION…]",
        description="Unmodified Linux programs on a kernel in WebAssembly.",
    )
    top.add_argument("--version", action=_Version, help="print the version and end")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="ebb")
    run = commands.add_parser(
        "run",
        usage="ebb run [OPTION…] [--] PROGRAM [ARGUMENT…]",
        help=COMMANDS["run"],
        description="Boot a machine, run one program in it with this terminal's input and output, "
        "and end with its exit code.",
    )
    _add_run_options(run)
    explore = commands.add_parser(
        "explore",
        usage="ebb explore --seeds A..B [OPTION…] -- PROGRAM [ARGUMENT…]",
        help=COMMANDS["explore"],
        description="Run one program with each seed, several at once, until one ends as is looked for: "
        "that run is kept, and its id printed last (exit code 1; 0 if no seed does).",
        allow_abbrev=False,  # cli_explore.py passes on what is not its own, by name
    )
    explore.add_argument("--seeds", type=seeds, required=True, metavar="A..B",
                         help="the seeds, from the first to the last")  # fmt: skip
    explore.add_argument("--until-exit", type=until, default="nonzero", metavar="nonzero|signal|N",
                         help="what is looked for: any exit code but 0, an end by a signal, or this "
                         "exit code (nonzero)")  # fmt: skip
    explore.add_argument("--jobs", type=count, metavar="N", help="so many at once (as there are "
                         "processors)")  # fmt: skip
    _add_run_options(explore, but=OF_ONE_RUN)
    replay = commands.add_parser(
        "replay",
        help=COMMANDS["replay"],
        description="Run a recorded run again, without side effects: its output comes out once more, "
        "and every difference from the recording ends it (exit code 4).",
    )
    add_run(replay)
    add_goto(replay, "stop at this moment")
    replay.add_argument("-q", "--quiet", action="store_true", help="write no output, only check")
    logs = commands.add_parser(
        "logs", help=COMMANDS["logs"], description="Print what a recorded run put out."
    )
    add_run(logs)
    logs.set_defaults(goto=None, quiet=False)
    _add_store(commands)
    trace = commands.add_parser(
        "trace",
        help=COMMANDS["trace"],
        description="Replay a recorded run and show what its programs did. Nothing of this is "
        "recorded: it works on every run.",
    )
    add_trace(trace)
    profile = commands.add_parser(
        "profile",
        help=COMMANDS["profile"],
        description="Replay a recorded run and look at it every so many instructions. The same run "
        "gives the same profile, on every computer.",
    )
    add_profile(profile)
    gdb = commands.add_parser(
        "gdb",
        usage="ebb gdb [RUN] [OPTION…] [-- GDB-ARGUMENT…]",
        help=COMMANDS["gdb"],
        description="Open a recorded run in gdb, where a program crashed or else at its end. All that "
        "gdb can do backwards works: reverse-step, reverse-next, reverse-finish, reverse-continue "
        "with breakpoints and watchpoints; `monitor help` says what there is besides.",
    )
    add_run(gdb)
    gdb.add_argument("--pid", metavar="PID|NAME", help="the process, or its program's name (what "
                     "crashed last, else the first)")  # fmt: skip
    gdb.add_argument("--port", type=port, metavar="N",
                     help="start no gdb, wait for one at this port of localhost (0: any)")  # fmt: skip
    add_goto(gdb, "begin at this moment of the process")
    gdb.set_defaults(args=[])  # what stands behind -- is gdb's
    dap = commands.add_parser(
        "dap",
        help=COMMANDS["dap"],
        description="Serve an editor that speaks the Debug Adapter Protocol, at standard input and "
        "output. Its configuration says which run, which program of it, and where to begin; "
        "docs/rewind.md shows how. Needs gdb-multiarch, as `ebb gdb` does.",
    )
    add_run(dap)
    dap.add_argument("--port", type=port, metavar="N",
                     help="wait for the editor at this port of localhost (0: any)")  # fmt: skip
    core = commands.add_parser(
        "core",
        help=COMMANDS["core"],
        description="Write the ELF core of a program of a recorded run, where it crashed or at a "
        "moment, made by replaying it.",
    )
    add_run(core)
    core.add_argument("-o", "--output", metavar="FILE", help="where to (core.PID)")
    core.add_argument("--pid", metavar="PID|NAME", help="the process, or its program's name (what "
                      "crashed last, else the first)")  # fmt: skip
    core.add_argument("--at", dest="goto", type=when, metavar="WHEN",
                      help=f"as it was at this moment: {FORMS}")  # fmt: skip
    core.add_argument("--files", metavar="DIR", help="put the program and its libraries there, as "
                      "they were, for gdb to read")  # fmt: skip
    doctor = commands.add_parser(
        "doctor", help=COMMANDS["doctor"], description="Print versions, places, images, problems."
    )
    doctor.add_argument("-o", "--output", choices=("text", "json"), default="text")
    completion = commands.add_parser(
        "completion",
        help=COMMANDS["completion"],
        description='Print a completion script; in bash: eval "$(ebb completion bash)".',
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    for name in ("serve", "image"):
        commands.add_parser(name, help=COMMANDS[name], add_help=False)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    _open_standard()
    try:
        code = _command(list(sys.argv[1:] if argv is None else argv))
        try:
            sys.stdout.flush()
        except OSError:
            if not code:
                raise
            _let_go()  # it has been said why it failed
        return code
    except BrokenPipeError:  # nobody reads on, as with `ebb doctor | head -1`
        _let_go()
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2
    except OSError as error:
        from .cli_output import trouble

        print(f"ebb: {trouble(error)}", file=sys.stderr)
        _let_go()
        return 125


def _open_standard() -> None:
    """Have all three streams, so that no file of ours gets their numbers. What we put out into one that was
    closed is lost, which is an error; what we read there is at its end.
    """
    for fd, name, how in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY),
                          (2, "stderr", os.O_WRONLY)):  # fmt: skip
        if getattr(sys, name) is None and os.open(os.devnull, how) == fd:
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", closefd=False))
    if (plain := sys.__stderr__) and sys.stderr is plain:
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Said(2, "w", closefd=False)),
            plain.encoding,
            "backslashreplace",
            line_buffering=True,
        )


class _Said(io.FileIO):
    """Standard error: what cannot be said changes nothing, least of all how a program has ended."""

    def write(self, data: Any, /) -> int:
        written = None
        with contextlib.suppress(OSError):
            written = super().write(data)
        return memoryview(data).nbytes if written is None else written


def _begun(work: T) -> T:
    """Have interrupts come as exceptions, as what is imported by now takes them (__main__.py)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return work


def _command(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if words[:1] == ["image"]:
        from .image.__main__ import main as image_main

        return _begun(image_main)(words[1:]) or 0
    if words[:1] == ["serve"]:
        from .serve import main as serve_main

        return _begun(serve_main)(words[1:]) or 0
    if words[:1] == ["__complete"]:
        from .cli_complete import candidates

        print("\n".join(candidates(parser(), words[1:])))
        return 0
    name = f"ebb {words[0]}" if words else "ebb"
    goes_on = words[:1] == ["snapshot"] and words[1:2] in (["fork"], ["restore"])
    if goes_on and words[2:] and not words[2].startswith("-"):
        same = ["--no-reseed"] if words[1] == "restore" else []
        name = f"ebb snapshot {words[1]} {words[2]}"
        words = ["run", "--snapshot", words[2], *same, *words[3:]]
    if not words:
        print("ebb: which command? See ebb --help", file=sys.stderr)
        return 2
    if words[0] == "describe" and "run" not in words:  # there is nothing else to describe
        words.insert(1, "run")
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        meant = _meant(words[0], COMMANDS)
        print(
            f"ebb: there is no command {words[0]!r}{meant or '; see ebb --help'}", file=sys.stderr
        )
        return 2
    rest: list[str] = []
    if words[:1] == ["gdb"] and "--" in words:
        rest = words[words.index("--") + 1 :]
        del words[words.index("--") :]
    top = parser()
    options, unknown = top.parse_known_args(words)
    if unknown:
        top.chosen(words).error(UNKNOWN + " ".join(unknown))
    if options.command == "gdb":
        options.args = rest
    if options.command == "doctor":
        from .cli_doctor import run as doctor

        return _begun(doctor)(options)
    if options.command == "completion":
        from .cli_complete import SCRIPTS

        print(SCRIPTS[options.shell], end="")
        return 0
    if options.command not in ("run", "explore"):
        from .cli_rewind import run as rewind

        return _begun(rewind)(options)
    if options.args[:1] == ["--"]:
        del options.args[0]
    if not options.args:
        print(
            f"{name}: which program? Write it after --, as in: {name} -- ls -l /", file=sys.stderr
        )
        return 2
    if options.command == "explore":
        from .cli_explore import run as explore

        given = words[1 : len(words) - len(options.args)]
        return _begun(explore)(options, given[:-1] if given[-1:] == ["--"] else given)
    from .cli_run import run

    return _begun(run)(options)


if __name__ == "__main__":
    sys.exit(main())
