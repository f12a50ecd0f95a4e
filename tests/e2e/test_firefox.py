"""A stock Firefox: the page boots to the prompt, types, answers scripts, and survives its history."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from support.bidi import Firefox

PROMPT = r"/[#$] ?$/m.test(window.screenText?.() ?? '')"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    binary = os.environ.get("EBB_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    if not binary:
        pytest.fail("no Firefox on PATH; mend: as root, apt-get install -y firefox-esr")
    with Firefox(binary, tmp_path_factory.mktemp("firefox")) as running:
        yield running


def boots(firefox: Firefox) -> None:
    """Wait until the page has settled with a machine, and its prompt stands."""
    firefox.until("document.body?.dataset.state && document.body.dataset.state !== 'starting'")
    state, failure = firefox.js(
        "return [document.body.dataset.state, document.getElementById('failure').innerText]"
    )
    assert state == "ready", failure
    firefox.until(PROMPT)


def test_page_boots_to_the_prompt_and_takes_keys(firefox: Firefox, base_url: str) -> None:
    firefox.goto(base_url)
    boots(firefox)
    firefox.type("echo $((6*7)) in $SHELL\n")
    firefox.until(r"/^42 in /m.test(screenText())")
    assert firefox.errors == []


def test_sdk_runs_programs(firefox: Firefox) -> None:
    result = firefox.js("return sdk.run('sh', ['-c', 'uname -m; ls / | wc -l; exit 3'])")
    machine, entries = result["stdout"].split()
    assert machine == "riscv64" and int(entries) > 10 and result["exitCode"] == 3
    assert firefox.js("return (await sdk.run('nproc')).stdout == sdk.harts")
    assert firefox.errors == []


def test_files_and_streams_pass_both_ways(firefox: Firefox) -> None:
    seen = firefox.js(
        """const bytes = new Uint8Array(300_000).map((_, index) => index * 7);
        await sdk.fs.writeFile("/tmp/bytes", bytes);
        const cat = await sdk.spawn("cat", ["/tmp/bytes"]);
        const back = new Uint8Array(await new Response(cat.stdout).arrayBuffer());
        return [back.length, back.every((byte, index) => byte === bytes[index]), await cat.exit];"""
    )
    assert seen == [300_000, True, {"exitCode": 0, "signal": None}]


def test_going_back_and_forward_ends_at_a_prompt(firefox: Firefox, base_url: str) -> None:
    firefox.goto(f"{base_url}icon.svg")
    firefox.travel(-1)
    firefox.until("location.pathname === '/'")
    boots(firefox)
    assert firefox.js("return (await sdk.run('echo', ['back'])).stdout") == "back\n"
    firefox.travel(1)
    firefox.until("location.pathname === '/icon.svg'")
    firefox.travel(-1)
    firefox.until("location.pathname === '/'")
    boots(firefox)
    assert firefox.errors == []


def test_hart_that_the_browser_ends_is_named_and_a_new_machine_starts(
    firefox: Firefox, base_url: str
) -> None:
    firefox.before_each_page(
        """() => {
            const { Worker } = window;
            window.Worker = class extends Worker {
                constructor(url, options) {
                    super(url, options);
                    if (options.name === "ebb hart 0") window.hart = this;
                }
            };
        }"""
    )
    firefox.goto(base_url)
    boots(firefox)
    ended = """const asleep = await sdk.spawn("sleep", ["1000"]);
        hart.terminate();
        return asleep.exit.catch((error) => error.code);"""
    assert firefox.js(ended) == "worker-lost"
    firefox.until("document.body.dataset.state === 'failed'")
    assert firefox.js("return document.getElementById('failure').dataset.code") == "worker-lost"
    firefox.js("document.getElementById('failure-again').click()")
    boots(firefox)
    assert firefox.js("return (await sdk.run('echo', ['again'])).stdout") == "again\n"


def test_a_run_is_traced_and_verified_and_a_snapshot_goes_on(firefox: Firefox) -> None:
    found = firefox.js(
        """const { boot } = await import("./ebbtide.js");
        const one = await boot({ record: true, memory: "128M" });
        await one.run("sh", ["-c", "echo kept > /tmp/word; exit 3"]);
        await one.saveRun();
        const { id } = one.recording;
        const snapshot = await one.snapshot();
        await one.close();
        const tree = await sdk.runs.trace(id, "process");
        const { state, why } = await sdk.runs.verify(id, { objects: true, replay: true });
        const profile = JSON.parse(await sdk.runs.profile(id));
        await sdk.runs.remove(id);
        const again = await boot({ snapshot });
        const { stdout } = await again.run("cat", ["/tmp/word"]);
        await again.close();
        await sdk.snapshots.remove(snapshot);
        return [tree.includes("exit 3"), state, why, profile.profiles[0].samples.length > 0, stdout];"""
    )
    assert found == [True, "whole", "", True, "kept\n"]
    assert firefox.errors == []
