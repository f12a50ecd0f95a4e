"""Replays a run in a worker of its own (sdk/src/worker/rewind.ts): forwards once, to learn what was
shown when and to leave checkpoints, and then to any moment that is asked for. looking.py has what else
can be asked.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyodide.ffi import to_js

from ..abi import Abi
from ..errors import EbbError
from ..events import CallEnded, Events
from ..recording import END, EVENT, ReplayDiverged, Written
from ..rewind.bundle import Bundle, Signature, signed_message, write_bundle
from ..rewind.check import check_signatures
from ..rewind.output import Chunk
from ..rewind.replay import Replay, started_from
from ..rewind.screens import Ended, Resized, Screens, Started
from ..rewind.tape import TapeDamaged, TapeReader
from . import looking
from .page_stage import PageStage

BUDGET = 1 << 23  # ticks of one step, so that a slice ends in time
QUANTUM = 1 << 18  # ticks, at first
CHECKPOINT_S = 0.5  # between two checkpoints
CHECKPOINTS = 48  # kept at most: a tab's memory is small
LEAVES = 32  # of a tape, that are hashed at once
DRAWN_MOST = 1 << 16  # bytes of what a terminal showed, which whoever goes on is told

Event = dict[str, Any]


class MapObjects:
    """Objects of a run, which JavaScript holds deflated; verified when they are read."""

    def __init__(self, objects: Any) -> None:
        self._objects = objects

    def put(self, data: bytes) -> bytes:
        raise NotImplementedError("a replay writes nothing")

    def get(self, hash: bytes) -> bytes:
        found = self._objects.get(hash.hex())
        if found is None:
            raise TapeDamaged(f"object {hash.hex()} is missing")
        try:
            data = zlib.decompress(found.to_bytes())
        except zlib.error as error:
            raise TapeDamaged(f"object {hash.hex()} is damaged: {error}") from None
        if hashlib.sha256(data).digest() != hash:
            raise TapeDamaged(f"object {hash.hex()} is damaged: its bytes have another hash")
        return data


class Rewinding:
    """One run, opened."""

    def __init__(self, tape: Any, objects: Any, make_memory: Callable[[int], Any]) -> None:
        self._reader = TapeReader(tape.to_bytes(), MapObjects(objects))
        self._entries: list[Written] = list(self._reader.entries())
        self._make_memory = make_memory
        self._memories: list[Any] = []  # a profile looks at files in a second one
        self._events: list[Event] = []
        self._quantum = QUANTUM
        self._whole = False  # the first pass has come to the end
        self._seen = 0  # entries that `_screens` knows
        self._args: dict[int, list[str]] = {}
        self._asked: list[tuple[int, int, str]] = []  # tick, chunk of the image, record in hex
        self._sizes: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # tick, rows, cols
        self._drawn: dict[int, list[tuple[int, bytes]]] = defaultdict(list)  # tick, bytes
        self._start: dict[str, Any] = {}  # the machine that was there before
        self.replay: Replay | None = None

    def open(self, abi: Abi) -> None:
        """Begin at the first tick."""
        self._abi = abi
        self._decode = Events(abi)
        self._start = started_from(self._entries) or {}
        terminals = self._start.get("terminals", ())
        self._screens = Screens(abi, terminals)
        self.replay = Replay(
            abi,
            self._entries,
            self._stage,
            on_chunk=self._chunk,
            on_record=self._record,
        )
        self.replay.budget = BUDGET
        self.replay.checkpoint_s, self.replay.checkpoints_most = CHECKPOINT_S, CHECKPOINTS
        for one in terminals:
            self._was_there(one)
        for hex in self._start.get("owed", ()):
            self._note_asked(0, bytes.fromhex(hex))

    def _was_there(self, terminal: dict[str, Any]) -> None:
        """Tell of a terminal that is older than the tape."""
        pid, args, drawn = terminal["pid"], terminal["args"], terminal.get("drawn", "")
        rows, cols = terminal.get("rows", 24), terminal.get("cols", 80)
        self._start_of(pid, self._start["tick"], args, rows, cols)
        self._output(pid, self._start["tick"], "tty", drawn.encode())

    @property
    def begin(self) -> int:
        """The first tick."""
        assert self.replay
        return self.replay.begin

    @property
    def end(self) -> int:
        """The last tick."""
        return self._entries[-1].tick if self._entries else 0

    @property
    def cut(self) -> bool:
        """Whether the tape has no end: its page was closed, or still records."""
        return not self._entries or self._entries[-1].kind != END

    def _stage(self, ram: int, pages: Any) -> PageStage:
        memory = next((one for one in self._memories if not one.used), None)
        if memory is None:
            memory = self._make_memory(ram)
            self._memories.append(memory)
        return PageStage(memory, pages)

    # ---- The first pass --------------------------------------------------------------------------

    def advance(self, seconds: float) -> list[Event]:
        """Replay for about so long; returns what happened. `tick` says how far it is."""
        assert self.replay
        until = time.monotonic() + seconds
        while not self._whole and (now := time.monotonic()) < until:
            target = self.replay.tick + self._quantum
            if target >= self.end:
                self._finish()
                self._whole = True
            else:
                self.replay.seek(target)
                spent = time.monotonic() - now
                self._quantum = max(1, self._quantum * 2 if spent < 0.02 else self._quantum // 2)
        events, self._events = self._events, []
        return events

    def _finish(self) -> None:
        assert self.replay
        if self.cut:
            self.replay.seek(self.end)
        else:
            self.replay.run()

    @property
    def tick(self) -> int:
        """Where the replay is."""
        assert self.replay
        return self.replay.tick

    @property
    def ram(self) -> int:
        """Bytes of its machine's memory."""
        assert self.replay
        return self.replay.ram

    @property
    def whole(self) -> bool:
        """Whether the first pass is over."""
        return self._whole

    # ---- Any moment ------------------------------------------------------------------------------

    def seek(self, tick: int) -> None:
        """Go to a tick; what happens on the way is known already."""
        assert self.replay
        self.replay.seek(tick)

    def branch(self, tick: int, memory: Any) -> str:
        """Copy the machine of a moment into another memory; returns, in JSON, what its host must know."""
        assert self.replay
        self.replay.seek(tick)
        entries, streams = self._entries, self.replay.streams
        here, next = self.replay.tick, self.replay.next
        brought = [entry.data for entry in entries[next:] if self._name(entry) == "BLOCK_IN"]
        with self.replay.settled() as tick:
            stage = self.replay.stage
            assert isinstance(stage, PageStage)
            self._memories[0].copy(stage.pages(), memory)
            heap, low, pages = stage.span()
        return json.dumps({
            **self._clock(entries[:next]),
            "ram": self.replay.ram,
            "harts": 1,
            "run": str(uuid.UUID(bytes=self._reader.header.run_id)),
            "tick": tick,
            "extent": {"heap": heap, "low": low, "pages": pages},
            "calls": streams.calls(),
            "terminals": [
                self._terminal(fd, pid, here) for fd, (pid, _) in streams.terminals().items()
            ],
            "blocks": [base64.b64encode(data).decode() for data in brought],
            "owed": self._owed(entries[:next], brought, here),
        })  # fmt: skip

    def _name(self, entry: Written) -> str:
        return self._abi.event_name(entry.head) if entry.kind == EVENT else ""

    def _clock(self, entries: list[Written]) -> dict[str, int]:
        """Return what the time is behind some entries, and the last id of an agent call."""
        assert self.replay
        start, structs = self._start, self._abi.structs
        last = start.get("last_call", 0)
        realtime = start.get("realtime_ns", 0) - start.get("now_ns", 0)
        for entry in entries:
            match self._name(entry):
                case "BOOT":
                    realtime = structs["event_boot"].integer(entry.data, "realtime_ns")
                case "CLOCK":
                    realtime += structs["event_clock"].integer(entry.data, "suspend_ns")
                case "CALL":
                    last = max(last, structs["event_call"].integer(entry.head, "id"))
        now = self._now(self.replay.tick)
        return {"now_ns": now, "realtime_ns": realtime + now, "last_call": last}

    def _terminal(self, fd: int, pid: int, tick: int) -> dict[str, Any]:
        """Return what a terminal was at a tick, and what it had drawn."""
        sizes = [(rows, cols) for at, rows, cols in self._sizes[pid] if at <= tick]
        rows, cols = sizes[-1] if sizes else (24, 80)
        drawn = b"".join(data for at, data in self._drawn[pid] if at <= tick)
        if len(drawn) > DRAWN_MOST:
            drawn = drawn[-DRAWN_MOST:].partition(b"\n")[2]
        text = drawn.decode(errors="replace")
        args = self._args.get(pid, [])
        return {"pid": pid, "fd": fd, "args": args, "rows": rows, "cols": cols, "drawn": text}

    def _owed(self, entries: list[Written], brought: list[bytes], tick: int) -> list[str]:
        """Return the records by which chunks were asked for that have not come, and are not `brought`."""
        chunk = self._abi.structs["event_block"].integer
        moves: list[tuple[int, bool, int, str]] = [  # an answer comes behind what asked for it
            (at, False, number, hex) for at, number, hex in self._asked if at <= tick
        ]
        for entry in entries:
            if self._name(entry) == "BLOCK_IN":
                moves.append((entry.tick, True, chunk(entry.head, "chunk"), ""))
        open: dict[int, str] = {}
        for _, answered, number, hex in sorted(moves):
            if answered:
                open.pop(number, None)
            else:
                open[number] = hex
        for data in brought:
            open.pop(chunk(data, "chunk"), None)
        return list(open.values())

    # ---- Looking at it ---------------------------------------------------------------------------

    def trace(self, layer: str, options: str, told: Any) -> str:
        """Hand over what programs did; see looking.py."""
        assert self.replay
        return looking.trace(self.replay, layer, json.loads(options), _teller(told))

    def profile(self, options: str, name: str, chunk: Callable[[str], Any], told: Any) -> Any:
        """Return a profile; `chunk` gives the image's chunks by hash, or nothing."""
        assert self.replay

        def get(hash: str) -> bytes:
            found = chunk(hash)
            data = bytes(found.to_bytes()) if found else b""
            if hashlib.sha256(data).hexdigest() != hash:
                raise EbbError(f"the image has no chunk {hash} any more")
            return data

        return looking.profile(self.replay, json.loads(options), name, get, _teller(told))

    def verify(self, told: Any) -> dict[str, Any]:
        """Run it all again and compare."""
        assert self.replay
        replay = self.replay
        return _verdict(self.cut, [lambda: looking.verify_replay(replay, _teller(told))])

    # ---- What happens ----------------------------------------------------------------------------

    def _event(self, kind: str, tick: int, **fields: Any) -> None:
        self._events.append({"type": kind, "tick": tick, "ms": self._now(tick) / 1e6, **fields})

    def _now(self, tick: int) -> int:
        """Return the machine's time; where the tape begins no step has put it into the report yet."""
        assert self.replay
        began: int = self._start.get("now_ns", 0)
        return self.replay.stage.port.report().now_ns if tick > self.replay.begin else began

    def _chunk(self, chunk: Chunk) -> None:
        if not self._whole:
            self._output(chunk.pid, chunk.tick, chunk.stream, chunk.data)

    def _output(self, pid: int, tick: int, stream: str, data: bytes) -> None:
        self._event("output", tick, pid=pid, stream=stream, data=data)
        if stream == "tty":
            self._drawn[pid].append((tick, data))

    def _start_of(self, pid: int, tick: int, args: Sequence[str], rows: int, cols: int) -> None:
        self._args[pid] = list(args)
        self._sizes[pid].append((tick, rows, cols))
        self._event("start", tick, pid=pid, args=list(args), rows=rows, cols=cols)

    def _note_asked(self, tick: int, record: bytes) -> None:
        chunk = self._abi.structs["out_block"].integer(record, "chunk")
        self._asked.append((tick, chunk, record.hex()))

    def _record(self, tick: int, record: bytes) -> None:
        if self._whole:
            return
        if self._abi.out_name(record) == "BLOCK":
            self._note_asked(tick, record)
        if self._abi.out_name(record) != "CALL":
            return
        assert self.replay
        while self._seen < len(self._entries) and self._entries[self._seen].tick <= tick:
            entry = self._entries[self._seen]
            if entry.kind == EVENT:
                self._screens.event(entry)
            self._seen += 1
        ended = self._decode.decode(record)
        assert isinstance(ended, CallEnded)
        match self._screens.ended(ended):
            case Started(pid, args, rows, cols):
                self._start_of(pid, tick, args, rows, cols)
            case Resized(pid, rows, cols):
                self._sizes[pid].append((tick, rows, cols))
                self._event("resize", tick, pid=pid, rows=rows, cols=cols)
            case Ended(pid, exit_code):
                self._event("exit", tick, pid=pid, exitCode=exit_code)


def _teller(told: Any) -> looking.Told:
    return lambda part, rows: told(part, to_js(rows))


def _verdict(cut: bool, checks: list[Callable[[], str]]) -> dict[str, Any]:
    """Make checks until one fails; returns what they said."""
    said: list[str] = []
    try:
        for check in checks:
            said.append(check())
    except TapeDamaged as error:
        return {"state": "damaged", "said": said, "why": str(error)}
    except ReplayDiverged as error:
        return {"state": "diverged", "said": said, "why": str(error)}
    return {"state": "cut" if cut else "whole", "said": said, "why": ""}


async def verify_tape(
    tape: Any, objects: Any, kernel: str, deep: bool, sha256: Callable[..., Any], told: Any
) -> dict[str, Any]:
    """Check a tape, and if `deep` all objects that it names; `kernel` is the hash of the kernel we have.
    `sha256` begins to hash pieces of some bytes, each up to an end: the browser's own is ten times as fast as
    Python's here, and another thread's.
    """
    teller = _teller(told)
    said: list[str] = []
    try:
        reader = TapeReader(tape.to_bytes(), MapObjects(objects))
        head = reader.header.genesis()
        parts = [reader.leaves[at : at + LEAVES] for at in range(0, len(reader.leaves), LEAVES)]
        begun: list[Any] = []
        for number in range(len(parts) + 1):
            if number < len(parts):  # while those of the part before are hashed
                raw = [reader.raw(leaf) for leaf in parts[number]]
                ends = list(itertools.accumulate(map(len, raw)))
                begun.append(sha256(b"".join(raw), to_js(ends)))
            if not number:
                continue
            hashes = (await begun[number - 1]).to_bytes()
            for at, leaf in enumerate(leaves := parts[number - 1]):
                head = reader.link(head, leaf, hashes[at * 32 : at * 32 + 32])
            teller(leaves[-1].last_tick / max(reader.leaves[-1].last_tick, 1), [])
        said.append(looking.chain_is_whole(reader, head))
        if reader.leaves and reader.header.kernel.hex() != kernel:
            raise TapeDamaged(f"the kernel {reader.header.kernel.hex()} is damaged, or another")
        if deep:
            said.append(looking.verify_objects(list(reader.entries()), teller))
    except TapeDamaged as error:
        return {"state": "damaged", "said": said, "why": str(error)}
    last = reader.last()
    return {
        "state": "cut" if last is None or last.kind != END else "whole",
        "said": said,
        "why": "",
    }


@dataclass(frozen=True)
class _Signed:
    """A run, as check.py wants it."""

    id: str
    reader: TapeReader
    signatures: tuple[Signature, ...]
    end: object


def signed_heads(tape: Any, id: str, signatures: str, key: str) -> dict[str, Any]:
    """Compare a run's signed heads with its tape. `heads` are those whose signatures are to be checked yet:
    JavaScript has Ed25519.
    """
    signed = tuple(Signature.from_json(one) for one in json.loads(signatures))
    if not key and not signed:
        return {"state": "whole", "said": ["not signed"], "why": "", "by": "", "heads": []}
    wanted = bytes.fromhex(key) if key else signed[-1].key
    heads: list[tuple[bytes, bytes, bytes, int]] = []

    def note(id: str, one: Signature) -> None:
        heads.append((one.key, signed_message(id, one), one.signature, one.leaves - 1))

    def check() -> str:
        reader = TapeReader(tape.to_bytes(), MapObjects(None))
        last = reader.last()
        end = last if last is not None and last.kind == END else None
        found = check_signatures(_Signed(id, reader, signed, end), wanted, note)
        return f"signed by {found.key.hex()}: {found.entries} entries"

    return {**_verdict(False, [check]), "by": wanted.hex(), "heads": heads}


def read_abi_text(text: str) -> Abi:
    """Read the kernel's constants."""
    return Abi(text)


def export_run(info: str, kernel: Any, tape: Any, objects: Any, hashes: list[str]) -> bytes:
    """Return a run as one file (rewind/bundle.py); `info` is the store's, in JSON."""
    known = json.loads(info)
    ended = known["ended"]
    about = {
        "id": known["id"],
        "started": known["started"] / 1000,
        "ended": None if ended is None else ended / 1000,
        "exit_code": known["exitCode"],
        "about": known["about"],
        **({"redacted": True} if known["redacted"] else {}),
        **({"early": True} if known["live"] else {}),
    }
    signatures = [Signature.from_json(one) for one in known["signatures"]]
    kept = MapObjects(objects)
    data = (kept.get(bytes.fromhex(hash)) for hash in hashes)
    file = io.BytesIO()
    write_bundle(file, about, kernel.to_bytes(), tape.to_bytes(), data, signatures)
    return file.getvalue()


def import_run(file: Any) -> dict[str, Any]:
    """Read an exported run; raises TapeDamaged if it is not what was written."""
    bundle = Bundle(file.to_bytes())
    info = bundle.info
    ended = info["ended"]
    return {
        "id": info["id"],
        "started": info["started"] * 1000,
        "ended": None if ended is None else ended * 1000,
        "exitCode": info["exit_code"],
        "redacted": bool(info.get("redacted")),
        "signatures": json.dumps([one.to_json() for one in bundle.signatures]),
        "about": json.dumps(info["about"]),
        "kernelHash": bundle.kernel_hash,
        "kernel": bundle.kernel(),
        "tape": bundle.tape,
        "objects": [(hash.hex(), bundle.get(hash)) for hash in bundle.objects],
    }
