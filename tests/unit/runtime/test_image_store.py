"""Images on disk: what is missing, damaged or foreign is named."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from ebbtide.errors import ImageCorrupt, ImageError, ImageMissing
from ebbtide.image.index import read_index
from ebbtide.image_store import ImageStore, empty_index


def put(root: Path, data: bytes) -> str:
    name = hashlib.sha256(data).hexdigest()
    path = root / "blobs" / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    manifest = {"format": 1, "arch": "riscv64", "index": put(tmp_path, b"index")}
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "manifest.json").write_text(json.dumps(manifest))
    return ImageStore(tmp_path)


def test_image_and_chunks_are_verified(store):
    image = store.load("base")
    assert (image.index, image.hash) == (b"index", hashlib.sha256(b"index").hexdigest())
    name = put(store.root, b"chunk")
    assert asyncio.run(store.chunk(name, 5)) == b"chunk"


def test_corrupt_and_missing_blobs_are_named(store):
    name = put(store.root, b"chunk")
    (store.root / "blobs" / name[:2] / name).write_bytes(b"other")
    with pytest.raises(ImageCorrupt, match=name):
        store.blob(name)
    with pytest.raises(ImageCorrupt, match="0" * 64):
        store.blob("0" * 64)


def test_unknown_image_names_a_likely_one_and_a_known_one_its_command(store):
    with pytest.raises(ImageMissing, match=r"there is no image debain; did you mean debian\?"):
        store.load("debain")
    with pytest.raises(ImageMissing, match="ebb image build debian"):
        store.load("debian")


def test_other_formats_and_architectures_are_refused(store):
    path = store.root / "base" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "arch": "amd64"}))
    with pytest.raises(ImageError, match="amd64"):
        store.load("base")
    path.write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(ImageError, match="format 2"):
        store.load("base")


def test_empty_index_is_an_image_with_a_root() -> None:
    index = read_index(empty_index())
    assert [path for path, _ in index.walk()] == ["/"]
