"""From a lock, a directory or an archive to an image on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ebbtide.image import (
    BlobStore,
    CorruptBlob,
    ImageError,
    Index,
    build,
    images_with,
    lock,
    read_index,
)
from ebbtide.image.__main__ import main
from ebbtide.image.commands import commands

AWK = """#!/bin/sh
update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/{0} {1} \\
  --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/{0}.1.gz \\
  --slave /usr/bin/nawk nawk /usr/bin/{0}
"""
PASSWD = b"root:*:0:0:root:/root:/bin/bash\nbin:*:2:2:bin:/bin:/usr/sbin/nologin\n"
GROUP = b"root:*:0:\nshadow:*:42:\nmail:*:8:\n"


@pytest.fixture
def tiny(archive: Any) -> Any:
    """Make a small archive with what settling works on."""
    archive.add(
        "base-files",
        {
            "/usr/bin/true": b"true", "/bin": "-> usr/bin", "/lib": "-> usr/lib",
            "/usr/lib/os-release": b"x", "/usr/share/base-files/profile": b"profile",
        },
    )  # fmt: skip
    masters = "/usr/share/base-passwd"
    archive.add(
        "base-passwd", {f"{masters}/passwd.master": PASSWD, f"{masters}/group.master": GROUP}
    )
    for name, priority in (("mawk", 5), ("gawk", 10)):
        files = {f"/usr/bin/{name}": name.encode(), f"/usr/share/man/man1/{name}.1.gz": b"m"}
        archive.add(name, files, scripts={"postinst": AWK.format(name, priority)})
    archive.add(
        "tool",
        {
            "/bin/tool": b"tool" * 100_000, "/bin/tool2": ("hard", "/bin/tool"),
            "/etc/tool.conf": b"conf", "/usr/share/doc/tool/copyright": b"(c)",
            "/usr/share/doc/tool/changelog.gz": b"log", "/usr/share/locale/de/x": b"de",
        },
        version="2-1", arch="all", Source="toolbox (2)", Multi_Arch="foreign",
        scripts={"conffiles": "/etc/tool.conf\n"},
    )  # fmt: skip
    certs = "/usr/share/ca-certificates/mozilla"
    archive.add("ca", {f"{certs}/A.crt": b"AAA", f"{certs}/B.crt": b"BBB\n"}, arch="all")
    return archive


class Built:
    """A built image, opened."""

    def __init__(self, out: Path, name: str) -> None:
        self.manifest = build.read_manifest(out, name)
        self.store = BlobStore(out / "blobs")
        self.index: Index = read_index(self.store.get(self.manifest["index"]))
        self.at = dict(self.index.walk())

    def read(self, path: str) -> bytes:
        chunks = self.index.chunks_of(self.at[path])
        return b"".join(self.store.get(chunk.sha256) for chunk in chunks)

    def link(self, path: str) -> str:
        assert stat.S_ISLNK(self.at[path].mode)
        return self.at[path].target.decode()


@pytest.fixture
def built(tiny: Any, server: Any, cache: Any, tmp_path: Path) -> Built:
    tiny.publish()
    packs = {"boot": ["/bin/true", "/usr/bin/*awk"]}
    build.build_image(tiny.lock(), tmp_path / "out", mirror=server.url, cache=cache, packs=packs)
    return Built(tmp_path / "out", "tiny")


def test_the_same_lock_gives_the_same_image(
    built: Built, tiny: Any, cache: Any, tmp_path: Path, server: Any
) -> None:
    before = list(server.requests)
    reverse = tiny.lock()
    reverse.packages.reverse()
    again = build.build_image(reverse, tmp_path / "other", cache=cache)
    assert again["index"] == built.manifest["index"]
    assert server.requests == before, "the second build needs no network"


def test_the_index_is_named_by_its_hash(built: Built) -> None:
    data = built.store.path(built.manifest["index"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == built.manifest["index"]
    assert built.manifest["index_size"] == len(data)
    assert built.manifest["files"] == len(built.at)
    assert (built.manifest["format"], built.manifest["arch"]) == (1, "riscv64")


def test_manifest_names_sources(built: Built) -> None:
    tool = {"name": "tool", "version": "2-1", "source": "toolbox", "source_version": "2"}
    assert tool in built.manifest["packages"]


def test_files_land_behind_links_and_keep_hard_links(built: Built) -> None:
    assert built.read("/usr/bin/tool") == b"tool" * 100_000
    assert built.at["/usr/bin/tool"].link == built.at["/usr/bin/tool2"].link != 0
    assert built.at["/usr/bin/tool"].mtime == 1_700_000_000
    assert built.link("/bin") == "usr/bin"


def test_documentation_goes_and_copyright_stays(built: Built) -> None:
    assert "/usr/share/doc/tool/copyright" in built.at
    for path in ("doc/tool/changelog.gz", "locale/de", "man/man1"):
        assert f"/usr/share/{path}" not in built.at


def test_accounts_agree_and_have_no_password(built: Built) -> None:
    passwd = [line.split(":") for line in built.read("/etc/passwd").decode().splitlines()]
    shadow = [line.split(":") for line in built.read("/etc/shadow").decode().splitlines()]
    assert [row[0] for row in passwd] == [row[0] for row in shadow] == ["root", "bin", "user"]
    assert passwd[2] == ["user", "x", "1000", "1000", "", "/home/user", "/bin/bash"]
    assert {row[1] for row in shadow} == {"*"}
    entry = built.at["/etc/shadow"]
    assert (entry.mode & 0o777, entry.gid) == (0o640, 42)
    home = built.at["/home/user/.bashrc"]
    assert (home.uid, home.gid) == (1000, 1000)


def test_the_highest_alternative_wins_and_is_recorded(built: Built) -> None:
    assert built.link("/usr/bin/awk") == "/etc/alternatives/awk"
    assert built.link("/etc/alternatives/awk") == "/usr/bin/gawk"
    assert built.link("/etc/alternatives/nawk") == "/usr/bin/gawk"
    record = built.read("/var/lib/dpkg/alternatives/awk").decode()
    assert record == (
        "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n"
        "/usr/bin/gawk\n10\n/usr/bin/gawk\n/usr/bin/mawk\n5\n/usr/bin/mawk\n\n"
    )


def test_the_system_files_are_there(built: Built) -> None:
    assert built.read("/etc/hostname") == b"ebb\n"
    assert built.read("/etc/profile") == b"profile"
    assert built.at["/tmp"].mode == 0o41777
    assert built.at["/proc"].count == built.at["/dev"].count == 0
    assert b"PS1=" in built.read("/root/.bashrc")
    assert built.read("/etc/ssl/certs/ca-certificates.crt") == b"AAA\nBBB\n"
    assert built.read("/etc/ld.so.cache").startswith(b"glibc-ld.so.cache1.1")


def test_dpkg_knows_packages_and_files(built: Built) -> None:
    status = built.read("/var/lib/dpkg/status").decode()
    assert "Package: tool\nStatus: install ok installed\n" in status
    digest = hashlib.md5(b"conf", usedforsecurity=False).hexdigest()
    assert f"Conffiles:\n /etc/tool.conf {digest}\n" in status
    listing = built.read("/var/lib/dpkg/info/tool.list").decode().splitlines()
    assert listing[0] == "/." and "/bin/tool2" in listing


def test_a_pack_is_the_concatenation_of_its_chunks(built: Built) -> None:
    (pack,) = built.manifest["packs"]
    assert pack["name"] == "boot" and built.manifest["boot"] == ["boot"]
    chunks = [built.index.chunks[number] for number in pack["chunks"]]
    data = b"".join(built.store.get(chunk.sha256) for chunk in chunks)
    assert built.store.get(pack["blob"]) == data == b"truegawkmawk"
    assert pack["size"] == len(data)


def test_a_corrupt_blob_is_named(built: Built, tmp_path: Path) -> None:
    chunk = built.index.chunks[0]
    built.store.path(chunk.sha256).write_bytes(b"?" * chunk.size)
    with pytest.raises(CorruptBlob, match=chunk.sha256):
        build.check_image(tmp_path / "out", "tiny")


def test_prune_keeps_what_is_needed(built: Built, tmp_path: Path) -> None:
    built.store.put(b"left over")
    assert build.prune(tmp_path / "out") == (1, 9)
    build.check_image(tmp_path / "out", "tiny")


def test_commands_are_the_executables_on_the_path(built: Built) -> None:
    assert commands(built.index) == ["awk", "gawk", "mawk", "nawk", "tool", "tool2", "true"]


def test_the_known_images_say_who_has_a_command() -> None:
    assert images_with("bash") == ["base", "debian"]
    assert images_with("python3") == ["debian"]
    assert images_with("no-such-command") == []


def test_extract_writes_the_files(built: Built, tmp_path: Path) -> None:
    build.extract(tmp_path / "out", "tiny", tmp_path / "root")
    assert (tmp_path / "root/bin/tool2").samefile(tmp_path / "root/usr/bin/tool")
    assert (tmp_path / "root/etc/tool.conf").read_bytes() == b"conf"


def test_a_version_gone_from_the_mirror_names_the_lock_command(
    tiny: Any, server: Any, cache: Any, tmp_path: Path
) -> None:
    tiny.publish()
    for path in tiny.root.rglob("tool_*.deb"):
        path.unlink()
    with pytest.raises(ImageError, match=r"older than the mirror. Run: ebb image lock tiny"):
        build.build_image(tiny.lock(), tmp_path / "out", mirror=server.url, cache=cache)
    assert not build.manifest_path(tmp_path / "out", "tiny").exists()


def test_packages_of_another_architecture_are_refused(
    archive: Any, server: Any, cache: Any, tmp_path: Path
) -> None:
    archive.add("a", arch="amd64")
    archive.publish()
    with pytest.raises(ImageError, match="is for amd64; only riscv64"):
        build.build_image(archive.lock(), tmp_path / "out", mirror=server.url, cache=cache)


def test_an_image_of_another_architecture_is_refused(built: Built, tmp_path: Path) -> None:
    path = build.manifest_path(tmp_path / "out", "tiny")
    path.write_text(json.dumps(built.manifest | {"arch": "arm64"}))
    with pytest.raises(ImageError, match="is for arm64; only riscv64"):
        build.read_manifest(tmp_path / "out", "tiny")


def as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    return info


def test_directory_and_tar_give_the_same_image(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "bin").mkdir(parents=True)
    (top / "bin/x").write_bytes(b"x" * 300_000)
    (top / "bin/x").chmod(0o755)
    (top / "bin/y").hardlink_to(top / "bin/x")
    (top / "link").symlink_to("bin/x")
    with tarfile.open(tmp_path / "top.tar.gz", "w:gz") as tar:
        tar.add(top, ".", filter=as_root)
    for name, source in (("d", top), ("t", tmp_path / "top.tar.gz")):
        build.build_from(source, name, tmp_path / "out")
    a, b = Built(tmp_path / "out", "d"), Built(tmp_path / "out", "t")
    assert {
        path: (e.mode, e.size, e.link, e.target) for path, e in a.at.items() if path != "/"
    } == {path: (e.mode, e.size, e.link, e.target) for path, e in b.at.items() if path != "/"}
    assert a.read("/bin/y") == b"x" * 300_000


def test_a_known_image_is_built_once(
    tiny: Any, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.publish()
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "tiny.toml").write_text('packages = ["tool"]\n')
    lock.write_lock(tiny.lock(), lists / "tiny.lock.json")
    monkeypatch.setattr(build, "known_images", lambda: ["tiny"])
    monkeypatch.setattr(build, "read_list", lambda name: lock.read_list(name, lists))
    monkeypatch.setattr(build, "lock_path", lambda name: lock.lock_path(name, lists))
    monkeypatch.setenv("EBB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EBB_MIRROR", server.url)
    first = build.ensure_image("tiny", tmp_path / "out")
    before = build.manifest_path(tmp_path / "out", "tiny").stat().st_mtime_ns
    assert build.ensure_image("tiny", tmp_path / "out") == first
    assert build.manifest_path(tmp_path / "out", "tiny").stat().st_mtime_ns == before


def test_a_lock_survives_writing(tiny: Any, tmp_path: Path) -> None:
    lock.write_lock(tiny.lock(), tmp_path / "tiny.lock.json")
    assert lock.read_lock(tmp_path / "tiny.lock.json") == tiny.lock()


def test_the_committed_locks_hold_what_their_lists_ask_for() -> None:
    for name in lock.known_images():
        held = lock.read_lock(lock.lock_path(name))
        assert held.name == name
        assert set(lock.read_list(name).packages) <= {p.name for p in held.packages}
        assert all(dataclasses.astuple(p) for p in held.packages)


def test_commands_end_with_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "nothing", "--out", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("ebb image: there is no image 'nothing'; known are base, debian")
    assert main(["check", "base", "--out", str(tmp_path)]) == 1
    assert "Run: ebb image build base" in capsys.readouterr().err
