"""Several processes at one store and one cache: all succeed, and what is there is whole."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ebbtide import assets
from ebbtide.image import build, fetch
from ebbtide.image.fetch import Cache, Wanted

PROCESSES = 3


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    for number in range(60):
        place = top / f"dir{number % 7}" / f"file{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(hashlib.sha256(bytes([number])).digest() * (number * 20))
    return top


@pytest.fixture
def environment(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root / "runtime_py"))
    monkeypatch.setenv("EBB_HOME", str(tmp_path / "home"))
    for name in ("EBB_CACHE", "EBB_IMAGES"):
        monkeypatch.delenv(name, raising=False)


def together(*programs: list[str]) -> list[str]:
    """Start Python programs, let them go on at the same moment, return what they wrote."""
    start = "import sys; print(flush=True); sys.stdin.readline()\n"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", start + program, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for program, *words in programs
    ]  # fmt: skip
    for one in running:
        assert one.stdout
        one.stdout.readline()
    for one in running:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=300)[0] for one in running]
    assert [one.returncode for one in running] == [0] * len(running), said
    return said


IMAGE = "from ebbtide.image.__main__ import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.usefixtures("environment")
def test_processes_build_prune_and_check_one_store(tree: Path, tmp_path: Path) -> None:
    building = [IMAGE, "build", "shared", "--from", str(tree)]
    for _ in range(2):
        said = together(
            *[building] * PROCESSES, [IMAGE, "prune"], [IMAGE, "build", "b", "--from", str(tree)]
        )
        hashes = {words.split()[1] for words in said if words.startswith("shared ")}
        assert len(hashes) == 1
        together([IMAGE, "check", "shared"], [IMAGE, "check", "b"], [IMAGE, "prune"])
    out = tmp_path / "home" / "images"
    assert not list(out.rglob("*.part"))
    assert json.loads((out / "shared" / "manifest.json").read_text())["name"] == "shared"


def test_nobody_prunes_while_one_builds(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blobs of a tree that has no manifest yet are needed by none."""
    out = tmp_path / "out"
    finish = build.finish

    def finish_alone(*args: Any) -> dict[str, Any]:
        with (out / "locks" / "blobs").open("ab") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # what prune waits for
        return finish(*args)

    monkeypatch.setattr(build, "finish", finish_alone)
    build.build_from(tree, "whole", out)
    assert build.prune(out) == (0, 0)
    assert build.check_image(out, "whole") > 0


FETCH = """
from pathlib import Path
from ebbtide.image.fetch import Cache, Wanted
url, root, name, sha, size = sys.argv[1:]
wanted = Wanted(name, sha, int(size))
cache = Cache(Path(root))
cache.fetch_all(url, [wanted])
print(cache.get(wanted).stat().st_size)
"""


@pytest.mark.usefixtures("environment")
def test_processes_download_a_file_once(server: Any, tmp_path: Path) -> None:
    data = hashlib.sha256(b"x").digest() * 100_000
    (server.root / "pool").mkdir(parents=True, exist_ok=True)
    (server.root / "pool" / "big").write_bytes(data)
    words = [server.url, str(tmp_path / "cache"), "pool/big", hashlib.sha256(data).hexdigest()]
    said = together(*[[FETCH, *words, str(len(data))]] * PROCESSES)
    assert said == [f"{len(data)}\n"] * PROCESSES
    assert len(server.requests) == 1
    assert [path.name for path in (tmp_path / "cache" / "files").glob("*/*")] == [words[-1]]


def test_a_download_that_another_has_finished_is_counted(server: Any, tmp_path: Path) -> None:
    data = b"y" * 1000
    (server.root / "small").write_bytes(data)
    wanted = Wanted("small", hashlib.sha256(data).hexdigest(), len(data))
    cache, seen = Cache(tmp_path / "cache"), []
    cache.fetch_all(server.url, [wanted])
    meter = fetch._Meter("x", len(data), lambda *row: seen.append(row))
    cache._fetch(server.url, wanted, meter, "")  # as if it had been missing when we looked
    assert seen[-1] == ("x", len(data), len(data)) and len(server.requests) == 1


# ---- Where things are ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "cache", "images"),
    [
        ({}, "/h/.cache/ebb", "/h/.local/share/ebb/images"),
        ({"XDG_CACHE_HOME": "/c", "XDG_DATA_HOME": "/d"}, "/c/ebb", "/d/ebb/images"),
        ({"XDG_CACHE_HOME": "relative"}, "/h/.cache/ebb", "/h/.local/share/ebb/images"),
        ({"EBB_HOME": "/e"}, "/e/cache", "/e/images"),
        ({"EBB_HOME": "/e", "XDG_CACHE_HOME": "/c"}, "/e/cache", "/e/images"),
        ({"EBB_CACHE": "/k"}, "/k", "/k/images"),
        ({"EBB_HOME": "/e", "EBB_CACHE": "/k"}, "/k", "/e/images"),
        ({"EBB_HOME": "/e", "EBB_CACHE": "/k", "EBB_IMAGES": "/i"}, "/k", "/i"),
    ],
)
def test_places_are_the_users_unless_named(
    given: dict[str, str], cache: str, images: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("EBB_HOME", "EBB_CACHE", "EBB_IMAGES", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/h", **given}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    assert (str(assets.cache_folder()), str(assets.images_folder())) == (cache, images)
    if not given:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert str(assets.cache_folder()) == "/h/Library/Caches/ebb"
        assert str(assets.images_folder()) == "/h/Library/Application Support/ebb/images"
