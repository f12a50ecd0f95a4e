"""Which mirror is found, and what of it is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.image.build import build_image
from ebbtide.image.errors import ImageError
from ebbtide.image.lock import PackageList, make_lock, read_lock, write_lock
from ebbtide.image.mirror import apt_uris, find_mirror
from ebbtide.image.release import load_archive, verify_inrelease


def apt(tmp_path: Path, **files: str) -> Path:
    top = tmp_path / "apt"
    (top / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        path = top / name.replace("__", "/").replace("_", ".")
        path.write_text(text)
    return top


def test_uris_of_both_formats_are_read_in_order_and_once(tmp_path: Path) -> None:
    top = apt(
        tmp_path,
        sources_list="# deb http://off/ x main\ndeb [arch=amd64] http://one/debian/ trixie main\n"
        "deb-src http://one/debian trixie main\ndeb cdrom:[x]/ trixie main\n",
        sources_list_d__x_sources="Types: deb\n# old\nURIs: https://two/debian\n http://three\n"
        "Suites: a\n\nEnabled: no\nTypes: deb\nURIs: http://four\n",
        sources_list_d__y_list="deb http://five/d ./\n",
    )
    assert apt_uris(top) == [
        "http://one/debian", "http://five/d", "https://two/debian", "http://three",
    ]  # fmt: skip


def test_the_first_source_that_is_debian_is_taken(
    archive: Any, server: Any, tmp_path: Path
) -> None:
    archive.publish()
    top = apt(tmp_path, sources_list=f"deb {server.url}/x a b\ndeb {server.url} trixie main\n")
    assert find_mirror(apt=top).url == server.url


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"origin": "Other"}, "Origin: Other"), ({"architectures": "amd64"}, "no riscv64")],
)
def test_refusals_say_why_and_what_to_set(
    archive: Any, server: Any, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    for key, value in change.items():
        setattr(archive, key, value)
    archive.publish()
    with pytest.raises(ImageError) as caught:
        find_mirror(server.url, apt(tmp_path))
    assert reason in str(caught.value) and server.url in str(caught.value)
    assert "EBB_MIRROR" in str(caught.value)


def test_without_sources_the_error_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"apt names none.*EBB_MIRROR"):
        find_mirror(apt=apt(tmp_path))


def test_a_name_and_password_in_the_address_are_not_shown(server: Any) -> None:
    with pytest.raises(ImageError) as caught:
        find_mirror(server.url.replace("//", "//joe:secret@"))
    assert "secret" not in str(caught.value)


def test_lock_is_taken_from_the_verified_archive(archive: Any, server: Any, cache: Any) -> None:
    archive.add("a", Depends="b", Source="src (2.0)")
    archive.add("b", version="3")
    archive.publish()
    wanted = PackageList("tiny", ["a"])
    lock = make_lock(wanted, server.url, verify=lambda data: data, cache=cache)
    rows = [(p.name, p.version, p.source, p.source_version) for p in lock.packages]
    assert rows == [("a", "1.0-1", "src", "2.0"), ("b", "3", "b", "3")]
    assert (lock.release, lock.date) == ("13.0", 1_700_000_000)


def test_a_lock_may_be_for_another_architecture_and_says_so(
    archive: Any, server: Any, cache: Any, tmp_path: Path
) -> None:
    archive.arch = "amd64"
    archive.add("base-files", {"/bin/there": b"x"})
    archive.publish()
    wanted = PackageList("twin", ["base-files"])
    lock = make_lock(wanted, server.url, verify=lambda data: data, cache=cache, arch="amd64")
    write_lock(lock, tmp_path / "lock")
    with pytest.raises(ImageError, match="a lock for amd64; only riscv64 runs here"):
        read_lock(tmp_path / "lock")
    assert read_lock(tmp_path / "lock", "amd64") == lock
    with pytest.raises(ImageError, match="is for amd64; only riscv64 runs here"):
        build_image(replace(lock, arch="riscv64"), tmp_path, mirror=server.url, cache=cache)


def test_a_changed_package_list_is_refused(archive: Any, server: Any, cache: Any) -> None:
    archive.add("a")
    archive.publish()
    listing = archive.root / "dists/trixie/main/binary-riscv64/Packages.xz"
    listing.write_bytes(listing.read_bytes()[::-1])
    with pytest.raises(ImageError, match="SHA-256 is wrong"):
        load_archive(find_mirror(server.url), cache, verify=lambda data: data)


@pytest.fixture
def signer(tmp_path: Path) -> Any:
    """A key of our own and a keyring directory that holds its public half."""
    pysequoia = pytest.importorskip("pysequoia")
    key = pysequoia.Tsk.generate("Archive <archive@example.org>")
    cert = key.extract_certificate()
    ring = tmp_path / "rings"
    ring.mkdir()
    (ring / "a.gpg").write_bytes(bytes(cert))
    mode = pysequoia.SignatureMode.CLEAR
    return cert, ring, lambda data: bytes(pysequoia.sign(key.signer(), data, mode=mode))


def test_a_good_signature_gives_what_was_signed(archive: Any, signer: Any) -> None:
    cert, ring, sign = signer
    text = archive.release()
    keys = frozenset([cert.fingerprint])
    signed = verify_inrelease(sign(text), [str(ring)], keys)
    assert signed.strip() == text.strip()


def test_a_changed_release_is_refused(archive: Any, signer: Any) -> None:
    cert, ring, sign = signer
    changed = sign(archive.release()).replace(b"Suite: stable", b"Suite: stabel")
    with pytest.raises(ImageError, match="not signed by Debian"):
        verify_inrelease(changed, [str(ring)], frozenset([cert.fingerprint]))


def test_a_key_that_is_not_named_does_not_count(archive: Any, signer: Any) -> None:
    _, ring, sign = signer
    with pytest.raises(ImageError, match="debian-archive-keyring"):
        verify_inrelease(sign(archive.release()), [str(ring)])
