"""The page's own scripts, in node."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from build_steps import setup


def run_script(folder: Path, script: str, imports: Path) -> Any:
    """Run a module, bundled in `folder`, whose imports are relative to `imports`; gives what it says with say()."""
    script += "\nfunction say(value) { console.log(JSON.stringify(value)); }\nprocess.exit(0);"
    bundled = folder / "test.mjs"
    esbuild = setup.NODE_PACKAGES / "node_modules" / ".bin" / "esbuild"
    env = {**os.environ, **setup.node_env()}
    flags = ["--bundle", "--format=esm", "--log-level=error", f"--outfile={bundled}"]
    subprocess.run([esbuild, *flags], input=script, cwd=imports, env=env, text=True, check=True)
    done = subprocess.run(["node", bundled], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
