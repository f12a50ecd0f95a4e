"""What the translator makes of a function: its WebAssembly as text, each block's instructions before it.

    python tests/support/region.py PROGRAM FUNCTION|ADDRESS

PROGRAM is a riscv64 ELF file, ADDRESS hexadecimal. All code around the entry is taken as executed before, so what never
ran in a real run is there as well. Needs build/native/test_jit (`python3 build.py kernel --native`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "runtime_py"))

from ebbtide import wasmtime_text  # noqa: E402

PAGE = 4096
BEFORE, AFTER = 4, 8  # pages of code that the translator is shown


class Unknown(Exception):
    """There is no such code, or nothing to translate it with."""


def entry_of(elf: ELFFile, name: str) -> int:
    """Give the address of a function, or the number that the name is."""
    tables = [one for one in elf.iter_sections() if isinstance(one, SymbolTableSection)]
    for table in tables:
        for symbol in table.get_symbol_by_name(name) or ():
            if symbol["st_shndx"] != "SHN_UNDEF":  # another file has it
                return int(symbol["st_value"])
    try:
        return int(name, 16)
    except ValueError:
        pass
    if not any(table.name == ".symtab" for table in tables):
        raise Unknown(
            f"this program has no symbols, so {name} is not found; an address is (hexadecimal)"
        )
    raise Unknown(f"{name} is no function here, nor an address")


def code_around(elf: ELFFile, entry: int) -> tuple[int, bytes]:
    """Give the address of a page before the entry, and the code from there on."""
    for segment in elf.iter_segments("PT_LOAD"):
        first, data = segment["p_vaddr"], segment.data()
        if segment["p_flags"] & 1 and first <= entry < first + len(data):
            start = max(first & -PAGE, (entry & -PAGE) - BEFORE * PAGE)
            end = (entry & -PAGE) + AFTER * PAGE
            return start, bytes(max(0, first - start)) + data[max(0, start - first) : end - first]
    raise Unknown(f"there is no code at {entry:#x}")


def translate(test_jit: Path, code: bytes, offset: int, page: int) -> tuple[str, bytes]:
    """Run the translator; gives its listing, and the module."""
    if not test_jit.exists():
        raise Unknown(f"{test_jit} is missing; mend: python3 build.py kernel --native")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "module")
        command = [test_jit, file, "code", code.hex(), f"{offset:x}", f"{page:x}"]
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
        if done.returncode:
            raise Unknown(f"no region begins there: {done.stdout}{done.stderr}")
        return done.stdout, file.read_bytes()[4:]


def show(program: Path, name: str, test_jit: Path) -> str:
    """Give the text for a function or address of a program."""
    try:
        with program.open("rb") as file:
            elf = ELFFile(file)
            if (elf["e_machine"], elf.elfclass) != ("EM_RISCV", 64):
                raise Unknown(f"{program} is not for riscv64")
            entry = entry_of(elf, name)
            page, code = code_around(elf, entry)
    except ELFError:
        raise Unknown(f"{program} is no ELF file, or a damaged one") from None
    listing, module = translate(test_jit, code, entry - page, page)
    return wasmtime_text.regions(module, listing)[f"{entry:x}"]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit((__doc__ or "").strip())
    native = Path(os.environ.get("EBB_BUILD") or ROOT / "build") / "native" / "test_jit"
    try:
        print(show(Path(sys.argv[1]), sys.argv[2], native))
    except (Unknown, OSError) as error:
        sys.exit(f"region: {error}")
