"""Directories of the host in a machine: the guest's changes are the host's, and nothing leads out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide import blocking
from ebbtide.placement import Mount

pytestmark = pytest.mark.native


@pytest.fixture
def mounted(
    kernel_wasm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Path]]:
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    host = tmp_path / "shared"
    host.mkdir()
    (host / "hello").write_text("from the host")
    mounts = (Mount(str(host), "/mnt/rw"), Mount(str(host), "/mnt/ro", read_only=True))
    machine = blocking.Machine.boot(None, harts=1, memory=256 << 20, mounts=mounts)
    yield machine, host
    machine.close()


def test_guest_and_host_see_each_others_changes(mounted: tuple[Any, Path]) -> None:
    machine, host = mounted
    assert machine.fs.read_text("/mnt/rw/hello") == "from the host"
    big = bytes(range(256)) * 3000
    machine.fs.write_file("/mnt/rw/big", big)
    assert (host / "big").read_bytes() == big and machine.fs.read_file("/mnt/rw/big") == big
    (host / "hello").write_text("changed since")
    assert machine.fs.read_text("/mnt/rw/hello") == "changed since"
    machine.fs.mkdir("/mnt/rw/dir")
    machine.fs.rename("/mnt/rw/big", "/mnt/rw/dir/moved")
    machine.fs.symlink("dir/moved", "/mnt/rw/link")
    assert machine.fs.read_file("/mnt/rw/link") == big and (host / "link").is_symlink()
    assert sorted(machine.fs.readdir("/mnt/rw")) == ["dir", "hello", "link"]
    machine.fs.chmod("/mnt/rw/hello", 0o600)
    assert (host / "hello").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="not empty"):
        machine.fs.rmdir("/mnt/rw/dir")
    machine.fs.unlink("/mnt/rw/dir/moved")
    machine.fs.rmdir("/mnt/rw/dir")
    assert not (host / "dir").exists()


def test_read_only_mount_refuses_changes(mounted: tuple[Any, Path]) -> None:
    machine, host = mounted
    assert machine.fs.read_text("/mnt/ro/hello") == "from the host"
    for change in (
        lambda: machine.fs.write_file("/mnt/ro/new", b"x"),
        lambda: machine.fs.unlink("/mnt/ro/hello"),
        lambda: machine.fs.mkdir("/mnt/ro/dir"),
    ):
        with pytest.raises(OSError, match="ead-only"):
            change()
    assert [path.name for path in host.iterdir()] == ["hello"]


def test_links_are_followed_inside_the_guest(mounted: tuple[Any, Path]) -> None:
    machine, host = mounted
    outside = host.parent / "secret"
    outside.write_text("not for guests")
    (host / "absolute").symlink_to(outside)
    (host / "up").symlink_to("..")
    machine.fs.write_file("/mnt/visible", b"the guest's own")
    with pytest.raises(FileNotFoundError):
        machine.fs.read_file("/mnt/rw/absolute")
    with pytest.raises(FileNotFoundError):
        machine.fs.read_file("/mnt/rw/up/secret")
    assert machine.fs.read_text("/mnt/rw/up/visible") == "the guest's own"
