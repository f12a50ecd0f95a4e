"""Whole machines on the native kernel: what goes wrong in C is reported by the sanitizers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebbtide.abi import Abi
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
