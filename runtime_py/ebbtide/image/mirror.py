"""Which Debian mirror to use: --mirror, $EBB_MIRROR, else those the host's apt is set up with.

Rule: no address is written here. A candidate counts when its Release says Origin: Debian and
offers the suite for riscv64; when none does, the error lists what was tried and why it was not
taken.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from .errors import ImageError
from .fetch import open_url, without_secret

SUITE = "trixie"
COMPONENT = "main"
ARCH = "riscv64"
APT = Path("/etc/apt")
MEND = (
    "Set EBB_MIRROR=URL (or --mirror URL) to a Debian mirror: "
    "the address that has dists/ and pool/ below it"
)


@dataclass(frozen=True)
class Mirror:
    """A mirror that was found good, with the signed Release it answered."""

    url: str
    inrelease: bytes


def stanzas(text: str) -> list[dict[str, str]]:
    """Parse deb822 paragraphs; continuation lines are joined by newlines, comments dropped."""
    result: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                result.append(fields)
            fields, key = {}, ""
        elif line[0] in " \t":
            if key:
                fields[key] += "\n" + line.strip()
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    if fields:
        result.append(fields)
    return result


def apt_uris(apt: Path = APT) -> list[str]:
    """Return every http(s) URI of the host's apt sources, in order and once."""
    found: list[str] = []
    parts = apt / "sources.list.d"
    files = [apt / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    for path in files:
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            continue
        if path.suffix == ".sources":
            for fields in stanzas(text):
                if fields.get("enabled", "yes").lower() not in ("no", "false", "0"):
                    found += fields.get("uris", "").split()
        else:
            for line in text.splitlines():
                match = re.match(r"\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)", line)
                if match:
                    found.append(match[1])
    http = [u.rstrip("/") for u in found if u.startswith(("http://", "https://"))]
    return list(dict.fromkeys(http))


def release_fields(inrelease: bytes) -> dict[str, str]:
    """Return the fields of a Release, signed inline or not; verified is another matter."""
    text = inrelease.decode("utf-8", "replace")
    if text.startswith("-----BEGIN PGP SIGNED MESSAGE"):
        text = text.partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE")[0]
    parsed = stanzas(text)
    return parsed[0] if parsed else {}


def refusal(fields: dict[str, str]) -> str:
    """Say why a Release does not serve, or nothing."""
    if fields.get("origin") != "Debian":
        return f"its Release says Origin: {fields.get('origin', 'nothing')}, not Debian"
    if SUITE not in (fields.get("codename"), fields.get("suite")):
        return f"it is {fields.get('codename')}, not {SUITE}"
    if ARCH not in fields.get("architectures", "").split():
        return f"it has no {ARCH}"
    if COMPONENT not in fields.get("components", "").split():
        return f"it has no component {COMPONENT}"
    return ""


def find_mirror(given: str | None = None, apt: Path = APT) -> Mirror:
    """Return the first mirror that serves."""
    asked = given or os.environ.get("EBB_MIRROR")
    candidates = [asked.rstrip("/")] if asked else apt_uris(apt)
    tried: list[str] = []
    for url in candidates:
        where = f"{url}/dists/{SUITE}/InRelease"
        try:
            with open_url(where) as response:
                inrelease = response.read()
            reason = refusal(release_fields(inrelease))
        except (OSError, ValueError, http.client.HTTPException) as error:
            code = ""
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                code = f"{error.code} "
            reason = code + str(getattr(error, "reason", "") or error or type(error).__name__)
        if not reason:
            return Mirror(url, inrelease)
        tried.append(f"  {without_secret(where)}: {reason}")
    if not tried:
        raise ImageError(f"no Debian mirror is known: apt names none on this machine. {MEND}")
    raise ImageError("no Debian mirror answered as needed:\n" + "\n".join(tried) + f"\n{MEND}")
