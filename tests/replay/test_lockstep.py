"""Real programs and conformance programs: compiled code and the interpreter make the same machine, page by page,
after every step.

EBB_LOCKSTEP=all takes all conformance programs of one hart and longer real ones; else a sample.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support.lockstep import Recorded, lockstep, record  # noqa: E402

pytestmark = pytest.mark.native

ALL = os.environ.get("EBB_LOCKSTEP") == "all"
CONFORMANCE = HERE.parent / "conformance"
SAMPLE = {
    *(
        "hot/calls",
        "hot/dispatch",
        "hot/highjump",
        "hot/pointer",
        "hot/frame",
        "hot/ground",
        "hot/pages",
        "signals/frame",
        "signals/actions",
    ),
    *("process/vfork", "process/threads"),
}

SCRIPTS = {
    "loop": "i=0; while [ $i -lt 150 ]; do i=$((i + 1)); done; echo $i",
    "text": "seq 60 | sort -r | awk '{s += $1 * 1.5} END {print s}'; echo one | sed s/o/0/g",
    "sort": "seq 30000 | sort -r | md5sum",
    "pack": "seq 400 | gzip | gunzip | sha256sum",
}
if ALL:
    SCRIPTS |= {
        "trap": "trap 'echo got' USR1; kill -USR1 $$; (kill -USR1 $$) & wait; echo $?",
        "deep": "f() { [ $1 -gt 0 ] && f $(($1 - 1)); return 0; }; f 200; echo done",
        "tree": "for i in 1 2 3; do (echo $i | tr 1-3 a-c) & done; wait; ls -lR /etc | head -200 | sort | uniq -c | tail -3",
        "float": "awk 'BEGIN {for (i = 1; i < 3000; i++) s += sin(i) / sqrt(i) + exp(-i); printf \"%.17g\\n\", s}'",
    }


def directives(source: Path) -> dict[str, str]:
    lines = (
        line[2:].partition(":")
        for line in source.read_text().splitlines()[:8]
        if line.startswith("//")
    )
    return {name.strip(): value.strip() for name, _, value in lines}


def programs() -> list[str]:
    found = []
    for source in sorted(CONFORMANCE.rglob("*.c")):
        name = str(source.relative_to(CONFORMANCE).with_suffix(""))
        if directives(source).get("harts", "1") == "1" and (ALL or name in SAMPLE):
            found.append(name)
    return found


def budgets(seed: int):
    chance = random.Random(seed)
    return lambda: chance.randrange(1, chance.choice((300, 5000, 200_000)))


def record_program(name: str, guest_folder: Path) -> Recorded:
    asked = directives(CONFORMANCE / f"{name}.c")

    async def body(machine, mark):
        await machine.fs.mkdir("/tmp", 0o1777, parents=True)
        await machine.fs.write_file(
            "/p", (guest_folder / "conformance" / name).read_bytes(), mode=0o755
        )
        mark(name)
        stdin = asked.get("stdin", "").encode().decode("unicode_escape").encode()
        await machine.run(
            "/p",
            *shlex.split(asked.get("args", "")),
            stdin=stdin,
            cwd="/tmp",
            encoding="bytes",
            timeout=300,
        )

    return record(body)


@pytest.mark.parametrize("name", programs())
def test_conformance_program(name, kernel, guest_folder, kernel_wasm, monkeypatch):
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    recorded = record_program(name, guest_folder)
    start = recorded.parts[0][0]
    cold = lockstep(kernel, recorded, budgets(1), threshold=2, start=start)
    assert cold.counters["refused"] == 0
    warm = lockstep(kernel, recorded, budgets(2), threshold=2, start=start, warm=cold.keeps)
    assert warm.counters["refused"] == 0
    assert bool(warm.counters["kept_regions"]) == bool(cold.keeps)
    if name == "hot/dispatch":
        assert sum(map(dispatching, cold.keeps)) > 2, "its jumps stay in regions"


def test_what_is_hot_while_the_queue_is_full_is_compiled_later(
    kernel, guest_folder, kernel_wasm, monkeypatch
):
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    recorded = record_program("hot/many", guest_folder)
    outcome = lockstep(kernel, recorded, lambda: 100_000, threshold=8, every=100)
    assert outcome.counters["regions"] >= 160
    # What is interpreted for compiled code hands back where it returns, rather than go on for its caller.
    assert outcome.counters["entries"] < 600


@pytest.mark.parametrize("name", SCRIPTS)
def test_shell_script(name, kernel, base_store, kernel_wasm, monkeypatch):
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))

    async def body(machine, mark):
        mark(name)
        await machine.run("bash", "-c", SCRIPTS[name], timeout=300)

    recorded = record(body, image="base", ram=256 << 20)
    threshold = 2 if ALL else 400
    cold = lockstep(kernel, recorded, lambda: 400_000, threshold=threshold)
    assert cold.counters["instructions"] > 100_000, cold
    warm = lockstep(kernel, recorded, lambda: 400_000, threshold=threshold, warm=cold.keeps)
    assert warm.counters["instructions"] > cold.counters["instructions"]
    assert warm.counters["kept_regions"] > cold.counters["regions"] / 2
    assert cold.counters["refused"] == warm.counters["refused"] == 0


def test_what_was_hot_is_compiled_when_its_process_is_gone(
    kernel, base_store, kernel_wasm, monkeypatch
):
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))

    async def body(machine, mark):
        for script in ("loop", "text", "loop"):
            mark(script)
            await machine.run("bash", "-c", SCRIPTS[script], timeout=300)

    recorded = record(body, image="base", ram=256 << 20)
    only_now = lockstep(kernel, recorded, lambda: 400_000, threshold=1000)
    cold = lockstep(kernel, recorded, lambda: 400_000, threshold=1000, for_later=True)
    assert cold.rested > 2 and only_now.rested == 0
    assert cold.counters["instructions"] > only_now.counters["instructions"]
    warm = lockstep(kernel, recorded, lambda: 400_000, threshold=1000, warm=cold.keeps)
    assert warm.counters["instructions"] > cold.counters["instructions"]
    assert warm.counters["kept_regions"] > cold.counters["regions"] / 2
    assert cold.counters["refused"] == warm.counters["refused"] == 0


def test_a_real_interpreter_dispatches(kernel, base_store, kernel_wasm, monkeypatch):
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))

    async def body(machine, mark):
        mark("awk")
        program = "BEGIN {while (i < 9000) {s += i++ % 7; if (s > 99) s -= length(s i)} print s}"
        await machine.run("awk", program, timeout=300)

    recorded = record(body, image="base", ram=256 << 20)
    cold = lockstep(kernel, recorded, lambda: 400_000, threshold=20)
    assert sum(map(dispatching, cold.keeps)) > 9, cold
    warm = lockstep(kernel, recorded, lambda: 400_000, threshold=20, warm=cold.keeps)
    assert cold.counters["refused"] == warm.counters["refused"] == 0


def test_kept_code_of_other_bytes_is_not_run(kernel, base_store, kernel_wasm, monkeypatch):
    """Each record is changed in one byte: as if the program were another one, nearly the same."""
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))

    async def body(machine, mark):
        mark("loop")
        await machine.run("bash", "-c", SCRIPTS["loop"], timeout=120)

    recorded = record(body, image="base", ram=256 << 20)
    cold = lockstep(kernel, recorded, lambda: 400_000, threshold=400)
    changed = {one_byte_changed(record): module for record, module in cold.keeps.items()}
    outcome = lockstep(kernel, recorded, lambda: 400_000, threshold=400, warm=changed)
    whole = sum(region_count(record) for record in cold.keeps)
    assert 0 < outcome.counters["kept_regions"] < whole  # in each module one region is another's


def dispatching(record: bytes) -> int:
    """How many of a module's regions dispatch, or lead into one that does."""
    at, count = 12, 0
    while at < len(record):
        count += record[at + 10] >> 2 & 1
        at += int.from_bytes(record[at : at + 4], "little")
    return count


def region_count(record: bytes) -> int:
    return int.from_bytes(record[4:8], "little")


def one_byte_changed(record: bytes) -> bytes:
    """Change the last byte of the first region's code; 12 bytes of the module's head come before it."""
    length = int.from_bytes(record[12:16], "little")
    spans = int.from_bytes(record[12 + 12 : 12 + 14], "little")
    sizes = (record[12 + 20 + 8 * n + 4 : 12 + 20 + 8 * n + 8] for n in range(spans))
    end = 12 + 20 + 8 * spans + sum(int.from_bytes(size, "little") for size in sizes)
    assert end <= 12 + length
    return record[: end - 1] + bytes([record[end - 1] ^ 1]) + record[end:]
