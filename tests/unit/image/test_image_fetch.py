"""Downloads: resumed, checked, cached."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from ebbtide.image import fetch
from ebbtide.image.errors import ImageError
from ebbtide.image.fetch import Cache, Wanted

DATA = bytes(range(256)) * 4096


def wanted(server: Any, name: str, data: bytes = DATA) -> Wanted:
    path = server.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Wanted(name, hashlib.sha256(data).hexdigest(), len(data))


@pytest.fixture
def file(server: Any) -> Wanted:
    return wanted(server, "pool/file")


def test_progress_ends_at_the_sum(server: Any, cache: Cache, file: Wanted) -> None:
    seen: list[tuple[str, int, int]] = []
    cache.fetch_all(server.url, [file], lambda *row: seen.append(row), what="x")
    assert seen[-1] == ("x", len(DATA), len(DATA))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert cache.get(file).read_bytes() == DATA


def test_what_is_cached_costs_no_request(server: Any, cache: Cache, file: Wanted) -> None:
    cache.fetch_all(server.url, [file])
    before = list(server.requests)
    cache.fetch_all(server.url, [file])
    assert server.requests == before


def test_a_broken_download_goes_on_where_it_stopped(
    server: Any, cache: Cache, file: Wanted
) -> None:
    server.cut_after = 300_000
    cache.fetch_all(server.url, [file])
    assert cache.get(file).read_bytes() == DATA
    assert server.requests[1] == ("/pool/file", "bytes=300000-")


def test_a_later_run_goes_on_too(server: Any, cache: Cache, file: Wanted) -> None:
    part = cache.path(file.sha256).with_name(file.sha256 + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:1000])
    cache.fetch_all(server.url, [file])
    assert server.requests == [("/pool/file", "bytes=1000-")]
    assert cache.get(file).read_bytes() == DATA


def test_wrong_content_never_enters_the_cache(server: Any, cache: Cache) -> None:
    bad = Wanted("pool/file", "0" * 64, wanted(server, "pool/file").size)
    with pytest.raises(ImageError, match=r"SHA-256 is wrong.*EBB_MIRROR"):
        cache.fetch_all(server.url, [bad])
    assert not cache.has(bad)


def test_a_file_gone_from_the_mirror_names_the_remedy(server: Any, cache: Cache) -> None:
    with pytest.raises(ImageError, match=r"not on the mirror any more. Run: this"):
        cache.fetch_all(server.url, [Wanted("pool/none", "0" * 64, 5)], gone="Run: this")


def test_a_corrupt_cache_file_is_found_and_removed(server: Any, cache: Cache, file: Wanted) -> None:
    cache.fetch_all(server.url, [file])
    cache.path(file.sha256).write_bytes(DATA[:-1] + b"x")
    with pytest.raises(ImageError, match="corrupt"):
        cache.get(file)
    assert not cache.has(file)


def test_a_full_disk_is_seen_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    with pytest.raises(ImageError, match="not enough disk space"):
        fetch.need_disk(tmp_path / "not" / "yet", 1)


def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EBB_CACHE", str(tmp_path))
    assert Cache().root == tmp_path
