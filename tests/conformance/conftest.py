"""Runs guest programs of tests/conformance: the same binary under qemu-user and in a machine.

A program first passes on Linux (or qemu's user mode), then here: same output, same exit code. One
machine serves a whole session; one that has panicked is replaced, so that a failure stays where it
belongs.
"""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ebbtide import blocking
from ebbtide.owner_role import ROOT, environment

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 300.0  # only what hangs meets it, on any machine
MEMORY = 512 << 20


@dataclass(frozen=True)
class Verdict:
    """What a program said and how it ended; death by a signal is 128 + signal."""

    exit_code: int
    stdout: bytes
    stderr: bytes = field(compare=False)


def directives(source: Path) -> dict[str, str]:
    """Read `// name: value` lines at the head of a program's source: args, stdin, harts."""
    found: dict[str, str] = {}
    with source.open() as file:
        for line in file:
            if not line.startswith("//"):
                break
            name, colon, value = line[2:].partition(":")
            if colon and name.strip().isidentifier():
                found[name.strip()] = value.strip()
    return found


class Guests:
    """Puts guest programs into machines and runs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._machines: dict[int, Any] = {}

    def machine(self, harts: int = 1) -> Any:
        """Return the session's machine with so many harts."""
        machine = self._machines.get(harts)
        if machine is not None and machine.panic is not None:
            self._machines.pop(harts)
            machine.close()
            machine = None
        if machine is None:
            machine = blocking.Machine.boot(None, harts=harts, memory=MEMORY)
            machine.fs.mkdir("/tmp", 0o1777, parents=True)
            self._machines[harts] = machine
        return machine

    def program(self, name: str) -> Path:
        """Return the built binary of a program, named as its source in tests/."""
        path = self._folder / name
        if not path.is_file():
            pytest.fail(f"{path} is missing; mend: python3 build.py guests")
        return path

    def run(
        self, name: str, *args: str, stdin: bytes = b"", harts: int = 1, **options: Any
    ) -> Verdict:
        """Run a program in a machine."""
        machine = self.machine(harts)
        path = f"/t/{name}"
        if not machine.fs.exists(path):
            machine.fs.mkdir(path.rpartition("/")[0], parents=True)
            machine.fs.write_file(path, self.program(name).read_bytes(), mode=0o755)
        result = machine.run(
            path, *args, stdin=stdin, encoding="bytes", timeout=TIMEOUT_S, cwd="/tmp", **options
        )
        return Verdict(result.exit_code, result.stdout, result.stderr)

    def close(self) -> None:
        """End all machines."""
        for machine in self._machines.values():
            machine.close()


@pytest.fixture(scope="session")
def guests(kernel_wasm: Path, guest_folder: Path) -> Iterator[Guests]:
    """Machines for guest programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBB_KERNEL", str(kernel_wasm))
        all_guests = Guests(guest_folder)
        yield all_guests
        all_guests.close()


@pytest.fixture
def on_linux(qemu: str, guest_folder: Path, tmp_path: Path) -> Any:
    """Run the same binary under qemu's user mode.

    `// linux: native` asks for its twin on this very Linux instead: the program tests what the
    user mode does not have (threads and processes of every kind).
    """

    def command(name: str) -> list[str]:
        if directives(HERE.parent / f"{name}.c").get("linux") != "native":
            return [qemu, str(guest_folder / name)]
        if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
            pytest.skip("the native twin needs Linux on x86-64")
        return [str(guest_folder.parent / "native-guests" / name)]

    def run(name: str, *args: str, stdin: bytes = b"") -> Verdict:
        ended = subprocess.run(
            [*command(name), *args],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            cwd=tmp_path,
            env=environment(ROOT, False),
        )
        code = 128 - ended.returncode if ended.returncode < 0 else ended.returncode
        return Verdict(code, ended.stdout, ended.stderr)

    return run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each C program of this folder to tests that ask for `program`."""
    if "program" in metafunc.fixturenames:
        sources = sorted(HERE.rglob("*.c"))
        names = [str(source.relative_to(HERE.parent).with_suffix("")) for source in sources]
        metafunc.parametrize("program", names)


@pytest.fixture
def asked(program: str) -> dict[str, Any]:
    """What the head of the program's source asks for."""
    found = directives(HERE.parent / f"{program}.c")
    return {
        "args": shlex.split(found.get("args", "")),
        "stdin": found.get("stdin", "").encode().decode("unicode_escape").encode(),
        "harts": int(found.get("harts", "1")),
    }
