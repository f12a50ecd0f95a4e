"""NOTICES.txt names all that others wrote and we ship."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from build_steps import notices


def built(path: Path, command: str) -> Path:
    if not path.exists():
        pytest.fail(f"there is no {path.name}; mend: python3 build.py {command}")
    return path


def test_every_package_that_was_bundled_has_its_licence_there(build_folder: Path) -> None:
    built(build_folder / "web" / "main.js", "web")
    sources = {
        source
        for path in (build_folder / "web").glob("*.map")
        for source in json.loads(path.read_bytes())["sources"]
    }
    named = re.compile(r".*/node_modules/((?:@[^/]+/)?[^/]+)/")
    packages = {found[1] for source in sources if (found := named.match(source))}
    packages.discard("src")  # the paths xterm.js gives for its parts of Visual Studio Code
    assert "@xterm/xterm" in packages
    text = notices.notices(notices.NPM)
    for name in packages:
        assert (notices.PACKAGES / name / "LICENSE").read_text("utf-8").strip() in text, name


def test_each_product_has_the_notices_of_its_parts() -> None:
    for product in (notices.SITE, notices.WHEEL, notices.NPM):
        text = notices.notices(product)
        for part in notices.TABLE:
            assert (f"* {part.name}" in text) == (product in part.products)
    assert notices.notices(notices.THIN) == notices.NOTHING


def test_the_site_has_licence_and_notices(build_folder: Path) -> None:
    site = built(build_folder / "dist" / "index.html", "dist").parent
    assert (site / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert (site / "NOTICES.txt").read_text("utf-8") == notices.notices(notices.SITE)
