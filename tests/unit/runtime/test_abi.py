"""Reading the kernel's text, packing and decoding by it."""

from __future__ import annotations

import pytest

from ebbtide.abi import Abi, Status
from ebbtide.errors import AbiError
from ebbtide.events import BlockWanted, CallEnded, Events, HostFs, Log, Notice
from ebbtide.fake_port import fake_abi_text
from ebbtide.port import signed32, split64, unsigned32


def test_numbers_come_from_the_text() -> None:
    abi = Abi(fake_abi_text())
    assert abi.status(101) is Status.READY
    assert abi.event_name(Events(abi).cancel(7)) == "CANCEL"
    with pytest.raises(AbiError):
        abi.status(1)


def test_another_version_or_other_statuses_are_refused() -> None:
    with pytest.raises(AbiError, match="version 2"):
        Abi(fake_abi_text().replace("ABI_VERSION 1", "ABI_VERSION 2"))
    with pytest.raises(AbiError, match="SLEEP"):
        Abi(fake_abi_text().replace("status.SLEEP 109\n", ""))
    with pytest.raises(AbiError, match="'const'"):
        Abi("status.READY 1")


def test_pack_and_read_are_inverse_and_signed_fields_keep_their_sign() -> None:
    abi = Abi(fake_abi_text())
    layout = abi.structs["event_admit"]
    data = layout.pack(tid=5, seq=1 << 31, error=-11)
    assert layout.integer(data, "error", signed=True) == -11
    assert layout.integers(data)["seq"] == 1 << 31
    with pytest.raises(ValueError):
        abi.structs["event_boot"].pack(seed=bytes(33))


def test_records_are_decoded():
    abi = Abi(fake_abi_text())
    events = Events(abi)

    def record(kind: str, struct: str, data: bytes = b"", **values) -> bytes:
        layout = abi.structs[struct]
        head = abi.structs["out"].pack(kind=abi.out[kind], len=layout.size + len(data))
        body = layout.pack(**values)
        body[: len(head)] = head
        return bytes(body) + data

    assert events.decode(record("CALL", "out_call", b"abc", id=3, data_len=3, result=-2)) == (
        CallEnded(3, -2, b"abc")
    )
    assert events.decode(record("BLOCK", "out_block", chunk=1, size=2, hash=bytes(range(32)))) == (
        BlockWanted(1, 2, bytes(range(32)).hex())
    )
    words = b"".join(n.to_bytes(8, "little") for n in (1, 2, 3, 4))
    assert events.decode(
        record("HOSTFS", "out_hostfs", b"x", id=1, mount=2, op=3, data_len=1, args=words)
    ) == HostFs(1, 2, 3, (1, 2, 3, 4), b"x")
    assert events.decode(record("LOG", "out_log", b"hi\n", level=abi.const["LOG_WARN"])) == Log(
        "WARN", "hi\n"
    )
    assert events.decode(
        record("NOTICE", "out_notice", what=abi.const["NOTICE_LIMIT"], pid=4, ppid=1, status=2)
    ) == Notice("LIMIT", 4, 1, 2)


@pytest.mark.parametrize("value", [0, 5, 1 << 31, (1 << 32) - 1, (1 << 53) + 1])
def test_i32_crossing_loses_nothing(value):
    low, high = split64(value)
    assert -(1 << 31) <= low < 1 << 31 and -(1 << 31) <= high < 1 << 31
    assert unsigned32(low) | unsigned32(high) << 32 == value
    assert unsigned32(signed32(value)) == value & 0xFFFFFFFF


def test_guest_errors_become_the_hosts_exceptions() -> None:
    abi = Abi(fake_abi_text())
    error = abi.os_error(abi.errno["ENOENT"], "/x")
    assert isinstance(error, FileNotFoundError) and error.filename == "/x"
