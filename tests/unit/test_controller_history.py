"""With 100,000 builds in its memory the controller takes as many steps as with few: counted, not timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from byoci.controller.aftermath import discard
from byoci.controller.job import Discarder, Result
from byoci.controller.places import Places
from byoci.controller.rows import LAST, Item, Request
from byoci.controller.state import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BUILDS = 100_000
JOBS = ("one", "two")
STEPS = 30_000  # of SQLite's machine, for one question; a look at every build takes several hundred thousand


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("state") / "state.sqlite")
    request = Request({}, "Started by nobody").as_json()
    facts = '{"artifacts": [[0, "x"]], "revision": "r", "workspace": "/w"}'
    for job in JOBS:
        state.save_item(Item(job, folder=False, config=b"<project/>", following=BUILDS // 2 + 1))
    rows = (
        (JOBS[number % 2], number // 2 + 1, number, request, "", 0, float(number), number + 1.0, "SUCCESS", facts)
        for number in range(BUILDS)
    )
    with state._database.writing():
        state._database.executemany(
            "INSERT INTO build (job, number, queued, request, node, executor, began, ended, result, facts, artifacts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            rows,
        )
        state._database.executemany(
            "INSERT INTO queued (id, job, request, since, due, build) VALUES (?, ?, ?, 0, 0, ?)",
            ((number, JOBS[number % 2], request, number) for number in range(1, 10_000)),
        )
    return state


def steps(state: State, action: Callable[[], object]) -> int:
    """How many steps of SQLite's machine a call takes, to the next hundred."""
    taken = [0]

    def count() -> int:
        taken[0] += 100
        return 0

    state._database.set_progress_handler(count, 100)
    try:
        action()
    finally:
        state._database.set_progress_handler(None, 0)
    return taken[0]


def test_questions_are_answered_from_indexes(state: State, tmp_path: Path) -> None:
    middle = state.build("one", BUILDS // 4)
    assert middle is not None
    questions: dict[str, Callable[[], object]] = {
        **{name: lambda name=name: state.last("one", name) for name in LAST},
        "running": state.running,
        "waiting": state.waiting,
        "build": lambda: state.build("two", 70),
        "build_by_id": lambda: state.build_by_id(77_777),
        "builds": lambda: state.builds("one", 100),
        "numbers": lambda: state.numbers("one", 100),
        "first": lambda: state.first("one"),
        "nth": lambda: state.nth("one", 50),
        "before and after": lambda: (state.beside(middle, later=True), state.beside(middle, later=False)),
        "before": lambda: state.before(middle, (Result.SUCCESS, Result.FAILURE)),
        "usual_seconds": lambda: state.usual_seconds("one", 6),
        "results": lambda: state.results("one", 5),
        "revisions": lambda: state.revisions("one"),
        "queued": lambda: state.queued(5000),
        "set_following": lambda: state.set_following("one", 1),
        "oldest": lambda: next(state.oldest("one")),
        "oldest artifacts": lambda: next(state.oldest("one", with_artifacts=True)),
        "discard": lambda: discard(state, Places(tmp_path), Discarder(days=100_000), "one"),
    }
    taken = {name: steps(state, question) for name, question in questions.items()}
    assert {name: count for name, count in taken.items() if count > STEPS} == {}


def test_a_build_from_beginning_to_end(state: State, tmp_path: Path) -> None:
    def whole() -> None:
        row = state.begin(state.enqueue("one", Request({}, "x"), 0.0), "", 0)
        state.save_plan(row.id, {})
        state.finish(row, Result.SUCCESS, {"artifacts": []})
        discard(state, Places(tmp_path), Discarder(builds=BUILDS, artifact_builds=BUILDS), "two")

    assert steps(state, whole) < 20 * STEPS  # the discarder counts once through the numbers that it keeps


def test_what_is_too_old_goes(state: State, tmp_path: Path) -> None:
    discard(state, Places(tmp_path), Discarder(builds=10, artifact_builds=3), "two")
    assert len(state.numbers("two")) == 10
    assert [bool((row.facts or {})["artifacts"]) for row in state.builds("two")] == [True] * 3 + [False] * 7
