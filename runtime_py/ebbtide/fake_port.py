"""A scripted Port: answers steps from a list and writes down all that was asked of it.

For unit tests of everything above the border, without a kernel. `fake_abi_text` is a border of its
own with numbers unlike the kernel's, so that a number copied into the runtime fails a test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .abi import Abi, Status
from .port import Control, Report, Wake


def fake_abi_text() -> str:
    """Return a border with every name that the runtime uses and numbers of its own."""
    lines = ["const.ABI_VERSION 1", "const.CALL_WINDOW 327680", "const.HART_MAX 5"]
    lines += ["const.MACHINE_BASE 134217728"]
    lines += [f"status.{status.name} {number}" for number, status in enumerate(Status, 101)]
    tables = {
        "event": "BOOT CLOCK CALL CANCEL ADMIT LIMITS BLOCK_IN HOSTFS RESEED",
        "out": "CALL BLOCK HOSTFS LOG NOTICE",
        "const": "BOOT_STRACE CALL_OUT_RESULT ADMIT_CLONE ADMIT_EXEC LOG_INFO LOG_WARN LOG_STRACE "
        "NOTICE_LIMIT LIMIT_MEMORY LIMIT_PIDS LIMIT_DISK "
        "PAGE_SIZE SPAWN_PTY SPAWN_STDERR_TO_STDOUT SPAWN_NEW_SESSION JIT_TAIL_CALLS "
        "JIT_RELAXED_MADD JIT_COLD_CALLS JIT_LISTING",
        "agent_call": "SPAWN SETCRED KILL_TREE",
        "nr": "read write close openat kill ioctl socket connect shutdown fcntl",
        "errno": "EPERM ENOENT EINTR EIO EAGAIN ENOMEM EACCES EEXIST EPIPE",
    }
    for group, names in tables.items():
        start = {"errno": 300, "nr": 400, "agent_call": 900}.get(group, 0)
        for number, name in enumerate(names.split(), 1):
            value = 1 << number if group == "const" else start + number
            lines.append(f"{group}.{name} {value}")
    lines += ["const.SPAWN_FD_NULL -1", "const.SPAWN_FD_PIPE -2"]
    event = "kind:4 len:4"
    structs = {
        "event": event,
        "event_boot": "event:8 ram_bytes:8 realtime_ns:8 cpus:4 harts:4 index_len:4 flags:4 "
        "seed:32 hostname:64",
        "event_clock": "event:8 base_ns:8 mul:4 pad:4 suspend_ns:8",
        "event_call": "event:8 id:4 nr:4 flags:4 window_args:4 out_off:4 out_len:4 args:48 "
        "data_len:4 pad:4",
        "event_cancel": "event:8 id:4 pad:4",
        "event_admit": "event:8 tid:4 seq:4 error:4 pad:4",
        "event_limits": "event:8 tasks:4 files:4 admit:4 disk:4",
        "event_block": "event:8 chunk:4 error:4 data_len:4 pad:4",
        "event_hostfs": "event:8 id:4 error:4 data_len:4 pad:4 value:8",
        "out": event,
        "out_call": "out:8 id:4 data_len:4 result:8",
        "out_block": "out:8 chunk:4 size:4 hash:32",
        "out_hostfs": "out:8 id:4 mount:4 op:4 data_len:4 args:32",
        "out_log": "out:8 level:4 pad:4",
        "out_notice": "out:8 what:4 pid:4 ppid:4 status:4",
        "spawn": "flags:4 uid:4 gid:4 argc:4 argv_off:4 envc:4 envp_off:4 cwd_off:4 rows:2 cols:2 "
        "fds:12",
        "jit_module": "id:4 bytes:4 len:4 slot:4 count:4 record:4 record_len:4 listing:4 listing_len:4 ready:4 kept:4",
        "jit_counters": "instructions:8 entries:8 compile_ns:8 regions:4 modules:4 "
        "region_instructions:4 module_bytes:4 refused:4 evictions:4 stale:4 queued:4 "
        "kept_regions:4 kept_modules:4 epochs:4 flushes:4",
        "report": "status:4 tid:4 pid:4 nr:4 pc:8 tick:8 now_ns:8 deadline_ns:8 retired:8 steps:8 "
        "seen:4 call_seq:4 outbox:4 detail:4",
    }
    for struct, fields in structs.items():
        at = 0
        for item in fields.split():
            name, width = item.split(":")
            lines.append(f"offset.{struct}.{name} {at}")
            at += int(width)
        lines.append(f"size.{struct} {at}")
    return "\n".join(lines)


@dataclass
class FakePort:
    """Answers `step` from `script`; a step beyond its end is an error of the test."""

    script: Iterable[Report] = ()
    hart: int = 0
    mail: deque[bytes] = field(default_factory=deque)
    wakes: deque[Wake] = field(default_factory=deque)
    abi: Abi = field(default_factory=lambda: Abi(fake_abi_text()))
    asked: list[tuple[str, object]] = field(default_factory=list)
    memory: dict[int, bytes] = field(default_factory=dict)
    on_park: Callable[[], None] | None = None
    state: Control = Control.RUN
    failed: bool = False

    def __post_init__(self) -> None:
        self._script = deque(self.script)
        self._report = Report(Status.READY)

    def step(self, budget: int) -> Status:
        self.asked.append(("step", budget))
        self._report = self._script.popleft()
        return self._report.status

    def report(self) -> Report:
        return self._report

    def deliver(self, event: bytes) -> None:
        self.asked.append(("deliver", event))

    def mail_take(self) -> bytes | None:
        return self.mail.popleft() if self.mail else None

    def park(self, seen: int, timeout_ns: int | None) -> Wake:
        self.asked.append(("park", (seen, timeout_ns)))
        if self.on_park:
            self.on_park()
        return self.wakes.popleft() if self.wakes else Wake.WOKEN

    def control(self) -> Control:
        return self.state

    def fail(self) -> None:
        self.failed = True

    def read(self, address: int, length: int) -> bytes:
        return self.memory.get(address, b"")[:length]

    def jit_install(self, module: int) -> None:
        self.asked.append(("jit_install", module))

    def delivered(self) -> list[str]:
        """Return the names of the delivered events, in order."""
        return [
            self.abi.event_name(value)
            for what, value in self.asked
            if what == "deliver" and isinstance(value, bytes)
        ]
