"""Whole machines on the native kernel: what goes wrong in C is reported by the sanitizers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from ebbtide.abi import Abi
from ebbtide.machine import Machine
from ebbtide.placement_native import NativePlacement
from support import native_kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the native host needs memfd")


@pytest.fixture
def native(build_folder: Path, monkeypatch: pytest.MonkeyPatch) -> native_kernel.KernelModule:
    program = build_folder / "native" / "server"
    if not program.exists():
        pytest.fail(f"{program} is missing; mend: python3 build.py kernel --native")
    return native_kernel.install(monkeypatch, program)


def test_the_native_kernel_has_the_same_border(
    native: native_kernel.KernelModule, kernel_wasm: Path
) -> None:
    from ebbtide.wasmtime_kernel import KernelModule

    assert isinstance(native.abi, Abi)
    assert native.abi.const == KernelModule(kernel_wasm).abi.const


PROGRAMS = [
    ["ls", "-l", "/"],
    ["bash", "-c", "seq 2000 | sort -rn | head -3 | wc -c"],
    ["bash", "-c", "for i in 1 2 3 4 5; do (exit $i); echo $?; done | tr '\\n' ' '"],
    ["bash", "-c", "cd /tmp && tar cf x.tar /etc/passwd && tar tf x.tar && rm x.tar; ls | wc -l"],
    ["sh", "-c", "sleep 100 & kill $!; wait $!; echo $?"],
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda words: " ".join(words)[:40])
def test_programs_end_without_a_finding(
    native: native_kernel.KernelModule, program: list[str]
) -> None:
    async def scenario() -> tuple[int, str]:
        placement = NativePlacement(native)  # type: ignore[arg-type]
        # Compiled code is WebAssembly, for which there is no engine around this kernel.
        options = {"harts": 2, "memory": 256 << 20, "jit": "off"}
        async with await Machine.boot(placement=placement, **options) as machine:
            result = await machine.run(*program, timeout=300)
            return result.exit_code, result.stdout

    code, text = asyncio.run(scenario())
    assert code == 0 and text
