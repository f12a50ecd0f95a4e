"""Golden tests of code generation: a few guest instructions beside the WebAssembly made of them.

A file of jit_golden/ says what it shows, then `hex assembly` lines, an empty line and the text expected. A call through a
register ends with `-> offset` if it is to be known where it has led; a jump with all such places.
EBB_GOLDEN=write writes the text anew; read the difference before it is committed. `support/region.py` shows the same
for a function of a program.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from ebbtide import wasmtime_text  # noqa: E402
from support import region  # noqa: E402

OWN = 2  # functions that every module has


@pytest.mark.parametrize(
    "golden", sorted((HERE / "jit_golden").glob("*.txt")), ids=lambda f: f.stem
)
def test_code_generation(golden: Path, build_folder: Path, tmp_path: Path) -> None:
    program, file = build_folder / "native" / "test_jit", tmp_path / "module"
    if not program.exists():
        pytest.fail(f"{program} is missing; mend: python3 build.py kernel --native")
    head, _, expected = golden.read_text().partition("\n\n")
    words, led = [], []
    for line in head.splitlines()[1:]:
        word, *targets = line.partition(" ")[0], *line.split(" -> ")[1:]
        if targets:
            led = ["0", "10000", f"{sum(len(word) // 2 for word in words):x}", *targets]
        words.append(word)
    code = "".join(bytes.fromhex(word)[::-1].hex() for word in words)
    subprocess.run(
        [program, file, "code", code, *led],
        check=True,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        timeout=300,
    )
    bodies = wasmtime_text.functions(file.read_bytes()[4:])[OWN:]
    text = "\nand\n".join("\n".join(body.lines) for body in bodies) + "\n"
    if os.environ.get("EBB_GOLDEN") == "write":
        golden.write_text(f"{head.rstrip()}\n\n{text}")
    else:
        assert text == expected


def test_what_the_numbers_in_the_text_mean_is_written_down(root: Path) -> None:
    header = (root / "kernel/cpu/block.h").read_text()
    fields = re.search(
        r"struct jit_context \{\n    u64 reg\[REG_SINK \+ 2\];(.*?)\};", header, re.S
    )
    assert fields and "REG_F = 32, REG_SINK = 64," in header
    at, offset = 8 * (64 + 2), {}
    for type, name in re.findall(r"^    (\w+) (\w+);", fields[1].partition("u64 expect")[0], re.M):
        offset[name] = at
        at += {"u64": 8, "u32": 4, "maddr": 4}[type]
    imports = re.findall(r'\{"(j_\w+)", \d\}', (root / "kernel/jit/module.c").read_text())
    page = (root / "docs/jit-details.md").read_text()
    named = ("pc", "reason", "tlb", "jump", "where")
    assert "offset=" + " ".join(f"{offset[name]}" for name in named).replace(" ", "` `") in page
    assert re.findall(r"`(j_\w+)`", page.partition("`call 0`")[2])[: len(imports)] == imports


def test_a_region_of_a_program_is_shown_with_its_instructions(
    build_folder: Path, guest_folder: Path
) -> None:
    native, program = build_folder / "native" / "test_jit", guest_folder / "fuzz" / "hot"
    with program.open("rb") as file:
        entry = region.ELFFile(file).header["e_entry"]
    text = region.show(program, f"{entry:x}", native)
    shown = [line for line in text.splitlines() if line.startswith(";; ")]
    assert shown[0].startswith(f";; {entry:x} ") and len(shown) > 3
    assert text.index(shown[0]) > text.index("local.get")
    with pytest.raises(region.Unknown, match="no function here"):
        region.show(guest_folder / "rewind" / "reverse", "nowhere", native)
    with pytest.raises(region.Unknown, match="no code at 0x10"):
        region.show(program, "10", native)


def test_a_region_that_cannot_be_shown_is_one_sentence(
    build_folder: Path, guest_folder: Path, tmp_path: Path
) -> None:
    native, program = build_folder / "native" / "test_jit", guest_folder / "fuzz" / "hot"
    text, stripped = tmp_path / "text", tmp_path / "stripped"
    text.write_text("no program")
    head = bytearray(program.read_bytes())
    head[40:48] = bytes(8)  # e_shoff, e_shnum and e_shstrndx: it has no sections
    head[60:64] = bytes(4)
    stripped.write_bytes(head)
    with pytest.raises(region.Unknown, match="text is no ELF file"):
        region.show(text, "10", native)
    text.write_bytes(program.read_bytes()[:300])
    with pytest.raises(region.Unknown, match="or a damaged one"):
        region.show(text, "10", native)
    with pytest.raises(region.Unknown, match="is not for riscv64"):
        region.show(native, "main", native)
    with pytest.raises(region.Unknown, match="has no symbols, so main is not found; an address is"):
        region.show(stripped, "main", native)
    entry = f"{int.from_bytes(head[24:32], 'little'):x}"
    assert region.show(stripped, entry, native) == region.show(program, entry, native)
    with pytest.raises(region.Unknown, match="missing; mend: python3 build.py kernel --native"):
        region.show(program, entry, tmp_path / "test_jit")
