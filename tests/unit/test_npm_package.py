"""The npm package: what is in it, and that a project that installs it compiles against it.

Nothing is downloaded: the compiler and the bundler are those of sdk/, the package is unpacked to
where a package manager would put it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from build_steps import npm, setup, site

PROGRAM = """
import { boot, type RunResult, type Sdk } from "ebbtide";
import { isolate } from "ebbtide/isolate";

await isolate();
const sdk: Sdk = await boot({ image: "base", memory: "512M" });
const result: RunResult<string> = await sdk.run("ls", ["-l"]);
const bytes: Uint8Array = (await sdk.run("ls", [], { encoding: "bytes" })).stdout;
// @ts-expect-error: there is no such option
await boot({ imgae: "base" });
document.title = result.stdout + bytes.length;
"""
OPTIONS = {
    "target": "ES2024",
    "module": "ESNext",
    "moduleResolution": "bundler",
    "strict": True,
    "noEmit": True,
    "lib": ["ES2024", "ESNext.Disposable", "DOM", "DOM.AsyncIterable"],
    "skipLibCheck": False,
    "types": [],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with the package installed."""
    if not (site.WEB / "ebbtide.js").is_file():
        pytest.fail("there is no SDK; mend: python3 build.py web")
    folder = tmp_path_factory.mktemp("npm")
    packed = npm.npm(folder / "packed")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    modules = folder / "project" / "node_modules"
    modules.mkdir(parents=True)
    (folder / "unpacked" / "package").rename(modules / "ebbtide")
    (folder / "project" / "main.ts").write_text(PROGRAM)
    settings = {"compilerOptions": OPTIONS, "include": ["main.ts"]}
    (folder / "project" / "tsconfig.json").write_text(json.dumps(settings))
    return folder / "project"


def tool(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    binary = setup.NODE_PACKAGES / "node_modules" / ".bin" / name
    env = {**os.environ, **setup.node_env()}
    return subprocess.run(
        [str(binary), *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_the_package_holds_what_a_machine_needs(project: Path) -> None:
    package = project / "node_modules" / "ebbtide"
    for name in ("ebbtide.js", "isolate.js", "worker.js", "bell.js", "service_worker.js",
                 "kernel.wasm", "commands.json", "pyodide/index.json", "README.md",
                 "LICENSE", "NOTICE", "NOTICES.txt"):  # fmt: skip
        assert (package / name).is_file(), name
    manifest = json.loads((package / "package.json").read_text())
    assert (manifest["name"], manifest["type"]) == ("ebbtide", "module")
    assert "private" not in manifest and not manifest.get("dependencies")
    for path in [
        manifest["types"],
        *(one["default"] for one in manifest["exports"].values() if isinstance(one, dict)),
    ]:
        assert (package / path).is_file(), path
    assert not list(package.rglob("*.map")) and not list(package.rglob("*.br"))


def test_a_project_compiles_against_its_types(project: Path) -> None:
    done = tool("tsc", "-p", ".", cwd=project)
    assert done.returncode == 0, done.stdout


def test_a_project_bundles_it(project: Path) -> None:
    arguments = ("main.ts", "--bundle", "--format=esm", "--target=es2023", "--outfile=out.js")
    done = tool("esbuild", *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    assert "worker.js" in (project / "out.js").read_text()
