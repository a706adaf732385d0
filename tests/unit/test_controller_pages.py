"""What pages are made of: words, plots, histories that are kept in memory, forecasts, sockets that send at once."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.background import Serving
from byoci.controller.forecast import forecast
from byoci.controller.job import Job, Result
from byoci.controller.pages import plots
from byoci.controller.recent import Brief
from byoci.controller.rows import BuildRow, Item, Queued, Request
from byoci.controller.schedule import Place
from byoci.controller.serve import _listen
from byoci.controller.state import State
from byoci.web import looks, words

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


builds = st.builds(
    Brief,
    st.integers(1, 10**6),
    st.floats(1e9, 2e9),
    st.one_of(st.none(), st.floats(1e9, 2e9)),
    st.one_of(st.none(), st.sampled_from(Result)),
)


@given(st.lists(builds, max_size=30), st.floats(1e9, 2e9))
def test_bars_stay_within_their_plot(shown: list[Brief], now: float) -> None:
    plot = plots.bars(shown, 720, 140, now, slots=24)
    assert [bar.brief for bar in plot.bars] == list(reversed(shown[:24]))
    for bar in plot.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= 720.1
        assert bar.y >= -0.1
        assert bar.y + bar.height <= 140.1
    assert all(0 <= y <= 140 for y, _ in plot.lines)
    if shown:
        assert plots.spark(tuple(shown)).count("M") == min(len(shown), 8)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_tests_are_stacked_to_their_number(counts: list[tuple[int, int, int]]) -> None:
    told = [(n, {"total": sum(c), "failed": c[0], "skipped": c[1]}) for n, c in enumerate(counts)]
    for stack in plots.stacks(told, 720, 70, slots=24):
        assert len(stack.parts) == sum(count > 0 for count in counts[stack.number])
        assert all(y >= -6 for y, _, _ in stack.parts)  # each is at least two units high, so that one failure is seen


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


def test_small_answers_are_sent_at_once() -> None:
    """One that waits until the client has acknowledged what was sent before takes 40 ms longer, every time."""

    async def connected() -> int:
        served: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                own = transport.get_extra_info("socket")
                served.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        with _listen(Serving(0)) as listener:
            server = await asyncio.get_running_loop().create_server(Protocol, sock=listener)
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await served
            writer.close()
            server.close()
            return found

    assert asyncio.run(connected()) != 0


def test_files_of_pages_name_nothing_from_elsewhere() -> None:
    for name, (content, _) in looks.statics().items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, name
        assert "url(" not in text, name
        assert "@import" not in text, name
        assert "innerHTML =" not in text, name
        assert "eval(" not in text, name
