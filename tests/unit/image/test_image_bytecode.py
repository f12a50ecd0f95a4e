"""Byte code: what is compiled, where it goes, what is kept; the machine is a fake."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ebbtide.image import BlobStore, ImageError, build, bytecode
from ebbtide.image.tree import Tree

LIB = "/usr/lib/python3.1"
PATTERNS = ["/usr/lib/python3.*/*.py", "!*/test/*", "!*/enc/*", "*/enc/ascii.py"]
PACKS = {"python3": [f"{LIB}/a.py", f"{LIB}/test/t.py"]}
MASTERS = "/usr/share/base-passwd"


class FakeMachine:
    """Compiles like the guest would, only simpler; sees what it is given."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.calls: list[tuple[str, list[list[str]]]] = []
        self.images: list[list[str]] = []
        self.refuses = refuses

    def __call__(
        self, out: Path, image: str, parts: Sequence[Sequence[str]], done: Callable[[int], None]
    ) -> bytecode.Files:
        self.calls.append((image, [list(part) for part in parts]))
        self.images.append([path for path, _ in build.open_index(out, image).walk()])
        if self.refuses:
            raise self.refuses
        files: bytecode.Files = {}
        for path in [path for part in parts for path in part]:
            head, _, name = path.rpartition("/")
            place = f"{head}/__pycache__/{name.removesuffix('.py')}.cpython-31.pyc"
            files[path] = place, b"" if name == "broken.py" else b"code of " + path.encode()
            done(len(files))
        return files


@pytest.fixture
def python(archive: Any, server: Any) -> Any:
    """Make an archive with something like a Python."""
    archive.add("base-files", {"/usr/bin/true": b"true"})
    accounts = {
        "passwd.master": b"root:*:0:0:root:/root:/bin/bash\n",
        "group.master": b"root:*:0:\n",
    }
    archive.add("base-passwd", {f"{MASTERS}/{name}": data for name, data in accounts.items()})
    names = ["a.py", "b/c.py", "test/t.py", "enc/ascii.py", "enc/koi8.py", "data.txt", "broken.py"]
    files: dict[str, Any] = {f"{LIB}/{name}": name.encode() for name in names}
    archive.add("python3", files | {"/usr/bin/python3": b"ELF"})
    archive.publish()
    return archive


@pytest.fixture
def make(python: Any, server: Any, cache: Any, tmp_path: Path) -> Callable[..., Any]:
    def make(machine: FakeMachine, out: str = "out", **options: Any) -> Any:
        chosen = {"bytecode": PATTERNS, "packs": PACKS, "cache": cache} | options
        return build.build_image(
            python.lock(), tmp_path / out, mirror=server.url, compile=machine, **chosen
        )

    return make


def files_of(out: Path) -> dict[str, Any]:
    return dict(build.open_index(out, "tiny").walk())


def test_byte_code_lies_beside_its_source_with_its_time(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    machine = FakeMachine()
    manifest = make(machine)
    at = files_of(tmp_path / "out")
    made = {path for path in at if path.endswith(".pyc")}
    names = ["a", "b/c", "enc/ascii"]
    places = [f"{LIB}/{name}".rpartition("/") for name in names]
    assert made == {f"{head}/__pycache__/{name}.cpython-31.pyc" for head, _, name in places}
    entry = at[f"{LIB}/__pycache__/a.cpython-31.pyc"]
    assert (entry.mode & 0o777, entry.uid, entry.mtime) == (0o644, 0, at[f"{LIB}/a.py"].mtime)
    assert manifest["bytecode"] == 3, "what Python refuses is not counted"


def test_the_machine_gets_the_settled_image_and_leaves_no_trace(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    machine = FakeMachine()
    make(machine)
    assert "/etc/passwd" in machine.images[0]
    assert [path.name for path in (tmp_path / "out").glob("*/manifest.json")] == ["manifest.json"]
    assert not (tmp_path / "out" / machine.calls[0][0]).exists()


def test_a_pack_holds_byte_code_in_place_of_its_source(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    (pack,) = make(FakeMachine())["packs"]
    blob = BlobStore(tmp_path / "out" / "blobs").get(pack["blob"])
    assert blob == f"code of {LIB}/a.py".encode() + b"test/t.py"


def test_the_second_build_is_the_same_and_boots_nothing(make: Callable[..., Any]) -> None:
    first, second = FakeMachine(), FakeMachine()
    assert make(first)["index"] == make(second, "other")["index"]
    assert (len(first.calls), len(second.calls)) == (1, 0)


def test_another_list_is_compiled_anew(make: Callable[..., Any]) -> None:
    machine = FakeMachine()
    make(machine)
    make(machine, bytecode=[*PATTERNS, "!*/b/*"])
    assert len(machine.calls) == 2


def test_a_damaged_cache_is_made_again(make: Callable[..., Any], cache: Any) -> None:
    machine = FakeMachine()
    make(machine)
    (kept,) = (cache.root / "bytecode").iterdir()
    kept.write_bytes(b"no zip")
    make(machine)
    assert len(machine.calls) == 2


def test_without_a_kernel_there_is_an_image_and_a_line(
    make: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        manifest = make(FakeMachine(bytecode.NoMachine("there is no kernel")))
    assert manifest["bytecode"] == 0
    assert not [path for path in files_of(tmp_path / "out") if path.endswith(".pyc")]
    assert [record.getMessage() for record in caplog.records] == [
        "image tiny is built without byte code for Python: there is no kernel"
    ]
    machine = FakeMachine()
    assert make(machine)["bytecode"] == 3, "nothing was kept of the failure"


def test_a_machine_that_fails_fails_the_build(make: Callable[..., Any], tmp_path: Path) -> None:
    machine = FakeMachine(ImageError("it broke"))
    with pytest.raises(ImageError, match="it broke"):
        make(machine)
    assert not (tmp_path / "out" / machine.calls[0][0]).exists()


def test_an_image_without_python_boots_nothing(archive: Any, tmp_path: Path) -> None:
    tree = Tree(BlobStore(tmp_path / "blobs"))
    tree.write(f"{LIB}/a.py", b"a")
    machine = FakeMachine()

    def draft(name: str) -> None:
        raise AssertionError(name)

    none = bytecode.add_bytecode(
        tree, "x", PATTERNS, tmp_path, draft, tmp_path, lambda *_: None, machine
    )
    assert (none, machine.calls) == ({}, [])


def test_work_is_dealt_evenly_and_always_alike(tmp_path: Path) -> None:
    tree = Tree(BlobStore(tmp_path / "blobs"))
    for name, size in {"a": 5, "b": 4, "c": 3, "d": 2}.items():
        tree.write(f"/{name}", b"x" * size)
    assert bytecode.deal(tree, ["/d", "/c", "/b", "/a"]) == [["/a", "/d"], ["/b", "/c"]]


def test_what_the_guest_writes_is_taken_in_pieces() -> None:
    data = b"/a.py\t/a.pyc\t3\nx\ny/b.py\t/b.pyc\t0\n"
    for at in range(len(data)):
        files: bytecode.Files = {}
        rest = bytecode._take(data[:at], files)
        assert bytecode._take(rest + data[at:], files) == b""
        assert files == {"/a.py": ("/a.pyc", b"x\ny"), "/b.py": ("/b.pyc", b"")}


def test_the_guest_program_writes_what_python_reads(tmp_path: Path) -> None:
    import importlib.util
    import subprocess
    import sys

    source = tmp_path / "mod.py"
    source.write_text("VALUE = 6 * 7\n")
    bad = tmp_path / "bad.py"
    bad.write_text("print 1\n")
    command = [sys.executable, *bytecode.COMMAND[1:], str(source), str(bad)]
    files: bytecode.Files = {}
    rest = bytecode._take(subprocess.run(command, capture_output=True, check=True).stdout, files)
    place, data = files[str(source)]
    assert (rest, files[str(bad)][1]) == (b"", b"")
    assert place == importlib.util.cache_from_source(str(source))
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).write_bytes(data)
    source.write_text("VALUE = 0  # unchecked: not seen\n")
    spec = importlib.util.spec_from_file_location("mod", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.VALUE == 42
