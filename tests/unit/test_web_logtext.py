"""What programs printed becomes harmless lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.web.logtext import LONGEST, Lines

pytestmark = pytest.mark.controller


def lines(data: bytes) -> list[tuple[int, str, list[tuple[str, str]]]]:
    reader = Lines(1, 0)
    return [(line.number, line.kind, list(line.parts)) for line in [*reader.feed(data), *reader.unfinished()]]


def text_of(data: bytes) -> str:
    return "".join(text for _, _, parts in lines(data) for _, text in parts)


def test_lines_have_numbers_and_kinds() -> None:
    assert lines(b"one\n+ make check\n\n12:34:56 + ls\n::group::Setup\nx\n::endgroup::\nlast") == [
        (1, "", [("", "one")]),
        (2, "command", [("", "+ make check")]),
        (3, "", []),
        (4, "command", [("t", "12:34:56 "), ("", "+ ls")]),
        (5, "group", [("", "Setup")]),
        (6, "", [("", "x")]),
        (7, "end", [("", "::endgroup::")]),
        (8, "", [("", "last")]),
    ]


def test_colours_become_names_and_go_on_over_lines() -> None:
    assert lines(b"\x1b[1;31mred\nstill\x1b[0m plain \x1b[92mgreen\x1b[39m\n") == [
        (1, "", [("c1 b", "red")]),
        (2, "", [("c1 b", "still"), ("", " plain "), ("c2", "green")]),
    ]
    assert lines(b"\x1b[38;5;1mx\x1b[38;2;1;2;31my\x1b[48;5;4mz\x1b[8mhidden\x1b[30;40mblack\n") == [
        (1, "", [("", "xyzhidden"), ("c0", "black")])
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b]0;title\x07shown", "shown"),
        (b"\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"a\x1b[2K\x1b[1Gb", "ab"),
        (b"secret\rnothing to see", "secret\nnothing to see"),
        (b"windows\r", "windows\n"),
        (b"a\x08b\x00c", "a\\x08b\\x00c"),
        ("\u202egnp.exe".encode(), "\\x202egnp.exe"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\x1b", "\\x1b"),
        (b"\x1b]0;never ended", "\\x1b]0;never ended"),
        (b"\xc2\x9b31mx", "\\x9b31mx"),
    ],
)
def test_nothing_else_reaches_a_page_as_it_is(data: bytes, text: str) -> None:
    assert text_of(data) == text


def test_a_line_without_end_is_cut_into_pieces() -> None:
    data = "ü".encode() * LONGEST
    found = lines(data)
    assert [line[:2] for line in found] == [(1, ""), (1, "more")]
    assert text_of(data) == "ü" * LONGEST
    colourful = b"\x1b[31m.\x1b[32m." * 5000
    assert all(len(parts) <= 500 for _, _, parts in lines(colourful))


def test_a_line_that_has_no_end_yet_comes_again() -> None:
    reader = Lines(7, 100)
    assert reader.feed(b"\x1b[31mdo") == []
    (line,) = reader.unfinished()
    assert (line.number, line.open, list(line.parts)) == (7, True, [("c1", "do")])
    assert reader.offset == 100
    (line,) = reader.feed(b"ne\x1b[0m\n")
    assert (line.number, line.open, list(line.parts)) == (7, False, [("c1", "done")])
    assert (reader.number, reader.offset) == (8, 114)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_how_bytes_come_changes_nothing_but_colours(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    reader = Lines(1, 0)
    found = [line for part in parts for line in reader.feed(part)] + reader.unfinished()
    assert [(line.number, line.text) for line in found] == [
        (number, "".join(text for _, text in pieces)) for number, _, pieces in lines(whole)
    ]


@given(st.binary(max_size=300))
def test_what_is_shown_has_no_control_characters(data: bytes) -> None:
    assert not {char for char in text_of(data) if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160}
