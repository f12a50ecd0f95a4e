"""`sdk.connect` and `sdk.fetch`: listening ports of the guest, from the page."""

from __future__ import annotations

from e2e.machines import MachinePage

# A guest server is up when its port takes a connection.
LISTENING = """
    const listening = async (port) => {
        for (;;) {
            try { const c = await sdk.connect(port); await c.writable.close(); await c.readable.cancel(); return; }
            catch (error) { if (error.errno !== "ECONNREFUSED") throw error; }
            await sdk.run("sleep", ["0.05"]);
        }
    };
"""


def test_port_without_a_listener_refuses(machine: MachinePage) -> None:
    error = machine.error("await sdk.connect(4444)")
    assert (error["name"], error["errno"]) == ("LinuxError", "ECONNREFUSED")


def test_fetch_gets_what_a_guest_server_serves(machine: MachinePage) -> None:
    seen = machine.js(
        LISTENING
        + """await sdk.fs.writeFiles({ "/tmp/www/index.html": "<h1>hello</h1>", "/tmp/www/big": "x".repeat(1000000) });
        const server = await sdk.spawn("busybox", ["httpd", "-f", "-p", "8080", "-h", "/tmp/www"]);
        await listening(8080);
        const page = await sdk.fetch(8080, "/index.html");
        const big = await (await sdk.fetch(8080, "/big")).text();
        const none = await sdk.fetch(8080, "/none");
        await server.kill();
        return [page.status, page.headers.get("content-type"), await page.text(), big.length, none.status];"""
    )
    assert seen == [200, "text/html", "<h1>hello</h1>", 1_000_000, 404]


def test_closing_the_writer_is_half_close(machine: MachinePage) -> None:
    seen = machine.js(
        """const server = await sdk.spawn("sh", ["-c", "echo up; busybox nc -l -p 9001 -e sort"]);
        const reader = server.stdout.getReader();
        await readUntil(reader, /up/);
        let connection;
        while (!connection) connection = await sdk.connect(9001).catch(() => sdk.run("sleep", ["0.05"]).then(() => null));
        const writer = connection.writable.getWriter();
        await writer.write(new TextEncoder().encode("b\\nc\\na\\n"));
        await writer.close(); // sort answers only now
        return [await collect(connection.readable), (await server.exit).exitCode];"""
    )
    assert seen == ["a\nb\nc\n", 0]


def test_aborted_fetch_rejects_with_the_reason(machine: MachinePage) -> None:
    seen = machine.js(
        """const why = new Error("enough");
        const patient = async (port, signal) => {
            for (;;) {
                try { return await sdk.fetch(port, "/", { signal }); }
                catch (error) { if (error.errno !== "ECONNREFUSED") throw error; }
                await sdk.run("sleep", ["0.05"]);
            }
        };
        const early = await sdk.fetch(9002, "/", { signal: AbortSignal.abort(why) }).catch((error) => error === why);
        const mute = await sdk.spawn("sh", ["-c", "busybox nc -l -p 9002 >/tmp/asked"]);
        const waiting = new AbortController();
        const answer = patient(9002, waiting.signal).catch((error) => error === why);
        while (!(await sdk.fs.exists("/tmp/asked")) || (await sdk.fs.stat("/tmp/asked")).size === 0) ;
        waiting.abort(why);
        const head = "#!/bin/sh\\nprintf 'HTTP/1.1 200 OK\\\\r\\\\n\\\\r\\\\npart'\\nexec sleep 1000\\n";
        await sdk.fs.writeFile("/tmp/half", head, { mode: 0o755 });
        const half = await sdk.spawn("busybox", ["nc", "-l", "-p", "9003", "-e", "/tmp/half"]);
        const reading = new AbortController();
        const reader = (await patient(9003, reading.signal)).body.getReader();
        const part = text((await reader.read()).value);
        const rest = reader.read().catch((error) => error === why);
        reading.abort(why);
        const seen = [early, await answer, part, await rest];
        await Promise.all([mute.kill(), half.kill()]);
        return seen;"""
    )
    assert seen == [True, True, "part", True]


def test_two_connections_at_once_are_apart(machine: MachinePage) -> None:
    seen = machine.js(
        LISTENING
        + """await sdk.fs.writeFiles({ "/tmp/two/a": "A".repeat(300000), "/tmp/two/b": "B".repeat(300000) });
        const server = await sdk.spawn("busybox", ["httpd", "-f", "-p", "8081", "-h", "/tmp/two"]);
        await listening(8081);
        const texts = await Promise.all(["/a", "/b", "/a"].map(async (path) => (await sdk.fetch(8081, path)).text()));
        await server.kill();
        return texts.map((t) => [t.length, new Set(t).size, t[0]]);"""
    )
    assert seen == [[300_000, 1, "A"], [300_000, 1, "B"], [300_000, 1, "A"]]
