"""Cron triggers: fields, `H` as Jenkins spreads it, time zones, and what is refused."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.cron import parse_crontab
from byoci.errors import UsageError

pytestmark = pytest.mark.controller

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def times(text: str, count: int, seed: str = "job", after: datetime = START) -> list[datetime]:
    crontab = parse_crontab(text, seed)
    found: list[datetime] = []
    for _ in range(count):
        following = crontab.next_after(found[-1] if found else after)
        assert following is not None
        found.append(following)
    return found


def test_fields_and_lists() -> None:
    assert [t.strftime("%d %H:%M") for t in times("5,10-20/5 3 * * *", 5)] == [
        "01 03:05",
        "01 03:10",
        "01 03:15",
        "01 03:20",
        "02 03:05",
    ]


def test_day_of_month_and_of_week_must_both_match() -> None:
    assert times("0 0 13 * 5", 1) == [datetime(2026, 2, 13, tzinfo=UTC)]


@pytest.mark.parametrize("sunday", ["0", "7"])
def test_sunday_has_two_numbers(sunday: str) -> None:
    assert times(f"0 0 * * {sunday}", 1) == [datetime(2026, 1, 4, tzinfo=UTC)]


def test_a_leap_day_is_found_and_an_impossible_one_is_told() -> None:
    assert times("0 0 29 2 *", 1) == [datetime(2028, 2, 29, tzinfo=UTC)]
    assert parse_crontab("0 0 31 2 *", "job").next_after(START) is None
    assert parse_crontab("# nothing\n\n", "job").next_after(START) is None


def test_time_zones_hold_for_the_lines_below_and_follow_the_clocks() -> None:
    crontab = parse_crontab("0 12 * * *\nTZ=Europe/Paris\n0 8 * * *", "job")
    assert crontab.next_after(START) == datetime(2026, 1, 1, 7, tzinfo=UTC)
    summer = datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Paris"))
    assert crontab.next_after(summer) == datetime(2026, 7, 1, 6, tzinfo=UTC)
    assert crontab.next_after(datetime(2026, 1, 1, 7, tzinfo=UTC)) == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_h_is_drawn_as_by_javas_generator() -> None:
    # In Java: new Random(seed).nextInt(60), then nextInt(24), where the seed is the job's digest, its halves folded.
    import hashlib

    digest = hashlib.md5(b"test", usedforsecurity=False).digest()
    state = int.from_bytes(bytes(a ^ b for a, b in zip(digest[:8], digest[8:], strict=True)), "big")
    state = (state ^ 25214903917) % 2**48
    drawn = []
    for bound in (60, 24):
        state = (state * 25214903917 + 11) % 2**48
        drawn.append((state // 2**17) % bound)
    (first,) = times("H H * * *", 1, seed="test")
    assert [first.minute, first.hour] == drawn


@given(st.text(min_size=1, max_size=20))
def test_h_keeps_to_its_range_and_is_the_jobs_own(seed: str) -> None:
    first, second = times("H(10-19) H(2-4) * * *", 2, seed)
    assert 10 <= first.minute <= 19
    assert 2 <= first.hour <= 4
    assert second - first == timedelta(days=1)
    quarters = times("H/15 * * * *", 8, seed)
    assert {b - a for a, b in itertools.pairwise(quarters)} == {timedelta(minutes=15)}
    (monthly,) = times("@monthly", 1, seed)
    assert monthly.day <= 28


def test_h_spreads_jobs() -> None:
    minutes = {times("@hourly", 1, f"job-{number}")[0].minute for number in range(200)}
    assert len(minutes) > 50


@given(
    st.sets(st.integers(0, 59), min_size=1, max_size=4),
    st.sets(st.integers(0, 23), min_size=1, max_size=4),
    st.sets(st.integers(1, 12), min_size=1, max_size=3),
    st.integers(0, 8 * 365 * 1440).map(lambda minutes: START + timedelta(minutes=minutes)),
)
def test_the_next_time_matches_and_none_before_it_does(
    minutes: set[int], hours: set[int], months: set[int], after: datetime
) -> None:
    fields = [",".join(map(str, sorted(values))) for values in (minutes, hours, months)]
    found = parse_crontab(f"{fields[0]} {fields[1]} * {fields[2]} *", "x").next_after(after)
    assert found is not None
    assert found > after
    matches = [
        datetime(year, month, day, min(hours), min(minutes), tzinfo=UTC)
        for year in (after.year, after.year + 1)
        for month in months
        for day in (1,)
    ]
    assert found <= min(match for match in matches if match > after)
    assert (found.minute in minutes, found.hour in hours, found.month in months) == (True, True, True)


@pytest.mark.parametrize(
    "line",
    [
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "5/2 * * * *",
        "*/0 * * * *",
        "H/61 * * * *",
        "MON * * * *",
        "@fortnightly",
        "TZ=Atlantis/Centre",
        "TZ=../../etc/passwd",
        "H(5-70) * * * *",
        "\N{ARABIC-INDIC DIGIT ONE} * * * *",
    ],
)
def test_what_cannot_be_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(UsageError, match="line 2 of a cron trigger"):
        parse_crontab(f"# comment\n{line}", "job")


def test_too_many_lines_are_refused() -> None:
    with pytest.raises(UsageError):
        parse_crontab("* * * * *\n" * 201, "job")
