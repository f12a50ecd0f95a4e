"""What a page keeps of compiled code, and how it is joined in parts: the page's own scripts, in node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.node import run_script

HERE = Path(__file__).parent


@pytest.fixture
def node(tmp_path: Path) -> Any:
    return lambda body: run_script(tmp_path, (HERE / "code_parts.mjs").read_text() + body, HERE)


def test_the_hottest_module_comes_first(node):
    """With little before it, or asked for again. What is in one part is in the order of time."""
    assert node("""
        const first = await visit([module("a", 1.5 * MB), module("b", 1.5 * MB), module("c", 0.2 * MB), module("d", 1.5 * MB)]);
        const { asked, go } = await making(first);
        await go(() => false);
        await are(["d", "bc", "a"]);
        await caches.open("joined").then((cache) => cache.entries.clear());
        const second = await visit([module("e", 0.1 * MB)], [3, 1]);
        const again = await making(second);
        await again.go(() => false);
        say([asked, again.asked]);
    """) == [["a", "bc", "d"], ["d", "be", "ac"]]


def test_parts_do_not_wait_for_each_other(node):
    assert node("""
        const { asked, done, go } = await making(await visit([module("a", 1.5 * MB), module("b", 1.5 * MB)]), () => false);
        await go(() => false);
        done.get("b")();
        await are(["b", "(a)"]);
        say(asked);
    """) == ["a", "b"]


def test_a_visit_that_ends_keeps_what_was_done_and_the_next_one_goes_on(node):
    assert node("""
        const modules = ["a", "b", "c", "d"].map((name) => module(name, 1.5 * MB));
        const first = await making(await visit(modules), (letters) => (letters === "a" ? true : letters === "b" ? false : "ends"));
        void first.go(() => false);
        await are(["(c)", "(b)", "a"]);
        const second = await making(await visit([]));
        await second.go(() => false);
        await are(["c", "b", "a", "d"]);
        const third = await making(await visit([]));
        await third.go(() => false);
        say([first.asked, second.asked, third.asked]);
    """) == [["a", "b", "c"], ["c", "b", "d"], []]


def test_what_comes_meanwhile_is_joined_next(node):
    assert node("""
        const store = await visit([module("a", 1.5 * MB), module("b", 1.5 * MB)]);
        const { asked, go } = await making(store);
        let stop = false;
        await Promise.all([go(() => stop), Promise.resolve((stop = true))]);
        const before = [...asked];
        await visit([module("c", 0.1 * MB)]);
        await go(() => false);
        say([before, asked]);
    """) == [[], ["ac", "b"]]


def test_what_cannot_be_joined_keeps_nothing_else_from_it(node):
    assert node("""
        const other = module("a", 100);
        other.module = other.module.slice(0, 8);
        const { asked, go } = await making(await visit([other, module("b", 2 * MB)]));
        await go(() => false);
        say(asked);
    """) == ["b"]


def test_small_parts_become_one_and_go_when_that_is_written(node):
    assert node("""
        const small = [..."abcd"];
        for (const [at, name] of small.entries()) {
          const { go } = await making(await visit([module(name, 1000)]));
          await go(() => false);
          await are(small.slice(0, at + 1));
        }
        const { done, go } = await making(await visit([module("e", 1000)]), () => false);
        await go(() => false);
        const meanwhile = await parts();
        done.get("abcde")();
        await are(["abcde"]);
        say(meanwhile);
    """) == ["a", "b", "c", "d", "(abcde)"]


def test_for_what_is_new_the_coldest_goes_and_half_stays(node):
    assert node("""
        const some = (letters) => [...letters].map((name) => module(name, 1.9 * MB));
        for (const [letters, left] of [["abcdefg", "gfedcba"], ["ij", "edcbaji"], ["", "edcbaji"], ["klmnopq", "bajimlk"]]) {
          const { go } = await making(await visit(some(letters)));
          await go(() => false);
          await are([...left]);
        }
        say(true);
    """)


def test_what_was_compiled_in_a_rush_is_left_out_first(node):
    """The records of a visit are more than it may add."""
    assert (
        node("""
        const modules = [...Array(20).keys()].map((n) => module(String.fromCharCode(97 + n), 1000, 100_000));
        const { name } = await visit(modules);
        const left = await readPacks(await caches.open(name));
        await visit([]);
        say(left.map(({ record }) => letter(record)).join(""));
    """)
        == "abcdefghijklmno"
    )


def test_half_of_a_rush_is_forgotten_in_fifteen_seconds(node):
    assert node("""
        const rush = rushes();
        say([rush(1000, 800), rush(1000, 100), rush(16000, 50), rush(46000, 0)]);
    """) == [800, 900, 500, 125]


def test_other_bytes_than_were_packed_are_as_if_never_kept(node):
    assert node("""
        const { name } = await visit([module("a", 1000)]);
        const cache = await caches.open(name);
        const [[url, bytes]] = cache.entries;
        const found = [(await readPacks(cache)).length];
        cache.entries.set(url, bytes.slice(0, -4));
        found.push((await readPacks(cache)).length);
        say(found);
    """) == [1, 0]
