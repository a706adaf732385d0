"""The monitor's pure parts and its memory: turns, fates, retries, and one landing a trunk."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.gate.train import Waiting, order
from byoci.jenkins.client import Build
from byoci.model import Location, Outcome, Proposal, Status
from byoci.monitor import retries
from byoci.monitor.fate import LOST, Fate, fate
from byoci.monitor.state import State
from byoci.wiring import open_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from byoci.monitor.sight import Permissions

pytestmark = pytest.mark.monitor

START = datetime(2026, 1, 1, tzinfo=UTC)
TRUNK = Location("/srv/trunk")
ENDED = Build(7, "http://ci/job/land-hello/7/", building=False, result="FAILURE", started=0.0)


def proposal(id_: str, approved: int = 0, after: str | None = None, status: Status = Status.APPROVED) -> Proposal:
    at = START + timedelta(hours=approved)
    return Proposal(
        "local", "hello", id_, f"Do {id_}", "bob", Location(f"/srv/{id_}"), TRUNK, status, START,
        approved_revision=f"rev-{id_}", approved_at=at, prerequisite=after,
        merged_revision="on-trunk" if status is Status.MERGED else None,
    )  # fmt: skip


def turns(*waiting: Waiting) -> list[str]:
    return [item.proposal.id for item in order(waiting)]


def test_the_oldest_approval_has_its_turn_first() -> None:
    assert turns(Waiting(proposal("1", 2)), Waiting(proposal("2", 1)), Waiting(proposal("3", 3))) == ["2", "1", "3"]


def test_of_two_approvals_in_one_second_the_older_proposal_is_first() -> None:
    young, old = proposal("11"), replace(proposal("9"), created_at=START - timedelta(milliseconds=1))
    assert turns(Waiting(young), Waiting(old)) == ["9", "11"]


def test_priority_goes_before_age_and_a_hotfix_before_all() -> None:
    old, urgent, fix = Waiting(proposal("1", 1)), Waiting(proposal("2", 2), priority=5), proposal("3", 3)
    assert turns(old, urgent, Waiting(fix, hotfix=True)) == ["3", "2", "1"]


def test_a_prerequisite_is_ahead_of_the_hotfix_that_needs_it() -> None:
    needed, fix = Waiting(proposal("1", 9)), Waiting(proposal("2", 5, after="1"), hotfix=True)
    assert turns(Waiting(proposal("3", 1)), needed, fix) == ["1", "2", "3"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 6), st.integers(0, 2), st.booleans()), max_size=7))
def test_everyone_has_one_turn_whatever_waits_for_whom(drawn: list[tuple[int, int, int, bool]]) -> None:
    """Circles of prerequisites included; and the order in which they are given does not count."""
    waiting = [
        Waiting(proposal(str(number), approved, str(after) if after >= 0 else None), priority, hotfix)
        for number, (approved, after, priority, hotfix) in enumerate(drawn)
    ]
    found = turns(*waiting)
    assert sorted(found, key=int) == [str(number) for number in range(len(drawn))]
    if not any(item.proposal.prerequisite for item in waiting):
        assert found == turns(*reversed(waiting))


ROW = {"project": "hello", "proposal": "1", "title": "", "outcome": "tests-failed", "revision": None, "reasons": ["no"]}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (json.dumps([ROW]).encode(), Fate(Outcome.TESTS_FAILED, ("no",))),
        (json.dumps([{**ROW, "proposal": "2"}, ROW]).encode(), Fate(Outcome.TESTS_FAILED, ("no",))),
        (json.dumps([{**ROW, "outcome": "x", "reasons": {}, "revision": 3}]).encode(), Fate(Outcome.ERROR)),
        (b'{"error": "no seal", "details": "", "resolution": "Do x."}', Fate(Outcome.ERROR, ("no seal", "Do x."))),
        (None, Fate(Outcome.ERROR, ("Build 7 ended as FAILURE; see its log.",))),
        (b"[" * 100_000, Fate(Outcome.ERROR, ("Build 7 ended as FAILURE; see its log.",))),
        (b'[1, "x", null]', Fate(Outcome.ERROR, ("Build 7 ended as FAILURE; see its log.",))),
    ],
)  # fmt: skip
def test_what_the_agent_told_is_the_fate(told: bytes | None, expected: Fate) -> None:
    assert fate(ENDED, told, proposal("1")) == expected


def test_the_forge_knows_better_than_the_build() -> None:
    merged = proposal("1", status=Status.MERGED)
    landed = Fate(Outcome.LANDED, ("no",), "on-trunk")
    assert fate(ENDED, json.dumps([ROW]).encode(), merged) == landed
    assert fate(None, None, merged) == Fate(Outcome.LANDED, (), "on-trunk")
    assert fate(None, None, proposal("1")) == Fate(Outcome.ERROR, (LOST,))


def test_a_build_with_nothing_to_do_is_no_failure() -> None:
    fine = Build(7, "", building=False, result="SUCCESS", started=0.0)
    assert fate(fine, b"[]", proposal("1")).outcome is Outcome.WAITING


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with contextlib.closing(State(tmp_path)) as state:
        yield state


def test_one_landing_a_trunk_at_a_time(state: State, tmp_path: Path) -> None:
    first = state.begin("hello", str(TRUNK), proposal("1"))
    assert first is not None
    with contextlib.closing(State(tmp_path)) as other:
        assert other.begin("hello", str(TRUNK), proposal("2")) is None
        assert other.begin("more", "/srv/more", proposal("3")) is not None
        assert other.under_way(str(TRUNK)) == first
    state.follow(first, 7, "http://ci/7", 12.0)
    found = state.under_way(str(TRUNK))
    assert found is not None
    assert (found.number, found.url, found.started, found.token) == (7, "http://ci/7", 12.0, first.token)
    state.end(first, Outcome.CONFLICT, ("both changed x",))
    state.end(first, Outcome.LANDED)
    (ended,) = state.newest("hello")
    assert (ended.outcome, ended.reasons) == (Outcome.CONFLICT, ("both changed x",))
    assert state.begin("hello", str(TRUNK), proposal("2")) is not None


def test_what_failed_waits_for_another_approval_and_what_byoci_failed_at_is_tried_again(state: State) -> None:
    waits = []
    for outcome in (Outcome.ERROR, Outcome.ERROR, Outcome.WAITING, Outcome.TESTS_FAILED):
        landing = state.begin("hello", str(TRUNK), proposal("1"))
        assert landing is not None
        state.end(landing, outcome)
        ended = state.of_approval("hello", proposal("1"))
        at = retries.not_before(ended)
        waits.append(None if at is None else round(at - (ended[0].ended or 0)))
    assert waits == [15, 30, 60, None]
    assert retries.not_before(state.of_approval("hello", proposal("1", approved=5))) == 0.0


def test_a_freeze_has_its_newest_reason_until_it_ends(state: State) -> None:
    assert state.frozen("hello") is None
    state.freeze("hello", "release", "alice")
    state.freeze("hello", "another release", "bob")
    found = state.frozen("hello")
    assert found is not None
    assert (found.reason, found.person) == ("another release", "bob")
    assert state.frozen("other") is None
    assert (state.thaw("hello"), state.thaw("hello"), state.frozen("hello")) == (True, False, None)


def test_a_hotfix_is_one_project_s(state: State) -> None:
    state.mark_hotfix("hello", "7", "alice")
    state.mark_hotfix("hello", "7", "bob")
    assert (state.hotfixes("hello"), state.hotfixes("other")) == ({"7"}, frozenset())
    assert (state.unmark_hotfix("hello", "7"), state.unmark_hotfix("hello", "7")) == (True, False)


def test_readers_are_people_of_teams_and_a_url_ends_anonymous_reading(tmp_path: Path) -> None:
    text = """
    [site]
    landing.fullname = "Bot"
    landing.email = "bot@example.com"
    [team.core]
    members = ["ann", "leads"]
    [team.leads]
    members = ["rita"]
    [project.open]
    vcs = "git"
    trunk = "/srv/open"
    tests.command = "true"
    [project.hidden]
    vcs = "git"
    trunk = "/srv/hidden"
    tests.command = "true"
    readers = ["core", "bob"]
    [project.nobodys]
    vcs = "git"
    trunk = "/srv/nobodys"
    tests.command = "true"
    readers = []
    """

    def permissions(monitor: str) -> Permissions:
        (tmp_path / "byoci.toml").write_text(f"{text}\n[monitor]\n{monitor}\n")
        return open_site(tmp_path / "byoci.toml", "testing").permissions()

    found = permissions("")
    assert found.of == {"hidden": {"ann", "rita", "bob"}, "nobodys": frozenset()}
    may = {name: [who for who in (None, "ann", "rita", "eve", "admin") if found.may(who, name)] for name in
           ("open", "hidden", "nobodys")}  # fmt: skip
    assert may["open"] == [None, "ann", "rita", "eve", "admin"]
    assert (may["hidden"], may["nobodys"]) == (["ann", "rita", "admin"], ["admin"])
    assert not permissions('url = "http://127.0.0.1/ci/"').anonymous
    assert permissions('url = "https://ci.example.com/"\nanonymous = true').anonymous
    assert not permissions("anonymous = false").may(None, "open")
