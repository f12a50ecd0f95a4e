"""`sdk.fs`: the guest's files from the page, seen alike by programs."""

from __future__ import annotations

import pytest

from e2e.machines import MachinePage


def test_written_file_is_read_back_and_seen_by_programs(machine: MachinePage) -> None:
    seen = machine.js(
        """await sdk.fs.writeFile("/tmp/a.txt", "grüße\\n");
        await sdk.fs.writeFile("/tmp/tool", "#!/bin/sh\\necho ran\\n", { mode: 0o755 });
        return [await sdk.fs.readFile("/tmp/a.txt", "utf8"), (await sdk.run("cat", ["/tmp/a.txt"])).stdout,
            (await sdk.run("/tmp/tool")).stdout];"""
    )
    assert seen == ["grüße\n", "grüße\n", "ran\n"]


def test_large_file_keeps_every_byte(machine: MachinePage) -> None:
    same = machine.js(
        """const data = new Uint8Array(3_000_001).map((_, i) => i * 7);
        await sdk.fs.writeFile("/tmp/big", data);
        const back = await sdk.fs.readFile("/tmp/big");
        return back.length === data.length && back.every((byte, i) => byte === data[i]);"""
    )
    assert same is True


# What a page may have its bytes in; each is the four bytes 1, 2, 3, 0.
KINDS = """const four = new Uint8Array([9, 1, 2, 3, 0, 9]).subarray(1, 5);
    const whole = four.slice().buffer;
    const kinds = { string: "\\x01\\x02\\x03\\0", view: four, buffer: whole, data: new DataView(four.buffer, 1, 4),
        words: new Uint16Array([0x0201, 3]), one: new Uint32Array([0x00030201]), clamped: new Uint8ClampedArray(four),
        shared: (() => { const made = new SharedArrayBuffer(4); new Uint8Array(made).set(four); return made; })(),
        blob: new Blob([four]) };
    const hex = (bytes) => [...bytes].map((byte) => byte.toString(16)).join();"""


def test_bytes_of_every_kind_arrive_as_they_are(machine: MachinePage) -> None:
    seen = machine.js(
        KINDS
        + """const seen = {};
        for (const [kind, data] of Object.entries(kinds)) {
            await sdk.fs.writeFile("/tmp/one", data);
            await sdk.fs.writeFiles({ "/tmp/each": data });
            const ran = await sdk.run("cat", [], { stdin: data, encoding: "bytes" });
            const cat = await sdk.spawn("cat");
            const writer = cat.stdin.getWriter();
            await writer.write(data);
            await writer.close();
            const written = new Uint8Array(await new Response(cat.stdout).arrayBuffer());
            const read = [await sdk.fs.readFile("/tmp/one"), await sdk.fs.readFile("/tmp/each")];
            seen[kind] = [...read, ran.stdout, written].map(hex);
        }
        return [seen, whole.byteLength];"""
    )
    assert set(seen[0]) >= {"blob", "data", "buffer", "words"}
    assert {kind: each for kind, each in seen[0].items() if each != ["1,2,3,0"] * 4} == {}
    assert seen[1] == 4  # the caller still has them


def test_a_tar_may_be_a_blob(machine: MachinePage) -> None:
    assert (
        machine.js(
            """await sdk.fs.writeFiles({ "/tmp/blob/x": "X" });
            await sdk.fs.mkdir("/tmp/unblob");
            await sdk.fs.unpack("/tmp/unblob", new Blob([await sdk.fs.pack("/tmp/blob")]));
            return sdk.fs.readFile("/tmp/unblob/x", "utf8");"""
        )
        == "X"
    )


@pytest.mark.parametrize("data", ["[1, 2]", "7", "null", "undefined", "{ length: 3 }"])
def test_what_is_not_bytes_is_refused(machine: MachinePage, data: str) -> None:
    for call in (
        f'sdk.fs.writeFile("/tmp/no", {data})',
        f'sdk.fs.writeFiles({{ "/tmp/no": {data} }})',
        f'(await sdk.spawn("cat")).stdin.getWriter().write({data})',
    ):
        error = machine.error(f"await {call}")
        assert error["name"] == "TypeError" and "a Blob; got" in error["message"], call
    assert machine.js('return sdk.fs.exists("/tmp/no")') is False


def test_directories_links_and_removal(machine: MachinePage) -> None:
    seen = machine.js(
        """await sdk.fs.mkdir("/tmp/d/e/f", { parents: true });
        await sdk.fs.writeFile("/tmp/d/file", "x");
        await sdk.fs.symlink("file", "/tmp/d/link");
        await sdk.fs.rename("/tmp/d/file", "/tmp/d/file2");
        const dangling = await sdk.fs.stat("/tmp/d/link", { follow: false });
        const names = await sdk.fs.readdir("/tmp/d");
        const target = await sdk.fs.readlink("/tmp/d/link");
        const there = [await sdk.fs.exists("/tmp/d/link"), await sdk.fs.exists("/tmp/d/file2")];
        await sdk.fs.unlink("/tmp/d", { recursive: true });
        return [dangling.kind, names, target, there, await sdk.fs.exists("/tmp/d")];"""
    )
    assert seen == ["symlink", ["e", "file2", "link"], "file", [False, True], False]


def test_stat_tells_what_a_program_would_see(machine: MachinePage) -> None:
    stat = machine.js(
        """await sdk.fs.writeFile("/tmp/s", "12345", { mode: 0o640 });
        return sdk.fs.stat("/tmp/s");"""
    )
    assert (stat["kind"], stat["mode"], stat["size"], stat["uid"]) == ("file", 0o640, 5, 0)
    assert machine.run("stat", "-c", "%Y", "/tmp/s")["stdout"].strip() == str(stat["mtime"] // 1000)


def test_failure_names_errno_and_path(machine: MachinePage) -> None:
    error = machine.error('await sdk.fs.readFile("/nowhere/file")')
    assert (error["name"], error["code"], error["errno"]) == ("LinuxError", "linux", "ENOENT")
    assert error["path"] == "/nowhere/file"


def test_failure_of_an_open_file_names_it(machine: MachinePage) -> None:
    for call in ('readFile("/tmp")', 'readFiles(["/etc/passwd", "/tmp"])'):
        error = machine.error(f"await sdk.fs.{call}")
        assert (error["errno"], error["path"]) == ("EISDIR", "/tmp")
        assert error["message"].endswith(": /tmp")
    error = machine.error(
        """const { boot } = await import("./ebbtide.js");
        const small = await boot({ harts: 1, memory: "64M", limits: { disk: "1M" } });
        try {
            await small.fs.writeFile("/tmp/big", new Uint8Array(2 << 20));
        } finally {
            await small.close();
        }"""
    )
    assert (error["errno"], error["path"]) == ("ENOSPC", "/tmp/big")


def test_text_is_had_by_each_usual_form(machine: MachinePage) -> None:
    seen = machine.js(
        """await sdk.fs.writeFile("/tmp/text", "grüße");
        const read = (form) => sdk.fs.readFile("/tmp/text", form);
        const texts = await Promise.all(["utf8", "utf-8", { encoding: "utf8" }, { encoding: "utf-8" }].map(read));
        const bytes = await Promise.all([undefined, {}, "bytes", { encoding: "bytes" }].map(read));
        return [texts, bytes.map((one) => one instanceof Uint8Array && one.length)];"""
    )
    assert seen == [["grüße"] * 4, [7] * 4]


def test_many_files_in_one_message(machine: MachinePage) -> None:
    seen = machine.js(
        """await sdk.fs.writeFiles({ "/tmp/many/a": "A", "/tmp/many/sub/b": "B" });
        const back = await sdk.fs.readFiles(["/tmp/many/a", "/tmp/many/sub/b"]);
        return [...back].map(([path, bytes]) => [path, text(bytes)]);"""
    )
    assert seen == [["/tmp/many/a", "A"], ["/tmp/many/sub/b", "B"]]


def test_tar_goes_in_and_comes_out(machine: MachinePage) -> None:
    seen = machine.js(
        """await sdk.fs.writeFiles({ "/tmp/src/x": "X", "/tmp/src/y/z": "Z" });
        const made = await sdk.run("tar", ["-C", "/tmp/src", "-c", "."], { encoding: "bytes" });
        await sdk.fs.mkdir("/tmp/out");
        await sdk.fs.unpack("/tmp/out", made.stdout);
        const tar = await sdk.fs.pack("/tmp/out");
        const listed = await sdk.run("tar", ["-t"], { stdin: tar });
        return [await sdk.fs.readFile("/tmp/out/y/z", "utf8"), listed.stdout];"""
    )
    assert seen[0] == "Z"
    assert {"x", "y/z"} <= {line.removeprefix("./") for line in seen[1].splitlines()}
