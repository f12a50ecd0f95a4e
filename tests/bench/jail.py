"""A process that is root in a folder of its own and runs there what it is told, timing it.

Started as `jail.py ROOT [QEMU]`; talks JSON lines over its standard streams. It has user, mount and
binfmt namespaces of its own, so nothing needs root and nothing outside changes: /tmp is new and
empty, and with qemu every riscv64 program in it runs, those that others start too.
Everything is imported before the root is changed: what lies there is another system's.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NEW_NAMESPACES = 0x10000000 | 0x00020000  # CLONE_NEWUSER, CLONE_NEWNS
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash", "LANG": "C.UTF-8",
}  # fmt: skip
# The head of a riscv64 ELF file, and which of its bits count (executables and libraries alike).
MAGIC = bytes.fromhex("7f454c460201010000000000000000000200f300")
MASK = bytes.fromhex("ffffffffffffff00fffffffffffffffffeffffff")

QEMU_LIBRARIES = ("/lib64", f"/usr/lib/{os.uname().machine}-linux-gnu")  # if it is not static

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path | str, kind: str | None, flags: int = 0) -> None:
    kind_bytes = kind.encode() if kind else None
    result = _libc.mount(source.encode(), os.fsencode(target), kind_bytes, flags, None)
    _checked(result, f"mounting {target}")


def enter(root: Path, qemu: str | None) -> None:
    """Become root of the folder."""
    uid, gid = os.getuid(), os.getgid()
    _checked(_libc.unshare(NEW_NAMESPACES), "new namespaces")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    for name in ("null", "zero", "urandom"):
        (root / "dev" / name).touch()
        _mount(f"/dev/{name}", root / "dev" / name, None, MS_BIND)
    _mount("tmpfs", root / "tmp", "tmpfs")
    if qemu:
        for folder in filter(os.path.isdir, QEMU_LIBRARIES):
            (root / folder[1:]).mkdir(exist_ok=True)
            _mount(folder, root / folder[1:], None, MS_BIND | MS_REC)
        _mount("binfmt_misc", root / "mnt", "binfmt_misc")
        magic, mask = ("".join(f"\\x{byte:02x}" for byte in part) for part in (MAGIC, MASK))
        # F: qemu is opened now, so it need not be in the folder.
        (root / "mnt" / "register").write_text(f":riscv64:M::{magic}:{mask}:{qemu}:F")
    os.chroot(root)
    os.chdir("/")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Write a file, or run a program."""
    if "put" in request:
        Path(request["put"]).write_bytes(base64.b64decode(request["data"]))
        return {}
    start = time.perf_counter()
    done = subprocess.run(
        request["run"], env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    ms = (time.perf_counter() - start) * 1000
    output = done.stdout.decode(errors="replace")
    return {"ms": ms, "output": output, "code": done.returncode, "error": done.stderr.decode()}


def main() -> None:
    try:
        enter(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
        reply: dict[str, Any] = {}
    except OSError as error:
        reply = {"refused": str(error)}
    print(json.dumps(reply), flush=True)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except OSError as error:
            reply = {"ms": 0, "output": "", "code": 127, "error": str(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
