"""Connections of a run, rebuilt from what sockets were given: both ends, every byte, and whose it was.

A connection has two directions, 0 from the client and 1 from the server; marks say at which offset of
a direction each piece begins.
"""

from __future__ import annotations

import bisect
import ipaddress
from dataclasses import dataclass, field

from .taps import Tap

NETWORK_TAPS = ("CONNECT", "ACCEPT", "SEND", "RECEIVE", "END")
AF_UNIX, AF_INET6 = 1, 10
HOST_PID = 1  # process 1 does what the host asks for
_FIN, _RESET = 1, 2


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a piece begins, and who sent or took it when; fd is -1 if not known."""

    offset: int
    tick: int
    now_ns: int
    real_ns: int
    pid: int
    fd: int


@dataclass
class Stream:
    """The bytes of one direction. `ended` is "fin", "reset" or None if the run ended first."""

    data: bytearray = field(default_factory=bytearray)
    marks: list[Mark] = field(default_factory=list)
    taken: list[Mark] = field(default_factory=list)
    received: int = 0
    ended: str | None = None
    end: Mark | None = None

    def add(self, mark: Mark, data: bytes) -> None:
        """Put the next piece behind what is there."""
        self.marks.append(mark)
        self.data += data

    def at(self, offset: int) -> Mark:
        """Return the mark of the piece that a byte came in."""
        return self.marks[bisect.bisect_right(self.marks, offset, key=lambda mark: mark.offset) - 1]

    def senders(self, begin: int, end: int) -> list[int]:
        """Return the pids that sent these bytes, in order of their first."""
        first = bisect.bisect_right(self.marks, begin, key=lambda mark: mark.offset) - 1
        pids = [mark.pid for mark in self.marks[max(first, 0) :] if mark.offset < end]
        return list(dict.fromkeys(pids))


@dataclass
class Connection:
    """Two sockets that were joined; or two that exchanged datagrams, where nobody connected."""

    number: int
    kind: str  # tcp, udp, unix
    client: str  # address
    server: str
    opened: Mark
    streams: tuple[Stream, Stream] = field(default_factory=lambda: (Stream(), Stream()))
    accepted: Mark | None = None


@dataclass(frozen=True)
class Step:
    """One thing that happened on a connection: open, accept, send, receive, fin, reset or close."""

    connection: Connection
    what: str
    direction: int
    mark: Mark
    size: int = 0


class Connections:
    """Takes taps; has all connections in order."""

    def __init__(self) -> None:
        self.all: list[Connection] = []
        self._sockets: dict[int, tuple[Connection, int]] = {}  # socket -> and the way it sends
        self._flows: dict[tuple[int, int], Connection] = {}  # of datagrams

    def see(self, tap: Tap) -> Step | None:
        """Take the next tap; returns what it did, if it was about a known connection."""
        if tap.what == "CONNECT":
            return self._connect(tap)
        if tap.what == "SEND":
            return self._send(tap)
        found = self._sockets.get(tap.args[0])
        if found is None:
            return None
        connection, way = found
        stream, back = connection.streams[way], connection.streams[1 - way]
        if tap.what == "ACCEPT":
            connection.accepted = _mark(tap, 0, -1)
            return Step(connection, "accept", way, connection.accepted)
        if tap.what == "RECEIVE":
            mark = _mark(tap, back.received, tap.args[2])
            back.taken.append(mark)
            back.received += tap.args[3]
            return Step(connection, "receive", 1 - way, mark, tap.args[3])
        how, mark = tap.args[2], _mark(tap, len(stream.data), tap.args[3])
        if how == _FIN:
            _end(stream, "fin", mark)
            return Step(connection, "fin", way, mark)
        if how == _RESET:
            _end(stream, "reset", mark)
            _end(back, "reset", mark)
            return Step(connection, "reset", way, mark)
        _end(stream, "fin", mark)
        del self._sockets[tap.args[0]]
        return Step(connection, "close", way, mark)

    def _connect(self, tap: Tap) -> Step:
        client, server, fd, family, client_port, server_port = tap.args
        mark = _mark(tap, 0, fd)
        number = len(self.all) + 1
        if family == AF_UNIX:
            path = tap.data.rstrip(b"\0").decode("utf-8", "backslashreplace").replace("\0", "@")
            made = Connection(number, "unix", f"pid {tap.pid}", path or "(pair)", mark)
        else:
            ends = _address(tap.data[:16], client_port), _address(tap.data[16:32], server_port)
            made = Connection(number, "tcp", *ends, mark)
        self.all.append(made)
        self._sockets[client], self._sockets[server] = (made, 0), (made, 1)
        return Step(made, "open", 0, mark)

    def _send(self, tap: Tap) -> Step:
        own, other, fd, family = tap.args[:4]
        found = self._sockets.get(own)
        if found is None:
            found = self._flow(tap, own, other, family)
        connection, way = found
        stream = connection.streams[way]
        mark = _mark(tap, len(stream.data), fd)
        stream.add(mark, tap.data)
        return Step(connection, "send", way, mark, len(tap.data))

    def _flow(self, tap: Tap, own: int, other: int, family: int) -> tuple[Connection, int]:
        if (known := self._flows.get((other, own))) is not None:
            return known, 1
        if (known := self._flows.get((own, other))) is not None:
            return known, 0
        ports = [f"port {port}" for port in tap.args[4:6]]
        ends = (f"pid {tap.pid}", "?") if family == AF_UNIX else (ports[0], ports[1])
        kind = "unix" if family == AF_UNIX else "udp"
        made = Connection(len(self.all) + 1, kind, *ends, _mark(tap, 0, tap.args[2]))
        self.all.append(made)
        self._flows[own, other] = made
        return made, 0


def _mark(tap: Tap, offset: int, fd: int) -> Mark:
    return Mark(offset, tap.tick, tap.now_ns, tap.real_ns, tap.pid, fd)


def _end(stream: Stream, how: str, mark: Mark) -> None:
    if stream.ended is None:
        stream.ended, stream.end = how, mark


def _address(raw: bytes, port: int) -> str:
    address = ipaddress.IPv6Address(raw)
    if address.ipv4_mapped is not None:
        return f"{address.ipv4_mapped}:{port}"
    return f"[{address}]:{port}"
