"""The hashes of what an image's chunks bring, which are their names: nobody has to hash these bytes again.

Whoever fetched a chunk has seen that it is what its name says.
"""

from __future__ import annotations

import struct

from ..abi import Abi

_COUNT, _CHUNKS_AT = 12, 28  # of the index's header (docs/image.md)
_CHUNK = struct.Struct("<32sI4x")


class ChunkNames:
    """Knows chunks by the index that booted the machine; without one it knows none."""

    def __init__(self, abi: Abi) -> None:
        self._abi = abi
        self._table = b""

    def of(self, event: bytes) -> bytes | None:
        """Return the hash of the bytes behind an event's head, if they are a chunk of the image."""
        match self._abi.event_name(event):
            case "BOOT":
                index = event[self._abi.structs["event_boot"].size :]
                if index:
                    (count,) = struct.unpack_from("<I", index, _COUNT)
                    (at,) = struct.unpack_from("<I", index, _CHUNKS_AT)
                    self._table = index[at : at + count * _CHUNK.size]
            case "BLOCK_IN":
                head = self._abi.structs["event_block"]
                at = head.integer(event, "chunk") * _CHUNK.size
                if at < len(self._table):
                    hash, size = _CHUNK.unpack_from(self._table, at)
                    if len(event) == head.size + size:
                        return bytes(hash)
        return None
