"""`sdk.spawn`: a running process with its streams, signals and terminal."""

from __future__ import annotations

from e2e.machines import MachinePage


def test_streams_work_while_the_process_runs(machine: MachinePage) -> None:
    lines = machine.js(
        """const p = await sdk.spawn("cat");
        const writer = p.stdin.getWriter(), reader = p.stdout.getReader();
        const seen = [];
        for (const line of ["one\\n", "two\\n"]) {
            await writer.write(new TextEncoder().encode(line));
            seen.push(await readUntil(reader, /\\n/));
        }
        await writer.close();
        const { done } = await reader.read();
        return [seen, done, await p.exit];"""
    )
    assert lines == [["one\n", "two\n"], True, {"exitCode": 0, "signal": None}]


def test_a_program_that_is_not_there_is_named(machine: MachinePage) -> None:
    error = machine.error('await sdk.spawn("no-such-command")')
    assert (error["errno"], error["path"]) == ("ENOENT", "no-such-command")
    assert error["message"] == "ebb: no-such-command: command not found"
    error = machine.error('await sdk.spawn("true", [], { cwd: "/nowhere" })')
    assert (error["errno"], error["path"]) == ("ENOENT", "/nowhere")


def test_stdout_and_stderr_are_apart(machine: MachinePage) -> None:
    both = machine.js(
        """const p = await sdk.spawn("sh", ["-c", "echo out; echo err >&2"]);
        return Promise.all([collect(p.stdout), collect(p.stderr)]);"""
    )
    assert both == ["out\n", "err\n"]


def test_kill_sends_the_signal(machine: MachinePage) -> None:
    ends = machine.js(
        """const ends = [];
        for (const signal of ["SIGTERM", "SIGKILL", 2]) {
            const p = await sdk.spawn("sleep", ["1000"]);
            await p.kill(signal);
            ends.push(await p.exit);
        }
        return ends;"""
    )
    assert ends == [
        {"exitCode": 143, "signal": "SIGTERM"},
        {"exitCode": 137, "signal": "SIGKILL"},
        {"exitCode": 130, "signal": "SIGINT"},
    ]


def test_kill_is_for_the_whole_group(machine: MachinePage) -> None:
    rest = machine.js(
        """const p = await sdk.spawn("sh", ["-c", "sleep 1000 & echo begun; wait"]);
        const reader = p.stdout.getReader();
        await readUntil(reader, /begun/);
        await p.kill();
        return (await reader.read()).done; // nobody holds the pipe any more
        """
    )
    assert rest is True


def test_slow_reader_holds_the_writer_back(machine: MachinePage) -> None:
    counts = machine.js(
        """const p = await sdk.spawn("sh", ["-c", "yes | head -c 5000000 | tee /tmp/all | cat"]);
        const reader = p.stdout.getReader();
        let total = (await reader.read()).value.length;
        // As far as it gets without being read: the pipe, the window, and no more.
        let before = -1, size = 0;
        while (size !== before) {
            before = size;
            await sdk.run("sleep", ["0.2"]);
            size = (await sdk.fs.stat("/tmp/all")).size;
        }
        for (let part; !(part = await reader.read()).done; ) total += part.value.length;
        return [size, total, (await p.exit).exitCode];"""
    )
    assert counts[0] < 2_000_000
    assert counts[1:] == [5_000_000, 0]


def test_writer_waits_for_the_guest_to_take_the_bytes(machine: MachinePage) -> None:
    outcome = machine.js(
        """const p = await sdk.spawn("sleep", ["1000"]);
        const writer = p.stdin.getWriter();
        const written = writer.write(new Uint8Array(1_000_000)).then(() => "taken", () => "broken");
        const early = await Promise.race([written, sdk.run("true").then(() => "waiting")]);
        await p.kill("SIGKILL");
        return [early, await written];"""
    )
    assert outcome == ["waiting", "broken"]


def test_cancelled_reader_breaks_the_guests_pipe(machine: MachinePage) -> None:
    end = machine.js(
        """const p = await sdk.spawn("yes");
        const reader = p.stdout.getReader();
        await reader.read();
        await reader.cancel();
        return p.exit;"""
    )
    assert end == {"exitCode": 141, "signal": "SIGPIPE"}


def test_pty_is_a_terminal_of_the_size_asked_for(machine: MachinePage) -> None:
    seen = machine.js(
        """const p = await sdk.spawn("sh", ["-c", "tty; stty size; read line; stty size; echo got $line"],
            { pty: { rows: 33, cols: 101 } });
        const reader = p.stdout.getReader(), writer = p.stdin.getWriter();
        let seen = await readUntil(reader, /33 101/);
        await p.resize({ rows: 20, cols: 60 });
        await writer.write(new TextEncoder().encode("typed\\r"));
        seen += await readUntil(reader, /got typed/);
        return [seen, await p.exit];"""
    )
    assert "/dev/pts/" in seen[0] and "20 60" in seen[0]
    assert seen[1]["exitCode"] == 0


def test_control_c_on_a_pty_interrupts_the_foreground(machine: MachinePage) -> None:
    end = machine.js(
        """const p = await sdk.spawn("sh", ["-c", "echo ready; read line"], { pty: { rows: 24, cols: 80 } });
        const reader = p.stdout.getReader(), writer = p.stdin.getWriter();
        await readUntil(reader, /ready/);
        await writer.write(new Uint8Array([3]));
        return p.exit;"""
    )
    assert end == {"exitCode": 130, "signal": "SIGINT"}


def test_twenty_megabytes_come_through_whole(machine: MachinePage) -> None:
    total = machine.js(
        """const p = await sdk.spawn("head", ["-c", "20000000", "/dev/zero"]);
        let total = 0;
        for await (const part of p.stdout) total += part.length;
        return total;"""
    )
    assert total == 20_000_000
