"""web/examples: short enough to copy, and they do what they say, on a plain server as written by dist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.conftest import built

from e2e.machines import BOOT_MS
from ebbtide.serve import Server, site

LINES_MOST = 40


@pytest.fixture(scope="module")
def dist_url(build_folder: Path) -> Iterator[str]:
    dist = built(build_folder / "dist" / "index.html", "dist").parent
    with Server(site(dist, dist / "images"), port=0) as server:
        yield server.url


def test_examples_are_short(root: Path) -> None:
    for path in (root / "web" / "examples").glob("*.html"):
        assert len(path.read_text("utf-8").splitlines()) <= LINES_MOST, path.name


def test_run_on_click(dist_url: str, alone: Page) -> None:
    alone.goto(f"{dist_url}examples/run.html")
    alone.click("#run")
    alone.get_by_text("ended with 0").wait_for(timeout=BOOT_MS)
    assert alone.inner_text("#output").split("\n")[2:4] == ["3 squared is 9", "riscv64"]
    alone.fill("#script", "exit 3")
    alone.click("#run")
    alone.get_by_text("ended with 3").wait_for()


def test_terminal_in_an_article(dist_url: str, alone: Page) -> None:
    alone.goto(f"{dist_url}examples/article.html")
    alone.wait_for_function("/[#$]$/m.test(window.screenText?.() ?? '')", timeout=BOOT_MS)
    alone.locator("#terminal textarea").focus()
    alone.keyboard.type("echo $((6 * 7))\n")
    alone.wait_for_function("/^42$/m.test(window.screenText())")


def test_exercise_with_a_checker(dist_url: str, alone: Page) -> None:
    alone.goto(f"{dist_url}examples/exercise.html")
    alone.locator("#check:enabled").wait_for(timeout=BOOT_MS)
    alone.fill("#answer", "wc -l < /tmp/poem")
    alone.click("#check")
    alone.get_by_text("Not yet").wait_for()
    alone.fill("#answer", "grep -ow sea /tmp/poem | wc -l")
    alone.click("#check")
    alone.get_by_text("Right!").wait_for()
    alone.fill("#answer", "sleep 60")
    alone.click("#check")
    alone.get_by_text("did not end").wait_for()


def test_python_in_the_page(dist_url: str, alone: Page) -> None:
    strangers: list[str] = []

    def watch(url: str) -> None:
        if not url.startswith((dist_url, "blob:", "data:")):
            strangers.append(url)

    alone.on("request", lambda request: watch(request.url))
    alone.goto(f"{dist_url}examples/python.html")
    alone.wait_for_function("/ usr$/m.test(document.getElementById('output').textContent)")
    answer = alone.evaluate(
        "(program) => pyodide.runPythonAsync(program)",
        """
import ebbtide

done = await m.run("cat", stdin=b"\\x00\\xff", encoding="bytes")
assert done.stdout == b"\\x00\\xff" and done.exit_code == 0, done
died = await m.run("sh", "-c", "kill -TERM $$")
assert (died.exit_code, died.signal) == (143, 15), died
await m.fs.write_file("/tmp/a", "hi")
assert await m.fs.read_text("/tmp/a") == "hi" and "a" in await m.fs.readdir("/tmp")
try:
    await m.fs.read_file("/nowhere")
except FileNotFoundError as error:
    assert error.filename == "/nowhere"
try:
    await m.run("sleep", "60", timeout=0.2)
except ebbtide.ProcessTimeout:
    pass
try:
    await m.run("false", check=True)
except ebbtide.CommandFailed as failed:
    assert failed.exit_code == 1

sort = await m.spawn("sort", "-r", env={"LC_ALL": "C"}, cwd="/tmp")
await sort.stdin.write("a\\nb\\n")
await sort.stdin.write(b"c\\n")
await sort.stdin.close()
assert [line async for line in sort.stdout.lines()] == [b"c\\n", b"b\\n", b"a\\n"]
assert (await sort.wait()).exit_code == 0 and sort.exit and await sort.stderr.read() == b""
await sort.kill()
try:
    await sort.stdin.write("late")
except BrokenPipeError:
    pass
long = await m.spawn("head", "-c", "1000000", "/dev/zero", stdin=False)
assert await long.stdout.read(10) == bytes(10) and len(await long.stdout.read()) == 999_990
endless = await m.spawn("yes")
assert await endless.stdout.read(2) == b"y\\n"
await endless.stdout.close()
assert (await endless.wait()).signal == 13  # nobody reads it any more
stopped = await m.spawn("cat")
await stopped.kill("SIGKILL")
assert (await stopped.wait()).exit_code == 137
await stopped.close()
shell = await m.spawn("sh", pty=(24, 80))
assert not shell.stdin and not sort.pty
try:
    await sort.pty.resize(40, 100)
except AttributeError as error:
    assert "runs on no terminal" in str(error)
await shell.pty.resize(40, 100)
await shell.pty.write("stty size; exit 3\\n")
assert b"40 100" in await shell.pty.read() and (await shell.wait()).exit_code == 3
await shell.close()
try:
    await m.spawn("no-such-program")
except FileNotFoundError:
    pass
else:
    raise AssertionError("spawned what is not there")

try:
    await m.connect(8000)
except ConnectionRefusedError:
    pass
else:
    raise AssertionError("connected to nobody")
await m.fs.mkdir("/tmp/www")
await m.fs.write_file("/tmp/www/page", "by a guest")
httpd = await m.spawn("busybox", "httpd", "-f", "-p", "8000", "-h", "/tmp/www")
page = None
while page is None:
    try:
        page = await m.fetch(8000, "/page")
    except ConnectionRefusedError:  # it is not up yet
        assert httpd.exit is None
assert page.ok and page.text == "by a guest" and page.headers["content-length"] == "10"
assert (await m.fetch(8000, "/nothing")).status == 404
line = await m.connect(8000)
await line.write("GET /page HTTP/1.0\\r\\n\\r\\n")
await line.end()
assert (await line.read()).endswith(b"by a guest")
await line.close()
await httpd.kill()
assert (await httpd.wait()).signal == 15
await m.close()
try:
    await m.run("true")
except ebbtide.MachineClosed:
    said = "all is as in CPython"

hurried = await ebbtide.Machine.boot(harts=1, limits={"timeout": 0.5})
try:
    await hurried.run("sleep", "1000")
except ebbtide.ProcessTimeout as late:
    assert late.limit == "timeout"
nap = await hurried.spawn("sleep", "1000")
assert (await nap.wait()).exit_code == 143 and nap.limit == "timeout"
await hurried.close()
bounded = await ebbtide.Machine.boot(harts=1, limits={"max_output": 4})
try:
    await bounded.run("yes")
except ebbtide.OutputLimit as much:
    assert much.stdout == b"y\\ny\\n", much.stdout
await bounded.close()
said
""",
    )
    assert answer == "all is as in CPython"
    assert not strangers
