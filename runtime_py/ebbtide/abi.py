"""The kernel's constants and layouts, read from the text that the kernel itself exports.

The text has one "group.NAME value" per line. The runtime keeps no copy of any of these numbers: a
name that is missing stops the machine before it starts. `Struct` derives the width of a field from
the offset of the next one, which holds because the border's structs pad explicitly.
"""

from __future__ import annotations

import enum
import errno as host_errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .errors import AbiError

Buffer: TypeAlias = bytes | bytearray | memoryview
Value: TypeAlias = int | bytes | bytearray | memoryview

ABI_VERSION_WANTED = 1


class Status(enum.Enum):
    """What k_step answers; the numbers come from the kernel."""

    READY = "READY"
    FUTEX_WAIT = "FUTEX_WAIT"
    PIPE_WAIT = "PIPE_WAIT"
    EPOLL_WAIT = "EPOLL_WAIT"
    SOCKET_WAIT = "SOCKET_WAIT"
    TTY_WAIT = "TTY_WAIT"
    CHILD_WAIT = "CHILD_WAIT"
    VFORK_WAIT = "VFORK_WAIT"
    SLEEP = "SLEEP"
    FS_WAIT = "FS_WAIT"
    CLONE_SPAWN = "CLONE_SPAWN"
    EXECVE_SPAWN = "EXECVE_SPAWN"
    JIT_READY = "JIT_READY"
    EXITED = "EXITED"
    PANIC = "PANIC"


@dataclass(frozen=True)
class Field:
    """Where a field lies in its struct."""

    offset: int
    width: int


class Struct:
    """One struct of the border: packs and reads its fields by name."""

    def __init__(self, name: str, size: int, offsets: Mapping[str, int]) -> None:
        self.name = name
        self.size = size
        order = sorted(offsets.items(), key=lambda item: item[1])
        ends = [offset for _, offset in order[1:]] + [size]
        self.fields = {
            field: Field(offset, end - offset)
            for (field, offset), end in zip(order, ends, strict=True)
        }
        codes = {1: "B", 2: "H", 4: "I", 8: "Q"}
        numbers = [name for name, field in self.fields.items() if field.width in codes]
        self._names = tuple(numbers)
        self._format = struct.Struct(
            f"<{order[0][1] if order else 0}x"  # an event's header is no field
            + "".join(codes.get(field.width, f"{field.width}x") for field in self.fields.values())
        )

    def pack(self, **values: Value) -> bytearray:
        """Build the struct; fields not named are zero, integers may be negative."""
        data = bytearray(self.size)
        for name, value in values.items():
            field = self.fields[name]
            if isinstance(value, int):
                width = min(field.width, 8)
                value = (value & ((1 << (8 * width)) - 1)).to_bytes(width, "little")
            elif len(value) > field.width:
                raise ValueError(f"{self.name}.{name} holds {field.width} bytes")
            data[field.offset : field.offset + len(value)] = value
        return data

    def integer(self, data: Buffer, name: str, *, signed: bool = False) -> int:
        """Read one integer field."""
        field = self.fields[name]
        end = field.offset + min(field.width, 8)
        return int.from_bytes(data[field.offset : end], "little", signed=signed)

    def integers(self, data: Buffer) -> dict[str, int]:
        """Read all integer fields at once."""
        return dict(zip(self._names, self._format.unpack_from(data), strict=True))

    def raw(self, data: Buffer, name: str) -> bytes:
        """Read one field as it lies there."""
        field = self.fields[name]
        return bytes(data[field.offset : field.offset + field.width])


class Abi:
    """Every group of the kernel's text, and its structs."""

    def __init__(self, text: str) -> None:
        groups: dict[str, dict[str, int]] = {}
        for line in text.splitlines():
            if not line.strip():
                continue
            name, value = line.split()
            group, _, key = name.partition(".")
            groups.setdefault(group, {})[key] = int(value, 0)
        self.text = text
        self.groups = groups
        self.const = self._group("const")
        self.event = self._group("event")
        self.out = self._group("out")
        self.nr = {**self._group("nr"), **self._group("agent_call")}
        self.errno = self._group("errno")
        self.structs = {
            name: Struct(name, size, self._offsets(name))
            for name, size in self._group("size").items()
        }
        version = self.const.get("ABI_VERSION")
        if version != ABI_VERSION_WANTED:
            raise AbiError(
                f"kernel.wasm speaks version {version} of the border, this package "
                f"{ABI_VERSION_WANTED}: build both from the same tree (python3 build.py)"
            )
        numbers = self._group("status")
        names = {status.name for status in Status}
        if set(numbers) != names:
            odd = ", ".join(sorted(set(numbers) ^ names))
            raise AbiError(f"kernel.wasm and this package differ in the statuses {odd}")
        self._status = {number: Status(name) for name, number in numbers.items()}
        self.status_number = {Status(name): number for name, number in numbers.items()}
        self._event_name = {number: name for name, number in self.event.items()}
        self._out_name = {number: name for name, number in self.out.items()}
        self._errno_name = {number: name for name, number in self.errno.items()}

    def _group(self, name: str) -> dict[str, int]:
        if name not in self.groups:
            raise AbiError(f"kernel.wasm exports no constants of the group {name!r}")
        return self.groups[name]

    def _offsets(self, name: str) -> dict[str, int]:
        prefix = name + "."
        return {
            key.removeprefix(prefix): value
            for key, value in self._group("offset").items()
            if key.startswith(prefix)
        }

    def status(self, number: int) -> Status:
        """Name a status number."""
        try:
            return self._status[number]
        except KeyError:
            raise AbiError(f"kernel.wasm answered the unknown status {number}") from None

    def event_name(self, event: Buffer) -> str:
        """Name the kind of an encoded event."""
        return self._event_name[self.structs["event"].integer(event, "kind")]

    def out_name(self, record: Buffer) -> str:
        """Name the kind of an outbox record."""
        number = self.structs["out"].integer(record, "kind")
        return self._out_name.get(number, str(number))

    def errno_name(self, number: int) -> str:
        """Name a negative errno."""
        return self._errno_name.get(-number, str(number))

    def os_error(self, number: int, *names: str) -> OSError:
        """Turn a guest errno into the host's exception for the same name."""
        name = self._errno_name.get(number, "")
        host_number = getattr(host_errno, name, number)
        return OSError(host_number, os.strerror(host_number), *names[:1])
