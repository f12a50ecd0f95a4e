"""The commands of `ebb image` (also: python -m ebbtide.image).

Rule: nothing is decided here; a failure is one message on stderr and exit code 1.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

from ..assets import images_folder
from ..cli import Parser
from ..cli_output import trouble
from .build import (
    build_from,
    build_image,
    check_image,
    extract,
    open_index,
    prune,
    read_manifest,
)
from .commands import commands
from .errors import ImageError
from .lock import (
    known_images,
    list_with,
    lock_path,
    make_lock,
    read_list,
    read_lock,
    write_lock,
)  # fmt: skip
from .progress import print_progress

DRAFT = ".draft-"
ID_LEAST = 4  # letters of an id that may stand for all of it


def default_out() -> Path:
    """Return where images lie unless told otherwise."""
    return images_folder()


def parser() -> argparse.ArgumentParser:
    """Return the parser of `ebb image`."""
    parser = Parser(prog="ebb image", description="Make and look at images.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument(
            "--out", type=Path, default=default_out(), help="directory of images (%(default)s)"
        )
        return sub

    build = command(
        "build", "Build an image from its lock, from packages, a directory or a tar archive."
    )
    build.add_argument(
        "name", help=f"{', '.join(known_images())}, or a new name with --from or --packages"
    )
    build.add_argument(
        "--from", dest="source", type=Path, metavar="PATH", help="a directory or tar archive"
    )
    build.add_argument(
        "--packages",
        metavar="LIST",
        help="Debian packages beside those of base, separated by commas or spaces",
    )
    build.add_argument("--lock", type=Path, help="another lock file")
    build.add_argument(
        "--mirror", help="Debian mirror (else $EBB_MIRROR, else the host's apt sources)"
    )
    lock = command("lock", "Renew the lock of an image from the mirror's present state.")
    lock.add_argument("name", choices=known_images())
    lock.add_argument("--mirror", help="as for build")
    command("check", "Check every blob of a built image.").add_argument("name")
    listings = [command("commands", "List the commands of a built image.")]
    listings[0].add_argument("name", help="name, or the beginning of its id")
    command("prune", "Delete blobs that no built image needs.")
    listings.append(command("ls", "List known and built images."))
    for one in listings:
        one.add_argument("-o", "--output", choices=("text", "json"), default="text")
    extracting = command("extract", "Write a built image's files to a directory.")
    extracting.add_argument("name")
    extracting.add_argument("to", type=Path)
    return parser


def _build(args: argparse.Namespace) -> None:
    progress = print_progress()
    if args.source:
        manifest = build_from(args.source, args.name, args.out)
    elif args.packages:
        wanted = list_with(args.name, args.packages.replace(",", " ").split())
        lock = make_lock(wanted, args.mirror, progress)
        manifest = build_image(lock, args.out, progress, mirror=args.mirror, packs=wanted.packs)
    else:
        lock = read_lock(args.lock) if args.lock else args.name
        manifest = build_image(lock, args.out, progress, mirror=args.mirror)
    print(
        f"{manifest['name']} {manifest['index']} "
        f"({manifest['files']} files, {manifest['bytes'] / 1e6:.1f} MB)"
    )


def listing(out: Path) -> list[dict[str, Any]]:
    """Return what is known of every image that is built or could be."""
    built = {path.parent.name for path in out.glob("*/manifest.json")}
    built = {name for name in built if DRAFT not in name}  # one being built
    rows: list[dict[str, Any]] = []
    for name in sorted(built | set(known_images())):
        row: dict[str, Any] = {"name": name, "built": name in built}
        if name in built:
            manifest = read_manifest(out, name)
            row |= {"id": manifest["index"], "files": manifest["files"], "bytes": manifest["bytes"]}
        rows.append(row)
    return rows


def _named(out: Path, word: str) -> str:
    """Give the name of a built image that is given by its name or the beginning of its id."""
    rows = [row for row in listing(out) if row["built"]]
    names = [row["name"] for row in rows]
    if word in names:
        return word
    found = [row["name"] for row in rows if len(word) >= ID_LEAST and row["id"].startswith(word)]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise ImageError(f"{word} begins the ids of {', '.join(found)}; give more of it")
    close = difflib.get_close_matches(word, names, 1)
    if close and word not in known_images():
        raise ImageError(f"there is no image {word}. Did you mean {close[0]}?")
    if word not in known_images():
        raise ImageError(f"there is no image {word}; `ebb image ls` lists them")
    return word  # reading it says how to build it


def _print(rows: list[dict[str, Any]] | list[str], output: str) -> None:
    if output == "json":
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        if isinstance(row, str):
            print(row)
        elif row["built"]:
            print(
                f"{row['name']:12} {row['id'][:16]} {row['files']:6} files"
                f" {row['bytes'] / 1e6:8.1f} MB"
            )
        else:
            print(f"{row['name']:12} not built: ebb image build {row['name']}")


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    args = parser().parse_args(argv)
    try:
        if args.command in ("check", "commands", "extract"):
            args.name = _named(args.out, args.name)
        match args.command:
            case "build":
                _build(args)
            case "lock":
                lock = make_lock(read_list(args.name), args.mirror, print_progress())
                write_lock(lock, lock_path(args.name))
                count = len(lock.packages)
                print(f"{lock_path(args.name)}: {count} packages of Debian {lock.release}")
            case "check":
                count = check_image(args.out, args.name, print_progress())
                print(f"{args.name}: {count} blobs are right")
            case "commands":
                index = open_index(args.out, args.name)
                _print(commands(index), args.output)
            case "prune":
                count, size = prune(args.out)
                print(f"{count} blobs deleted, {size / 1e6:.1f} MB")
            case "ls":
                _print(listing(args.out), args.output)
            case "extract":
                extract(args.out, args.name, args.to)
    except KeyboardInterrupt:
        print(
            "\nebb image: interrupted. The same command goes on where it stopped", file=sys.stderr
        )
        return 130
    except BrokenPipeError:
        raise  # nobody reads on: `ebb` ends
    except (ImageError, OSError) as error:
        print(f"ebb image: {trouble(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
