"""Profiles in other programs' formats: pprof's protobuf, speedscope's JSON, collapsed stacks, a table.

The bytes depend on the profile alone.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable

from .. import leb128
from .profile import Frame, Profile


def collapsed(profile: Profile) -> str:
    """Return a line per stack, outermost first."""
    lines = [
        f"{';'.join(frame.name.replace(';', ':') for frame in stack)} {weight}\n"
        for stack, weight in profile.stacks
    ]
    return "".join(sorted(lines))


def table(profile: Profile, rows: int = 40) -> str:
    """Return what took most, each by itself and with what it called."""
    total = profile.total
    flat: dict[str, int] = {}
    whole: dict[str, int] = {}
    for stack, weight in profile.stacks:
        flat[stack[-1].name] = flat.get(stack[-1].name, 0) + weight
        for name in {frame.name for frame in stack}:
            whole[name] = whole.get(name, 0) + weight
    unit = profile.unit
    lines = [f"{profile.kind}: {_amount(total, unit)} in {profile.samples} samples"]
    lines.append(f"{'FLAT':>12} {'%':>6} {'SUM%':>6} {'CUM':>12} {'%':>6}  FUNCTION")
    above = 0
    order = sorted(whole, key=lambda name: (-flat.get(name, 0), -whole[name], name))
    for name in order[:rows]:
        own = flat.get(name, 0)
        above += own
        shares = (100 * part / (total or 1) for part in (own, above, whole[name]))
        a, b, c = (f"{share:.2f}" for share in shares)
        own_text, all_text = _amount(own, unit), _amount(whole[name], unit)
        lines.append(f"{own_text:>12} {a:>6} {b:>6} {all_text:>12} {c:>6}  {name}")
    if len(order) > rows:
        lines.append(f"and {len(order) - rows} more; --export writes all")
    return "\n".join(lines) + "\n"


def _amount(value: int, unit: str) -> str:
    if unit == "nanoseconds":
        return f"{value / 1e6:.3f}ms"
    return f"{value / 1e6:.2f}M" if value >= 10**6 else str(value)


def speedscope(profile: Profile, name: str) -> str:
    """Return a file for speedscope."""
    numbers: dict[Frame, int] = {}
    stacks = [[numbers.setdefault(frame, len(numbers)) for frame in stack]
              for stack, _ in profile.stacks]  # fmt: skip
    made = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "ebb",
        "name": name,
        "shared": {"frames": [{"name": frame.name, "file": frame.file} for frame in numbers]},
        "profiles": [
            {
                "type": "sampled",
                "name": profile.kind,
                "unit": "nanoseconds" if profile.unit == "nanoseconds" else "none",
                "startValue": 0,
                "endValue": profile.total,
                "samples": stacks,
                "weights": [weight for _, weight in profile.stacks],
            }
        ],
    }
    return json.dumps(made, indent=None, separators=(",", ":")) + "\n"


# ---- pprof's profile.proto -----------------------------------------------------------------------
def _varint(value: int) -> bytes:
    return leb128.written(value & (1 << 64) - 1)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, values)))


class _Strings:
    def __init__(self) -> None:
        self.all = {"": 0}

    def __call__(self, text: str) -> int:
        return self.all.setdefault(text, len(self.all))


def pprof(profile: Profile) -> bytes:
    """Return a compressed profile.proto."""
    strings = _Strings()
    count = _number(1, strings("samples")) + _number(2, strings("count"))
    value = _number(1, strings(profile.kind)) + _number(2, strings(profile.unit))
    out = [_bytes(1, count), _bytes(1, value)]
    files: dict[str, int] = {}
    frames: dict[Frame, int] = {}
    for stack, weight in profile.stacks:
        ids = [frames.setdefault(frame, len(frames) + 1) for frame in reversed(stack)]
        times = weight // profile.period if profile.period else 1
        out.append(_bytes(2, _packed(1, ids) + _packed(2, (times, weight))))
    for frame in frames:
        files.setdefault(frame.file, len(files) + 1)
    for file, id in files.items():
        out.append(_bytes(3, _number(1, id) + _number(5, strings(file)) + _number(7, 1)))
    for frame, id in frames.items():
        line = _bytes(4, _number(1, id))
        location = _number(1, id) + _number(2, files[frame.file]) + _number(3, frame.address) + line
        name = strings(frame.name)
        function = _number(1, id) + _number(2, name) + _number(3, name)
        out.append(_bytes(4, location))
        out.append(_bytes(5, function + _number(4, strings(frame.file))))
    out += [_number(9, profile.real_ns), _number(10, profile.duration_ns), _bytes(11, value)]
    out.append(_number(12, profile.period))
    out += [_bytes(6, text.encode()) for text in strings.all]
    return gzip.compress(b"".join(out), 6, mtime=0)
