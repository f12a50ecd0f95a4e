"""Fixtures for all tests: where built things are, and how to run what is not our own.

`python3 build.py test` builds before it runs pytest; a plain pytest uses what is in build/. A test
whose tool is missing is skipped with the reason; a test whose build output is missing fails.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that tests record are not the user's."""
    os.environ["EBB_RUNS"] = str(folder := tmp_path_factory.mktemp("runs"))
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def build_folder() -> Path:
    """Outputs of build.py."""
    return Path(os.environ.get("EBB_BUILD") or ROOT / "build")


@pytest.fixture(scope="session")
def kernel_wasm(build_folder: Path) -> Path:
    """The kernel."""
    return built(build_folder / "kernel.wasm", "kernel")


@pytest.fixture(scope="session")
def guest_folder(build_folder: Path) -> Path:
    """Guest programs compiled from tests/**/*.c, at the same relative paths."""
    return built(build_folder / "guests", "guests")


@pytest.fixture(scope="session")
def qemu() -> str:
    """qemu's riscv64 user mode: the Linux that guest programs are compared with."""
    asked = os.environ.get("EBB_QEMU")
    found = asked or shutil.which("qemu-riscv64") or shutil.which("qemu-riscv64-static")
    if not found:
        pytest.skip("no qemu-riscv64 on PATH (Debian package qemu-user)")
    return found


def built(path: Path, command: str) -> Path:
    """Give a build output, or fail with the command that makes it."""
    if not path.exists():
        pytest.fail(f"{path} is missing; mend: python3 build.py {command}")
    return path


def pytest_configure() -> None:
    """Begin as a foreground job does: one in the background starts with these two ignored, and so do its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser's tests last: Playwright leaves an event loop running, beside which none can begin.

    Workers are given whole files in this order (`addopts`), so none has one of the others behind them.
    """
    items.sort(key=lambda item: "e2e" in item.path.parts)
