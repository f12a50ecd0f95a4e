"""The wire between gdb and us: packets with checksums, and the interrupt byte between them."""

from __future__ import annotations

import select
import socket

INTERRUPT = b"\x03"


class Closed(Exception):
    """gdb has gone."""


class GdbLink:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in = bytearray()
        self.acks = True

    def _more(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            raise Closed from None
        if not data:
            raise Closed
        self._in += data

    def interrupted(self) -> bool:
        """Has gdb asked us to stop? Never waits."""
        while select.select([self._socket], [], [], 0)[0]:
            self._more()
        if INTERRUPT not in self._in:
            return False
        self._in.remove(3)
        return True

    def receive(self) -> bytes:
        """Wait for the next packet; an interrupt that nobody waits for any more is dropped."""
        while True:
            start = self._in.find(b"$")
            end = self._in.find(b"#", start) if start >= 0 else -1
            if end < 0 or len(self._in) < end + 3:
                self._more()
                continue
            packet = bytes(self._in[start + 1 : end])
            right = int(self._in[end + 1 : end + 3], 16) == sum(packet) & 0xFF
            del self._in[: end + 3]
            if self.acks:
                self._send(b"+" if right else b"-")
            if right:
                return unescape(packet)

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        packet = escape(packet)
        self._send(b"$%s#%02x" % (packet, sum(packet) & 0xFF))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except ConnectionError:
            raise Closed from None


def escape(data: bytes) -> bytes:
    """Hide the bytes that mean something on the wire."""
    for special in b"}#$*":
        data = data.replace(bytes([special]), bytes([0x7D, special ^ 0x20]))
    return data


def unescape(data: bytes) -> bytes:
    """Undo `escape`."""
    if b"}" not in data:
        return data
    out, rest = bytearray(), iter(data)
    for byte in rest:
        out.append(next(rest) ^ 0x20 if byte == 0x7D else byte)
    return bytes(out)
