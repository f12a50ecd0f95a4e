"""A mount of the host cannot be left, changed where it is read-only, or used to plant anything.

The guest is root and hostile; what it does is compared with what the host's files are before and
after. Where two sides race, no order of events may break the rule, so a lost race proves nothing
and a won one fails.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide import blocking
from ebbtide.events import HostFs
from ebbtide.host_directories import HostDirectories
from ebbtide.placement import Mount
from ebbtide.wasmtime_kernel import KernelModule

pytestmark = pytest.mark.native
SECRET = b"not for guests"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory to show, beside one that must never be seen."""
    shared = tmp_path / "shared"
    (shared / "inner").mkdir(parents=True)
    (shared / "hello").write_text("from the host")
    (shared / "inner" / "file").write_text("inner")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(SECRET)
    return shared


@pytest.fixture
def booted(kernel_wasm: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("EBB_KERNEL", str(kernel_wasm))
    machines = []

    def boot(*mounts: Mount, image: str | None = "base", **options: Any) -> Any:
        machine = blocking.Machine.boot(image, harts=1, memory=256 << 20, mounts=mounts, **options)
        machines.append(machine)
        return machine

    yield boot
    for machine in machines:
        machine.close()


def pictured(folder: Path) -> dict[str, Any]:
    """Return all that can be seen of a tree, times of reading excepted."""
    picture = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        st = path.lstat()
        content: Any = os.readlink(path) if path.is_symlink() else None
        if stat.S_ISREG(st.st_mode):
            content = path.read_bytes()
        picture[str(path)] = (
            st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_ino, st.st_mtime_ns, content,
        )  # fmt: skip
    return picture


def shell(machine: Any, script: str) -> tuple[str, int]:
    done = machine.run("bash", "-c", f"exec 2>&1\n{script}\n", timeout=60)
    return done.stdout, done.exit_code


def test_neither_dots_nor_links_lead_out(booted: Any, host: Path) -> None:
    (host / "absolute").symlink_to(host.parent / "outside")
    (host / "up").symlink_to("../outside")
    (host / "round").symlink_to("/proc/self/root/../../mnt/../../outside")
    machine = booted(Mount(str(host), "/mnt"))
    for path in (
        "../outside",
        "inner/../../outside",
        "absolute",
        "up",
        "round",
        "inner/./../../..",
    ):
        said, code = shell(machine, f"cat /mnt/{path}/file")
        assert code and SECRET.decode() not in said
    # What the guest makes itself is followed in the guest, and lies on the host as it was written.
    said, _ = shell(
        machine,
        f"ln -s {host.parent}/outside /mnt/own; cat /mnt/own/file; cd /mnt/inner; ls ../..; "
        "ls -d /mnt/../outside; echo x > /mnt/own/new",
    )
    assert SECRET.decode() not in said
    assert sorted(os.listdir(host.parent / "outside")) == ["file"]


def test_racing_links_never_lead_out(booted: Any, host: Path) -> None:
    """The host's own hand swaps a directory for a link to the outside while the guest walks."""
    machine = booted(Mount(str(host), "/mnt"))
    inner, aside, link = host / "inner", host / "aside", host / "link"
    link.symlink_to(host.parent / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            inner.rename(aside)
            link.rename(inner)
            inner.rename(link)
            aside.rename(inner)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        said, _ = shell(
            machine,
            "for i in {1..300}; do cat /mnt/inner/file; echo bad > /mnt/inner/file$i; "
            "chmod 777 /mnt/inner /mnt/inner/file; rm -f /mnt/inner/file$i; done 2>/dev/null",
        )
    finally:
        stop.set()
        thread.join()
    assert SECRET.decode() not in said
    outside = host.parent / "outside"
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == SECRET
    assert stat.S_IMODE(outside.stat().st_mode) & 0o022 == 0


def test_a_link_swapped_in_between_look_and_act_is_not_followed(
    kernel_wasm: Path, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race of the test above, made to be lost: the swap comes right after the look."""
    served = Asked(kernel_wasm, Mount(str(host), "/mnt"))
    outside = host.parent / "outside" / "file"
    outside.chmod(0o600)
    look = os.stat

    def look_and_swap(path: Any, *args: Any, **options: Any) -> os.stat_result:
        found = look(path, *args, **options)
        if path == b"hello":
            os.unlink(host / "hello")
            os.symlink(outside, host / "hello")
        return found

    attr = served.attr(mode=stat.S_IFREG | 0o777)
    for op, args, rest in (
        ("READ", (0, 100), b""), ("WRITE", (0,), b"bad"), ("TRUNCATE", (0,), b""),
        ("SETATTR", (), attr),
    ):  # fmt: skip
        (host / "hello").unlink()
        (host / "hello").write_text("from the host")
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", look_and_swap)
            error, _, data = served.ask(op, b"hello", args, rest)
        assert error and not data, op
    assert outside.read_bytes() == SECRET and stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_the_mount_is_the_directory_that_was_shown_wherever_it_goes(
    booted: Any, host: Path
) -> None:
    machine = booted(Mount(str(host), "/mnt"), Mount(str(host / "inner"), "/inner"))
    # The guest moves the second mount's directory away and a link to everything into its place.
    said, code = shell(
        machine,
        "mv /mnt/inner /mnt/moved && ln -s / /mnt/inner && cat /inner/file && ls /inner",
    )
    assert (said, code) == ("innerfile\n", 0)
    # The host does the same with the first.
    host.rename(host.parent / "elsewhere")
    host.symlink_to("/")
    assert shell(machine, "cat /mnt/hello; ls /mnt") == ("from the hosthello\ninner\nmoved\n", 0)
    # The guest cannot move its mount points, nor the mount out of itself.
    said, code = shell(machine, "mv /mnt /elsewhere; mv /inner /inner2; ls /mnt")
    assert "busy" in said and said.endswith("hello\ninner\nmoved\n")


def test_hard_links_stay_in_one_mount(booted: Any, host: Path) -> None:
    other = host.parent / "other"
    other.mkdir()
    machine = booted(
        Mount(str(host), "/mnt"), Mount(str(other), "/other"), Mount(str(host), "/ro", True)
    )
    for script in (
        "ln /etc/passwd /mnt/passwd", "ln /mnt/hello /root/hello", "ln /ro/hello /mnt/hello2",
        "ln /mnt/hello /other/hello", "ln /ro/hello /ro/hello2", "ln /mnt/hello /mnt/../hello",
    ):  # fmt: skip
        said, code = shell(machine, script)
        assert code and ("cross-device" in said or "Read-only" in said), script
    assert shell(machine, "ln /mnt/hello /mnt/again && cat /mnt/again") == ("from the host", 0)
    (host / "link").symlink_to(host.parent / "outside" / "file")
    assert shell(machine, "ln -P /mnt/link /mnt/link2; readlink /mnt/link2")[1] == 0
    assert (host.parent / "outside" / "file").stat().st_nlink == 1


def test_devices_fifos_and_sockets_of_the_host_are_not_opened(booted: Any, host: Path) -> None:
    os.mkfifo(host / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(host, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{here}/socket")
    listener.listen()
    reader = os.open(host / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    devices = Path("/dev")
    machine = booted(Mount(str(host), "/mnt"), Mount(str(devices), "/hostdev", True))
    said, _ = shell(
        machine,
        """
        exec 3<>/mnt/fifo; echo out >&3          # a FIFO of the guest's, whatever the host has there
        timeout 5 busybox nc local:/mnt/socket </dev/null
        for f in /hostdev/zero /hostdev/null /hostdev/tty /hostdev/urandom; do
            head -c 1 $f >/dev/null && echo "opened $f"
        done
        mknod /mnt/null c 1 3; mknod /mnt/disk b 8 0; mkfifo /mnt/own; ls /mnt""",
    )
    assert "opened" not in said
    assert said.count("Operation not permitted") >= 2
    assert said.endswith("fifo\nhello\ninner\nsocket\n")
    assert os.read(reader, 10) == b""  # nobody has it open, nothing is in it
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
    os.close(reader)
    os.close(here)
    listener.close()


def test_no_set_id_file_is_planted_and_none_gives_power(booted: Any, host: Path) -> None:
    machine = booted(Mount(str(host), "/mnt"))
    said, _ = shell(
        machine,
        """
        cp /bin/cat /mnt/cat; cp /bin/busybox /mnt/box
        chmod u+s /mnt/box; chmod g+s /mnt/box; chmod 6755 /mnt/box
        install -m 4755 /bin/busybox /mnt/box2
        cp -p /usr/bin/passwd /mnt/passwd
        ls -l /mnt""",
    )
    assert "Operation not permitted" in said
    for path in host.iterdir():
        assert path.is_dir() or not path.stat().st_mode & 0o6000, path
    # One that the host has keeps its bits there and has no power here.
    (host / "cat").chmod(0o4755)
    (host / "hello").chmod(0o600)
    done = machine.run("/mnt/cat", "/mnt/hello", user="nobody")
    assert done.exit_code and "denied" in done.stderr
    assert "nosuid,nodev" in machine.fs.read_text("/proc/mounts")


def test_read_only_is_read_only_for_root_too(booted: Any, host: Path) -> None:
    (host / "link").symlink_to("hello")
    before = pictured(host)
    machine = booted(Mount(str(host), "/ro", read_only=True))
    said, _ = shell(
        machine,
        """
        attack() {
            echo bad > $1/hello; echo bad >> $1/hello; echo bad > $1/link; : > $1/new; mkdir $1/dir
            truncate -s 0 $1/hello; rm -rf $1/hello $1/inner; mv $1/hello $1/other; mv $1/inner $1/i
            ln $1/hello $1/hard; ln -s hello $1/soft; chmod 777 $1/hello $1; chown 1 $1/hello
            touch $1/hello $1; rmdir $1/inner; mkfifo $1/fifo; mknod $1/null c 1 3
            dd if=/dev/zero of=$1/hello conv=notrunc bs=1 count=1
            cp -a /etc/passwd $1/passwd; cp --attributes-only /etc/passwd $1/hello
        }
        attack /ro
        busybox mount -o remount,rw /ro && echo remounted; attack /ro
        mkdir /again && busybox mount -t hostfs -o mount=0 none /again && echo mounted; attack /again
        mkdir /bound && busybox mount --bind /ro /bound && busybox mount -o remount,rw,bind /bound && attack /bound
        echo done""",
    )
    assert said.endswith("done\n") and "remounted\n" in said
    assert pictured(host) == before


def test_only_what_was_shown_can_be_mounted(booted: Any, host: Path) -> None:
    machine = booted(Mount(str(host), "/mnt"))
    for number in ("1", "2", "4294967295", "-1", ""):
        said, code = shell(
            machine, f"mkdir -p /x; busybox mount -t hostfs -o mount={number} / /x && ls /x"
        )
        assert code and SECRET.decode() not in said, said
    done = machine.run(
        "busybox", "mount", "-t", "hostfs", "-o", "mount=0", "none", "/mnt", user="nobody"
    )
    assert done.exit_code


def test_what_a_mount_may_grow_by_is_limited(booted: Any, host: Path) -> None:
    machine = booted(Mount(str(host), "/mnt"), limits={"disk": 1 << 20})
    said, code = shell(machine, "head -c 500000 /dev/zero > /mnt/a && rm /mnt/a && echo ok")
    assert (said, code) == ("ok\n", 0)
    said, _ = shell(
        machine,
        "head -c 900000 /dev/zero > /mnt/a && echo first; head -c 900000 /dev/zero > /mnt/b; "
        "truncate -s 1G /mnt/b; for i in {1..300}; do : > /mnt/n$i; done; echo x >> /mnt/a",
    )
    assert said.startswith("first\n") and "No space left" in said
    assert sum(path.stat().st_size for path in host.iterdir() if path.is_file()) < 1 << 20
    assert len(list(host.iterdir())) < 260


# ---- Whatever a kernel could ask -----------------------------------------------------------------


class Asked:
    """A server of mounts without a machine: it must hold against any question."""

    def __init__(self, kernel_wasm: Path, *mounts: Mount) -> None:
        self.abi = KernelModule(kernel_wasm).abi
        self.served = HostDirectories(self.abi, mounts)

    def ask(
        self,
        op: str | int,
        path: bytes,
        args: tuple[int, ...] = (),
        rest: bytes = b"",
        mount: int = 0,
    ) -> tuple[int, int, bytes]:
        number = self.abi.groups["hostfs"][op] if isinstance(op, str) else op
        words = (*args, 0, 0, 0)[:3]
        request = HostFs(1, mount, number, (*words, len(path)), path + rest)
        return asyncio.run(self.served.serve(request))

    def attr(self, **values: int) -> bytes:
        return bytes(self.abi.structs["hostfs_attr"].pack(**values))


@pytest.mark.parametrize(
    "path",
    [b"..", b"../outside/file", b"inner/../../outside/file", b"/etc/passwd", b"inner//file", b".",
     b"./hello", b"up/file", b"absolute/x", b"he\0llo", b"inner/\0/file", b"hello/", b"x" * 5000],
)  # fmt: skip
def test_no_path_leads_out_whoever_asks(kernel_wasm: Path, host: Path, path: bytes) -> None:
    (host / "absolute").symlink_to(host.parent / "outside")
    (host / "up").symlink_to("../outside")
    before = pictured(host.parent)
    served = Asked(kernel_wasm, Mount(str(host), "/mnt"))
    attr = served.attr(mode=0o100777)
    for op in served.abi.groups["hostfs"]:
        error, _, data = served.ask(op, path, (0o777, 100), attr)
        assert error and not data, (op, path)
        for two in ("LINK", "RENAME"):
            assert served.ask(two, b"hello2", (), path)[0], (two, path)
            assert served.ask(two, b"hello", (), path)[0], (two, path)
    assert pictured(host.parent) == before


def test_nonsense_gets_an_error_and_changes_nothing_outside(kernel_wasm: Path, host: Path) -> None:
    served = Asked(kernel_wasm, Mount(str(host), "/mnt"), Mount(str(host), "/ro", True))
    outside = pictured(host.parent / "outside")
    pick = random.Random(4)
    paths = [b"", b"hello", b"inner", b"inner/file", b"..", b"/", b"\0", b"new", b"a/b"]
    numbers = [0, 1, 0o6777, 4096, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    for _ in range(3000):
        rest = pick.choice([b"", b"../outside/x", b"/tmp/x", pick.randbytes(pick.randrange(80))])
        args = tuple(pick.choice(numbers) for _ in range(3))
        if pick.random() < 0.1:
            args = tuple(-number for number in args)
        op = pick.choice([*range(16), 1 << 31])
        if op == served.abi.groups["hostfs"]["TRUNCATE"]:
            args = (min(args[0], 8192), *args[1:])  # not a disk full of holes
        if op == served.abi.groups["hostfs"]["WRITE"]:
            args = (pick.choice([0, 5, (1 << 64) - 1]), *args[1:])
        error, _, data = served.ask(
            op, pick.choice(paths), args, rest, pick.choice([0, 0, 1, 2, 7])
        )
        assert isinstance(error, int) and len(data) <= 1 << 20
    assert pictured(host.parent / "outside") == outside
    for path in host.rglob("*"):
        assert path.is_dir() or path.is_symlink() or not path.stat().st_mode & 0o6000


def test_after_the_end_nothing_is_served(kernel_wasm: Path, host: Path) -> None:
    served = Asked(kernel_wasm, Mount(str(host), "/mnt"))
    assert not served.ask("GETATTR", b"hello")[0]
    served.served.close()
    assert served.ask("GETATTR", b"hello")[0]
