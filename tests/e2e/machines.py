"""A booted machine in a page, as tests hold it: script runs in the page, typing goes to the terminal.

Whoever waits must wait for what only the last action can have brought: what stood there before is seen at once, and so is
the echo of what is typed. So commands say `do''ne`, patterns begin a line or end at the next prompt.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

BOOT_MS = SEE_MS = 240_000  # a quiet machine takes seconds
PROMPT = r"[#$]$"
FRAME = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"


class MachinePage:
    """The shell page with its machine."""

    def __init__(self, page: Page, query: str = "") -> None:
        self.page = page
        self.requests: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(f"/{query}")
        page.wait_for_function("document.body.dataset.state !== 'starting'", timeout=BOOT_MS)
        state = page.evaluate("document.body.dataset.state")
        assert state == "ready", page.inner_text("#failure")

    def js(self, body: str, arg: Any = None) -> Any:
        """Run the body of an async function with `sdk` and `arg` in the page."""
        return self.page.evaluate(
            f"async (arg) => {{ const sdk = window.sdk; {_HELPERS} {body} }}", arg
        )

    def blob(self, body: str, arg: Any = None) -> bytes:
        """The same for a body that returns a Blob, however large: as a download."""
        with self.page.expect_download() as saved:
            self.js(
                f"""const link = document.createElement("a");
                link.href = URL.createObjectURL(await (async () => {{ {body} }})());
                link.download = "blob";
                link.click();
                link.remove();""",
                arg,
            )
        return saved.value.path().read_bytes()

    def until(self, body: str, arg: Any = None) -> None:
        """Run the body of an async function in the page again and again until it gives something true.

        (Playwright's own wait takes the promise of an async function for something true.)
        """
        self.js(
            f"""const end = performance.now() + {SEE_MS};
            while (!(await (async () => {{ {body} }})())) {{
                if (performance.now() > end) throw new Error("this never came true");
                await new Promise((later) => setTimeout(later, 20));
            }}""",
            arg,
        )

    def error(self, body: str, arg: Any = None) -> dict[str, Any]:
        """Run a body that must reject; return what the error says."""
        said: dict[str, Any] = self.js(
            f"""try {{ await (async () => {{ {body} }})(); }} catch (error) {{
                return {{ name: error.name, code: error.code, message: error.message, errno: error.errno,
                    path: error.path, stdout: error.stdout && text(error.stdout) }};
            }}
            throw new Error("nothing was rejected");""",
            arg,
        )
        return said

    def run(self, *argv: str, **options: Any) -> dict[str, Any]:
        """`sdk.run` with utf8 output."""
        result: dict[str, Any] = self.js(
            "return sdk.run(arg.argv[0], arg.argv.slice(1), arg.options)",
            {"argv": argv, "options": options},
        )
        return result

    def type(self, text: str) -> None:
        """Type at the terminal in front."""
        self.page.locator("#terminal .screen:not([hidden]) textarea").focus()
        self.page.keyboard.type(text)

    def see(self, pattern: str) -> str:
        """Wait until the terminal shows a regular expression; return the whole screen of that moment."""
        seen = self.page.wait_for_function(
            """(pattern) => {
                const screen = window.screenText?.() ?? "";
                return new RegExp(pattern, "m").test(screen) && { screen };
            }""",
            arg=pattern,
            timeout=SEE_MS,
        )
        screen: str = seen.json_value()["screen"]
        return screen

    def drawn(self) -> None:
        """Wait until what the terminal knows is on the screen, where a mouse finds it."""
        self.page.evaluate(FRAME)

    def clear(self) -> None:
        """Leave nothing in the terminal in front but a prompt that has just been shown."""
        self.see(PROMPT)
        self.type("clear")
        self.see(r"[#$] clear$")
        self.page.keyboard.press("Enter")
        self.see(r"(?<![\s\S])[^\n]*[#$](?![\s\S])")


_HELPERS = """
    const text = (bytes) => new TextDecoder().decode(bytes);
    const collect = async (stream) => text(await new Response(stream).arrayBuffer());
    const readUntil = async (reader, pattern) => {
        let seen = "";
        while (!pattern.test(seen)) {
            const { value, done } = await reader.read();
            if (done) throw new Error("ended after: " + JSON.stringify(seen));
            seen += text(value);
        }
        return seen;
    };
    const eventsOf = async (rewind) => {
        const seen = [];
        for (;;) {
            const { events, whole } = await rewind.advance();
            seen.push(...events);
            if (whole) return seen;
        }
    };
    const outputOf = (events) => events.map(({ data }) => (data ? text(data) : "")).join("");
    const store = async (...path) => { // a file of the origin's: folders, name, bytes
        const [bytes, name] = [path.pop(), path.pop()];
        let folder = await navigator.storage.getDirectory();
        for (const inner of path) folder = await folder.getDirectoryHandle(inner, { create: true });
        const out = await (await folder.getFileHandle(name, { create: true })).createWritable();
        await out.write(bytes);
        await out.close();
    };
"""
