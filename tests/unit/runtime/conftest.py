"""Lets the runtime's unit tests run from a checkout without an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "runtime_py"))
