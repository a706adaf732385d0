"""What pages tell: durations in words, histories that are kept in memory, sessions, forecasts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from byoci.controller.forecast import forecast
from byoci.controller.job import Job, Result
from byoci.controller.rows import BuildRow, Item, Queued, Request
from byoci.controller.schedule import Place
from byoci.controller.state import State
from byoci.web import words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.controller
NOBODY = Request({}, "Started by nobody")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 ms"),
        (0.0135, "14 ms"),
        (1.24, "1.2 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (7200, "2 h"),
        (7260 + 3, "2 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_in_two_units_at_most(seconds: float | None, told: str) -> None:
    assert words.duration(seconds) == told


def test_sizes_and_counts_have_their_units() -> None:
    assert [words.size(count) for count in (0, 999, 1234, 12_345_678)] == ["0 bytes", "999 bytes", "1.2 kB", "12 MB"]
    assert (words.plural(1, "job"), words.plural(2, "job")) == ("1 job", "2 jobs")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "controller.sqlite")
    yield made
    made.close()


def test_histories_follow_what_happens(state: State) -> None:
    state.save_item(Item("a", False, b"<project/>", 1))
    assert state.recent.history("a").builds == ()
    first = state.begin(state.enqueue("a", NOBODY, 0), "", 0)
    assert (state.recent.history("a").builds[0].ended, state.recent.history("a").completed) == (None, None)
    state.finish(first, Result.FAILURE, {"tests": {"total": 3, "failed": 1, "skipped": 0}})
    state.finish(state.begin(state.enqueue("a", NOBODY, 0), "", 0), Result.UNSTABLE, {})
    history = state.recent.history("a")
    assert [build.number for build in history.builds] == [2, 1]
    assert [build and build.number for build in (history.completed, history.success, history.failure)] == [2, 2, 1]
    assert state.recent.tests("a", 1) == {1: {"total": 3, "failed": 1, "skipped": 0}}
    state.move_item("a", "b")
    assert state.recent.history("a").builds == ()
    assert len(state.recent.history("b").builds) == 2
    (renamed,) = [build for build in state.builds("b") if build.number == 1]
    state.drop_build(renamed)
    assert state.recent.history("b").failure is None
    for _ in range(20):
        state.begin(state.enqueue("b", NOBODY, 0), "", 0)
    assert state.recent.history("b").completed == history.completed  # of which many later ones still run
    state.drop_item("b")
    assert state.recent.history("b").builds == ()


def test_a_session_ends_in_time(state: State) -> None:
    state.sessions.add("old", "ann", "p", 1)
    state.sessions.add("new", "bob", "p", 1e12)
    assert (state.sessions.find("old")[0], state.sessions.find("new")) == ("", ("bob", "p"))
    state.sessions.end("new")
    assert state.sessions.find("new") == ("", "")


def test_what_waits_may_start_when_what_runs_has_taken_as_long_as_usual() -> None:
    jobs = {"a": Job(), "b": Job(), "c": Job(labels="big"), "d": Job(concurrent=True), "new": Job()}
    running = [BuildRow(1, "a", 1, 0, NOBODY, "", 0, 90), BuildRow(2, "b", 1, 0, NOBODY, "", 1, 95)]
    queue = [Queued(number, job, NOBODY, 0, 0) for number, job in enumerate(("a", "c", "d", "new", "d"))]
    place = Place("", frozenset({"built-in"}), 2, ready=True, busy=frozenset({0, 1}))
    usual = {"a": 20.0, "b": 7.0, "d": 30.0}.get
    # Nobody has what c asks for. How long the new one takes, nobody knows; the last one gets the other executor.
    assert forecast(queue, jobs, [place], running, 100, usual) == {0: 110, 2: 102, 3: 130, 4: 132}
    assert forecast(queue, jobs, [replace(place, ready=False)], running, 100, usual) == {}
