"""The SDK as an npm package in build/npm: the modules, their types, and all they load beside them.

Images are not in it: they lie where the page's `images/` is, or below `baseURL`.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

from . import notices, setup, site
from .common import BUILD, ME, ROOT, done, run, write

NPM = BUILD / "npm"
LEAVE_OUT = ("*.br", "*.map", "index.html", "style.css", "icon.svg", "main.js", "start.js")


def npm(out: Path = NPM) -> Path:
    """Lay the package out and pack it; gives the .tgz."""
    start = time.monotonic()
    stage = out / "package"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(
        site.WEB,
        stage,
        ignore=shutil.ignore_patterns(*LEAVE_OUT, "examples", "bench*"),
        symlinks=True,
    )
    manifest = json.loads((ROOT / "sdk" / "package.json").read_bytes())
    for name in ("private", "devDependencies", "engines"):
        manifest.pop(name, None)
    write(stage / "package.json", json.dumps(manifest, indent=2) + "\n")
    write(stage / "README.md", _readme())
    _terminal_types(stage / "types")
    notices.put(stage, notices.NPM)
    _, command = setup.node()
    run(
        [*command, "pack", "--silent", "--offline", "--pack-destination", out, stage],
        env=setup.node_env(),
        mend=f"{ME} setup && {ME} npm",
    )
    shutil.rmtree(stage)
    (made,) = out.glob("*.tgz")
    done("npm", made.name, start, made)
    return made


def _readme() -> str:
    """The SDK's page as it reads in a project that has the package: its own name, no links to docs/."""
    text = (ROOT / "docs" / "sdk.md").read_text("utf-8")
    text = re.sub(r'"\./ebb/ebbtide\.js";.*', '"ebbtide";', text)
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)


def _terminal_types(types: Path) -> None:
    """Bring the types of the terminal, whose code is bundled, so that nothing else is needed."""
    xterm = ROOT / "sdk" / "node_modules" / "@xterm" / "xterm" / "typings" / "xterm.d.ts"
    shutil.copy(xterm, types / "terminal_library.d.ts")
    index = types / "index.d.ts"
    write(index, '/// <reference path="./terminal_library.d.ts" />\n' + index.read_text("utf-8"))
