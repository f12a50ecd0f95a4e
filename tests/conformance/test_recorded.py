"""The same programs and sessions, recorded and replayed: a sample, another one each day.

EBB_SAMPLE=N takes so many of each, EBB_SAMPLE=all takes all; EBB_SAMPLE_SEED=N names the sample.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import shlex
from pathlib import Path

import pytest
from tests.conformance.conftest import HERE, MEMORY, TIMEOUT_S, directives
from tests.conformance.test_transcripts import TRANSCRIPTS, blocks

from ebbtide import Machine
from ebbtide.assets import images_folder
from ebbtide.placement_native import NativePlacement
from ebbtide.recording import DIGEST, Tape
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.stage import Pages
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_jit import Compiler
from ebbtide.wasmtime_kernel import KernelModule

pytestmark = pytest.mark.native

SEED = int(os.environ.get("EBB_SAMPLE_SEED") or datetime.date.today().toordinal())
SAMPLE = os.environ.get("EBB_SAMPLE", "12")
# What waits for nothing but real time to pass, or asks for harts that a recorded machine does not have.
SOURCES = [path for path in sorted(HERE.rglob("*.c")) if directives(path).get("harts", "1") == "1"]


def sample(paths: list[Path], share: int = 1) -> list[Path]:
    if SAMPLE == "all":
        return paths
    return sorted(random.Random(SEED).sample(paths, min(len(paths), int(SAMPLE) // share)))


# Real programs of image `debian`, each with what it prints on any Linux; a few seconds each, at most.
WORKLOADS = {
    "python3": (
        "python3 -c 'import hashlib, json, threading; d = []; "
        "t = [threading.Thread(target=d.append, args=(i,)) for i in range(4)]; "
        "[x.start() for x in t]; [x.join() for x in t]; "
        "print(sorted(d), hashlib.md5(json.dumps(list(range(999))).encode()).hexdigest())'",
        "[0, 1, 2, 3] 84e68e34533eb627cb089c5978ff71f0",
    ),
    "subprocess": (
        "python3 -c 'import subprocess as s; "
        "print(s.run([\"sort\"], input=b\"b\\na\\n\", stdout=s.PIPE).stdout)'",
        "b'a\\nb\\n'",
    ),
    "git": (
        "git init -q r && cd r && seq 500 > f && git add f && "
        "git -c user.name=n -c user.email=e commit -qm one && "
        "git mv f g && git status --short && git fsck 2>&1 && git rev-parse HEAD:f",
        "R  f -> g\n3f1dcfc7b72ec7dc3560e02f8ee2c2b80dbaf609",
    ),
    "gcc": (
        "echo 'int main(void) { return 42; }' > a.c && gcc -O1 a.c -o a; ./a; echo $?",
        "42",
    ),
    "sqlite3": (
        "sqlite3 a.db 'create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 "
        "from n where i < 500) insert into t select i, i * i from n; create index x on t(b); "
        "select sum(b) from t where a % 7 = 3'",
        "6077964",
    ),
    "perl": (
        "perl -e 'my %h; $h{$_ % 7} += $_ for 1..9999; print join(\",\", map {$h{$_}} 0..6)'",
        "7142142,7143571,7145000,7146429,7137858,7139286,7140714",
    ),
    "make": (
        "printf 'all: a b c\\n%%:\\n\\techo $@ > $@\\n' > Makefile && make -s -j3 && cat a b c | tr -d '\\n'",
        "abc",
    ),
    "jq": ("seq 99 | jq -s 'map(. * 2) | add'", "9900"),
    "tar": ("tar -C /usr/include -czf a.tgz linux && tar -tzf a.tgz | grep -c futex.h && gzip -t a.tgz", "1"),
}  # fmt: skip


async def run_workloads(machine: Machine, guests: Path) -> None:
    share = len(WORKLOADS) if SAMPLE == "all" else max(1, int(SAMPLE) // 6)
    for name in random.Random(SEED).sample(sorted(WORKLOADS), share):
        command, expected = WORKLOADS[name]
        folder = f"/tmp/{name}"
        await machine.fs.mkdir(folder)
        ended = await machine.run("sh", "-c", command, cwd=folder, timeout=TIMEOUT_S)
        assert (ended.stdout.strip(), ended.exit_code) == (expected, 0), f"{name}: {ended}"
        await machine.digest()


async def run_programs(machine: Machine, guests: Path) -> None:
    for source in sample(SOURCES):
        name = str(source.relative_to(HERE.parent).with_suffix(""))
        asked = directives(source)
        path = f"/t/{name}"
        await machine.fs.mkdir(path.rpartition("/")[0], parents=True)
        await machine.fs.write_file(path, (guests / name).read_bytes(), mode=0o755)
        stdin = asked.get("stdin", "").encode().decode("unicode_escape").encode()
        ended = await machine.run(
            path, *shlex.split(asked.get("args", "")), stdin=stdin, timeout=TIMEOUT_S, cwd="/tmp"
        )
        assert ended.exit_code == 0, f"{name}: {ended.stdout} {ended.stderr}"
        await machine.digest()


async def run_transcripts(machine: Machine, guests: Path) -> None:
    for path in sample(TRANSCRIPTS, 4):
        folder = f"/tmp/{path.stem}"
        await machine.fs.mkdir(folder)
        env = {"HOME": folder, "PATH": "/usr/bin:/bin"}
        for command, expected in blocks(path):
            ended = await machine.run("bash", "-c", command, cwd=folder, env=env, timeout=TIMEOUT_S)
            assert ended.stdout == expected, f"{path.stem}: $ {command}\n{ended.stderr}"
        await machine.digest()


@pytest.mark.parametrize(
    ("image", "work"), [(None, run_programs), ("base", run_transcripts), ("debian", run_workloads)]
)
def test_what_is_recorded_comes_out_again(
    image: str | None, work, kernel_wasm: Path, guest_folder: Path
) -> None:
    if image == "debian" and not (images_folder() / image / "manifest.json").is_file():
        pytest.skip("image debian is not built; build it with: python3 build.py image debian")
    kernel, tape = KernelModule(kernel_wasm), Tape()

    async def record() -> None:
        placement = NativePlacement(kernel)
        async with await Machine.boot(
            image, placement=placement, record=tape, memory=MEMORY, keep_code=False
        ) as machine:
            await machine.fs.mkdir("/tmp", 0o1777, parents=True)
            await work(machine, guest_folder)

    asyncio.run(record())
    compiler = Compiler(kernel, threshold=1000)

    def stage(ram: int, pages: Pages | None) -> WasmtimeStage:
        return WasmtimeStage(kernel, ram, compiler, pages)

    replay = Replay(kernel.abi, tape.entries, stage)
    replay.run()  # compares the machine at each digest
    assert sum(entry.kind == DIGEST for entry in tape.entries) >= 1
    replay.close()
    compiler.close()
