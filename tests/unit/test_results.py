"""Test results: numbers, names and words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.model import TestSummary
from byoci.worker.results import NAME_LENGTH, NAMES_KEPT, Tally, combine, describe, harmless

pytestmark = pytest.mark.agent


def test_describe_tells_what_failed_by_name() -> None:
    assert describe(TestSummary(34, ("a.b.c", "d.e.f"))) == "34 tests, 2 failed: a.b.c, d.e.f"


def test_describe_of_success_and_of_one_test() -> None:
    assert describe(TestSummary(3, skipped=1)) == "3 tests, 1 skipped"
    assert describe(TestSummary(1)) == "1 test"
    assert describe(TestSummary(0)) == "0 tests"


def test_describe_keeps_a_long_list_short() -> None:
    words = describe(TestSummary(400, tuple(f"t{n}" for n in range(100)), unnamed=50))
    assert words.startswith("400 tests, 150 failed: t0, t1, ")
    assert words.endswith("t9 and 140 more")


def test_names_beyond_the_first_are_only_counted() -> None:
    tally = Tally()
    for number in range(NAMES_KEPT + 5):
        tally.fail(f"t{number}")
    tally.passed()
    tally.skip()
    summary = tally.summary()
    assert (summary.total, summary.failures, summary.passed, summary.skipped) == (NAMES_KEPT + 7, NAMES_KEPT + 5, 1, 1)
    assert len(summary.failed) == NAMES_KEPT


def test_combine_adds_up_and_keeps_names_bounded() -> None:
    many = TestSummary(80, tuple(f"t{n}" for n in range(80)), unnamed=3)
    both = combine([many, None, many])
    assert both is not None
    assert (both.total, both.failures, len(both.failed), both.unnamed) == (160, 166, NAMES_KEPT, 66)
    assert combine([None, None]) is None
    assert combine([]) is None


@given(st.text())
def test_a_name_is_one_bounded_line_without_control_characters(name: str) -> None:
    shown = harmless(name)
    assert len(shown) <= NAME_LENGTH
    assert len(shown.splitlines()) <= 1
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in shown)


@given(st.integers(0, 300), st.integers(0, 30), st.integers(0, 30))
def test_the_numbers_always_add_up(failed: int, passed: int, skipped: int) -> None:
    tally = Tally()
    for number in range(failed):
        tally.fail(str(number))
    for _ in range(passed):
        tally.passed()
    for _ in range(skipped):
        tally.skip()
    summary = tally.summary()
    assert (summary.failures, summary.passed, summary.skipped) == (failed, passed, skipped)
    assert summary.total == failed + passed + skipped
