"""Golden tests of code generation: a few guest instructions beside the WebAssembly made of them.

A file of jit_golden/ says what it shows, then `hex assembly` lines, an empty line and the text expected.
EBB_GOLDEN=write writes the text anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import wat  # noqa: E402


@pytest.mark.parametrize("golden", sorted((HERE / "jit_golden").glob("*.txt")), ids=lambda f: f.stem)
def test_code_generation(golden: Path, build_folder: Path, tmp_path: Path) -> None:
    program, file = build_folder / "native" / "test_jit", tmp_path / "module"
    if not program.exists():
        pytest.fail(f"{program} is missing; mend: python3 build.py kernel --native")
    head, _, expected = golden.read_text().partition("\n\n")
    words = [line.split()[0] for line in head.splitlines()[1:]]
    code = "".join(bytes.fromhex(word)[::-1].hex() for word in words)
    subprocess.run(
        [program, file, "code", code], check=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}, timeout=60
    )
    (body,) = wat.functions(file.read_bytes()[4:])
    text = "\n".join(body) + "\n"
    if os.environ.get("EBB_GOLDEN") == "write":
        golden.write_text(f"{head.rstrip()}\n\n{text}")
    else:
        assert text == expected
