"""The wheel, installed where nothing else of ours is: it runs a guest and serves the page.

Nothing is downloaded: wasmtime, the one thing a wheel depends on, is linked from this environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from build_steps import notices, site
from ebbtide import assets
from ebbtide.serve import ISOLATION


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, kernel_wasm: Path) -> Path:
    """The `ebb` of a fresh environment that has the wheel and wasmtime."""
    if not (site.WEB / "index.html").is_file():
        pytest.fail("there is no page; mend: python3 build.py web")
    folder = tmp_path_factory.mktemp("wheel")
    wheel = site.wheel(folder / "dist")
    place = folder / "env"
    venv.create(place, symlinks=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    engine = distribution("wasmtime")
    home = Path(str(engine.locate_file("")))
    for name in {file.parts[0] for file in engine.files or () if file.parts[0].startswith("wasm")}:
        (packages / name).symlink_to(home / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(place)]
    subprocess.run([*pip, "install", "--quiet", "--no-index", str(wheel)], check=True)
    return place / "bin" / "ebb"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture
def environment(elsewhere: Path) -> dict[str, str]:
    """Nothing of the repository; built images are used where they are."""
    images = assets.images_folder()
    if not (images / "base" / "manifest.json").is_file():
        pytest.skip("no image base; mend: python3 build.py image base")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "EBB_HOME": str(elsewhere / "home"), "EBB_IMAGES": str(images)}


def test_an_installed_wheel_runs_a_guest(
    installed: Path, elsewhere: Path, environment: dict[str, str]
) -> None:
    command = [installed, "run", "--", "uname", "-sm"]
    done = subprocess.run(
        command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "Linux riscv64\n"), done.stderr
    assert list((elsewhere / "home" / "cache" / "compiled").iterdir()), "compiled code is kept"


def test_an_installed_wheel_brings_the_licences(installed: Path) -> None:
    (licenses,) = installed.parents[1].glob("lib/python3*/site-packages/ebbtide-*/licenses")
    assert sorted(path.name for path in licenses.iterdir()) == ["LICENSE", "NOTICE", "NOTICES.txt"]
    assert (licenses / "NOTICES.txt").read_text("utf-8") == notices.notices(notices.WHEEL)


def test_two_processes_share_one_home(
    installed: Path, elsewhere: Path, environment: dict[str, str]
) -> None:
    home = {**environment, "EBB_HOME": str(elsewhere / "shared")}
    command = [str(installed), "run", "--", "echo", "hello"]
    running = [
        subprocess.Popen(command, cwd=elsewhere, env=home, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [one.communicate(timeout=300)[0] for one in running] == ["hello\n"] * 2
    (compiled,) = (elsewhere / "shared" / "cache" / "compiled").iterdir()
    assert compiled.suffix == ".cwasm", "no temporary file is left"


@pytest.fixture
def served(installed: Path, elsewhere: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [str(installed), "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=elsewhere, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        yield server.stdout.readline().split()[3]
        server.terminate()


def test_an_installed_wheel_serves_the_page(served: str) -> None:
    for name in ("", "ebbtide.js", "worker.js", "kernel.wasm", "pyodide/index.json", "bench.html"):
        with urllib.request.urlopen(served + name) as answer:
            assert answer.read()
            for header, value in ISOLATION.items():
                assert answer.headers[header] == value
    with urllib.request.urlopen(f"{served}images/base/manifest.json") as answer:
        assert answer.status == 200
