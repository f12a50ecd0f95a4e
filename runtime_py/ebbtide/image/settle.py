"""What the packages' own scripts would have done, done here: the tables of it.

Rule: a row stands for one line of some package's postinst and does nothing when its source is not
in the image; the guest's scripts are never run on the host.
"""

from __future__ import annotations

import stat
from pathlib import Path

from . import alternatives, dpkgdb, ldcache
from .accounts import MASTERS, USER, write_accounts
from .pam import write_pam
from .tree import Tree

SKEL = Path(__file__).parent / "skel"

# Mount points and directories that base-files' postinst makes: path, mode, group.
DIRECTORIES = [
    ("/dev", 0o755, "root"), ("/proc", 0o555, "root"), ("/sys", 0o555, "root"),
    ("/run", 0o755, "root"), ("/run/lock", 0o1777, "root"), ("/tmp", 0o1777, "root"),
    ("/var/tmp", 0o1777, "root"), ("/root", 0o700, "root"), ("/home", 0o755, "root"),
    ("/mnt", 0o755, "root"), ("/srv", 0o755, "root"), ("/opt", 0o755, "root"),
    ("/etc/opt", 0o755, "root"), ("/var/opt", 0o755, "root"), ("/media", 0o755, "root"),
    ("/var/mail", 0o2775, "mail"), ("/usr/local/bin", 0o755, "root"),
    ("/usr/local/sbin", 0o755, "root"), ("/usr/local/lib", 0o755, "root"),
    ("/usr/local/share", 0o755, "root"), ("/usr/local/include", 0o755, "root"),
    ("/usr/local/etc", 0o755, "root"), ("/usr/local/src", 0o755, "root"),
    ("/var/log", 0o755, "root"), ("/var/cache", 0o755, "root"), ("/var/lib", 0o755, "root"),
]  # fmt: skip

# install_from_default of several packages: source, destination.
COPIES = [
    ("/usr/share/base-files/profile", "/etc/profile"),
    ("/usr/share/base-files/motd", "/etc/motd"),
    ("/usr/share/libc-bin/nsswitch.conf", "/etc/nsswitch.conf"),
    ("/usr/share/readline/inputrc", "/etc/inputrc"),
]

# Links: path, target; made when the target is there.
LINKS = [
    ("/etc/dpkg/origins/default", "debian"),
    ("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
    ("/etc/mtab", "../proc/self/mounts"),
    ("/var/spool/mail", "../mail"),
]
ALWAYS = {"/etc/mtab"}

# Empty logs: path, mode, group.
LOGS = [
    ("/var/log/wtmp", 0o664, "utmp"),
    ("/var/log/btmp", 0o660, "utmp"),
    ("/var/log/lastlog", 0o664, "utmp"),
]

# Directories with their own copies of the login files.
HOMES = [("/root", 0, 0), (USER[2], USER[1], USER[1])]

CERTIFICATES = "/usr/share/ca-certificates"


def _groups(tree: Tree) -> dict[str, int]:
    rows = [line.split(":") for line in tree.read(f"{MASTERS}/group.master").decode().splitlines()]
    return {row[0]: int(row[2]) for row in rows if len(row) > 2}


def settle(tree: Tree, packages: list[dpkgdb.Installed]) -> None:
    """Bring an unpacked tree into the state it has after configuration."""
    groups = _groups(tree)
    for path, mode, group in DIRECTORIES:
        tree.mkdir(path, mode, gid=groups.get(group, 0))
    for source, path in COPIES:
        if tree.find(source) is not None and tree.find(path) is None:
            tree.write(path, tree.read(source))
    for path, mode, group in LOGS:
        tree.write(path, b"", mode, gid=groups.get(group, 0))
    write_accounts(tree)
    for file in sorted(SKEL.rglob("*")):
        if file.is_file() and file.parent != SKEL / "home":
            tree.write("/" + file.relative_to(SKEL).as_posix(), file.read_bytes())
    for home, uid, gid in HOMES:
        for file in sorted((SKEL / "home").iterdir()):
            tree.write(f"{home}/.{file.name}", file.read_bytes(), uid=uid, gid=gid)
    for path, target in LINKS:
        there = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        if path in ALWAYS or tree.find(there) is not None:
            tree.symlink(path, target)
    shells(tree)
    write_pam(tree)
    certificates(tree)
    scripts = [p.control.get("postinst", b"").decode("utf-8", "replace") for p in packages]
    alternatives.apply(tree, [call for text in scripts for call in alternatives.read_calls(text)])
    ldcache.write_cache(tree)
    dpkgdb.write_database(tree, packages)


def shells(tree: Tree) -> None:
    """Write /etc/shells from the fragments that packages bring for update-shells."""
    lines = ["# /etc/shells: valid login shells", "/bin/sh"]
    for path, node in tree.walk("/usr/share/debianutils/shells.d"):
        if stat.S_ISREG(node.mode):
            lines += [
                line for line in tree.read(path).decode().splitlines() if line.startswith("/")
            ]
    tree.write("/etc/shells", ("\n".join(dict.fromkeys(lines)) + "\n").encode())


def certificates(tree: Tree) -> None:
    """Do what update-ca-certificates does: one bundle, and a link per certificate."""
    names, bundle = [], []
    for path, node in tree.walk(CERTIFICATES):
        if stat.S_ISREG(node.mode) and path.endswith(".crt"):
            names.append(path.removeprefix(CERTIFICATES + "/"))
            data = tree.read(path)
            bundle.append(data if data.endswith(b"\n") else data + b"\n")
            stem = path.rpartition("/")[2].removesuffix(".crt")
            tree.symlink(f"/etc/ssl/certs/{stem}.pem", path)
    if bundle:
        tree.write("/etc/ssl/certs/ca-certificates.crt", b"".join(bundle))
        tree.write("/etc/ca-certificates.conf", ("\n".join(names) + "\n").encode())
