"""Traces, profiles and verification of a run in the page: the very bytes that they are natively."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.machines import MachinePage
from ebbtide.assets import images_folder
from ebbtide.image_store import ImageStore
from ebbtide.rewind.bundle import Bundle
from ebbtide.rewind.past_files import PastFiles
from ebbtide.rewind.pprof import pprof, speedscope
from ebbtide.rewind.profile import Profiler
from ebbtide.rewind.replay import Replay
from ebbtide.rewind.tape import TapeReader
from ebbtide.rewind.trace import LAYERS, Row, Wish
from ebbtide.rewind.wasmtime_stage import WasmtimeStage
from ebbtide.wasmtime_kernel import KernelModule

SCRIPT = """
trap 'echo caught' USR1
kill -USR1 $$
seq 3000 | sort -r | head -1 >/tmp/out
(exit 7)
for i in $(seq 3000); do :; done
busybox httpd -p 8080 -h /etc
busybox wget -q -O - http://127.0.0.1:8080/hostname
sh -c 'kill -9 $$'
exit 4
"""
RECORD = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ record: true, memory: "128M" });
    await other.run("bash", ["-s"], { stdin: arg });
    await other.saveRun();
    const { id } = other.recording;
    await other.close();
    return id;
"""
PERIOD = 9973


class Recorded:
    """A run of the page, and the same run natively."""

    def __init__(self, machine: MachinePage, kernel: KernelModule) -> None:
        self.machine = machine
        self.id: str = machine.js(RECORD, SCRIPT)
        self.file = machine.blob("return sdk.runs.export(arg)", self.id)
        bundle = Bundle(self.file)
        self.entries = list(TapeReader(bundle.tape, bundle).entries())
        self.kernel = kernel

    def replay(self) -> Replay:
        kernel = self.kernel
        return Replay(
            kernel.abi, self.entries, lambda ram, pages: WasmtimeStage(kernel, ram, None, pages)
        )

    def js(self, body: str, arg: Any = None) -> Any:
        return self.machine.js(body, {"id": self.id, "more": arg})


@pytest.fixture(scope="module")
def run(machine: MachinePage, kernel_wasm: Path) -> Iterator[Recorded]:
    found = Recorded(machine, KernelModule(kernel_wasm))
    yield found
    machine.js("await sdk.runs.remove(arg)", found.id)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_trace_is_what_it_is_natively(run: Recorded, layer: str) -> None:
    rows: list[Row] = []
    LAYERS[layer](run.replay(), Wish(follow=True, times=True), rows.append)
    text, lines = run.js(
        """const rewind = await sdk.runs.open(arg.id);
        const said = await rewind.trace(arg.more, { times: true });
        const json = await rewind.trace(arg.more, { output: "json" });
        rewind.close();
        return [said, json.split("\\n").filter((line) => line).map((line) => JSON.parse(line))];""",
        layer,
    )
    assert text == "".join(f"{row.text}\n" for row in rows if row.text is not None)
    assert lines == json.loads(json.dumps([row.data for row in rows if row.data is not None]))
    assert lines or layer == "chaos"


def test_sdk_runs_trace_takes_the_same_wishes(run: Recorded) -> None:
    text, har, part = run.js(
        """const seen = [];
        const said = await sdk.runs.trace(arg.id, "syscalls", {
            calls: ["execve"], follow: false, onProgress: (part, rows) => seen.push([part, rows.length]),
        });
        const har = JSON.parse(await sdk.runs.trace(arg.id, "request", { output: "har" }));
        return [said, har, seen.at(-1)];"""
    )
    assert text.count("execve(") == 1 and "bash" in text
    assert [entry["response"]["status"] for entry in har["log"]["entries"]] == [200]
    assert 0 < part[0] <= 1


def test_processes_may_be_left_out(run: Recorded) -> None:
    whole, less, stacks, requests = run.js(
        """const lines = async (options) => (await sdk.runs.trace(arg.id, "process", options)).split("\\n");
        const whole = await lines({});
        const pid = (word) => Number(whole.find((line) => line.includes(word)).trim().split(" ")[0]);
        const without = [pid("sort -r"), pid("wget")];
        return [
            whole, await lines({ without }),
            await sdk.runs.profile(arg.id, { format: "collapsed", without, period: 997 }),
            await sdk.runs.trace(arg.id, "request", { without: [...without, pid("httpd")] }),
        ];"""
    )
    gone = [line for line in whole if line not in less]
    assert len(gone) == 2 and "sort -r" in gone[0] and "wget" in gone[1]
    programs = {line.partition(";")[0] for line in stacks.splitlines()}
    assert {"bash", "seq"} <= programs and "sort" not in programs
    assert "GET /hostname" in requests  # who answered is not left out


def test_a_wish_that_does_not_exist_is_refused(run: Recorded) -> None:
    body = "await sdk.runs.trace(arg, 'files', { pid: 3 })"
    assert "pids" in run.machine.error(body, run.id)["message"]
    refused = run.machine.error("await sdk.runs.trace(arg, 'x')", run.id)["message"]
    assert refused.startswith("layer must be one of")


@pytest.mark.parametrize("kind", ["cpu", "offcpu"])
def test_a_profile_is_what_it_is_natively(run: Recorded, kind: str) -> None:
    replay = run.replay()
    files = PastFiles(replay, ImageStore(images_folder()).blob)
    profiler = Profiler(replay, files.read)
    made = profiler.cpu(PERIOD) if kind == "cpu" else profiler.offcpu()
    files.close()
    assert made.samples > 10
    text, packed = run.js(
        """const rewind = await sdk.runs.open(arg.id);
        const said = await rewind.profile({ type: arg.more.kind, period: arg.more.period });
        const bytes = await rewind.profile({ type: arg.more.kind, period: arg.more.period, format: "pprof" });
        rewind.close();
        return [said, Array.from(bytes)];""",
        {"kind": kind, "period": PERIOD},
    )
    assert json.loads(text) == json.loads(speedscope(made, run.id))
    assert bytes(packed)[:2] == pprof(made)[:2]
    names = {frame["name"] for frame in json.loads(text)["shared"]["frames"]}
    assert not any(name.startswith("[libc") for name in names), names


def test_looking_leaves_the_replay_where_it_was(run: Recorded) -> None:
    before, after = run.js(
        """const rewind = await sdk.runs.open(arg.id);
        const plain = (events) => events.map(({ type, pid }) => [type, pid]);
        const first = await rewind.advance();
        await rewind.trace("process");
        const rest = await eventsOf(rewind);
        rewind.close();
        const other = await sdk.runs.open(arg.id);
        const again = await eventsOf(other);
        other.close();
        return [plain([...first.events, ...rest]), plain(again)];"""
    )
    assert before == after and before


def test_verify_finds_nothing_in_what_was_written(run: Recorded) -> None:
    found, parts = run.js(
        """const parts = [];
        const found = await sdk.runs.verify(arg.id, { objects: true, replay: true, onProgress: (part) => parts.push(part) });
        return [found, parts.map((one) => one ?? String(one))];"""
    )
    assert (found["state"], found["why"]) == ("whole", "")
    chain, objects, replayed = found["said"]
    assert "chain whole" in chain and "objects" in objects and replayed.startswith("replayed ")
    assert parts and max(parts) <= 1, parts


DAMAGE = """
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("ebb-runs");
    const change = async (folder, name, at) => {
        const file = await (await root.getDirectoryHandle(folder)).getFileHandle(name);
        const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
        bytes[at < 0 ? bytes.length + at : at] ^= 1;
        const out = await file.createWritable();
        await out.write(bytes);
        await out.close();
    };
"""


def test_verify_names_what_was_changed(run: Recorded) -> None:
    tape, deep, shallow, kernel = run.js(
        DAMAGE
        + """
        const { id } = arg;
        await change("tapes", id, -20);
        const tape = await sdk.runs.verify(id);
        await change("tapes", id, -20);
        const uses = await (await (await (await root.getDirectoryHandle("uses")).getFileHandle(id)).getFile()).text();
        const hash = uses.split("\\n")[0];
        await change("objects", hash, -1);
        const deep = await sdk.runs.verify(id, { objects: true });
        const shallow = await sdk.runs.verify(id);
        await change("objects", hash, -1);
        const { kernel: code } = (await sdk.runs.list()).find((one) => one.id === id);
        await change("kernels", code, -1);
        const kernel = await sdk.runs.verify(id);
        await change("kernels", code, -1);
        return [tape, deep, shallow, kernel];"""
    )
    assert tape["state"] == "damaged" and "leaf" in tape["why"]
    assert deep["state"] == "damaged" and "object" in deep["why"] and "tick" in deep["why"]
    assert shallow["state"] == "whole"
    assert kernel["state"] == "damaged" and "kernel" in kernel["why"]
