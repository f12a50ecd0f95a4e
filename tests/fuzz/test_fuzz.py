"""Hostile guests against the kernel built with sanitizers: it may refuse anything, but never stops."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ebbtide.image.__main__ import main as image_main

SEEDS = range(1, 16_001, 1000)


@pytest.fixture(scope="module")
def images(guest_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    tree = folder / "tree"
    for name in ("bin", "tmp", "dev", "proc"):
        (tree / name).mkdir(parents=True)
    (tree / "bin" / "calls").write_bytes((guest_folder / "fuzz" / "calls").read_bytes())
    (tree / "bin" / "calls").chmod(0o755)
    assert not image_main(["build", "fuzz", "--from", str(tree), "--out", str(folder / "images")])
    return folder / "images"


@pytest.mark.parametrize("seed", SEEDS)
def test_random_system_calls_leave_the_machine_alive(
    seed: int, images: Path, build_folder: Path
) -> None:
    host = build_folder / "native" / "host"
    if not host.exists():
        pytest.fail(f"{host} is missing; mend: python3 build.py kernel --native")
    result = subprocess.run(
        [host, images, "fuzz", "/bin/calls", str(seed), "60", "300"],
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-4000:].decode(errors="replace")
    assert b"still here" in result.stdout
