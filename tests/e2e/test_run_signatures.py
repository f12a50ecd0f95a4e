"""Signed heads in the page: kept on the way in and out, and checked where the browser has Ed25519."""

from __future__ import annotations

import hashlib
import io
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Page, Route

from e2e.machines import MachinePage
from ebbtide.recording import END, META, Entry
from ebbtide.rewind.bundle import Bundle, Signature, signed_message, write_bundle
from ebbtide.rewind.tape import Header, TapeWriter
from support.command import ebb, recorded

RUN = uuid.UUID(int=11)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
VERIFY = """
    const id = await sdk.runs.import(await (await fetch("/scratch/" + arg.name)).blob());
    try {
        return await sdk.runs.verify(id, arg.levels);
    } finally {
        await sdk.runs.remove(id);
    }
"""


def signature(writer: TapeWriter) -> Signature:
    one = Signature(writer.leaves, writer.count, writer.head, 1.5e9, PUBLIC, b"")
    return one.with_signature(KEY.sign(signed_message(str(RUN), one)))


def tape_of(kernel: bytes, leaves: int, end: bool = True) -> tuple[bytes, list[Signature]]:
    """A run of a few leaves with nothing in them, and each head signed."""
    file = io.BytesIO()
    writer = TapeWriter(file, Header(RUN.bytes, hashlib.sha256(kernel).digest()), None, {})
    signed = []
    for number in range(leaves):
        writer.append(Entry(META, number, b"{}"))
        if end and number == leaves - 1:
            writer.append(Entry(END, number, b"{}"))
        writer.flush()
        signed.append(signature(writer))
    return file.getvalue(), signed


Put = Callable[[bytes, list[Signature]], str]


@pytest.fixture
def put(scratch_folder: Path, kernel_wasm: Path) -> Iterator[Put]:
    path = scratch_folder / "signed.ebbrun"

    def put(tape: bytes, signed: list[Signature]) -> str:
        about = {"id": str(RUN), "started": 1e9, "ended": 2e9, "exit_code": 3, "about": {}}
        with path.open("wb") as file:
            write_bundle(file, about, kernel_wasm.read_bytes(), tape, [], signed)
        return path.name

    yield put
    path.unlink(missing_ok=True)


def verify(machine: MachinePage, name: str, **levels: Any) -> dict[str, Any]:
    found: dict[str, Any] = machine.js(VERIFY, {"name": name, "levels": levels})
    return found


def test_signed_heads_are_checked(machine: MachinePage, put: Put, kernel_wasm: Path) -> None:
    name = put(*tape_of(kernel_wasm.read_bytes(), 3))
    found = verify(machine, name, signatures=True)
    assert found["state"] == "whole" and found["signedBy"] == PUBLIC.hex()
    assert found["said"][-1] == f"signed by {PUBLIC.hex()}: 4 entries"
    assert verify(machine, name, key=PUBLIC.hex())["signedBy"] == PUBLIC.hex()
    assert verify(machine, name)["signedBy"] is None  # nobody asked
    other = verify(machine, name, key="00" * 32)
    assert other["state"] == "damaged" and "is not signed by the key" in other["why"]


def test_what_was_signed_and_changed_is_found(
    machine: MachinePage, put: Put, kernel_wasm: Path
) -> None:
    kernel = kernel_wasm.read_bytes()
    tape, signed = tape_of(kernel, 3)
    forged = replace(signed[1], signature=bytes(64))
    found = verify(machine, put(tape, [signed[0], forged, signed[2]]), signatures=True)
    assert (found["state"], found["signedBy"]) == ("damaged", None)
    assert found["why"] == "the signature after leaf 1 is not that of its key"
    when = replace(signed[2], time=1.6e9)  # a time that nobody signed
    assert verify(machine, put(tape, [when]), signatures=True)["state"] == "damaged"
    short, _ = tape_of(kernel, 2, end=False)
    found = verify(machine, put(short, signed), signatures=True)
    assert "the tape was cut after it was signed" in found["why"]
    found = verify(machine, put(tape, signed[:2]), signatures=True)
    assert found["why"] == "what comes after leaf 1 is not signed"
    found = verify(machine, put(tape, []), signatures=True)
    assert (found["state"], found["said"][-1], found["signedBy"]) == ("whole", "not signed", None)
    found = verify(machine, put(tape, []), key=PUBLIC.hex())
    assert found["state"] == "damaged" and "is not signed by the key" in found["why"]


def test_signatures_stay_on_the_way_through_a_page(
    machine: MachinePage, scratch_folder: Path, tmp_path: Path
) -> None:
    id = recorded(tmp_path, "--memory", "128M", "--", "sh", "-c", "exit 3", code=3)
    done = ebb("export", "run", id, str(scratch_folder / "native.ebbrun"))
    assert done.returncode == 0, done.stderr
    through = machine.blob(
        """const id = await sdk.runs.import(await (await fetch("/scratch/native.ebbrun")).blob());
        const file = await sdk.runs.export(id);
        await sdk.runs.remove(id);
        return file;"""
    )
    (tmp_path / "again.ebbrun").write_bytes(through)
    before, after = Bundle((scratch_folder / "native.ebbrun").read_bytes()), Bundle(through)
    assert before.signatures and after.signatures == before.signatures
    assert after.info["exit_code"] == 3 and after.tape == before.tape
    key = before.signatures[-1].key.hex()
    done = ebb("verify", str(tmp_path / "again.ebbrun"), "--signatures", "--key", key)
    assert (done.returncode, done.stderr) == (0, "") and f"signed by {key}" in done.stdout
    found = verify(machine, "native.ebbrun", key=key, objects=True, replay=True)
    assert (found["state"], found["why"], found["signedBy"]) == ("whole", "", key)


def test_a_browser_without_ed25519_says_so(
    machine: MachinePage, put: Put, kernel_wasm: Path
) -> None:
    def older(route: Route) -> None:
        response = route.fetch()
        denied = """crypto.subtle.importKey = () =>
            Promise.reject(new DOMException("unrecognized name", "NotSupportedError"));\n"""
        route.fulfill(response=response, body=denied + response.text())

    page: Page = machine.page
    name = put(*tape_of(kernel_wasm.read_bytes(), 2))
    page.context.route("**/rewind.js", older)
    try:
        found = verify(machine, name, signatures=True)
        said = machine.error(VERIFY, {"name": name, "levels": {"key": PUBLIC.hex()}})
    finally:
        page.context.unroute("**/rewind.js", older)
    assert (found["state"], found["signedBy"]) == ("whole", None)
    assert found["said"][-1] == "signatures not checked: this browser has no Ed25519"
    assert said["message"] == "this browser cannot check signatures: it has no Ed25519"


def test_the_message_is_what_it_was() -> None:
    """The bytes that are signed are a format: old signatures must stay good."""
    one = Signature(2, 9, b"h" * 32, 1.5, PUBLIC, b"")
    expected = b"ebb-head" + RUN.bytes + struct.pack("<QQ", 2, 9) + b"h" * 32
    assert signed_message(str(RUN), one) == expected + struct.pack("<d", 1.5)
