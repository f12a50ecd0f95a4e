"""A second machine runs what the first one has compiled; what is damaged meanwhile is compiled anew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("wasmtime")

from ebbtide import blocking  # noqa: E402

pytestmark = pytest.mark.native


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel_wasm: Path) -> Path:
    monkeypatch.setenv("EBB_CACHE", str(tmp_path))
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    return tmp_path


@pytest.fixture
def program(guest_folder: Path) -> bytes:
    return (guest_folder / "bench" / "dhrystone").read_bytes()


def run(program: bytes, **options):
    """Run it until something of it is compiled, or was kept; its output and the machine's figures."""
    options = {"jit_threshold": 20, "memory": 128 << 20, "harts": 1} | options
    with blocking.Machine.boot(None, **options) as machine:
        machine.fs.write_file("/p", program, mode=0o755)
        while True:
            done = machine.run("/p", "1", timeout=60)
            assert done.exit_code == 0, done
            stats = machine.stats()
            assert stats.refused == 0
            if stats.modules + stats.kept_modules >= 2:
                return done.stdout, stats


@pytest.mark.parametrize("harts", [1, 2])
def test_a_second_machine_runs_what_the_first_has_compiled(program, harts, cache):
    said, first = run(program, harts=harts)
    assert first.kept_modules == 0 and len(list(cache.glob("code/*/*.pack"))) == 1
    again, second = run(program, harts=harts)
    assert said == again
    assert 0 < second.kept_modules <= second.kept_regions


def test_code_for_one_hart_is_not_that_for_several(program):
    run(program, harts=1)
    assert run(program, harts=2)[1].kept_modules == 0


def test_nothing_is_kept_or_used_if_so_asked(program, cache):
    run(program, keep_code=False)
    assert not (cache / "code").exists()
    run(program)
    assert run(program, keep_code=False)[1].kept_modules == 0


@pytest.mark.parametrize("seed", range(4))
def test_damaged_packs_do_no_harm(seed, program, cache):
    chance = random.Random(seed)
    said, _ = run(program)
    for pack in cache.glob("code/*/*.pack"):
        data = bytearray(pack.read_bytes())
        for _ in range(1 + 200 * (seed % 2)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        pack.write_bytes(data)
    assert run(program)[0] == said
