"""The table of errors is whole, and what it quotes is really said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from build_steps import troubleshooting
from ebbtide import errors
from ebbtide.recording import ReplayDiverged
from ebbtide.rewind.store import RunMissing
from ebbtide.rewind.tape import TapeDamaged

TABLE = json.loads(troubleshooting.TABLE.read_bytes())


def test_every_error_of_python_has_a_row() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    own = [kind for kind in kinds if issubclass(kind, errors.EbbError)]
    for kind in (*own, ReplayDiverged, TapeDamaged, RunMissing):
        if kind is not errors.ProcessError:  # what is raised is one of its kinds
            coded = "code" in vars(kind) and kind is not errors.EbbError
            assert kind.code in TABLE["codes"] if coded else kind.__name__ in TABLE["python"], kind


def quoted() -> Iterator[str]:
    for group in ("codes", "python", "other"):
        for row in TABLE[group].values():
            yield from row.get("says", "").splitlines()


def test_what_is_quoted_is_said(root: Path) -> None:
    folders = (root / "runtime_py" / "ebbtide", root / "sdk" / "src")
    paths = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".ts")
    ]
    sources = "\n".join(path.read_text("utf-8") for path in paths)
    for text in quoted():
        for part in re.split("…", text):
            # A source may break a message into lines, and put a name for a constant.
            words = max(part.split(". "), key=len).strip(" :;()")
            assert words in sources or words in troubleshooting.page(), text


def test_the_page_has_messages_of_all_sources() -> None:
    page = troubleshooting.page()
    for text in ("it lacks …. A current", "no program was named", "No terminal could be opened.",
                 "no Debian mirror is known", "there is no kernel at …", "needs the Debian package"):  # fmt: skip
        assert text in page
