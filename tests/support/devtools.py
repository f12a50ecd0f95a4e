"""Chromium through its DevTools protocol, for what Playwright stands in the way of: a tab that is put to sleep.

Playwright tells each page that it has the focus, and such a page is never frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.driver import Driver, DriverError


class Chromium(Driver):
    """A headless Chromium with a new profile in `folder`, and its one tab."""

    def __init__(self, binary: str, arguments: Sequence[str], folder: Path) -> None:
        command = [binary, "--headless", *arguments, f"--user-data-dir={folder / 'profile'}"]
        command += ["--remote-debugging-port=0", "about:blank"]
        super().__init__(command, folder / "chromium.log", "DevTools")

    def _open(self) -> None:
        targets = self.command("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        session = self.command("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        self._common = {"sessionId": session}

    def _evaluate(self, expression: str) -> str:
        result = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise DriverError(str(result["exceptionDetails"]))
        return str(result["result"]["value"])

    def goto(self, url: str) -> None:
        """Open an address; returns once its document has begun."""
        self.command("Page.navigate", url=url)

    def set_life(self, state: str) -> None:
        """Put the tab to sleep ("frozen") or wake it ("active")."""
        self.command("Page.setWebLifecycleState", state=state)
