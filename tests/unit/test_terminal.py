"""Output of code under test can colour a terminal, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.cli.terminal import Harmless

pytestmark = pytest.mark.host


def shown(data: bytes, cuts: tuple[int, ...] = ()) -> str:
    harmless = Harmless()
    ends = sorted({*(cut for cut in cuts if cut < len(data)), len(data)})
    parts = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return "".join(map(harmless.feed, parts)) + harmless.feed(b"", final=True)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\ttext\r\nand more\n", "plain\ttext\r\nand more\n"),
        (b"\x1b[1;31mred\x1b[0m \x1b[38:5:9mtoo\x1b[m", "\x1b[1;31mred\x1b[0m \x1b[38:5:9mtoo\x1b[m"),
        (b"\x1b[2J\x1b[H\x1b[1Ago up", r"\x1b[2J\x1b[H\x1b[1Ago up"),
        (b"\x1b]52;c;cm0gLXJm\x07clipboard", r"\x1b]52;c;cm0gLXJm\x07clipboard"),
        (b"\x1b]0;title\x1b\\\\", r"\x1b]0;title\x1b\\"),
        (b"\x1bP$q\x1b\\\\ \x1bc \x9b2J", "\\x1bP$q\\x1b\\\\ \\x1bc \ufffd2J"),
        (b"\xc2\x9b2J", r"\x9b2J"),
        (b"FAILED\rpassed", r"FAILED\x0dpassed"),
        (b"\x08\x08\x7f\x00", r"\x08\x08\x7f\x00"),
        ("\u202eback".encode(), r"\x202eback"),
        ("größe ✓".encode(), "größe ✓"),
        (b"\x1b[" + b"1;" * 50 + b"m", r"\x1b[" + "1;" * 50 + "m"),
        (b"\x1b", r"\x1b"),
        (b"end\r", r"end\x0d"),
    ],
)
def test_controls_become_visible(data: bytes, text: str) -> None:
    assert shown(data) == text
    assert shown(data, tuple(range(len(data)))) == text


@given(
    st.lists(st.sampled_from([b"\x1b", b"[", b"0", b"1;", b"m", b"\r", b"\n", b"a", b"\xc2", b"\x9b", b"]", b"\xff"]))
)
def test_whatever_is_written_obeys_the_rule(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    text = shown(data)
    assert text == shown(data, tuple(range(len(data))))
    left = re.sub(r"\x1b\[[0-9;:]*m|\r\n|\n|\t", "", text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", left)
