"""Events into the machine and records out of it, as bytes and as Python values.

The only place that knows which fields an event has; where they lie comes from the kernel's text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .abi import Abi, Buffer, Value
from .errors import AbiError
from .policy import Limits


@dataclass(frozen=True)
class CallEnded:
    """An agent call has ended."""

    id: int
    result: int
    data: bytes


@dataclass(frozen=True)
class BlockWanted:
    """A chunk of the image is needed."""

    chunk: int
    size: int
    hash: str


@dataclass(frozen=True)
class HostFs:
    """A host mount is asked for something."""

    id: int
    mount: int
    op: int
    args: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Log:
    """The kernel says something; `level` is INFO, WARN or STRACE, or ERROR for the host's trouble."""

    level: str
    text: str


@dataclass(frozen=True)
class Notice:
    """A process of session `ppid` met a limit: `what` is LIMIT, `status` which. Of a kernel that has recorded a run it
    may be something else.
    """

    what: str
    pid: int
    ppid: int
    status: int


Record: TypeAlias = CallEnded | BlockWanted | HostFs | Log | Notice


def _named(abi: Abi, prefix: str) -> dict[int, str]:
    return {
        value: name.removeprefix(prefix)
        for name, value in abi.const.items()
        if name.startswith(prefix)
    }


class Events:
    """Encode events and decode records for one kernel."""

    def __init__(self, abi: Abi) -> None:
        self.abi = abi
        self._levels = _named(abi, "LOG_")
        self._notices = _named(abi, "NOTICE_")
        self.limits_met = _named(abi, "LIMIT_")

    def _event(self, kind: str, struct: str, data: Buffer = b"", **values: Value) -> bytes:
        layout = self.abi.structs[struct]
        header = self.abi.structs["event"].pack(
            kind=self.abi.event[kind], len=layout.size + len(data)
        )
        body = layout.pack(**values)
        body[: len(header)] = header
        return bytes(body) + bytes(data)

    def boot(
        self,
        *,
        ram_bytes: int,
        realtime_ns: int,
        cpus: int,
        harts: int,
        seed: bytes,
        hostname: str = "ebb",
        index: bytes = b"",
        strace: bool = False,
        ordered: bool = False,
    ) -> bytes:
        """Start the machine; the first event it gets."""
        flags = {"BOOT_STRACE": strace, "BOOT_ORDERED": ordered}
        return self._event(
            "BOOT",
            "event_boot",
            index,
            ram_bytes=ram_bytes,
            realtime_ns=realtime_ns,
            cpus=cpus,
            harts=harts,
            index_len=len(index),
            flags=sum(self.abi.const[flag] for flag, on in flags.items() if on),
            seed=seed,
            hostname=hostname.encode(),
        )

    def clock(self, base_ns: int, mul: int, suspend_ns: int = 0) -> bytes:
        """Set virtual time."""
        return self._event("CLOCK", "event_clock", base_ns=base_ns, mul=mul, suspend_ns=suspend_ns)

    def chaos(self, seed: int, rates: bytes) -> bytes:
        """Say what is to go wrong from now on."""
        return self._event("CHAOS", "event_chaos", seed=seed, rate=rates)

    def reseed(self, entropy: bytes) -> bytes:
        """Mix in 32 bytes, so that two copies of a machine draw different numbers."""
        return self._event("RESEED", "event", entropy)

    def call(
        self,
        id: int,
        nr: int,
        args: tuple[int, ...],
        *,
        window_args: int = 0,
        data: Buffer = b"",
        out_off: int = 0,
        out_len: int = 0,
        out_by_result: bool = False,
    ) -> bytes:
        """Run a system call in an agent task."""
        words = b"".join((arg & ((1 << 64) - 1)).to_bytes(8, "little") for arg in args)
        return self._event(
            "CALL",
            "event_call",
            data,
            id=id,
            nr=nr,
            flags=self.abi.const["CALL_OUT_RESULT"] if out_by_result else 0,
            window_args=window_args,
            out_off=out_off,
            out_len=out_len,
            args=words,
            data_len=len(data),
        )

    def cancel(self, id: int) -> bytes:
        """End a waiting agent call with EINTR."""
        return self._event("CANCEL", "event_cancel", id=id)

    def admit(self, tid: int, seq: int, error: int) -> bytes:
        """Answer an admission status with 0 or a negative errno."""
        return self._event("ADMIT", "event_admit", tid=tid, seq=seq, error=error)

    def limits(self, limits: Limits, *, clone: bool, exec: bool) -> bytes:
        """Set kernel limits and choose which admission statuses are raised."""
        admit = (self.abi.const["ADMIT_CLONE"] if clone else 0) | (
            self.abi.const["ADMIT_EXEC"] if exec else 0
        )
        page = self.abi.const["PAGE_SIZE"]
        disk = min(-(-limits.disk // page), 0xFFFFFFFF)
        return self._event(
            "LIMITS",
            "event_limits",
            tasks=limits.pids,
            files=limits.files,
            disk=disk,
            admit=admit,
        )

    def block(self, chunk: int, data: Buffer = b"", error: int = 0) -> bytes:
        """Bring a chunk of the image, or say why it cannot come."""
        return self._event(
            "BLOCK_IN", "event_block", data, chunk=chunk, error=error, data_len=len(data)
        )

    def hostfs(self, id: int, *, error: int = 0, value: int = 0, data: Buffer = b"") -> bytes:
        """Answer a request to a host mount."""
        return self._event(
            "HOSTFS", "event_hostfs", data, id=id, error=error, value=value, data_len=len(data)
        )

    def decode(self, record: bytes) -> Record:
        """Turn one outbox record into a value."""
        kind = self.abi.out_name(record)
        match kind:
            case "CALL":
                layout = self.abi.structs["out_call"]
                length = layout.integer(record, "data_len")
                return CallEnded(
                    layout.integer(record, "id"),
                    layout.integer(record, "result", signed=True),
                    record[layout.size : layout.size + length],
                )
            case "BLOCK":
                layout = self.abi.structs["out_block"]
                return BlockWanted(
                    layout.integer(record, "chunk"),
                    layout.integer(record, "size"),
                    layout.raw(record, "hash")[:32].hex(),
                )
            case "HOSTFS":
                layout = self.abi.structs["out_hostfs"]
                length = layout.integer(record, "data_len")
                words = layout.raw(record, "args")
                return HostFs(
                    layout.integer(record, "id"),
                    layout.integer(record, "mount"),
                    layout.integer(record, "op"),
                    tuple(
                        int.from_bytes(words[at : at + 8], "little")
                        for at in range(0, len(words), 8)
                    ),
                    record[layout.size : layout.size + length],
                )
            case "LOG":
                layout = self.abi.structs["out_log"]
                length = self.abi.structs["out"].integer(record, "len")
                level = layout.integer(record, "level") & 0xFFFFFFFF
                text = record[layout.size : length].rstrip(b"\0").decode(errors="replace")
                return Log(self._levels.get(level, str(level)), text)
            case "NOTICE":
                layout = self.abi.structs["out_notice"]
                what = layout.integer(record, "what")
                return Notice(
                    self._notices.get(what, str(what)),
                    layout.integer(record, "pid"),
                    layout.integer(record, "ppid"),
                    layout.integer(record, "status"),
                )
        raise AbiError(f"the outbox holds a record of the unknown kind {kind}")
