"""What `build.py demo --check` runs: the page, headless, as a visitor would use it, for each image.

Exits 0 only if `ls -l /` typed at the prompt and `sdk.run` gave the right output in every image.
"""

from __future__ import annotations

import os
import sys
import time

from playwright.sync_api import Page, sync_playwright

from ebbtide.assets import images_folder, web_folder
from ebbtide.serve import Server, site

CHROMIUM_ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
TIMEOUT_MS = 120_000
# What any Debian has in its root.
EXPECTED = ("bin", "dev", "etc", "home", "proc", "root", "tmp", "usr", "var")


def check(page: Page, url: str, image: str) -> None:
    started = time.monotonic()
    page.goto(f"{url}?image={image}")
    page.wait_for_function("['ready', 'failed'].includes(document.body.dataset.state)")
    state = page.evaluate("document.body.dataset.state")
    assert state == "ready", page.evaluate("document.body.innerText")
    booted = time.monotonic()

    result = page.evaluate("sdk.run('ls', ['-l', '/'])")
    assert result["exitCode"] == 0, result
    names = {line.split()[8] for line in result["stdout"].splitlines()[1:]}
    assert names.issuperset(EXPECTED), result

    page.wait_for_function(r"/ebb.*[#$]$/m.test(screenText())")  # the prompt names the host
    page.keyboard.type("ls -l / | tail -n +2 | wc -l; echo done:$?\n")
    page.wait_for_function("screenText().includes('done:0')")
    counted = [line.strip() for line in page.evaluate("screenText()").splitlines()]
    assert str(len(names)) in counted, counted
    page.keyboard.type("clear; ls -l /\n")
    for name in EXPECTED:
        page.wait_for_function("name => screenText().includes(name)", arg=name)
    print(f"    demo  image {image}: prompt after {booted - started:.1f} s, `ls -l /` is right")


def main(images: list[str]) -> int:
    with Server(site(web_folder(), images_folder()), port=0) as server, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=os.environ.get("EBB_CHROMIUM"), args=list(CHROMIUM_ARGS)
        )
        for image in images:
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            lines: list[str] = []
            page.on("console", lambda message, lines=lines: lines.append(message.text))
            try:
                check(page, server.url, image)
            except Exception:
                print("\n".join(["the page printed:", *lines]), file=sys.stderr)
                raise
            context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["base", "debian"]))
