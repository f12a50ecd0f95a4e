"""`ebb gdb RUN`: a server for gdb, and gdb itself beside it."""

from __future__ import annotations

import argparse
import errno
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from .. import assets
from ..cli_output import progress
from ..errors import EbbError
from ..image_store import ImageStore
from ..linux import signal_name
from .checkpoints import KeptCheckpoints
from .gdb_link import GdbLink
from .gdb_server import GdbServer
from .moment import Moment
from .past_files import PastFiles
from .replay import Replay
from .store import Run, RunStore
from .timeline import Timeline

GDBS = ("gdb-multiarch", "gdb")
# After a jump gdb's copies of registers, memory and threads are old.
# What gdb says of each file of the past that it reads, and of the vDSO before a program has begun.
NOISE = ("Reading ", "warning: File transfers from remote targets",
         "Failed to read a valid object file image from memory")  # fmt: skip
INIT = """set $ebb_there = 0
set sysroot target:
set pagination off
set confirm off
set remotetimeout 600
set debuginfod enabled off
set may-write-registers off
set may-write-memory off
set may-call-functions off
define ebb-moved
maintenance flush register-cache
maintenance flush dcache
frame
end
define when
monitor when
end
define seek
monitor seek $arg0
ebb-moved
end
define back
monitor back
ebb-moved
end
document ebb-moved
Have gdb look again, after a monitor command that went elsewhere.
end
document when
Print where in the recorded run we are.
end
document seek
Go to a moment of the recorded run: a tick, a time since boot such as 1.5s, or before an event such as e17.
end
document back
Go where we were before the last seek.
end
"""
# gdb tells of each file that it reads, and gives advice about it. Without Python it may.
CONNECT = f"""python
gdb.execute("set $ebb_there = 1")
try:
    for line in gdb.execute("target remote {{path}}", to_string=True).splitlines():
        if not line.startswith({NOISE!r}):
            print(line)
except gdb.error as error:
    print(error)
end
"""
CONNECT_PLAINLY = """if $ebb_there == 0
target remote {path}
end
"""


def open_timeline(
    store: RunStore, run: Run, replay: Replay, name: str | None, goto: Moment | None = None
) -> tuple[Timeline, int]:
    """Go to the end of a process, or to a moment of it, by what is kept of the run; the first time, go
    through all of it.
    """
    timeline = Timeline(replay)
    timeline.view.nothing()  # says at once if the kernel is too old
    kept = KeptCheckpoints(store)
    known = kept.take(run, timeline)
    with progress("going through the run", replay):
        if not known:
            timeline.scan()
        pid = timeline.choose(name)
        timeline.near(timeline.end_of(pid))
    if not known:
        kept.keep(run, timeline)
    if goto is not None and (said := timeline.within(pid, replay.place(goto))):
        print(f"ebb: {said}", end="", file=sys.stderr)
    return timeline, pid


def serve(options: argparse.Namespace, store: RunStore, run: Run, replay: Replay) -> int:
    """Run the command on an opened replay; returns gdb's exit code."""
    debugger = _gdb() if options.port is None else ""
    timeline, pid = open_timeline(store, run, replay, options.pid, options.goto)
    images = ImageStore(assets.images_folder())
    files = PastFiles(replay, images.blob, run.mounted)
    with tempfile.TemporaryDirectory(prefix="ebb-gdb") as folder:
        if options.port is not None:
            listener = socket.create_server(("127.0.0.1", options.port))
            port = listener.getsockname()[1]
            print(*greeting(run, timeline, files, pid), sep="\n", file=sys.stderr)
            print(f"gdb-multiarch -ex 'set sysroot target:' -ex 'target remote localhost:{port}'",
                  file=sys.stderr, flush=True)  # fmt: skip
            return _session(listener, timeline, files, pid)
        path = Path(folder, "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        init = Path(folder, "init")
        places = (f'set substitute-path "{guest}" "{host}"\n' for guest, host in run.mounted.places)
        said = "".join(map(_echo, greeting(run, timeline, files, pid)))
        init.write_text(INIT + "".join(places) + said + CONNECT.format(path=path))
        (plain := Path(folder, "plain")).write_text(CONNECT_PLAINLY.format(path=path))
        command = [debugger, "-q", "-x", str(init), "-x", str(plain), *options.args]
        with subprocess.Popen(command) as gdb:
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # of our terminal: it is gdb's
            listener.settimeout(60)
            try:
                _session(listener, timeline, files, pid)
            except TimeoutError:
                gdb.terminate()
                raise EbbError("gdb did not connect") from None
            finally:
                gdb.wait()
                signal.signal(signal.SIGINT, before)
            return gdb.returncode


def greeting(run: Run, timeline: Timeline, files: PastFiles, pid: int) -> list[str]:
    """Return the lines that a session begins with: where it is, and what is not to be had."""
    lines = [f"{_where(timeline, pid)}. This is a recording: nothing in it can be changed."]
    for name in dict.fromkeys(one.name for one in timeline.view.mappings(pid)):
        try:
            if name.startswith("/"):
                files.read(name)
        except OSError as error:
            if error.errno == errno.EIO:  # what the host alone could have answered
                lines.append(
                    f"{name} {run.mounted.why_missing(name)}, and is not whole in the recording: gdb has "
                    "no symbols of it. If you have it as it was: file PATH"
                )
    return lines


def _where(timeline: Timeline, pid: int) -> str:
    names = [start.name for start in timeline.starts if start.pid == pid]
    who, tick = f"process {pid}" + (f" ({names[-1]})" if names else ""), timeline.tick
    for one in timeline.endings:
        if (one.pid, one.tick) == (pid, tick):
            how = f"dies of {signal_name(one.signal)}" if one.signal else "ends"
            return f"At tick {tick} {who} {how}"
    return f"This is tick {tick} of {who}"


def _echo(text: str) -> str:
    """Return gdb's command that prints a line."""
    return "echo " + text.replace("\\", "\\\\") + "\\n\n"


def _session(listener: socket.socket, timeline: Timeline, files: PastFiles, pid: int) -> int:
    with listener:
        connection, _ = listener.accept()
    with connection:
        connection.setblocking(True)
        GdbServer(GdbLink(connection), timeline, files, pid).serve()
    return 0


def _gdb() -> str:
    found = next(filter(None, map(shutil.which, GDBS)), None)
    if found is None:
        raise EbbError("there is no gdb-multiarch on PATH; as root: apt-get install gdb-multiarch")
    return found
