"""Admission and limits in a page: the binaries and the lines of the tests under CPython."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.machines import MachinePage
from support.admissions import CASES, Case, futexes

HARTS = pytest.mark.parametrize("harts", [1, 2])
BOOT = """
    const { boot } = await import("./ebbtide.js");
    const other = await boot({ memory: "256M", ...arg.options });
    await other.fs.mkdir("/t");
    for (const [name, url] of Object.entries(arg.programs)) {
        const data = new Uint8Array(await (await fetch(url)).arrayBuffer());
        await other.fs.writeFile(`/t/${name}`, data, { mode: 0o755 });
    }
"""


@pytest.fixture
def programs(guest_folder: Path, scratch_folder: Path) -> Any:
    """Serve guest programs; what BOOT takes."""

    def serve(*names: str, **options: Any) -> dict[str, Any]:
        urls = {}
        for name in names:
            flat = name.replace("/", "-")
            data = (guest_folder / "conformance" / name).read_bytes()
            (scratch_folder / flat).write_bytes(data)
            urls[flat] = f"/scratch/{flat}"
        return {"programs": urls, "options": options}

    return serve


@HARTS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_programs_say_what_the_policy_makes_of_them(
    machine: MachinePage, programs: Any, case: Case, harts: int
) -> None:
    seen = machine.js(
        f"""{BOOT}
        const seen = {{}};
        for (const name of Object.keys(arg.programs)) {{
            const {{ stdout, exitCode }} = await other.run(`/t/${{name}}`, [], {{ cwd: "/tmp", timeout: 120000 }});
            seen[name] = [stdout, exitCode];
        }}
        await other.close();
        return seen;""",
        programs(*case.says, policy=case.policy, harts=harts),
    )
    assert seen == {name.replace("/", "-"): [said, 0] for name, said in case.says.items()}


def test_policy_that_means_nothing_is_refused_at_boot(machine: MachinePage) -> None:
    error = machine.error(
        """const { boot } = await import("./ebbtide.js");
        await boot({ harts: 1, memory: "256M", policy: { clone: "EWHAT" } });"""
    )
    assert "EWHAT" in error["message"]


@HARTS
def test_fork_bomb_meets_the_limit_and_ends_by_ctrl_c(
    machine: MachinePage, programs: Any, harts: int
) -> None:
    seen = machine.js(
        f"""{BOOT}
        const p = await other.spawn("/t/admission-bomb", [], {{ pty: {{ rows: 24, cols: 80 }} }});
        const reader = p.stdout.getReader(), writer = p.stdin.getWriter();
        await readUntil(reader, /fork: EAGAIN/);
        const beside = (await other.run("/t/admission-futexes")).stdout;
        await writer.write(new Uint8Array([3]));
        const end = await p.exit;
        let after; // some are still dying
        do after = await other.run("/t/admission-bomb", ["38"]); while (/errno 11/.test(after.stdout));
        await other.close();
        return [beside, end.signal, after.stdout];""",
        programs("admission/bomb", "admission/futexes", harts=harts, limits={"pids": 40}),
    )
    assert seen == [futexes("EAGAIN", "EAGAIN"), "SIGINT", "ok\n"]


@HARTS
def test_out_of_memory_is_enomem_and_then_the_end_of_the_largest(
    machine: MachinePage, programs: Any, harts: int
) -> None:
    seen = machine.js(
        f"""{BOOT}
        const seen = [];
        for (const size of ["8", "200", "200", "8"])
            seen.push((await other.run("/t/admission-eater", [size], {{ timeout: 120000 }})).stdout);
        await other.close();
        return seen;""",
        programs("admission/eater", harts=harts, memory="96M"),
    )
    small = "it ended by signal 0\nok\n"
    large = "write: ENOSPC\nfork: ENOMEM\nit ended by signal 9\nok\n"
    assert seen == [small, large, large, small]
