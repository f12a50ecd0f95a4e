"""The command with a store of its own, and runs that were recorded with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import built

from ebbtide import assets
from ebbtide.rewind.store import RunStore
from support.command import ebb as ebb_of_all

Ebb = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def ebb(tmp_path: Path, kernel_wasm: Path) -> Ebb:
    """Run the command with a store of its own."""
    own = {**os.environ, "EBB_RUNS": str(tmp_path / "runs"), "EBB_KERNEL": str(kernel_wasm)}

    def run(
        *args: str, input: bytes = b"", env: dict[str, str] | None = None, **options
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "ebbtide.cli", *args]
        return subprocess.run(
            command, env=own | (env or {}), input=input, capture_output=True, timeout=300, **options
        )

    return run


@pytest.fixture
def runs() -> Iterator[RunStore]:
    """The store of `$EBB_RUNS`."""
    with closing(RunStore(assets.runs_folder())) as store:
        yield store


@pytest.fixture(scope="session", params=[("--harts", "1"), ("--harts", "2")], ids=["one", "two"])
def crash(
    request: pytest.FixtureRequest, guest_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A run of a program that crashes, on one hart or on two, in the store that all tests share; answers
    its id.
    """
    program = built(guest_folder / "rewind" / "reverse", "guests")
    (shown := tmp_path_factory.mktemp("shown")).joinpath("reverse").write_bytes(
        program.read_bytes()
    )
    source = Path(__file__).with_name("reverse.c")
    shown.joinpath("reverse.c").write_bytes(source.read_bytes())
    file = shown / "id"
    ran = ebb_of_all("run", *request.param, "--id-file", str(file), "-v", f"{shown}:/mnt:ro", "--", "sh", "-c",
                     "mkdir -p /root/made/tests/rewind; cp /mnt/reverse.c /root/made/tests/rewind; "
                     "cp /mnt/reverse /root/reverse; chmod +x /root/reverse; /root/reverse; echo ended $?")  # fmt: skip
    (shown / "reverse").write_bytes(b"something else by now")
    assert "ended 139" in ran.stdout, ran.stderr
    return file.read_text().strip()
