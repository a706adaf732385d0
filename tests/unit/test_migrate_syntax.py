"""The older format, read: values, places, comments, and what is none of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.config.migrate.syntax import Offsets, Parsed, lines_joined, parse, references
from byoci.config.migrate.wrong import MigrationError

pytestmark = pytest.mark.host
FILE = Path("byov.conf")


def parsed(text: str) -> Parsed:
    return parse(text, FILE, 0)


def values(text: str) -> list[tuple[str | None, str, str]]:
    return [(one.section, one.name, one.value) for one in parsed(text).definitions]


def test_options_before_and_in_sections() -> None:
    text = "a = 1\n[vm]\nb.c=two words\n[other]  # comment\n\n  d =  \n"
    assert values(text) == [(None, "a", "1"), ("vm", "b.c", "two words"), ("other", "d", "")]
    assert parsed(text).sections == ("vm", "other")
    assert [one.place for one in parsed(text).definitions] == ["byov.conf:1", "byov.conf:3", "byov.conf:6"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("a=b", "b"),
        ("a = b # c", "b"),
        ("a = http://x/#part", "http://x/"),
        ("a = 'quoted' \"too\"", "'quoted' \"too\""),
        ("a = b = c", "b = c"),
        ("a =\tb", "b"),
        ("a = {b} [c]", "{b} [c]"),
        ("a = é中", "é中"),
        ("a\n=\nb = c", ""),
    ],
)
def test_a_value_is_one_line_without_comment(line: str, value: str) -> None:
    assert parsed(line).definitions[0].value == value


def test_a_tab_ends_a_value_and_may_begin_another_option() -> None:
    assert values("a = b\tc = d") == [(None, "a", "b"), (None, "c", "d")]


def test_line_ends_of_other_systems() -> None:
    text = "a = 1\r\n[vm]\rb = 2\r\n"
    assert values(text) == [(None, "a", "1"), ("vm", "b", "2")]
    assert [one.line for one in parsed(text).definitions] == [1, 3]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a", "byov.conf:1: is neither a [section] nor an option = value"),
        ("a = 1\n\n# c\n-b = 2", "byov.conf:4: is neither"),
        ("a = 1\tc", "byov.conf:1: is neither"),
        (" [vm]", "byov.conf:1: is neither"),
        ("[vm", "byov.conf:1: is neither"),
        ("[vm\n]", "byov.conf:1: has no end of the section's name"),
        ("[]", "byov.conf:1: names no section"),
        ("[ ]", "byov.conf:1: names no section"),
        ("\ufeffa = 1", "byov.conf:1: is neither"),
        ("[vm]\na = 1\n[vm]", "byov.conf:3: begins section [vm], which began on line 1 already"),
        ("a = 1\nb = 2\na = 1", "byov.conf:3: sets a, which line 1 sets already"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(MigrationError) as caught:
        parsed(text)
    assert caught.value.details.startswith(complaint)
    assert caught.value.exit_code == 2


def test_the_trace_of_an_earlier_migration_is_an_option_without_a_value() -> None:
    found = parsed("[m]\n# byoci migrate moved a.token to /x/y z\nb = 1\n").definitions
    assert [(one.section, one.name, one.value, one.moved) for one in found] == [
        ("m", "a.token", "", "/x/y z"),
        ("m", "b", "1", ""),
    ]
    assert [one.value for one in parsed("# byoci migrate moved a to b\na = new").definitions] == ["new"]


def test_references_of_a_value() -> None:
    assert list(references("{a.b} {{c}.d} {} { e } {f")) == ["a.b", "c"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parsed(text)
    except MigrationError:
        return
    joined = lines_joined(text)
    for one in found.definitions:
        if not one.moved:
            piece = joined[one.start : one.end]
            assert piece.startswith(one.name)
            assert piece.endswith(one.value)
            assert joined.count("\n", 0, one.start) + 1 == one.line


FORMAT = st.text(alphabet=st.sampled_from(list("ab._=#[]{} \t\r\n\f1é")), max_size=60)


@given(FORMAT)
def test_texts_near_the_format_are_read_or_refused(text: str) -> None:
    test_any_text_is_read_or_refused.hypothesis.inner_test(text)  # type: ignore[attr-defined]


NAMES = st.sampled_from(["a", "b.c", "_x", "vm.class", "A.1", "testing.landing.user", "a_b.c_d"])
VALUES = st.text(alphabet=st.characters(exclude_characters="#\n\r\t\f\v", exclude_categories=["Cs"]), max_size=20).map(
    lambda text: text.strip(" ")
)
SECTIONS = st.text(alphabet=st.characters(exclude_characters="]\n\r", exclude_categories=["Cs"]), max_size=9).map(
    lambda text: f"s{text}"
)


@given(
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.dictionaries(SECTIONS, st.dictionaries(NAMES, VALUES, max_size=3), max_size=3),
)
def test_what_is_written_is_read_back(first: dict[str, str], sections: dict[str, dict[str, str]]) -> None:
    lines = [f"{name} = {value}" for name, value in first.items()]
    wanted: list[tuple[str | None, str, str]] = [(None, *pair) for pair in first.items()]
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"  {name}={value}   # comment" for name, value in options.items())]
        wanted += [(section, *pair) for pair in options.items()]
    assert values("\n".join(lines)) == wanted


@given(st.text(alphabet="ab\r\n", max_size=40))
def test_offsets_lead_back_to_the_text(text: str) -> None:
    joined, offsets = lines_joined(text), Offsets(text)
    for at, letter in enumerate(joined):
        original = text[offsets.original(at)]
        assert original == letter or (letter == "\n" and original == "\r")
    assert re.sub("\r\n?", "\n", text) == joined
