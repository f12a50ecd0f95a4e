"""From a machine to a snapshot and back: what must be known beside the pages.

Agent calls that wait in the machine belong to a host process that the copy does not have: whoever
goes on from it cancels them and closes the descriptors. Requests to the host that were not answered
are made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import IO, Any

from .. import assets
from ..wasmtime_kernel import KernelModule, SharedMemory
from ..wasmtime_port import WasmtimeHostPort
from .snapshot_file import read_snapshot, write_snapshot
from .snapshots import Extent, Snapshot, SnapshotStore, Tracker
from .store import RunStore


@dataclass(frozen=True)
class Beside:
    """What is not in the machine's pages."""

    ram: int
    harts: int
    now_ns: int
    realtime_ns: int  # of the guest
    image: str | None
    last_call: int  # ids up to here are used
    calls: tuple[int, ...] = ()  # those that wait
    owed: tuple[str, ...] = ()  # records of the outbox, in hex, that nobody has answered
    run: str | None = None
    terminals: tuple[dict[str, Any], ...] = ()  # of a page: pid, fd, args

    @staticmethod
    def of(snapshot: Snapshot) -> Beside:
        """Return it as a snapshot has it."""
        about: dict[str, Any] = dict(snapshot.about)
        for name in ("calls", "owed", "terminals"):
            about[name] = tuple(about.get(name, ()))
        return Beside(**about)


class Snapshots:
    """Takes snapshots of one machine, and finds those of the user's store."""

    def __init__(self, store: RunStore | None = None) -> None:
        self.store = store or RunStore(assets.snapshots_folder())
        self._kept = SnapshotStore(self.store)
        self._tracker: Tracker | None = None

    def take(
        self,
        kernel: KernelModule,
        memory: SharedMemory,
        host: WasmtimeHostPort,
        tick: int,
        beside: Beside,
    ) -> Snapshot:
        """Keep a machine that is at rest."""
        extent = Extent(*host.span())
        if self._tracker is None:
            self._tracker = Tracker(memory, kernel.abi.const["MACHINE_BASE"], extent.pages)
        self._tracker.look(extent)
        self.store.keep_kernel(kernel.hash, kernel.path.read_bytes())
        return self._kept.create(self._tracker, extent, kernel.hash, tick, asdict(beside))

    def rows(self) -> list[Snapshot]:
        """List them, the newest first."""
        return self._kept.rows()

    def find(self, name: str) -> Snapshot:
        """Return one by its name."""
        return self._kept.find(name)

    def kernel(self, snapshot: Snapshot) -> KernelModule:
        """Return the kernel that made it."""
        return KernelModule(self.store.kernel_path(snapshot.kernel))

    def restore(self, snapshot: Snapshot, memory: SharedMemory, base: int, page: int) -> None:
        """Bring a machine's pages to a memory whose machine has none yet: most of them as parts of the store's
        file, which come when they are wanted.
        """
        view = memory.bytes

        def room(first: int, number: int) -> memoryview:
            return view[base + first * page : base + (first + number) * page]

        def place(first: int, number: int, file: int, offset: int) -> bool:
            return memory.place(base + first * page, number * page, file, offset)

        self._kept.restore(snapshot, room, place)

    def check(self, snapshot: Snapshot) -> int:
        """Hash every page of one."""
        return self._kept.check(snapshot)

    def save(self, snapshot: Snapshot, file: IO[bytes]) -> None:
        """Write one to a file."""
        kernel = self.store.kernel_path(snapshot.kernel).read_bytes()
        write_snapshot(file, self._kept, snapshot, kernel)

    def load(self, data: bytes) -> Snapshot:
        """Keep that of a file."""
        made, kernel = read_snapshot(data, self._kept)
        self.store.keep_kernel(made.kernel, kernel)
        return made

    def remove(self, ids: Iterable[str]) -> None:
        """Drop some."""
        self._kept.remove(ids)
        self.store.collect()

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()
