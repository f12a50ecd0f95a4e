"""`ebb dap`: the journey of test_gdb.py as an editor makes it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.rewind.dap_server import ATTRIBUTES
from support.command import ebb
from support.dap import Editor

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(
        not shutil.which("gdb-multiarch"),
        reason="no gdb-multiarch on PATH (Debian package gdb-multiarch)",
    ),
]

SOURCE = Path(__file__).parent / "reverse.c"


@pytest.fixture
def editor(crash: str) -> Iterator[Editor]:
    """An editor whose session stands at the crash."""
    made = Editor()
    can = made.ask("initialize", adapterID="ebb", linesStartAt1=True)
    assert can["supportsStepBack"] and can["supportsDataBreakpoints"]
    made.ask("launch", run=crash, program="reverse")
    made.event("initialized")
    yield made
    made.close()


def begin(editor: Editor) -> dict:
    editor.ask("configurationDone")
    return editor.event("stopped")


def source(editor: Editor, *lines: int) -> list[dict]:
    wanted = [{"line": line} for line in lines]
    return editor.ask("setBreakpoints", source={"path": str(SOURCE)}, breakpoints=wanted)[
        "breakpoints"
    ]


def values(editor: Editor, frame: int, scope: str) -> dict[str, dict]:
    scopes = {one["name"]: one for one in editor.ask("scopes", frameId=frame)["scopes"]}
    found = editor.ask("variables", variablesReference=scopes[scope]["variablesReference"])
    return {one["name"]: one for one in found["variables"]}


def test_the_journey_from_a_crash_back_to_the_store_that_caused_it(editor: Editor):
    stopped = begin(editor)
    thread = stopped["threadId"]
    threads = {one["id"]: one["name"] for one in editor.ask("threads")["threads"]}
    assert threads == {thread: "reverse"}
    top = editor.top(thread)
    assert (top["name"], top["line"]) == ("main", 53)
    assert Path(top["source"]["path"]).name == "reverse.c"
    assert "before" in values(editor, top["id"], "Locals")
    pc = values(editor, top["id"], "Registers")["pc"]["value"]
    assert int(pc, 0) == int(top["instructionPointerReference"], 0)

    account = editor.ask("evaluate", expression="account", frameId=top["id"], context="watch")
    parts = editor.ask("variables", variablesReference=account["variablesReference"])["variables"]
    assert [(one["name"], one["evaluateName"]) for one in parts] == [
        ("name", "(account).name"), ("balance", "(account).balance")]  # fmt: skip
    assert '"overlong"' in parts[0]["value"]

    info = editor.ask(
        "dataBreakpointInfo", variablesReference=account["variablesReference"], name="balance"
    )
    wanted = [{"dataId": info["dataId"], "accessType": "write"}]
    (watch,) = editor.ask("setDataBreakpoints", breakpoints=wanted)["breakpoints"]
    stopped = editor.move("reverseContinue", threadId=thread)
    assert stopped["reason"] == "data breakpoint" and stopped["hitBreakpointIds"] == [watch["id"]]
    thread = stopped["threadId"]
    assert "→" in stopped["text"]
    threads = {one["id"]: one["name"] for one in editor.ask("threads")["threads"]}
    assert threads[thread] == "counter-2" and len(threads) > 1
    frames = editor.ask("stackTrace", threadId=thread)["stackFrames"]
    assert [(one["name"], one["line"]) for one in frames[:2]] == [
        ("rename_account", 27), ("count", 41)]  # fmt: skip
    assert len(frames) > 2  # through libc
    assert values(editor, frames[1]["id"], "Locals")["id"]["value"] == "2"
    other = next(one for one in threads if one != thread)
    assert editor.ask("stackTrace", threadId=other)["stackFrames"]
    editor.ask("setDataBreakpoints", breakpoints=[])

    editor.ask("evaluate", expression="reverse-finish", context="repl", frameId=frames[0]["id"])
    editor.event("continued")
    stopped = editor.event("stopped")
    assert (editor.top(thread)["name"], editor.top(thread)["line"]) == ("count", 41)

    (line,) = source(editor, 36)
    assert line["verified"] and line["line"] == 36
    stopped = editor.move("reverseContinue", threadId=thread)
    assert stopped["reason"] == "breakpoint" and stopped["hitBreakpointIds"] == [line["id"]]
    assert editor.top(stopped["threadId"])["line"] == 36
    stopped = editor.move("continue", threadId=thread)
    assert editor.top(stopped["threadId"])["line"] == 36
    source(editor)
    wanted = [{"name": "rename_account"}]
    (function,) = editor.ask("setFunctionBreakpoints", breakpoints=wanted)["breakpoints"]
    stopped = editor.move("reverseContinue", threadId=thread)
    if stopped["reason"] != "function breakpoint":  # we were before it already
        stopped = editor.move("continue", threadId=thread)
    assert stopped["reason"] == "function breakpoint", stopped
    thread = stopped["threadId"]
    editor.ask("setFunctionBreakpoints", breakpoints=[])

    before = editor.top(thread)
    assert before["name"] == "rename_account"
    assert editor.move("next", threadId=thread)["reason"] == "step"
    after = editor.top(thread)
    assert after["line"] > before["line"]
    assert editor.move("stepBack", threadId=thread)["reason"] == "step"
    assert editor.top(thread)["line"] < after["line"]
    here = editor.top(thread)["instructionPointerReference"]
    editor.move("next", threadId=thread, granularity="instruction")
    editor.move("stepBack", threadId=thread, granularity="instruction")
    assert editor.top(thread)["instructionPointerReference"] == here

    stopped = editor.move("continue", threadId=thread)
    assert stopped["reason"] == "exception" and "SIGSEGV" in stopped["text"]
    info = editor.ask("exceptionInfo", threadId=stopped["threadId"])
    assert info["exceptionId"] == "SIGSEGV"
    stopped = editor.move("reverseContinue", threadId=stopped["threadId"])
    assert stopped.get("text") == "The program begins here", stopped


def test_what_is_there_can_be_looked_at_in_every_form(editor: Editor):
    thread = begin(editor)["threadId"]
    top = editor.top(thread)
    pc = int(top["instructionPointerReference"], 0)
    rows = editor.ask("disassemble", memoryReference=hex(pc), instructionOffset=-4,
                      instructionCount=9)["instructions"]  # fmt: skip
    assert len(rows) == 9 and int(rows[4]["address"], 0) == pc
    assert rows[4]["symbol"].startswith("main+") and rows[4]["instruction"].startswith("ld")
    addresses = [int(row["address"], 0) for row in rows]
    assert addresses == sorted(addresses)
    nowhere = editor.ask("disassemble", memoryReference="0x10", instructionCount=3)["instructions"]
    assert [row["presentationHint"] for row in nowhere] == ["invalid"] * 3

    at = editor.ask("evaluate", expression="&account", frameId=top["id"], context="hover")
    data = editor.ask("readMemory", memoryReference=at["memoryReference"], count=8)["data"]
    assert base64.b64decode(data) == b"overlong"
    assert editor.ask("readMemory", memoryReference="0x10", count=8)["unreadableBytes"] == 8

    refused = editor.answer(editor.send("evaluate", expression="no_such_thing", context="watch"))
    assert not refused["success"] and "no_such_thing" in refused["message"]
    assert editor.ask("evaluate", expression="6 * 7", context="repl")["result"] == "42"
    assert "Tick" in editor.ask("evaluate", expression="when", context="repl")["result"]
    for request, words in (("setVariable", {}), ("stackTrace", {"threadId": 77})):
        assert not editor.answer(editor.send(request, **words))["success"]


def test_a_tick_a_line_and_the_way_back_are_gone_to(editor: Editor):
    thread = begin(editor)["threadId"]
    end = editor.ask("evaluate", expression="when", context="repl")["result"]
    tick = int(end.split()[1]) - 1000
    editor.ask("evaluate", expression=f"seek {tick}", context="repl")
    assert editor.event("stopped")["reason"] == "goto"
    now = editor.ask("evaluate", expression="when", context="repl")["result"]
    assert int(now.split()[1]) == tick
    editor.ask("evaluate", expression="back", context="repl")
    assert editor.event("stopped")["reason"] == "goto"
    assert editor.ask("evaluate", expression="when", context="repl")["result"] == end

    targets = editor.ask("gotoTargets", source={"path": str(SOURCE)}, line=41)["targets"]
    stopped = editor.move("goto", threadId=thread, targetId=targets[0]["id"])
    assert stopped["reason"] == "goto" and editor.top(stopped["threadId"])["line"] == 41


def test_a_source_that_only_the_machine_had_is_shown_as_it_was(
    editor: Editor, crash: str, tmp_path: Path
):
    compiled = editor.top(begin(editor)["threadId"])["source"]["path"]
    folder = compiled.removesuffix("/tests/rewind/reverse.c")
    assert folder != compiled
    other = Editor(cwd=tmp_path)  # gdb looks for sources where it runs, too
    other.ask("initialize")
    other.ask("launch", run=crash, sourceMap={folder: "/root/made"})
    top = other.top(begin(other)["threadId"])
    assert top["source"]["path"] == "/root/made/tests/rewind/reverse.c"
    number = top["source"]["sourceReference"]
    shown = other.ask("source", source=top["source"], sourceReference=number)
    assert shown["content"] == SOURCE.read_text()
    other.close()


def test_the_files_for_an_editor_say_what_the_adapter_knows(crash: str, root: Path):
    folder = root / "docs" / "vscode"
    (kind,) = json.loads((folder / "package.json").read_text())["contributes"]["debuggers"]
    assert (kind["runtime"], kind["args"]) == ("ebb", ["dap"])
    known = kind["configurationAttributes"]["launch"]["properties"]
    assert set(known) == set(ATTRIBUTES)
    for one in json.loads((folder / "launch.json").read_text())["configurations"]:
        assert one["type"] == kind["type"] and set(one) <= {"type", "request", "name", *known}
        editor = Editor()
        editor.ask("initialize")
        editor.ask(one["request"], **{**one, "run": crash})
        editor.event("initialized")
        assert begin(editor)["threadId"] == 1
        if "goto" in one:
            said = editor.ask("evaluate", expression="when", context="repl")["result"]
            assert float(said.split(", ")[1].split()[0]) >= 0.1
        editor.close()


def test_a_start_without_an_editor_says_so():
    done = ebb("dap")
    assert done.returncode == 125 and "no editor is at standard input" in done.stderr, done.stderr


def test_a_run_that_is_not_there_is_said_and_a_session_can_begin_at_a_port(crash: str):
    nothing = Editor("no-such-run")
    nothing.ask("initialize")
    refused = nothing.answer(nothing.send("launch"))
    assert not refused["success"] and "there is no run no-such-run" in refused["message"]
    nothing.close()

    command = [sys.executable, "-m", "ebbtide.cli", "dap", crash, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        port = int(served.stderr.readline().split()[-1])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            pipes = connection.makefile("rb"), connection.makefile("wb")
            editor = Editor(pipes=pipes)
            editor.ask("initialize")
            editor.ask("attach")
            editor.event("initialized")
            assert begin(editor)["threadId"]
            editor.close()
        assert served.wait(60) == 0
