"""Versions and dependency closures."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.image.errors import ImageError
from ebbtide.image.release import Archive, parse_packages
from ebbtide.image.resolve import closure, satisfies, version_key

# Each is older than the next (checked against dpkg --compare-versions).
ORDER = [
    "0~~", "0~", "0", "1.0~rc1", "1.0~rc1-1", "1.0", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2",
    "1.0a", "1.0+dfsg", "1.0.1", "1.2", "1.10", "1:0.1",
]  # fmt: skip


def names(archive: Any, *wanted: str, leave_out: tuple[str, ...] = ()) -> list[str]:
    packages = parse_packages(archive.packages_text())
    return [p.name for p in closure(Archive("", 0, packages), wanted, leave_out)]


def test_versions_sort_as_policy_says() -> None:
    keys = [version_key(version) for version in ORDER]
    assert keys == sorted(keys)
    assert len({str(key) for key in keys}) == len(keys)


def test_missing_revision_equals_revision_zero() -> None:
    assert satisfies("1.0", "=", "1.0-0")
    assert satisfies("1.0", ">=", "1.0~")
    assert not satisfies("1.0", ">>", "1.0")


def test_closure_follows_depends_and_pre_depends_only(archive: Any) -> None:
    archive.add("a", Depends="b (>= 1.0), c | d", Pre_Depends="e:any", Recommends="f")
    for name in "bcdef":
        archive.add(name)
    assert names(archive, "a") == ["a", "b", "c", "e"]


def test_a_named_alternative_is_preferred(archive: Any) -> None:
    archive.add("a", Depends="c | d")
    archive.add("c")
    archive.add("d")
    assert names(archive, "a", "d") == ["a", "d"]


def test_too_old_alternatives_are_passed_over(archive: Any) -> None:
    archive.add("a", Depends="c (>= 2) | d")
    archive.add("c")
    archive.add("d")
    assert names(archive, "a") == ["a", "d"]


def test_virtual_packages_and_versioned_provides(archive: Any) -> None:
    archive.add("a", Depends="tool, lib (>= 2)")
    archive.add("z", Provides="tool")
    archive.add("m", Provides="tool, lib (= 2.1)")
    assert names(archive, "a") == ["a", "m"]


def test_left_out_packages_count_as_given(archive: Any) -> None:
    archive.add("a", Depends="b")
    archive.add("b", Depends="c")
    archive.add("c")
    assert names(archive, "a", leave_out=("b",)) == ["a"]


def test_dependency_loops_end(archive: Any) -> None:
    archive.add("a", Depends="b")
    archive.add("b", Depends="a")
    assert names(archive, "a") == ["a", "b"]


def test_what_the_archive_lacks_is_named(archive: Any) -> None:
    archive.add("a", Depends="nowhere")
    with pytest.raises(ImageError, match="a depends on nowhere"):
        names(archive, "a")
    with pytest.raises(ImageError, match="no package other"):
        names(archive, "other")
