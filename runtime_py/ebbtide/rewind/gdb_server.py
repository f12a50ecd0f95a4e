"""gdb's remote serial protocol over a recorded run: one process of it, forwards and backwards.

Nothing can be written: the past stays as it was. Threads are pPID.TID. What a stop is, and how one is
found, is timeline.py's business; here are packets.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import quoteattr

from ..errors import EbbError
from . import gdb_target
from .debug_view import Note, Registers, Stop
from .gdb_files import GdbFiles
from .gdb_link import Closed, GdbLink
from .gdb_monitor import Monitor
from .past_files import PAGE, PastFiles, page_at
from .timeline import Interrupted, Timeline

TRAP, INT = 5, 2
PACKET = 0x8000
FEATURES = (
    f"PacketSize={PACKET:x};QStartNoAckMode+;multiprocess+;ReverseStep+;ReverseContinue+;swbreak+;"
    "hwbreak+;vContSupported+;qXfer:features:read+;qXfer:auxv:read+;qXfer:exec-file:read+;"
    "qXfer:threads:read+;no-resumed+"
)
UNCHANGED = b"E.the past cannot be changed"
_Z = {b"0": "BREAK", b"1": "BREAK", b"2": "WRITE", b"3": "READ", b"4": "ACCESS"}
_REASON = {"WRITE": b"watch", "READ": b"rwatch", "ACCESS": b"awatch"}


class GdbServer:
    """One session about one process."""

    def __init__(self, link: GdbLink, timeline: Timeline, files: PastFiles, pid: int) -> None:
        self.pid = pid
        self.timeline = timeline
        self._link = link
        self._past = files
        self._files = GdbFiles(files, lambda pid: self.timeline.view.mappings(pid))
        self._monitor = Monitor(timeline, pid)
        self._tid = pid
        self._asked = 0  # the thread that g and m are about
        self._stop = b""
        self._pages: tuple[int, dict[int, bytes]] = (-1, {})
        timeline.interrupted = link.interrupted
        self._arrived(None)
        self._packets: list[tuple[bytes, Callable[[bytes], bytes]]] = [
            (b"qSupported", lambda rest: FEATURES.encode()),
            (b"QStartNoAckMode", lambda rest: b"OK"),
            (b"qXfer:", self._transfer),
            (b"qRcmd,", self._command),
            (b"qfThreadInfo", self._threads),
            (b"qsThreadInfo", lambda rest: b"l"),
            (b"qThreadExtraInfo,", self._extra),
            (b"qAttached", lambda rest: b"1"),
            (b"qC", lambda rest: b"QC" + self._thread(self._tid)),
            (b"vCont?", lambda rest: b"vCont;c;C;s;S"),
            (b"vCont;", self._resume),
            (b"vFile:", lambda rest: self._files.answer(rest)),
            (b"vKill", lambda rest: b"OK"),
            (b"?", lambda rest: self._stop),
            (b"H", self._select),
            (b"T", self._alive),
            (b"g", lambda rest: self._registers()),
            (b"p", self._register),
            (b"m", self._memory),
            (b"Z", self._stop_add),
            (b"z", self._stop_remove),
            (b"bs", lambda rest: self._backwards(step=True)),
            (b"bc", lambda rest: self._backwards(step=False)),
            (b"c", lambda rest: self._forwards(step=None)),
            (b"s", lambda rest: self._forwards(step=self._asked or self._tid)),
            (b"D", lambda rest: b"OK"),
            *((name, lambda rest: UNCHANGED) for name in (b"G", b"P", b"M", b"X")),
        ]

    def serve(self) -> None:
        """Answer until gdb goes."""
        try:
            while True:
                packet = self._link.receive()
                answer = self._answer(packet)
                self._link.send(answer)
                if packet.startswith(b"QStartNoAckMode"):
                    self._link.acks = False
                if packet[:1] == b"D" or packet[:1] == b"k" or packet.startswith(b"vKill"):
                    return
        except Closed:
            return

    def _answer(self, packet: bytes) -> bytes:
        for name, work in self._packets:
            if packet.startswith(name):
                try:
                    return work(packet[len(name) :])
                except (ValueError, IndexError):
                    return b"E16"
                except EbbError as error:
                    return b"E." + str(error).encode()
        return b""

    # ---- Threads and what they hold -------------------------------------------------------------

    def _thread(self, tid: int) -> bytes:
        return b"p%x.%x" % (self.pid, tid)

    @staticmethod
    def _tid_of(text: bytes) -> int:
        """Read pPID.TID, TID or -1; 0: any."""
        if text[:1] == b"p":
            pid, _, text = text[1:].partition(b".")
            text = text or b"-1"
        return 0 if text.startswith(b"-") else int(text, 16)

    def _select(self, rest: bytes) -> bytes:
        tid = self._tid_of(rest[1:])
        if tid and not any(task.tid == tid for task in self.timeline.tasks(self.pid)):
            return b"E03"
        if rest[:1] == b"g" or tid:
            self._asked = tid
        return b"OK"

    def _alive(self, rest: bytes) -> bytes:
        tid = self._tid_of(rest)
        return b"OK" if any(one.tid == tid for one in self.timeline.tasks(self.pid)) else b"E03"

    def _threads(self, rest: bytes) -> bytes:
        ids = [self._thread(task.tid) for task in self.timeline.tasks(self.pid)]
        return b"m" + b",".join(ids) if ids else b"l"

    def _extra(self, rest: bytes) -> bytes:
        tid = self._tid_of(rest)
        names = [one.name for one in self.timeline.tasks(self.pid) if one.tid == tid]
        return (names[0] if names else "").encode().hex().encode()

    def _now(self) -> Registers:
        found = self.timeline.registers(self._asked or self._tid)
        if found is None:
            raise ValueError("no such thread")
        return found

    def _registers(self) -> bytes:
        return gdb_target.pack(self._now()).hex().encode()

    def _register(self, rest: bytes) -> bytes:
        value = gdb_target.one(self._now(), int(rest, 16))
        return value.hex().encode() if value is not None else b"E16"

    def _memory(self, rest: bytes) -> bytes:
        at, length = (int(word, 16) for word in rest.split(b","))
        data = self._read(at, min(length, PACKET // 2 - 16))
        return data.hex().encode() if data or not length else b"E0e"

    def _read(self, at: int, length: int) -> bytes:
        tick, pages = self._pages
        if tick != self.timeline.tick:
            pages = {}
            self._pages = self.timeline.tick, pages
        out = b""
        while length > 0:
            page, offset = at // PAGE, at % PAGE
            if page not in pages:
                view = self.timeline.view
                pages[page] = page_at(view, self._past, self.pid, page * PAGE)
            piece = pages[page][offset : offset + length]
            if not piece:
                break
            out, at, length = out + piece, at + len(piece), length - len(piece)
        return out

    def _transfer(self, rest: bytes) -> bytes:
        what, _, _annex, window = rest.split(b":", 3)
        at, length = (int(word, 16) for word in window.split(b","))
        match what:
            case b"features":
                data = gdb_target.description()
            case b"auxv":
                data = self.timeline.view.auxv(self.pid)
            case b"exec-file":
                names = [one.name for one in self.timeline.view.mappings(self.pid) if one.main]
                data = names[0].encode(errors="surrogateescape") if names else b""
            case b"threads":
                data = self._threads_xml()
            case _:
                return b""
        piece = data[at : at + min(length, PACKET // 2)]
        return (b"m" if at + len(piece) < len(data) else b"l") + piece

    def _threads_xml(self) -> bytes:
        rows = [
            f'<thread id="p{self.pid:x}.{task.tid:x}" name={quoteattr(task.name)}/>'
            for task in self.timeline.tasks(self.pid)
        ]
        return f"<?xml version='1.0'?><threads>{''.join(rows)}</threads>".encode()

    def _command(self, rest: bytes) -> bytes:
        tick = self.timeline.tick
        said = self._monitor.run(bytes.fromhex(rest.decode()).decode(errors="replace"))
        if self.timeline.tick != tick:
            self._arrived(None)
        return said.encode().hex().encode() or b"OK"

    # ---- Stops and moving -----------------------------------------------------------------------

    def _stop_of(self, rest: bytes) -> Stop:
        kind, address, length = rest.partition(b";")[0].split(b",")
        name = _Z[kind]
        return Stop(name, self.pid, int(address, 16), 1 if name == "BREAK" else int(length, 16))

    def _stop_add(self, rest: bytes) -> bytes:
        if rest[:1] not in _Z:
            return b""
        stop = self._stop_of(rest)
        if stop not in self.timeline.stops:
            self.timeline.stops.append(stop)
        return b"OK"

    def _stop_remove(self, rest: bytes) -> bytes:
        if rest[:1] not in _Z:
            return b""
        stop = self._stop_of(rest)
        if stop in self.timeline.stops:
            self.timeline.stops.remove(stop)
        return b"OK"

    def _resume(self, rest: bytes) -> bytes:
        """The first action decides: a step is that thread's, and the others run meanwhile."""
        action, _, thread = rest.split(b";")[0].partition(b":")
        step = action[:1] in b"sS"
        tid = (self._tid_of(thread) if thread else 0) or self._asked or self._tid
        return self._forwards(step=tid if step else None)

    def _forwards(self, step: int | None) -> bytes:
        limit = self.timeline.end_of(self.pid)
        try:
            if step is not None:
                if not self.timeline.step_forward(step, limit):
                    return self._arrived(None, b"replaylog:end;")
                self._tid = step
                return self._arrived(None)
            note = self.timeline.forward(limit)
        except Interrupted:
            return self._arrived(None, signal=INT)
        return self._arrived(note, b"" if note else b"replaylog:end;")

    def _backwards(self, step: bool) -> bytes:
        begin = self._monitor.begin()
        tid = self._asked or self._tid
        try:
            if step:
                before = self._watched()
                if not self.timeline.step_back(tid, begin):
                    return self._arrived(None, b"replaylog:begin;")
                self._tid = tid
                changed = [stop for stop, data in before.items() if self._watched()[stop] != data]
                reason = b"watch:%x;" % changed[0].va if changed else b""
                return self._arrived(None, reason)
            note = self.timeline.backward(begin)
        except Interrupted:
            return self._arrived(None, signal=INT)
        return self._arrived(note, b"" if note else b"replaylog:begin;")

    def _watched(self) -> dict[Stop, bytes]:
        stops = [stop for stop in self.timeline.stops if stop.kind in ("WRITE", "ACCESS")]
        return {stop: self.timeline.view.memory(self.pid, stop.va, stop.length) for stop in stops}

    def _arrived(self, note: Note | None, reason: bytes = b"", signal: int = TRAP) -> bytes:
        """Say where we are and why."""
        tasks = self.timeline.tasks(self.pid)
        if note is not None:
            self._tid = note.tid
            reason = (
                b"%s:%x;" % (_REASON[note.kind], note.va) if note.kind in _REASON else b"swbreak:;"
            )
        elif not any(task.tid == self._tid for task in tasks):
            current = [task.tid for task in tasks if task.current] or [task.tid for task in tasks]
            self._tid = current[0] if current else self.pid
        if note is None and signal == TRAP:
            for ending in self.timeline.endings:
                if (ending.pid, ending.tick) == (self.pid, self.timeline.tick) and ending.signal:
                    self._tid, signal, reason = ending.tid, gdb_target.signal(ending.signal), b""
        self._asked = self._tid
        self._stop = b"T%02x%sthread:%s;" % (signal, reason, self._thread(self._tid))
        return self._stop
