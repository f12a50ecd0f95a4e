"""What a guest's bytes can do to the user's own terminal: draw, and nothing else."""

from __future__ import annotations

import random

import pytest

from ebbtide.cli_terminal import HELD_MOST, Screen, printable


def let(*parts: bytes) -> bytes:
    screen = Screen()
    return b"".join(map(screen.let, parts))


@pytest.mark.parametrize(
    "harmless",
    [
        b"plain\r\n\ttext\a\b", "grün → 漢字 🙂".encode(), b"\x1b[1;31mred\x1b[0m", b"\x1b[38:2::1:2:3m",
        b"\x1b[2J\x1b[H\x1b[10;20f\x1b[K\x1b[3A", b"\x1b[?1049h\x1b[?25l\x1b[?1049l\x1b[?25h",
        b"\x1b[?1000;1006h", b"\x1b[?2004h", b"\x1b(0lqk\x1b(B", b"\x1b7\x1b8\x1b=\x1b>\x1bM", b"\x1b[5;10r",
        b"\x1b[4 q", b"\x1b[!p", b"\x1b]8;;https://example.org/\x1b\\link\x1b]8;;\x1b\\", b"\x1b[4h",
    ],
)  # fmt: skip
def test_drawing_passes(harmless: bytes) -> None:
    assert let(harmless) == harmless
    assert let(*[bytes((byte,)) for byte in harmless]) == harmless


@pytest.mark.parametrize(
    "dangerous",
    [
        # The clipboard.
        b"\x1b]52;c;aGVsbG8=\a", b"\x1b]52;c;?\x1b\\", b"\x1b]1337;CopyToClipboard=\a", b"\x1b]5522;x\x1b\\",
        # Titles, and having them told.
        b"\x1b]0;title\a", b"\x1b]1;icon\a", b"\x1b]2;title\x1b\\", b"\x1bktitle\x1b\\", b"\x1b[21t", b"\x1b[22;0t",
        b"\x1b]l title\x1b\\",
        # Questions, whose answers are typed input.
        b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[=c", b"\x1bZ", b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?996n",
        b"\x1b[x", b"\x1b[>0q", b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[?u", b"\x1b[>1u", b"\x1b[1$w", b"\x1b[>4;1m",
        b"\x1b[1;1;1;1;1;1*y", b"\x1bP$qm\x1b\\", b"\x1bP+q544e\x1b\\", b"\x1b]10;?\a", b"\x1b]4;1;?\a",
        b"\x05", b"\x1b[18t", b"\x1b[?4m",
        # Windows, printers, files, notifications, other encodings, locked keyboards.
        b"\x1b[2t", b"\x1b[8;1;1t", b"\x1b[5i", b"\x1b[4i", b"\x1b_Gt=f,a=q;L2V0Yy9wYXNzd2Q=\x1b\\", b"\x1b^x\x1b\\",
        b"\x1bXx\x1b\\", b"\x1b]7;file:///\a", b"\x1b]9;note\a", b"\x1b]777;notify;a;b\a", b"\x1b]1337;File=:AA\a",
        b"\x1b]8;;file:///etc/passwd\a", b"\x1b]8;;javascript:alert(1)\a", b"\x1b[2h", b"\x1b[12l", b"\x1b[?3h",
        b"\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\", b"\x1b[1;2;3;4;5T",
        # The same by one-byte controls, in UTF-8 and bare.
        "\x9b6n".encode()[:2], "\x9d52;c;eA==\x9c".encode()[:2], b"\x9b", b"\x9d", b"\x90", b"\x85",
        b"\x00", b"\x11", b"\x13", b"\x7f", b"\x18", b"\x1a",
    ],
)  # fmt: skip
def test_what_asks_takes_or_names_is_dropped(dangerous: bytes) -> None:
    for got in (let(dangerous + b"after"), let(*[bytes((b,)) for b in dangerous + b"after"])):
        left = got.replace("�".encode(), b"")  # what is no UTF-8 shows as such
        assert left.endswith(b"after") and b"\x1b" not in left, (dangerous, left)
        assert not any(byte < 0x20 or byte == 0x7F for byte in left), left
        assert not any(0x80 <= ord(char) < 0xA0 for char in left.decode())


def test_other_escapes_lose_their_escape() -> None:
    for harmful in (
        b"\x1b%G",
        b"\x1b F",
        b"\x1b G",
        b"\x1bn",
        b"\x1b|",
        b"\x1b`",
        b"\x1bN",
        b"\x1b\x1b",
    ):
        assert b"\x1b" not in let(harmful + b"x"), harmful


def test_a_sequence_cut_by_another_does_not_smuggle_one() -> None:
    assert b"6n" not in let(b"\x1b[\x1b[6n")
    assert let(b"\x1b]2;a\x1b]52;c;b\adone") == b"done"
    assert b"\x1b" not in let(b"\x1b[1\x1b]2;a\a")
    assert b"\x1b[6n" not in let(b"\x1b]0;\x1b\x1b[6n")
    assert let(b"\x1b[6\nn") in (b"[6\nn", b"\nn")  # controls inside a sequence end it


def test_a_string_without_an_end_is_dropped_in_bounded_memory() -> None:
    screen = Screen()
    assert screen.let(b"\x1b]52;c;") == b""
    for _ in range(100):
        assert screen.let(b"A" * 1000) == b""
        assert len(screen._held) <= HELD_MOST
    assert screen.let(b"\x1b") == b"" and screen.let(b"\\seen") == b"seen"
    assert screen.let(b"\x1b[" + b"1" * 100_000 + b"mx").count(b"\x1b[") <= 1


def test_nothing_random_gets_a_question_through() -> None:
    pick = random.Random(5)
    pieces = [
        b"\x1b",
        b"[",
        b"]",
        b"P",
        b"6n",
        b"c",
        b"52;c;x",
        b"\a",
        b"\\",
        b"?",
        b">",
        b"\x9b",
        b"\xc2",
        b"$p",
    ]
    pieces += [b"0;t", b"x", b"\x18", b"1049h", b"m", b"_", b"8;;", b"http://a", b"\n"]
    for _ in range(5000):
        screen = Screen()
        got = b"".join(screen.let(pick.choice(pieces)) for _ in range(12))
        again = Screen()
        assert again.let(got) + again.let(b"") == got, got  # all that came through may pass


def test_the_terminal_is_put_back() -> None:
    screen = Screen()
    assert screen.reset() == b""
    screen.let(b"text only\r\n")
    assert screen.reset() == b""
    screen.let(b"\x1b[?1049h\x1b[?1000h\x1b[?25l\x1b[?1l\x1b[31m\x1b[3 q\x1b[2;5r\x1b[4h")
    back = screen.reset()
    for wanted in (
        b"\x1b[?1049l",
        b"\x1b[?1000l",
        b"\x1b[?25h",
        b"\x1b[0m",
        b"\x1b[0 q",
        b"\x1b[4l",
    ):
        assert wanted in back
    screen.let(b"\x1b[?1049l\x1b[?25h")
    assert b"1049" not in screen.reset() and b"?25" not in screen.reset()


def test_messages_show_controls_as_text() -> None:
    assert printable("a\x1b]52;c;x\x07\x9bb\n") == "a\\x1b]52;c;x\\x07\\x9bb\n"
