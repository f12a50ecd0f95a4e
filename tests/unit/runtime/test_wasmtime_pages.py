"""Machine code on large pages: which are full, and that code on them still runs."""

from __future__ import annotations

import random

import wasmtime

from ebbtide import wasmtime_pages
from ebbtide.wasmtime_kernel import new_engine
from ebbtide.wasmtime_pages import LARGE, LargePages

PAGE = 4096


def test_a_large_page_is_full_once() -> None:
    pages = LargePages()
    middle = 2 * LARGE + 5 * PAGE
    assert pages.fill(LARGE - PAGE, LARGE + PAGE) == []
    assert pages.fill(middle, 3 * LARGE + PAGE) == []
    assert pages.fill(LARGE + PAGE, middle) == [LARGE, 2 * LARGE]
    assert pages.fill(3 * LARGE + PAGE, 4 * LARGE) == [3 * LARGE]
    assert pages.fill(8 * LARGE, 8 * LARGE + PAGE) == []


def test_any_order_fills_the_same_pages() -> None:
    draw = random.Random(5)
    for _ in range(50):
        cuts = sorted(
            {0, 6 * LARGE, *(draw.randrange(6 * LARGE // PAGE) * PAGE for _ in range(40))}
        )
        parts = list(zip(cuts, cuts[1:], strict=False))
        hole = parts.pop(draw.randrange(len(parts)))
        draw.shuffle(parts)
        pages = LargePages()
        full = [place for begin, end in parts for place in pages.fill(begin, end)]
        whole = [at for at in range(0, 6 * LARGE, LARGE) if at + LARGE <= hole[0] or at >= hole[1]]
        assert sorted(full) == whole


def test_code_on_a_large_page_runs() -> None:
    engine = new_engine()
    body = "".join(f"(local.set 0 (i32.xor (local.get 0) (i32.const {n})))" for n in range(400))
    functions = "".join(
        f'(func (export "f{n}") (param i32) (result i32) {body} (i32.add (local.get 0) (i32.const {n})))'
        for n in range(100)
    )
    code = wasmtime.Module(engine, f"(module {functions})").serialize()
    pages, full, modules = LargePages(), [], []
    while len(modules) * len(code) < 4 * LARGE:
        modules.append(wasmtime.Module.deserialize(engine, code))
        full += pages.add(modules[-1])
        assert pages.add(modules[-1]) == []
    for place in full:
        wasmtime_pages.make(place)  # or not: where it cannot be, everything stays as it was
    for module in modules:
        store = wasmtime.Store(engine)
        function = wasmtime.Instance(store, module, []).exports(store)["f7"]
        assert isinstance(function, wasmtime.Func)
        assert function(store, 1000) == 1000 + 7
