"""Firefox through WebDriver BiDi, as far as tests need it: one tab, script in it, keys, its history.

Playwright drives only a Firefox of its own build; any Firefox speaks BiDi.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.driver import Driver, DriverError

ENTER = "\ue007"

# On top of what Firefox sets for itself when it is driven: nothing is asked of any other server.
PREFERENCES = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
"""


class Firefox(Driver):
    """A headless Firefox with a new profile in `folder`, and its one tab."""

    def __init__(self, binary: str, folder: Path) -> None:
        profile = folder / "profile"
        profile.mkdir()
        (profile / "user.js").write_text(PREFERENCES)
        self.errors: list[str] = []
        command = [binary, "--headless", "--no-remote", "--profile", str(profile)]
        command += ["--remote-debugging-port", "0", "about:blank"]
        super().__init__(command, folder / "firefox.log", "WebDriver BiDi")

    def _address(self, log: Path, listening: str) -> tuple[str, int, str]:
        host, port, _ = super()._address(log, listening)
        return host, port, "/session"

    def _open(self) -> None:
        session = self.command("session.new", capabilities={})
        self.version: str = session["capabilities"]["browserVersion"]
        self.command("session.subscribe", events=["log.entryAdded"])
        self.tab: str = self.command("browsingContext.getTree")["contexts"][0]["context"]

    def _event(self, name: str, params: dict[str, Any]) -> None:
        if name == "log.entryAdded" and params["level"] == "error":
            self.errors.append(str(params["text"]))

    def _evaluate(self, expression: str) -> str:
        result = self.command(
            "script.evaluate",
            expression=expression,
            target={"context": self.tab},
            awaitPromise=True,
        )
        if result["type"] == "exception":
            raise DriverError(result["exceptionDetails"]["text"])
        return str(result["result"]["value"])

    def goto(self, url: str) -> None:
        """Open an address and wait until it has loaded."""
        self.command("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def before_each_page(self, function: str) -> None:
        """Call a function in every document to come, before its own scripts."""
        self.command("script.addPreloadScript", functionDeclaration=function)

    def travel(self, steps: int) -> None:
        """Go through the history."""
        self.command("browsingContext.traverseHistory", context=self.tab, delta=steps)

    def type(self, text: str) -> None:
        """Press keys, one for each character."""
        actions = [
            {"type": kind, "value": ENTER if letter == "\n" else letter}
            for letter in text
            for kind in ("keyDown", "keyUp")
        ]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self.command("input.performActions", context=self.tab, actions=[source])
