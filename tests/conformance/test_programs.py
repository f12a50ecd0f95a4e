"""Every C program below this folder: same binary, same verdict as on Linux.

A program prints what it saw and exits with 0 when all is right. `// harts: 2` runs it on two harts.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.native


def test_program_ends_here_as_on_linux(
    program: str, asked: dict[str, Any], guests: Any, on_linux: Any
) -> None:
    there = on_linux(program, *asked["args"], stdin=asked["stdin"])
    here = guests.run(program, *asked["args"], stdin=asked["stdin"], harts=asked["harts"])
    assert there.exit_code == 0, f"on Linux: {there.stdout.decode()} {there.stderr.decode()}"
    assert here == there, f"here: {here.stdout.decode(errors='replace')} {here.stderr!r}"


@pytest.mark.parametrize("harts", [1, 2])
def test_code_that_another_process_has_changed_is_not_what_it_was(guests: Any, harts: int) -> None:
    verdict = guests.run("conformance/hot/turns", "without maps", harts=harts)
    assert (verdict.exit_code, verdict.stdout) == (0, b"ok\n"), verdict
