"""What records a run while it runs: entries go from the hart's thread through a queue to a thread
that writes them, so that no hart waits for a disk.

A leaf is written when it is full, and at least every FLUSH_S seconds: that much is lost at most if
this process is killed. A store that takes no more ends the recording, never the run.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..abi import Abi
from ..recording import END, META, OUTPUT, PROGRAM, Entry, Program
from .output import OutputHash
from .sign import Signer
from .store import BUSY_S, RunStore, StoreObjects, new_id
from .tape import OBJECT_LEAST, Header, TapeWriter, event_heads

FLUSH_S = 1.0


class RunRecorder:
    """Records one run into a store."""

    def __init__(
        self,
        root: Path,
        abi: Abi,
        kernel: tuple[str, Path],
        about: dict[str, Any],
        on_trouble: Callable[[str], None] = lambda text: None,
        beside: Mapping[str, Any] = MappingProxyType(
            {}
        ),  # goes into the store, and not on the tape
    ) -> None:
        self.id = new_id()
        self.exit_code: int | None = None
        self.programs: list[tuple[str, ...]] = []  # that the host has started
        self._root = root
        self._abi = abi
        self._kernel = kernel
        self._about = {**about, **beside}
        self._trouble = on_trouble
        self._output = OutputHash(abi)
        self._output_lock = threading.Lock()
        self._noted = 0  # records, in the last OUTPUT entry
        self._named = 0  # programs that the store knows
        self._tick = 0  # of the last entry that was written
        self._began = False
        self._last = False  # nothing more comes
        self._settled = threading.Event()  # it has begun, or it never will
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._queue.put(Entry(META, 0, json.dumps(about).encode()))
        self._thread = threading.Thread(target=self._run, name="ebb-recorder", daemon=True)
        self._thread.start()

    def begun(self, wait_s: float = BUSY_S) -> bool:
        """Whether the store has the run: it may be one that cannot be written."""
        self._settled.wait(wait_s)
        return self._began

    def append(self, entry: Entry) -> None:
        """Take the next entry; never waits."""
        self._queue.put(entry)

    def program(self, one: Program) -> None:
        """Keep a program's file; the tick is that of what is written before it."""
        self._queue.put(Entry(PROGRAM, 0, one.pack()))

    def output(self, record: bytes) -> None:
        """Count a record that has come out."""
        with self._output_lock:
            self._output.add(record)

    def close(self, tick: int, end: dict[str, Any]) -> None:
        """Write the end of the tape, at the machine's last tick, and wait until all is written."""
        self._queue.put(Entry(OUTPUT, tick, self._output.entry()))
        self._queue.put(Entry(END, tick, json.dumps(end).encode()))
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write()
        except (OSError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._settled.set()
            if self._began:
                self._trouble(f"the recording ends here, the run goes on: {self._root}: {why}")
            else:
                self._trouble(f"{self._root}: {why}: the run is not recorded; EBB_RUNS names another "
                              "folder, --no-record asks for none")  # fmt: skip
            while not self._last and self._queue.get() is not None:
                pass

    def _write(self) -> None:
        with contextlib.closing(RunStore(self._root)) as store:
            hash, _ = self._kernel
            header = Header(bytes.fromhex(self.id.replace("-", "")), bytes.fromhex(hash))
            with store.begin(self.id, self._kernel, self._about) as file:
                self._began = True
                self._settled.set()
                objects = StoreObjects(store.database, self.id)
                writer = TapeWriter(file, header, objects, event_heads(self._abi))
                signer = Signer.of(store)
                done = False
                while not done:
                    done = self._leaves(store, writer)
                    self._name(store)
                    if signer is not None and (done or signer.due()):
                        store.sign(self.id, signer.sign(self.id, writer))
                store.finish(self.id, self.exit_code, writer.bytes)
            store.retain()

    def _name(self, store: RunStore) -> None:
        """Tell the store what was run, if whoever booted the machine has not said it."""
        if "args" not in self._about and len(self.programs) > self._named:
            self._named = len(self.programs)
            ran = {"args": self.programs[0], "programs": self._named}
            store.describe(self.id, {**self._about, **ran})

    def _leaves(self, store: RunStore, writer: TapeWriter) -> bool:
        """Write what comes within FLUSH_S; True when there is no more."""
        entries, end = [self._queue.get()], time.monotonic() + FLUSH_S
        while entries[-1] is not None and (left := end - time.monotonic()) > 0:
            try:
                entries.append(self._queue.get(timeout=left))
            except queue.Empty:
                break
        self._last = entries[-1] is None
        big = any(entry is not None and len(entry.data) >= OBJECT_LEAST for entry in entries)
        with store.transaction() if big else contextlib.nullcontext():
            for entry in filter(None, entries):
                self._tick = self._tick if entry.kind == PROGRAM else entry.tick
                writer.append(replace(entry, tick=self._tick))
            if entries[-1] is not None and self._output.count > self._noted:
                with self._output_lock:
                    self._noted = self._output.count
                    writer.append(Entry(OUTPUT, self._tick, self._output.entry()))
        writer.flush()  # the objects are there before the leaf that names them
        return self._last
