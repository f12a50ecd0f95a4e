#!/usr/bin/env python3
"""Build, test and run Ebb: `python3 build.py demo` on a machine that has nothing but Python.

This file only parses the command line; the steps are in runtime_py/build_steps. Everything here
and there is standard library only, because it runs before there is a virtual environment.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Ebb needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")
if not sys.platform.startswith(("linux", "darwin")):
    sys.exit(f"Ebb builds on Linux and macOS; this is {sys.platform}")

from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "runtime_py"))

from build_steps import main

if __name__ == "__main__":
    sys.exit(main.main())
