"""A run as one file, with all it takes to replay it: tape, objects, kernel.wasm, signatures.

    "EBBR", version
    part*    kind, SHA-256 of its contents, two lengths, CRC of what is stored; CRC of all these; then
             the contents, deflated
    END      its SHA-256 is over the headers of all parts before

The same file natively and in a page; only the standard library is needed to read it. Every byte is
covered by a checksum, the contents by a hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from .tape import Objects, TapeDamaged, TapeReader

MAGIC, VERSION = b"EBBR", 1
SUFFIX = ".ebbrun"
_START = struct.Struct("<4sI")
_PART = struct.Struct("<4s32sQQI")
_CRC = struct.Struct("<I")
_SIGNED = struct.Struct("<8s16sQQ32sd")
INFO, KERNEL, TAPE, OBJECT, SIGNED, END = b"INFO", b"KRNL", b"TAPE", b"OBJ ", b"SIGN", b"END "


@dataclass(frozen=True)
class Signature:
    """A tape's head, signed: after so many leaves and entries."""

    leaves: int
    entries: int
    head: bytes
    time: float
    key: bytes
    signature: bytes

    def with_signature(self, signature: bytes) -> Signature:
        """Return it, signed."""
        return replace(self, signature=signature)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in a file."""
        return {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in asdict(self).items()
        }

    @staticmethod
    def from_json(values: dict[str, Any]) -> Signature:
        """Read it."""
        head, key, signature = (
            base64.b64decode(values[name]) for name in ("head", "key", "signature")
        )
        leaves, entries = int(values["leaves"]), int(values["entries"])
        return Signature(leaves, entries, head, float(values["time"]), key, signature)


def signed_message(run_id: str, one: Signature) -> bytes:
    """Return what it is that a signature signs."""
    id = bytes.fromhex(run_id.replace("-", ""))
    return _SIGNED.pack(b"ebb-head", id, one.leaves, one.entries, one.head, one.time)


def is_bundle(path: Path) -> bool:
    """Tell whether a path is that of an exported run."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


class BundleWriter:
    """Writes parts to a file; `end` completes it."""

    def __init__(self, file: IO[bytes], magic: bytes = MAGIC) -> None:
        self._file = file
        self._headers = hashlib.sha256()
        file.write(_START.pack(magic, VERSION))

    def part(self, kind: bytes, data: bytes, hash: bytes | None = None) -> None:
        """Add one."""
        stored = zlib.compress(data, 6)
        name = hash or hashlib.sha256(data).digest()
        header = _PART.pack(kind, name, len(data), len(stored), zlib.crc32(stored))
        header += _CRC.pack(zlib.crc32(header))
        self._headers.update(header)
        self._file.write(header)
        self._file.write(stored)

    def end(self) -> None:
        """Say that this is all."""
        self.part(END, b"", self._headers.digest())


def write_bundle(
    file: IO[bytes],
    info: dict[str, Any],
    kernel: bytes,
    tape: bytes,
    objects: Iterable[bytes],
    signatures: Iterable[Signature] = (),
) -> None:
    """Write a run; `info` has id, started, ended, exit_code and about."""
    writer = BundleWriter(file)
    writer.part(INFO, json.dumps(info).encode())
    writer.part(KERNEL, kernel)
    for data in objects:
        writer.part(OBJECT, data)
    writer.part(TAPE, tape)
    writer.part(SIGNED, json.dumps([one.to_json() for one in signatures]).encode())
    writer.end()


@dataclass(frozen=True)
class Part:
    """Where a part's contents are."""

    hash: bytes
    raw: int
    begin: int
    end: int
    crc: int


def parts_of(
    data: bytes, magic: bytes, what: str, *, trusting: bool = False
) -> Iterator[tuple[bytes, Part]]:
    """Yield kind and place of each part of a file, but for the last; raises TapeDamaged. `trusting`: not for
    contents that lack their checksum.
    """
    headers, at = hashlib.sha256(), _START.size
    if len(data) < at or _START.unpack_from(data) != (magic, VERSION):
        begin = magic.decode("ascii")
        raise TapeDamaged(f"this is no exported {what}: it does not begin with {begin}, version 1")
    while True:
        header = data[at : at + _PART.size + _CRC.size]
        if len(header) < _PART.size + _CRC.size:
            raise TapeDamaged(f"the file breaks off at byte {len(data)}")
        kind, hash, raw, stored, crc = _PART.unpack_from(header)
        (framed,) = _CRC.unpack_from(header, _PART.size)
        if framed != zlib.crc32(header[: _PART.size]):
            raise TapeDamaged(
                f"the header of the part at byte {at} does not have its checksum",
                (at, at + _PART.size, framed),
            )
        begins = at + len(header)
        part = Part(hash, raw, begins, begins + stored, crc)
        if part.end > len(data):
            raise TapeDamaged(f"the file breaks off at byte {len(data)}")
        if not trusting and zlib.crc32(data[begins : part.end]) != crc:
            name = kind.decode("ascii", "replace").strip()
            raise TapeDamaged(
                f"the part {name} at byte {at} does not have its checksum",
                (begins, part.end, crc),
            )
        at = part.end
        if kind == END:
            if hash != headers.digest() or at != len(data):
                raise TapeDamaged(f"parts before byte {at} are missing, added, or out of order")
            return
        headers.update(header)
        yield kind, part


def read_part(data: bytes, part: Part) -> bytes:
    """Return a part's contents; raises TapeDamaged."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(data[part.begin : part.end], part.raw + 1)
    except zlib.error as error:
        raise TapeDamaged(f"the part at byte {part.begin} does not unpack: {error}") from None
    if len(found) != part.raw or hashlib.sha256(found).digest() != part.hash:
        raise TapeDamaged(f"the part at byte {part.begin} does not have its hash")
    return found


class Bundle(Objects):
    """An exported run, read from its bytes; raises TapeDamaged if they are not what was written."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.objects: dict[bytes, Part] = {}
        parts = self._parts()
        try:
            self.info: dict[str, Any] = json.loads(self._read(parts[INFO]))
            signed = json.loads(self._read(parts[SIGNED]))
            self.tape = self._read(parts[TAPE])
            self._kernel = parts[KERNEL]
        except KeyError as missing:
            raise TapeDamaged(f"the file has no part {missing}") from None
        self.kernel_hash = self._kernel.hash.hex()
        self.signatures = tuple(Signature.from_json(one) for one in signed)
        header = TapeReader(self.tape, self).header
        if str(uuid.UUID(bytes=header.run_id)) != self.info["id"]:
            raise TapeDamaged("the tape in the file is that of another run")
        if header.kernel != self._kernel.hash:
            raise TapeDamaged("the kernel in the file is not the one that made the tape")

    @property
    def marks(self) -> dict[str, Any]:
        """What became of it on its way here."""
        return {name: True for name in ("redacted", "early") if self.info.get(name)}

    def _parts(self) -> dict[bytes, Part]:
        found: dict[bytes, Part] = {}
        for kind, part in parts_of(self._data, MAGIC, "run"):
            if kind == OBJECT:
                self.objects[part.hash] = part
            else:
                found[kind] = part
        return found

    def _read(self, part: Part) -> bytes:
        return read_part(self._data, part)

    def kernel(self) -> bytes:
        """Return its kernel.wasm."""
        return self._read(self._kernel)

    def put(self, data: bytes) -> bytes:
        """Nothing is added to a file."""
        raise NotImplementedError

    def get(self, hash: bytes) -> bytes:
        """Return an object."""
        part = self.objects.get(hash)
        if part is None:
            raise TapeDamaged(f"object {hash.hex()} is missing")
        return self._read(part)
