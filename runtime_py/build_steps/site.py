"""What browsers load: build/web (Pyodide, SDK, page, kernel.wasm), images, the wheel, the demo."""

from __future__ import annotations

from collections.abc import Sequence


def pyodide() -> None:
    pass


def web() -> None:
    pass


def images(names: Sequence[str], arguments: Sequence[str] = ()) -> None:
    pass


def wheel() -> None:
    pass


def serve(arguments: Sequence[str]) -> int:
    return 0


def demo_check() -> int:
    return 0
