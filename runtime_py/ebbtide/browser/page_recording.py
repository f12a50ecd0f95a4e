"""Records the machine of a page: what its hart delivered goes onto a tape that a worker of the page
keeps (sdk/src/worker/runs.ts), once nothing more comes for a moment, and a second later at most.

Nothing is written before the machine has booted. A tape that cannot be kept ends the recording
with a message, never the run. Of a machine that was there before, the worker has a copy of the pages:
it keeps them as objects, which the tape names first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pyodide.ffi import JsException, to_js

from ..abi import Abi
from ..recording import END, META, OUTPUT, PAGES, Entry, without_drawn
from ..rewind.output import OutputHash
from ..rewind.tape import Header, Named, TapeWriter, event_heads
from .tape_ring import RingReader

START_S = 1.0  # the page's first second is not ours
FLUSH_S = 1.0
QUIET_S = 0.2
PIECE_S = 0.005  # of work at a time, for the page's messages wait meanwhile
REST = 2  # times as long, before the next piece
DRAIN_RECORDS = 1024  # the ring is looked at after so many records, too: a busy loop is late

Tell = Callable[[dict[str, Any]], None]


class KeptObjects:
    """Objects on their way to the worker that keeps them; known ones are not sent again."""

    def __init__(self) -> None:
        self.fresh: list[tuple[str, bytes]] = []
        self._known: set[bytes] = set()

    def put(self, data: bytes) -> bytes:
        hash = hashlib.sha256(data).digest()
        if hash not in self._known:
            self._known.add(hash)
            self.fresh.append((hash.hex(), data))
        return hash

    def take(self) -> list[tuple[str, bytes]]:
        fresh, self.fresh = self.fresh, []
        return fresh

    def get(self, hash: bytes) -> bytes:
        raise NotImplementedError("a recording reads nothing")


class TapeBytes:
    """What the writer of a tape believes to be a file."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        data, self.data = bytes(self.data), bytearray()
        return data


class PageRecording:
    """One run's recording."""

    def __init__(self, abi: Abi, host: Any, about: dict[str, Any], tell: Tell) -> None:
        self.id = str(uuid.uuid4())
        self.ended: str | None = None  # why
        start = about.get("start", {})
        begin: int = start.get("tick", 0)
        self.ring = RingReader(host.tape, begin)
        self._abi = abi
        self._store = host.runs
        self._about = about
        self._tell = tell
        self._output = OutputHash(abi)
        self._noted = 0  # records, in the last OUTPUT entry
        self._tick = begin
        # Of the first program: one that was there, or the first that the page starts.
        self._args: list[str] = next((one["args"] for one in start.get("terminals", ())), [])
        self._named = False
        self._entries: deque[Entry | Named] = deque([Entry(META, 0, json.dumps(about).encode())])
        self._objects = KeptObjects()
        self._file = TapeBytes()
        self._writer: TapeWriter | None = None
        self._bytes = 0  # kept, of the tape
        self._hurry = asyncio.Event()
        self._begun = asyncio.Event()
        self._stirred = asyncio.Event()
        self._keeping = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # ---- What happens ----------------------------------------------------------------------------

    def posted(self, event: bytes) -> None:
        """Note an event that goes into the inbox."""
        if self.ended is None:
            self.ring.posted(event)
            self._stirred.set()

    def started(self, args: list[str]) -> None:
        """Note a program that the page has started: the first names the run."""
        self._args = self._args or args

    def output(self, record: bytes) -> None:
        """Count a record that has come out."""
        self._output.add(record)
        self._stirred.set()
        if self._output.count % DRAIN_RECORDS == 0:
            self.drain()

    def note(self, kind: int, tick: int, data: bytes) -> None:
        """Put an entry of the host's on the tape; the machine is at rest at `tick`."""
        self.drain()
        self._take(Entry(kind, tick, data))

    def _take(self, entry: Entry) -> None:
        self._tick = max(self._tick, entry.tick)  # harts see theirs at different times
        self._entries.append(entry if entry.tick == self._tick else replace(entry, tick=self._tick))

    def append(self, entry: Entry) -> None:
        """Take a piece of the order from where the kernel writes it; the machine is at rest."""
        self._take(entry)

    def drain(self, most_s: float = math.inf) -> bool:
        """Take what the hart has said so far, for so long; returns whether that was all."""
        if self.ended is not None:
            return True
        end = time.monotonic() + most_s
        for entry in self.ring.entries():
            self._take(entry)
            if time.monotonic() > end:
                return False
        if self.ring.lost:
            self.stop("the page was too busy to take down all that happened")
        return True

    # ---- Keeping it ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep it: the machine has booted, and nobody waits for this."""
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), START_S)
        try:
            kernel = bytes.fromhex(
                await self._store.begin(self.id, json.dumps(without_drawn(self._about)))
            )
            pages = json.loads(await self._store.pages(self.id))
        except JsException as error:
            self.stop(str(error.message))
            return
        tick = self.ring.begin
        meta = self._entries.popleft()
        named = [Named(PAGES, tick, bytes.fromhex(hash), size) for hash, size in reversed(pages)]
        self._entries.extendleft([*named, meta])
        header = Header(uuid.UUID(self.id).bytes, kernel)
        heads = event_heads(self._abi)
        self._writer = TapeWriter(self._file, header, self._objects, heads)  # type: ignore[arg-type]
        self._begun.set()
        while self.ended is None:
            await self._keep()
            await self._pause()

    async def _pause(self) -> None:
        """Wait until something has come, then until nothing more does or FLUSH_S is over."""
        with contextlib.suppress(TimeoutError):  # harts have something of their own to say, too
            await asyncio.wait_for(self._stirred.wait(), FLUSH_S)
        until = time.monotonic() + FLUSH_S
        while self._stirred.is_set() and time.monotonic() < until:
            self._stirred.clear()
            await asyncio.sleep(QUIET_S)

    def _write(self, most_s: float = math.inf) -> Any:
        """Hand over what has come, for so long; gives the promise of the keeper's answer, or None."""
        self.drain()
        if self._writer is None or self.ended is not None:
            return None
        if self._entries and self._output.count > self._noted:
            self.mark(self._tick)
        end = time.monotonic() + most_s
        while self._entries and time.monotonic() < end:
            self._writer.append(self._entries.popleft())
        self._writer.flush()
        if not self._file.data:
            return None
        tape, objects = self._file.take(), self._objects.take()
        hashes, datas = to_js([hash for hash, _ in objects]), to_js([data for _, data in objects])
        return self._store.append(self.id, to_js(tape), hashes, datas)

    async def _keep(self) -> None:
        async with self._keeping:  # who comes second learns that the first is done
            while not self.drain(PIECE_S):
                await self._rest(PIECE_S)
            while True:
                began = time.monotonic()
                await self._written(self._write(PIECE_S))
                if not self._entries or self.ended is not None:
                    break
                await self._rest(time.monotonic() - began)
            if self._args and not self._named and self.ended is None:
                self._named = True
                await self._store.name(self.id, json.dumps(self._args))

    async def _rest(self, worked_s: float) -> None:
        """Leave the processors to who is at the prompt, unless somebody waits for what is kept."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), REST * worked_s)

    async def _written(self, promise: Any) -> None:
        if promise is None:
            return
        try:
            self._bytes = int(await promise)
        except JsException as error:
            self.stop(str(error.message))
        else:
            self._say()

    def mark(self, tick: int) -> None:
        """Note what has come out, by `tick`: whoever reads the tape finds this moment."""
        self._noted = self._output.count
        self.note(OUTPUT, tick, self._output.entry())

    async def flush(self) -> None:
        """Wait until all up to now is kept."""
        if await self._kept():
            await self._keep()
            self._hurry.clear()

    async def _kept(self) -> bool:
        """Wait until it has begun to be kept; False if it never will."""
        if self.ended is None and self._task:
            self._hurry.set()
            await self._begun.wait()
        return self.ended is None and self._writer is not None

    async def close(self, end: dict[str, Any]) -> None:
        """Write the end of the tape."""
        if not await self._kept():
            return
        self.note(END, self._tick, json.dumps(end).encode())
        written = self._write()
        finished = self._store.finish(self.id)  # asked at once: the page does not wait for long
        await self._written(written)
        await finished

    def stop(self, why: str) -> None:
        """Record no more; the machine goes on."""
        if self.ended is None:
            self.ended = why
            self._entries.clear()
            self._begun.set()
            self._say()
            self._letting_go = asyncio.ensure_future(self._let_go())

    async def _let_go(self) -> None:
        with contextlib.suppress(JsException):  # a store that is denied has said so
            await self._store.stop(self.id)

    def _say(self) -> None:
        self._tell({"type": "recording", "id": self.id, "bytes": self._bytes, "ended": self.ended})
