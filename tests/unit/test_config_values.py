"""Sizes, durations, names: what a person may write and what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.config import values


@given(st.integers(min_value=1, max_value=values.MAX_SIZE))
def test_a_size_survives_being_written(size: int) -> None:
    assert values.parse_size(values.format_size(size)) == size


@given(st.integers(min_value=1, max_value=int(values.MAX_SECONDS * 1_000_000)))
def test_a_duration_survives_being_written(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    assert values.parse_duration(values.format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.integers(min_value=1, max_value=int(values.MAX_SECONDS)))
def test_whole_seconds_survive_exactly(seconds: int) -> None:
    assert values.parse_duration(values.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), ("7", 7), ("2G", 2 << 30), ("2GiB", 2 << 30), ("500MB", 500 << 20), (" 1.5 g ", 3 << 29), ("64k", 65536)],
)
def test_sizes(text: object, size: int) -> None:
    assert values.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90.0),
        (1.5, 1.5),
        ("90", 90.0),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("1h", 3600.0),
        ("2 days", 172800.0),
        ("1min", 60.0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert values.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "wrong", [0, -1, "", "G", "-1G", "1X", "1e3", "9999999T", True, None, [], 1e300, float("nan"), 0.2, "1G G"]
)
def test_no_sizes(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        values.parse_size(wrong)


@pytest.mark.parametrize(
    "wrong", [0, -1, "", "h", "-1h", "1y", "1ms", "1S3", "400d", True, None, [], float("inf"), "1h30m"]
)
def test_no_durations(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be a time"):
        values.parse_duration(wrong)


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans())
def test_anything_is_a_quantity_or_a_value_error(value: object) -> None:
    for parse in (values.parse_size, values.parse_duration):
        try:
            assert parse(value) > 0
        except ValueError as error:
            assert str(error).startswith("must be")  # noqa: PT017


@given(st.text())
def test_an_accepted_name_is_safe_everywhere(name: str) -> None:
    try:
        values.check_name(name)
    except ValueError:
        return
    assert name.isascii()
    assert name.isprintable()
    assert 1 <= len(name) <= 100
    assert name[0] not in ".-"
    assert not set(name) & set("/\\ ;:'\"$`|&<>*?[]{}()!#~=,@%")


@pytest.mark.parametrize("path", ["/x", "~/x", "a/../b", "..", "", " ", "a\nb", "a\0"])
def test_paths_that_lead_out(path: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        values.check_inside(path)
