"""The workers of a page, as its browser tells of them."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlparse

from playwright.sync_api import Page


def wait_for_workers(page: Page, count: int) -> None:
    """Wait until so many run machines, beside the one that compiles (it comes with the first hot code),
    those that load and make joined code, and the one that keeps recordings.
    """

    def told() -> Counter[str]:
        return Counter(urlparse(worker.url).path for worker in page.workers)

    most = {"/worker.js": count, "/warm.js": 1, "/code.js": 2, "/runs.js": 1}
    while not told() <= Counter(most):  # the browser tells of their end a little later
        page.wait_for_timeout(10)
    assert told()["/worker.js"] == count
