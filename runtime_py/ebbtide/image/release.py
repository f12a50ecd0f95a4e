"""What a Debian archive offers, from its signed Release down to each package's hash.

Rule: nothing below the signature is believed unless its size and SHA-256 stand in what was
believed before.
"""

from __future__ import annotations

import email.utils
import lzma
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ImageError
from .fetch import Cache, Progress, Wanted, no_progress
from .mirror import ARCH, COMPONENT, SUITE, Mirror, refusal, release_fields

KEYRINGS = (
    "/usr/share/keyrings",
    "/etc/apt/keyrings",
    "/etc/apt/trusted.gpg.d",
    "/etc/apt/trusted.gpg",
)
KEYS = Path(__file__).parent / "lists" / "debian-keys.txt"

Verifier = Callable[[bytes], bytes]
"""Takes an InRelease file, returns what was signed, raises ImageError if that is not good."""


@dataclass(frozen=True)
class Package:
    """A binary package as the archive describes it; relations are kept as written."""

    name: str
    version: str
    arch: str
    source: str
    source_version: str
    filename: str
    sha256: str
    size: int
    depends: str
    pre_depends: str
    provides: str

    @property
    def wanted(self) -> Wanted:
        """Return the file to fetch."""
        return Wanted(self.filename, self.sha256, self.size)


@dataclass(frozen=True)
class Archive:
    """A verified state of the archive: when it was made and what it holds."""

    version: str
    date: int
    packages: dict[str, Package]


def key_fingerprints(path: Path = KEYS) -> frozenset[str]:
    """Read the fingerprints kept in the repository: the first word of each line."""
    lines = (line.partition("#")[0].split() for line in path.read_text("ascii").splitlines())
    return frozenset(words[0].lower() for words in lines if words)


def _keyring_files(places: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_file():
            found.append(place)
        elif place.is_dir():
            found += sorted(p for p in place.iterdir() if p.suffix in (".gpg", ".asc", ".pgp"))
    return found


def verify_inrelease(
    inrelease: bytes, places: Sequence[str] = KEYRINGS, fingerprints: frozenset[str] | None = None
) -> bytes:
    """Check an inline signature with the host's copies of our keys; return what was signed."""
    try:
        import pysequoia
    except ImportError:
        raise ImageError(
            "checking the archive's signature needs pysequoia. pip install pysequoia"
        ) from None
    wanted = key_fingerprints() if fingerprints is None else fingerprints
    keys = []
    for path in _keyring_files(places):
        try:
            certs = pysequoia.Cert.split_bytes(path.read_bytes())
        except (RuntimeError, ValueError, OSError):
            continue
        keys += [cert for cert in certs if cert.fingerprint.lower() in wanted]
    if not keys:
        raise ImageError(
            f"none of Debian's archive keys is in {', '.join(places)}. "
            "Install the package debian-archive-keyring, or put its .gpg files there"
        )
    try:
        result = pysequoia.verify(bytes=inrelease, store=lambda _ids: keys)
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else "unreadable"
        raise ImageError(f"the archive's InRelease is not signed by Debian: {first}") from None
    if not any(sig.certificate.lower() in wanted for sig in result.valid_sigs):
        raise ImageError("the archive's InRelease is not signed by a key of Debian that we know")
    return bytes(result.bytes or b"")


def hashes(release: dict[str, str]) -> dict[str, Wanted]:
    """Return the SHA-256 table of a Release by file name."""
    table: dict[str, Wanted] = {}
    for line in release.get("sha256", "").splitlines():
        words = line.split()
        if len(words) == 3:
            table[words[2]] = Wanted(words[2], words[0], int(words[1]))
    return table


def parse_packages(text: str) -> dict[str, Package]:
    """Parse a Packages file; of several versions of one name the first stays."""
    result: dict[str, Package] = {}
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            if line and line[0] not in " \t":
                key, _, value = line.partition(": ")
                fields[key] = value
        name = fields.get("Package")
        if not name or name in result:
            continue
        source, _, source_version = fields.get("Source", name).partition(" ")
        version = fields["Version"]
        result[name] = Package(
            name, version, fields["Architecture"], source, source_version.strip("()") or version,
            fields["Filename"], fields["SHA256"], int(fields["Size"]),
            fields.get("Depends", ""), fields.get("Pre-Depends", ""), fields.get("Provides", ""),
        )  # fmt: skip
    return result


def load_archive(
    mirror: Mirror, cache: Cache, progress: Progress = no_progress,
    verify: Verifier = verify_inrelease, arch: str = ARCH,
) -> Archive:  # fmt: skip
    """Verify the mirror's Release and read the package list it vouches for."""
    release = release_fields(verify(mirror.inrelease))
    reason = refusal(release)
    if reason:
        raise ImageError(f"the signed Release of {mirror.url} does not serve: {reason}")
    table = hashes(release)
    listing = table.get(f"{COMPONENT}/binary-{arch}/Packages.xz")
    if listing is None:
        raise ImageError(
            f"the signed Release of {mirror.url} lists no {COMPONENT}/binary-{arch}/Packages.xz"
        )
    where = f"dists/{SUITE}/{listing.filename}"
    if release.get("acquire-by-hash") == "yes":
        where = f"{where.rpartition('/')[0]}/by-hash/SHA256/{listing.sha256}"
    wanted = Wanted(where, listing.sha256, listing.size)
    cache.fetch_all(mirror.url, [wanted], progress, what="package list")
    text = lzma.decompress(cache.get(wanted).read_bytes()).decode("utf-8")
    date = int(email.utils.parsedate_to_datetime(release["date"]).timestamp())
    return Archive(release.get("version", ""), date, parse_packages(text))
