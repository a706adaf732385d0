"""The lander's cache: what is on trunk, what was told, what was tested."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.model import Candidate, LandedRevision, Landing, Outcome, TestSummary, Verdict
from byoci.sqlite import open_database
from byoci.store.landings import MIGRATIONS, LandingStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.agent

TRUNK = "/src/hello;main"
# What a database of each schema held; every new migration adds its own.
SAMPLES = {
    1: """
    INSERT INTO trunk VALUES ('/src/hello;main', 'r2');
    INSERT INTO landing VALUES ('/src/hello;main', 'id1', 'r1', 'hello', '1', 'a1', 1, 0, 1);
    INSERT INTO landing VALUES ('/src/hello;main', 'id2', 'r2', 'hello', '2', 'a2', 2, 0, 0);
    INSERT INTO attempt VALUES (1, 'hello', '3', '{"outcome": "tests-failed", "reasons": ["it failed"],
        "approved_revision": "a3", "base": "r2", "candidate": "c3", "at": "2026-11-01T12:00:00+00:00", "log": "/log",
        "seconds": 1.5, "tests": {"total": 2, "failed": ["t1"], "skipped": 0}}');
    """,
}
SAMPLES[2] = f"{SAMPLES[1]} INSERT INTO passed VALUES ('k', 1.0, '{{}}');"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LandingStore]:
    with LandingStore(tmp_path / "landings.sqlite") as store:
        yield store


def landed(number: int) -> LandedRevision:
    return LandedRevision(f"id{number}", f"r{number}", "hello", str(number), f"a{number}")


def candidate(revision: str = "a3", base: str = "r2") -> Candidate:
    return Candidate("git", f"c {base} {revision}", "tree", base, revision, "id3", "message", "git 2.39.5")


def landing(outcome: Outcome = Outcome.TESTS_FAILED, *reasons: str, proposal: str = "3") -> Landing:
    return Landing("hello", proposal, "Greet", outcome, None, reasons)


def test_nothing_is_indexed_at_first(store: LandingStore) -> None:
    assert store.indexed_tip(TRUNK) is None
    assert store.find(TRUNK, "id1") is None
    assert store.unreported(TRUNK) == []


def test_landings_are_unreported_oldest_first_until_they_are_marked(store: LandingStore) -> None:
    store.add(TRUNK, [landed(2), landed(1)], "r2")
    store.add(TRUNK, iter([landed(4), landed(3)]), "r5")
    store.add("/src/other", [landed(9)], "r9")
    assert store.indexed_tip(TRUNK) == "r5"
    assert [found.landing_id for found in store.unreported(TRUNK)] == ["id1", "id2", "id3", "id4"]
    store.mark_reported(TRUNK, "id2")
    store.mark_reported(TRUNK, "id2")
    store.mark_reported(TRUNK, "nobody's")
    assert store.unreported(TRUNK) == [landed(1), landed(3), landed(4)]
    assert store.find(TRUNK, "id2") == landed(2)
    assert store.find("/src/other", "id2") is None


def test_what_is_added_again_stays_reported(store: LandingStore) -> None:
    store.add(TRUNK, [landed(1)], "r1")
    store.mark_reported(TRUNK, "id1")
    store.add(TRUNK, [landed(2), landed(1)], "r2")
    assert store.unreported(TRUNK) == [landed(2)]


def test_on_a_trunk_that_was_rewound_a_landing_is_told_anew(store: LandingStore) -> None:
    store.add(TRUNK, [landed(1)], "r1")
    store.mark_reported(TRUNK, "id1")
    again = LandedRevision("id1", "r1b", "hello", "1", "a1")
    store.add(TRUNK, [again, landed(1)], "r1b")
    assert store.find(TRUNK, "id1") == again
    assert store.unreported(TRUNK) == [again]


def test_a_tip_moves_without_landings(store: LandingStore) -> None:
    store.add(TRUNK, [landed(1)], "r1")
    store.add(TRUNK, [], "somebody's push")
    assert store.indexed_tip(TRUNK) == "somebody's push"


def test_reading_trunk_fails_half_way(store: LandingStore) -> None:
    def broken() -> Iterator[LandedRevision]:
        yield landed(2)
        raise OSError("the repository is gone")

    with pytest.raises(OSError, match="gone"):
        store.add(TRUNK, broken(), "r2")
    assert store.indexed_tip(TRUNK) is None
    assert store.unreported(TRUNK) == []


def test_the_last_attempt_is_remembered_whole(store: LandingStore) -> None:
    before = datetime.now(UTC)
    tests = TestSummary(3, ("test_a", "test_\udcff\x00"), 1)
    verdict = Verdict(False, "2 of 3 failed", 1.25, tests, "/log/3/\udcff.log")
    store.record_attempt(landing(Outcome.CONFLICT, "an earlier one"), candidate("a2"), None)
    store.record_attempt(landing(Outcome.TESTS_FAILED, "2 of 3 failed", "é\udcff"), candidate(), verdict)
    found = store.last_attempt("hello", "3")
    assert found is not None
    assert before <= found.at <= datetime.now(UTC)
    assert (found.project, found.proposal, found.outcome) == ("hello", "3", Outcome.TESTS_FAILED)
    assert (found.approved_revision, found.base, found.candidate) == ("a3", "r2", candidate().id)
    assert found.reasons == ("2 of 3 failed", "é\udcff")
    assert (found.log, found.seconds, found.tests) == (verdict.log, 1.25, tests)


def test_an_attempt_without_a_verdict(store: LandingStore) -> None:
    store.record_attempt(landing(Outcome.CONFLICT, "greet"), candidate(), None)
    found = store.last_attempt("hello", "3")
    assert found is not None
    assert (found.outcome, found.tests, found.log) == (Outcome.CONFLICT, None, "")
    assert store.last_attempt("hello", "4") is None
    assert store.last_attempt("other", "3") is None


def test_attempts_do_not_pile_up(store: LandingStore, tmp_path: Path) -> None:
    store.record_attempt(landing(proposal="4"), candidate("other"), None)
    for number in range(50):
        store.record_attempt(landing(), candidate(f"a{number}"), None)
    found = store.last_attempt("hello", "3")
    assert found is not None
    assert found.approved_revision == "a49"
    database = open_database(tmp_path / "landings.sqlite", MIGRATIONS, kind="landings")
    assert database.execute("SELECT proposal, count(*) FROM attempt GROUP BY 1 ORDER BY 1").fetchall() == [
        ("3", 20),
        ("4", 1),
    ]
    database.close()


def test_it_is_all_there_after_closing(tmp_path: Path) -> None:
    with LandingStore(tmp_path / "s") as store:
        store.add(TRUNK, [landed(1)], "r1")
        store.record_attempt(landing(), candidate(), None)
    with LandingStore(tmp_path / "s") as store:
        assert store.unreported(TRUNK) == [landed(1)]
        assert store.last_attempt("hello", "3") is not None


def test_deleting_it_loses_only_what_trunk_knows(tmp_path: Path) -> None:
    with LandingStore(tmp_path / "s") as store:
        store.add(TRUNK, [landed(2), landed(1)], "r2")
        before = store.unreported(TRUNK)
    (tmp_path / "s").unlink()
    with LandingStore(tmp_path / "s") as store:
        store.add(TRUNK, [landed(2), landed(1)], "r2")
        assert store.unreported(TRUNK) == before


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS) + 1))
def test_a_database_of_every_earlier_schema_is_brought_up_to_date(tmp_path: Path, number: int) -> None:
    database = open_database(tmp_path / "s", MIGRATIONS[:number], kind="landings")
    database.executescript(SAMPLES[number])
    database.close()
    with LandingStore(tmp_path / "s") as store:
        assert store.indexed_tip(TRUNK) == "r2"
        assert store.find(TRUNK, "id1") == landed(1)
        assert store.unreported(TRUNK) == [landed(2)]
        found = store.last_attempt("hello", "3")
        assert found is not None
        assert found.tests == TestSummary(2, ("t1",))


@given(st.lists(st.lists(st.integers(1, 30), unique=True), max_size=5))
def test_the_index_is_what_was_added_whatever_the_batches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    with LandingStore(tmp_path_factory.mktemp("store") / "s") as store:
        expected: list[int] = []
        for batch in batches:
            store.add(TRUNK, [landed(number) for number in batch], "tip")
            expected += [number for number in reversed(batch) if number not in expected]
        assert store.unreported(TRUNK) == [landed(number) for number in expected]
