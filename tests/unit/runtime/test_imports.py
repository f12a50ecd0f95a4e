"""What runs in Pyodide imports the standard library only, and nobody but two modules knows `js`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "runtime_py" / "ebbtide"
NATIVE = {f"wasmtime_{name}.py" for name in ("jit", "kernel", "pages", "port")}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_module_imports_the_standard_library_only(path):
    foreign = imported(path) - set(sys.stdlib_module_names)
    assert foreign <= ({"wasmtime"} if path.name in NATIVE else set())


def test_js_is_imported_in_two_modules_at_most() -> None:
    knowing = [path.name for path in PACKAGE.rglob("*.py") if "js" in imported(path)]
    assert len(knowing) <= 2, knowing


def test_commands_that_replay_nothing_do_not_import_what_replays() -> None:
    look = "import sys, ebbtide.cli_rewind, ebbtide.cli_runs; print({'asyncio', 'wasmtime'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", look], text=True) == "set()\n"
