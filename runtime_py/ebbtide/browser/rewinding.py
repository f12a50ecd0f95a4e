"""Replays a run in a worker of its own (sdk/src/worker/rewind.ts): forwards once, to learn what was
shown when and to leave checkpoints, and then to any moment that is asked for.
"""

from __future__ import annotations

import hashlib
import io
import time
import uuid
import zlib
from collections.abc import Callable
from typing import Any

from ..abi import Abi
from ..events import CallEnded, Events
from ..recording import END, EVENT, META, Written
from ..rewind.output import Chunk
from ..rewind.replay import Replay
from ..rewind.screens import Ended, Resized, Screens, Started
from ..rewind.tape import TapeDamaged, TapeReader, TapeWriter, event_heads
from .page_stage import PageStage

BUDGET = 1 << 23  # ticks of one step, so that a slice ends in time
QUANTUM = 1 << 18  # ticks, at first

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
        data = zlib.decompress(found.to_bytes())
        if hashlib.sha256(data).digest() != hash:
            raise TapeDamaged(f"object {hash.hex()} is damaged: its bytes have another hash")
        return data


class Rewinding:
    """One run, opened."""

    def __init__(self, tape: Any, objects: Any, make_memory: Callable[[int], Any]) -> None:
        self._reader = TapeReader(tape.to_bytes(), MapObjects(objects))
        self._entries: list[Written] = list(self._reader.entries())
        self._make_memory = make_memory
        self._memory: Any = None
        self._events: list[Event] = []
        self._quantum = QUANTUM
        self._whole = False  # the first pass has come to the end
        self._seen = 0  # entries that `_screens` knows
        self.replay: Replay | None = None

    def open(self, abi: Abi) -> None:
        """Begin at the first tick."""
        self._abi = abi
        self._decode = Events(abi)
        self._screens = Screens(abi)
        self.replay = Replay(
            abi,
            self._entries,
            self._stage,
            on_chunk=self._chunk,
            on_record=self._record,
        )
        self.replay.budget = BUDGET

    @property
    def end(self) -> int:
        """The last tick."""
        return self._entries[-1].tick if self._entries else 0

    @property
    def cut(self) -> bool:
        """Whether the tape has no end: its page was closed, or still records."""
        return not self._entries or self._entries[-1].kind != END

    def _stage(self, ram: int, pages: Any) -> PageStage:
        if self._memory is None:
            self._memory = self._make_memory(ram)
        return PageStage(self._memory, pages)

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
    def whole(self) -> bool:
        """Whether the first pass is over."""
        return self._whole

    # ---- Any moment ------------------------------------------------------------------------------

    def seek(self, tick: int) -> None:
        """Go to a tick; what happens on the way is known already."""
        assert self.replay
        self.replay.seek(tick)

    # ---- What happens ----------------------------------------------------------------------------

    def _event(self, kind: str, tick: int, **fields: Any) -> None:
        if not self._whole:
            assert self.replay
            now = self.replay.stage.port.report().now_ns
            self._events.append({"type": kind, "tick": tick, "ms": now / 1e6, **fields})

    def _chunk(self, chunk: Chunk) -> None:
        self._event("output", chunk.tick, pid=chunk.pid, stream=chunk.stream, data=chunk.data)

    def _record(self, tick: int, record: bytes) -> None:
        if self._whole or self._abi.out_name(record) != "CALL":
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
                self._event("start", tick, pid=pid, args=list(args), rows=rows, cols=cols)
            case Resized(pid, rows, cols):
                self._event("resize", tick, pid=pid, rows=rows, cols=cols)
            case Ended(pid, exit_code):
                self._event("exit", tick, pid=pid, exitCode=exit_code)


def read_abi_text(text: str) -> Abi:
    """Read the kernel's constants."""
    return Abi(text)


def export_run(tape: Any, objects: Any, abi: Abi) -> bytes:
    """Return a run as one file: its tape, with all data in it."""
    reader = TapeReader(tape.to_bytes(), MapObjects(objects))
    file = io.BytesIO()
    writer = TapeWriter(file, reader.header, None, event_heads(abi))
    for entry in reader.entries():
        writer.append(entry)  # type: ignore[arg-type]
    writer.flush()
    return file.getvalue()


def import_run(file: Any) -> dict[str, str]:
    """Look into a file: whose run it is."""
    reader = TapeReader(file.to_bytes())
    first = next(iter(reader.entries()), None)
    about = first.data.decode() if first is not None and first.kind == META else "{}"
    id = str(uuid.UUID(bytes=reader.header.run_id))
    return {"id": id, "kernel": reader.header.kernel.hex(), "about": about}
