"""Runs recorded in Chromium: they replay bit for bit under CPython and in the page, and native runs do so here."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e2e.machines import MachinePage
from ebbtide import Machine
from ebbtide.recording import DIGEST, END, ORDER, Tape
from ebbtide.rewind.bundle import Bundle, write_bundle
from ebbtide.rewind.output import Chunk
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.tape import Header, TapeReader, TapeWriter
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_kernel import KernelModule
from support.command import ebb

RAM = 128 << 20
RUN = uuid.UUID(int=7)
SCRIPT = """
cd /tmp; seq 300 | sort -r | head -2; echo $RANDOM | tr 0-9 a-j
awk 'BEGIN { for (i = 0; i < 2000; i++) x += sin(i) / 7; print x }'
(sleep 0.05; echo slept) & wait
for i in $(seq 30); do echo $i | tr 1-9 a-i; done | md5sum
"""

RECORD = """
    const { boot } = await import("./ebbtide.js");
    const seen = [];
    const other = await boot({ ...arg.options, record: true, memory: "128M", onRecording: (one) => seen.push(one) });
    const result = await other.run("bash", ["-s"], { stdin: arg.script });
    const shell = await other.spawn("bash", ["--norc"], { pty: { rows: 20, cols: 70 } });
    const writer = shell.stdin.getWriter();
    await writer.write(new TextEncoder().encode("echo f''in; stty size; exit 7\\n"));
    const drawn = await collect(shell.stdout);
    const digest = await other.digest();
    await other.saveRun();
    const id = other.recording.id;
    const live = (await other.runs.list()).find((run) => run.id === id).live;
    await other.close();
    return { ...result, drawn, id, live, digest, harts: other.harts, seen };
"""


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def recorded(machine: MachinePage, request: pytest.FixtureRequest) -> dict[str, Any]:
    options = {"harts": request.param}
    found: dict[str, Any] = machine.js(RECORD, {"script": SCRIPT, "options": options})
    assert found["harts"] == request.param
    assert found["exitCode"] == 0, found
    return found


@pytest.fixture(scope="module")
def kernel(kernel_wasm: Path) -> KernelModule:
    return KernelModule(kernel_wasm)


def test_a_recorded_machine_says_so(machine: MachinePage, recorded: dict[str, Any]) -> None:
    assert recorded["live"]
    said = recorded["seen"][-1]
    assert said["id"] == recorded["id"] and said["bytes"] > 1000 and said["ended"] is None
    runs = machine.js("return sdk.runs.list()")
    run = next(run for run in runs if run["id"] == recorded["id"])
    assert run["ended"] and run["bytes"] >= said["bytes"] and run["about"]["image"] == "base"


def test_a_run_of_chromium_replays_natively(
    machine: MachinePage, recorded: dict[str, Any], kernel: KernelModule, kernel_wasm: Path
) -> None:
    bundle = Bundle(machine.blob("return sdk.runs.export(arg)", recorded["id"]))
    assert bundle.kernel() == kernel_wasm.read_bytes()
    assert bundle.objects  # what the image gave lies beside the tape
    reader = TapeReader(bundle.tape, bundle)
    reader.head()
    entries = list(reader.entries())
    assert entries[-1].kind == END and reader.header.kernel.hex() == kernel.hash
    shown: list[Chunk] = []
    replay = Replay(
        kernel.abi,
        entries,
        lambda ram, pages: WasmtimeStage(kernel, ram, None, pages),
        on_chunk=shown.append,
    )
    noted = [entry.data.hex() for entry in entries if entry.kind == DIGEST]
    assert noted == [recorded["digest"]]
    replay.run()  # compares all pages with the digest, and what comes out with the tape, to the end
    text = b"".join(chunk.data for chunk in shown if chunk.stream == "stdout").decode()
    assert text == recorded["stdout"]
    assert (
        b"".join(chunk.data for chunk in shown if chunk.stream == "tty").decode()
        == recorded["drawn"]
    )


def test_it_replays_in_the_page(machine: MachinePage, recorded: dict[str, Any]) -> None:
    found = machine.js(
        """const rewind = await sdk.runs.open(arg);
        const shown = await eventsOf(rewind);
        const half = await rewind.seek(Math.floor(rewind.end / 2));
        await rewind.seek(rewind.end);
        const back = await rewind.seek(Math.floor(rewind.end / 3));
        rewind.close();
        const of = (stream) => shown.filter((one) => one.stream === stream).map(({ data }) => text(data)).join("");
        return { stdout: of("stdout"), tty: of("tty"), end: rewind.end, half, back,
            ticks: shown.map(({ tick }) => tick), kinds: shown.filter(({ type }) => type !== "output")
                .map(({ type, args, rows, cols, exitCode }) => [type, args?.join(" ") ?? exitCode ?? rows]) };""",
        recorded["id"],
    )
    assert found["stdout"] == recorded["stdout"] and found["tty"] == recorded["drawn"]
    assert found["ticks"] == sorted(found["ticks"]) and found["ticks"][-1] <= found["end"]
    assert found["half"] >= found["end"] // 2 and found["back"] < found["half"]
    assert found["kinds"] == [
        ["start", "bash -s"], ["exit", 0], ["start", "bash --norc"], ["exit", 7],
    ]  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def native(
    request: pytest.FixtureRequest, kernel_wasm: Path, scratch_folder: Path
) -> Iterator[str]:
    """A session recorded under CPython with a digest at its end, as a file; gives its output."""

    async def record() -> str:
        async with await Machine.boot(
            "base", memory=RAM, record=(tape := Tape()), harts=request.param
        ) as machine:
            result = await machine.run("bash", "-s", stdin=SCRIPT)
            assert result.exit_code == 0, result
            await machine.digest()
            file = io.BytesIO()
            kernel = kernel_wasm.read_bytes()
            header = Header(RUN.bytes, hashlib.sha256(kernel).digest())
            writer = TapeWriter(file, header, None, {})
            for entry in tape.entries:
                writer.append(entry)
            writer.flush()
            about = {"id": str(RUN), "started": 1e9, "ended": 2e9, "exit_code": 0, "about": {}}
            with (scratch_folder / "native.ebbrun").open("wb") as bundle:
                write_bundle(bundle, about, kernel, file.getvalue(), [])
            assert any(entry.kind == DIGEST for entry in tape.entries)
            return str(result.stdout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBB_KERNEL", str(kernel_wasm))
        with ThreadPoolExecutor(1) as thread:  # Playwright's event loop is in this one
            yield thread.submit(lambda: asyncio.run(record())).result()


def test_a_native_run_is_taken_in_and_replays(machine: MachinePage, native: str) -> None:
    found = machine.js(
        """const id = await sdk.runs.import(await (await fetch("/scratch/native.ebbrun")).blob());
        const rewind = await sdk.runs.open(id);
        const shown = outputOf(await eventsOf(rewind));
        rewind.close();
        await sdk.runs.remove(id);
        return { shown, left: (await sdk.runs.list()).map((run) => run.id).includes(id) };"""
    )
    assert found == {"shown": native, "left": False}


def test_a_native_run_that_goes_on_from_a_snapshot_replays_in_the_page(
    machine: MachinePage, kernel_wasm: Path, scratch_folder: Path, tmp_path: Path
) -> None:
    env = {**os.environ, "EBB_RUNS": str(tmp_path), "EBB_KERNEL": str(kernel_wasm)}

    def ebb(*words: str) -> str:
        command = [sys.executable, "-m", "ebbtide.cli", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    ebb("run", "-q", "--memory", "128M", "--", "sh", "-c", "echo kept > /f")
    id = ebb("snapshot", "create", "last").strip()
    said = ebb(
        "snapshot", "fork", id, "-q", "--chaos", "short,sched", "--", "sh", "-c", SCRIPT + "cat /f"
    )
    ebb("export", "run", "last", str(scratch_folder / "goes_on.ebbrun"))
    found = machine.js(
        """const id = await sdk.runs.import(await (await fetch("/scratch/goes_on.ebbrun")).blob());
        const rewind = await sdk.runs.open(id);
        const shown = outputOf(await eventsOf(rewind));
        const back = await rewind.seek(1);
        const end = await rewind.seek(rewind.end);
        rewind.close();
        await sdk.runs.remove(id);
        return { shown, back: back > 1, forwards: end > back };"""
    )
    assert found == {"shown": said, "back": True, "forwards": True} and said.endswith("kept\n")


GO_ON = """
    const { boot } = await import("./ebbtide.js");
    const enter = (writer, line) => writer.write(new TextEncoder().encode(line));
    const first = await boot({ record: true, memory: "128M", harts: 1 });
    await first.fs.writeFile("/tmp/word", "kept\\n");
    const shell = await first.spawn("bash", ["--norc", "-i"], { pty: { rows: 20, cols: 70 } });
    const [writer, reader] = [shell.stdin.getWriter(), shell.stdout.getReader()];
    await enter(writer, "x=1; echo rea''dy\\n");
    await readUntil(reader, /ready/);
    await first.saveRun();
    const rewind = await first.runs.open(first.recording.id);
    const { tick } = (await eventsOf(rewind)).findLast(({ data }) => data && text(data).includes("ready"));
    const snapshot = await first.snapshot();
    const ids = [first.recording.id];
    const seen = [];
    await first.close();
    const options = [{ branch: await rewind.branch(tick) }, { snapshot }];
    rewind.close();
    for (const [number, option] of options.entries()) {
        const one = await boot({ ...option, record: true });
        const [taken] = await one.terminals();
        const said = taken.stdout.getReader();
        await enter(taken.stdin.getWriter(), `echo x is $((x + ${number})) in $(cat /tmp/word)''.\\n`);
        const drawn = await readUntil(said, /x is [0-9]+ in kept\\./);
        const { stdout } = await one.run("sh", ["-c", "seq 200 | sort -r | md5sum; ls /usr/share | wc -l; tail -c 40 /etc/passwd"]);
        const digest = await one.digest();
        await one.saveRun();
        ids.push(one.recording.id);
        seen.push({ id: one.recording.id, ended: one.recording.ended, drawn, stdout, digest });
        await one.close();
    }
    await sdk.snapshots.remove(snapshot);
    return { ids, seen, snapshot, tick };
"""
REPLAY = """
    const rewind = await sdk.runs.open(arg);
    const shown = { stdout: "", tty: "" };
    const kinds = [];
    const events = await eventsOf(rewind);
    const begin = events[0]?.tick ?? null;
    for (const one of events) {
        if (one.data) shown[one.stream] += text(one.data);
        else kinds.push([one.type, one.args?.join(" ") ?? one.exitCode ?? one.rows]);
    }
    rewind.close();
    const { state, why } = await sdk.runs.verify(arg, { objects: true, replay: true });
    return { ...shown, kinds, begin, state, why };
"""


@pytest.fixture(scope="module")
def gone_on(machine: MachinePage) -> Iterator[dict[str, Any]]:
    """A recorded machine, and two recorded ones that go on from it: from a moment, and from a snapshot."""
    found: dict[str, Any] = machine.js(GO_ON)
    yield found
    machine.js("for (const id of arg) await sdk.runs.remove(id)", found["ids"])


@pytest.mark.parametrize("number", [0, 1], ids=["branch", "snapshot"])
def test_what_goes_on_is_recorded_and_replays_in_the_page(
    machine: MachinePage, gone_on: dict[str, Any], number: int
) -> None:
    said = gone_on["seen"][number]
    assert said["ended"] is None and f"x is {1 + number} in kept." in said["drawn"]
    found = machine.js(REPLAY, said["id"])
    assert (found["state"], found["why"]) == ("whole", "")
    assert found["stdout"] == said["stdout"] and said["drawn"] in found["tty"]
    assert found["kinds"][0] == ["start", "bash --norc -i"]
    info = next(run for run in machine.js("return sdk.runs.list()") if run["id"] == said["id"])
    start = info["about"]["start"]
    assert start["run"] == gone_on["ids"][0] and start["tick"] == found["begin"]
    if number == 0:
        assert "ready" in found["tty"]  # the terminal as it was where this branched off
        assert start["tick"] == gone_on["tick"] and "snapshot" not in start
    else:
        assert start["snapshot"] == gone_on["snapshot"]


@pytest.mark.parametrize("number", [0, 1], ids=["branch", "snapshot"])
def test_what_goes_on_replays_natively(
    machine: MachinePage, gone_on: dict[str, Any], number: int, tmp_path: Path, kernel_wasm: Path
) -> None:
    said = gone_on["seen"][number]
    file = tmp_path / "goes_on.ebbrun"
    file.write_bytes(machine.blob("return sdk.runs.export(arg)", said["id"]))
    reader_of = Bundle(file.read_bytes())
    noted = [
        one.data.hex()
        for one in TapeReader(reader_of.tape, reader_of).entries()
        if one.kind == DIGEST
    ]
    assert noted == [said["digest"]]
    done = ebb("replay", str(file))  # compares the digest, and all that comes out
    assert (done.returncode, done.stderr) == (0, "")
    assert said["stdout"] in done.stdout and said["drawn"].splitlines()[-1] in done.stdout
    done = ebb("describe", "run", str(file))
    assert (
        gone_on["snapshot"] if number else f"{gone_on['ids'][0]}@{gone_on['tick']}"
    ) in done.stdout
    done = ebb("import", str(file))
    assert done.returncode == 0, done.stderr
    secret = tmp_path / "redacted.ebbrun"
    assert ebb("export", "run", said["id"], str(secret), "--redact").returncode == 0
    bundle = Bundle(secret.read_bytes())
    first = next(iter(TapeReader(bundle.tape, bundle).entries())).data
    plain = next(iter(TapeReader(reader_of.tape, reader_of).entries())).data
    assert (b"'dy" in plain) is (number == 0)  # what the terminal had shown where it branched off
    assert b"'dy" not in first
    assert "'dy" not in json.dumps(bundle.info)
    done = ebb("snapshot", "create", f"{said['id']}@{gone_on['tick'] + 1_000_000}")
    assert (done.returncode, done.stderr) == (0, "")
    done = ebb("snapshot", "fork", done.stdout.strip(), "-q", "--", "cat", "/tmp/word")
    assert (done.stdout, done.stderr) == ("kept\n", "")


SEVERAL = """
    const { boot } = await import("./ebbtide.js");
    const first = await boot({ record: arg, memory: "128M", harts: 2 });
    await first.fs.writeFile("/tmp/word", "kept\\n");
    const busy = first.run("sh", ["-c", "for i in 1 2; do while [ ! -e /tmp/go ]; do :; done & done; wait"]);
    busy.catch(() => undefined); // its host goes
    const snapshot = await first.snapshot();
    await first.close();
    const one = await boot({ snapshot, record: true });
    const { harts } = one;
    const { stdout } = await one.run("sh", ["-c", "for i in 1 2 3; do seq 2000 | sort -r | md5sum & done; wait; touch /tmp/go; cat /tmp/word; nproc"]);
    const digest = await one.digest();
    await one.saveRun();
    const { id, ended } = one.recording;
    await one.close();
    await sdk.snapshots.remove(snapshot);
    const { state, why } = await sdk.runs.verify(id, { objects: true, replay: true });
    return { id, ended, harts, stdout, digest, state, why };
"""


@pytest.mark.parametrize("before", [False, True], ids=["not recorded", "recorded"])
def test_a_machine_of_several_harts_goes_on_recorded(
    machine: MachinePage, tmp_path: Path, kernel_wasm: Path, before: bool
) -> None:
    found = machine.js(SEVERAL, before)
    assert found["ended"] is None and found["harts"] == 2
    assert found["stdout"].endswith("kept\n2\n") and (found["state"], found["why"]) == ("whole", "")
    file = tmp_path / "several.ebbrun"
    file.write_bytes(machine.blob("return sdk.runs.export(arg)", found["id"]))
    bundle = Bundle(file.read_bytes())
    entries = list(TapeReader(bundle.tape, bundle).entries())
    assert any(entry.kind == ORDER for entry in entries)
    assert [one.data.hex() for one in entries if one.kind == DIGEST] == [found["digest"]]
    done = ebb("replay", str(file))
    assert (done.returncode, done.stderr) == (0, "") and found["stdout"] in done.stdout
    machine.js("await sdk.runs.remove(arg)", found["id"])


@pytest.mark.parametrize("event", ["visibilitychange", "pagehide", "beforeunload"])
def test_a_page_that_is_left_keeps_what_there_is(machine: MachinePage, event: str) -> None:
    asked = machine.js(
        """await sdk.saveRun(); // it is recorded
        const asked = [];
        const { postMessage } = Worker.prototype;
        Worker.prototype.postMessage = function (message, ...rest) {
            asked.push(message.method);
            return postMessage.call(this, message, ...rest);
        };
        const hidden = arg === "visibilitychange";
        if (hidden) Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
        (hidden ? document : window).dispatchEvent(new Event(arg));
        Worker.prototype.postMessage = postMessage;
        delete document.visibilityState;
        return asked;""",
        event,
    )
    assert asked == ["saveRun"]


def test_a_program_of_nothing_but_system_calls_is_recorded(machine: MachinePage) -> None:
    """Several harts write a byte for each; the kernel worker comes for them once a second."""
    found = machine.js(
        """const { boot } = await import("./ebbtide.js");
        const other = await boot({ record: true, harts: 2, memory: "128M" });
        const calls = ["if=/dev/zero", "of=/dev/null", "bs=1", "count=1500000"];
        const { exitCode } = await other.run("dd", calls);
        await other.saveRun();
        const { id, ended } = other.recording;
        await other.close();
        await sdk.runs.remove(id);
        return [exitCode, ended];"""
    )
    assert found == [0, None]


def test_a_tab_that_is_closed_leaves_a_run_that_replays(machine: MachinePage) -> None:
    page = machine.page.context.new_page()
    page.goto("/")
    page.wait_for_function("document.body.dataset.state === 'ready'")
    id, ready, before = page.evaluate(
        """async () => {
            const ready = Date.now();
            await sdk.saveRun();
            while (Date.now() === ready) ;
            const before = Date.now();
            await sdk.run("true");
            await sdk.saveRun();
            return [sdk.recording.id, ready, before];
        }"""
    )
    page.close()
    machine.until("return !(await sdk.runs.list()).find((run) => run.id === arg).live", id)
    run = next(run for run in machine.js("return sdk.runs.list()") if run["id"] == id)
    assert run["ended"] is None and run["started"] < ready and before <= run["last"]
    found = machine.js(
        """const rewind = await sdk.runs.open(arg);
        const shown = outputOf(await eventsOf(rewind));
        rewind.close();
        return { shown, cut: rewind.cut };""",
        id,
    )
    assert found["cut"] and "#" in found["shown"]


def test_a_run_that_goes_on_says_so_where_it_is_taken(machine: MachinePage) -> None:
    """Its file ends before its end, and nothing is wrong with that."""
    early, whole = (
        machine.blob(
            """const { boot } = await import("./ebbtide.js");
            const recorded = await boot({ record: true, memory: "128M" });
            await recorded.run("true");
            await recorded.saveRun();
            const { id } = recorded.recording;
            if (arg) await recorded.close();
            const file = await sdk.runs.export(id);
            if (!arg) await recorded.close();
            await sdk.runs.remove(id);
            return file;""",
            closed,
        )
        for closed in (False, True)
    )
    assert Bundle(early).info.get("early") and "early" not in Bundle(whole).info
