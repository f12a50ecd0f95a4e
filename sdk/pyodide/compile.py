"""Compile Python sources to bytecode archives; runs inside Pyodide, whose bytecode it must be.

Archives hold sourceless .pyc files with unchecked hashes and fixed dates: the same sources give
the same bytes.
"""

import importlib.util
import io
import zipfile
from importlib._bootstrap_external import _code_to_hash_pyc

DATE = (1980, 1, 1, 0, 0, 0)


def bytecode(source: bytes, name: str, archive: str) -> bytes:
    code = compile(source, f"{archive}/{name}", "exec", dont_inherit=True, optimize=0)
    return bytes(_code_to_hash_pyc(code, importlib.util.source_hash(source), checked=False))


def add(archive: zipfile.ZipFile, name: str, data: bytes, place: str) -> None:
    if name.endswith(".py"):
        data, name = bytecode(data, name, place), name + "c"
    info = zipfile.ZipInfo(name, DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=9)


def archive_compile(sources: bytes, place: str) -> bytes:
    """Turn a zip of sources into a zip of bytecode."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sources)) as old, zipfile.ZipFile(out, "w") as new:
        for info in sorted(old.infolist(), key=lambda info: info.filename):
            if not info.is_dir():
                add(new, info.filename, old.read(info), place)
    return out.getvalue()


def archive_extend(archive: bytes, files: dict[str, bytes], place: str) -> bytes:
    """Add further sources to a zip of bytecode."""
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as new:
        for name, data in sorted(files.items()):
            add(new, name, bytes(data), place)
    return out.getvalue()
