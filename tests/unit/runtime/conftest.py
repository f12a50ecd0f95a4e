"""Lets the runtime's unit tests import the package from the checkout, and their own fakes."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "runtime_py")]
