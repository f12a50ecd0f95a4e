"""What an image has brought is known by its name."""

from __future__ import annotations

import hashlib

import pytest

from ebbtide.browser.chunk_names import ChunkNames
from ebbtide.events import Events
from ebbtide.fake_port import FakePort
from ebbtide.image.index import CHUNK, HEADER, MAGIC

CHUNKS = [b"one", b"the second"]


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def index() -> bytes:
    at = HEADER.size + 48
    header = HEADER.pack(MAGIC, 1, 1, len(CHUNKS), 0, 262144, HEADER.size, at, at + 80)
    return header + bytes(48) + b"".join(CHUNK.pack(sha(one), len(one), 0) for one in CHUNKS)


@pytest.fixture
def events() -> Events:
    return Events(FakePort().abi)


def boot(events: Events, index: bytes) -> bytes:
    return events.boot(
        ram_bytes=1, realtime_ns=0, cpus=1, harts=1, seed=bytes(32), hostname="", index=index
    )


def test_a_chunk_has_the_hash_that_the_index_says(events):
    names = ChunkNames(events.abi)
    assert names.of(boot(events, index())) is None
    assert [names.of(events.block(n, data)) for n, data in enumerate(CHUNKS)] == [
        sha(data) for data in CHUNKS
    ]


def test_what_is_no_whole_chunk_has_none(events):
    names = ChunkNames(events.abi)
    assert names.of(events.block(0, CHUNKS[0])) is None  # the index is not known
    names.of(boot(events, b""))
    assert names.of(events.block(0, CHUNKS[0])) is None  # there is no image
    names.of(boot(events, index()))
    assert names.of(events.block(0, error=-5)) is None
    assert names.of(events.block(1, CHUNKS[0])) is None
    assert names.of(events.block(2, CHUNKS[0])) is None
    assert names.of(events.cancel(1)) is None
