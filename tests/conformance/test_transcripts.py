"""Shell sessions with Debian's programs: each transcript was written by bash on Linux.

A block is `$ command` (continued by `> ` lines) and what it printed on standard output. All blocks of a file run
in one directory, each in a bash of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ebbtide import blocking

HERE = Path(__file__).resolve().parent
TRANSCRIPTS = sorted((HERE / "transcripts").glob("*.txt"))
pytestmark = pytest.mark.native


def blocks(path: Path) -> list[tuple[str, str]]:
    """Commands and their output."""
    found = []
    for text in re.split(r"(?m)^(?=\$ )", path.read_text()):
        if text:
            command, output = re.match(r"\$ (.*\n(?:> .*\n)*)((?:.|\n)*)", text).groups()  # type: ignore[union-attr]
            found.append((command.replace("\n> ", "\n").rstrip("\n"), output))
    return found


@pytest.fixture(scope="module")
def machine(kernel_wasm: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBB_KERNEL", str(kernel_wasm))
        with blocking.Machine.boot("base", harts=1, memory=512 << 20) as machine:
            yield machine


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, machine: Any) -> None:
    folder = f"/tmp/{path.stem}"
    machine.fs.mkdir(folder)
    env = {"HOME": folder, "PATH": "/usr/bin:/bin"}
    wrong = []
    for command, expected in blocks(path):
        result = machine.run("bash", "-c", command, cwd=folder, env=env, timeout=300)
        if result.stdout != expected:
            wrong.append(
                f"$ {command}\nexpected {expected!r}\n     got {result.stdout!r}\n{result.stderr}"
            )
    assert not wrong, "\n\n".join(wrong)
