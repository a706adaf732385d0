"""Stories of landing, on real repositories, a real forge and real workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from byoci.errors import LeaseHeldError, UnreachableError, UsageError
from byoci.gate import land
from byoci.gate.rounds import exit_code, queue_rows
from byoci.model import Outcome, Status, VoteValue

if TYPE_CHECKING:
    from site_under_test import Story

pytestmark = [pytest.mark.agent]


def test_a_good_proposal_lands_once_and_is_reported_once(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"new": "file\n"})
    rows = story.land()
    (row,) = rows
    assert row.landing.outcome is Outcome.LANDED
    assert row.landing.revision == story.trunk_tip() != before
    assert story.trunk_files() == {"greeting": "hello\n", "README": "one\ntwo\nthree\n", "new": "file\n"}
    told = story.forge.proposal(proposal.id)
    assert (told.status, told.merged_revision) == (Status.MERGED, row.landing.revision)
    assert [comment.text.splitlines()[0] for comment in story.forge.comments(proposal.id)] == [
        f"Landed as {row.landing.revision}."
    ]
    assert exit_code(rows) == 0
    story.reopen()
    assert story.land() == []


@pytest.mark.slow
def test_a_proposal_whose_tests_fail_goes_back_and_is_not_tested_again(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"broken": "yes\n"})
    rows = story.land()
    assert rows[0].landing.outcome is Outcome.TESTS_FAILED
    assert "exit code 1" in rows[0].landing.reasons[0]
    assert exit_code(rows) == 1
    assert story.trunk_tip() == before
    assert story.forge.proposal(proposal.id).status is Status.NEEDS_REVIEW
    (comment,) = story.forge.comments(proposal.id)
    assert "Not landed" in comment.text
    log = next(line for line in comment.text.splitlines() if line.startswith("Log: "))
    assert log.removeprefix("Log: ").startswith(str(story.folder))
    tested = story.lines.count(f"hello {proposal.id}: testing")
    story.reopen()
    again = story.land()
    assert again[0].landing.outcome is Outcome.TESTS_FAILED
    assert "nothing changed since" in again[0].landing.reasons[-1]
    assert exit_code(again) == 3
    assert story.lines.count(f"hello {proposal.id}: testing") == tested == 1
    assert len(story.forge.comments(proposal.id)) == 1


@pytest.mark.slow
def test_a_failed_proposal_that_is_mended_and_approved_again_lands(story: Story) -> None:
    proposal = story.propose("topic", {"greeting": "goodbye\n"})
    assert story.land_one().outcome is Outcome.TESTS_FAILED
    story.repository.commit("topic", {"greeting": "hello\n", "extra": "1\n"}, "mend it", "bob")
    assert story.land_one().outcome is Outcome.WAITING
    story.approve("topic", proposal.id)
    assert story.land_one().outcome is Outcome.LANDED


@pytest.mark.slow
def test_a_conflict_is_told_with_its_paths(story: Story) -> None:
    proposal = story.propose("topic", {"README": "one\n2\nthree\n"})
    story.repository.commit(None, {"README": "one\nzwei\nthree\n"}, "translate", "alice")
    rows = story.land()
    assert rows[0].landing.outcome is Outcome.CONFLICT
    assert "README" in rows[0].landing.reasons[0]
    assert exit_code(rows) == 1
    assert story.forge.proposal(proposal.id).status is Status.NEEDS_REVIEW
    story.reopen()
    assert story.land_one().outcome is Outcome.CONFLICT


@pytest.mark.slow
def test_one_that_nobody_approved_waits(story: Story) -> None:
    story.propose("topic", {"new": "1\n"}, approve=False)
    rows = story.land()
    assert rows[0].landing.outcome is Outcome.WAITING
    assert "Needs review" in rows[0].landing.reasons[0]
    assert exit_code(rows) == 3


@pytest.mark.slow
def test_a_source_that_moved_on_after_its_approval_waits(story: Story) -> None:
    story.propose("topic", {"new": "1\n"})
    story.repository.commit("topic", {"new": "evil\n"}, "one more thing", "bob")
    row = story.land_one()
    assert row.outcome is Outcome.WAITING
    assert any("moved on" in reason for reason in row.reasons)


@pytest.mark.slow
def test_a_prerequisite_lands_first_though_it_was_proposed_later(story: Story) -> None:
    first = story.propose("one", {"one": "1\n"}, approve=False)
    second = story.propose("two", {"two": "2\n"}, origin="one", after=first.id)
    assert {row.landing.outcome for row in story.land()} == {Outcome.WAITING}
    story.approve("one", first.id)
    assert [(row.landing.proposal, row.landing.outcome) for row in story.land()] == [
        (first.id, Outcome.LANDED),
        (second.id, Outcome.LANDED),
    ]


@pytest.mark.slow
def test_one_that_a_person_merged_is_told_as_such_and_makes_no_commit(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    story.repository.merge("topic", "alice")
    tip = story.trunk_tip()
    row = story.land_one()
    assert (row.outcome, row.revision) == (Outcome.LANDED, tip)
    assert "by others" in row.reasons[0]
    assert story.trunk_tip() == tip
    assert story.forge.proposal(proposal.id).status is Status.MERGED


@pytest.mark.slow
def test_one_that_was_reverted_since_waits_for_a_revert_of_the_revert(story: Story) -> None:
    first = story.propose("topic", {"new": "1\n", "greeting": "hello\n"})
    story.land()
    story.repository.remove(None, "new", "This was too early", "alice")
    again = story.forge.create(
        "hello", story.repository.location("topic"), story.repository.trunk, "Once more", acting_for="bob"
    )
    story.approve("topic", again.id)
    row = story.land_one()
    assert row.proposal != first.id
    assert row.outcome is Outcome.WAITING
    assert "reverted" in row.reasons[0]


@pytest.mark.slow
def test_one_without_changes_never_lands(story: Story) -> None:
    tip = story.trunk_tip()
    story.propose("topic", {"new": "1\n"}, approve=False)
    story.repository.remove("topic", "new", "never mind", "bob")
    story.approve("topic", "1")
    row = story.land_one()
    assert row.outcome is Outcome.WAITING
    assert "changes nothing" in row.reasons[0]
    assert story.trunk_tip() == tip


@pytest.mark.slow
def test_trunk_that_moves_while_testing_starts_the_landing_anew(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    moves = iter([{"moved": "once\n"}])

    def move(line: str) -> None:
        if line.endswith("checking again") and (files := next(moves, None)):
            story.repository.commit(None, files, "meanwhile", "alice")

    story.on_line = move
    row = story.land_one()
    assert row.outcome is Outcome.LANDED
    assert {"moved", "new"} <= set(story.trunk_files())
    assert story.lines.count(f"hello {proposal.id}: testing") == 2


@pytest.mark.slow
def test_trunk_that_never_rests_is_our_failure_and_loses_nothing(story: Story) -> None:
    story.propose("topic", {"new": "1\n"})
    count = iter(range(100))

    def move(line: str) -> None:
        if line.endswith("checking again"):
            story.repository.commit(None, {"moved": f"{next(count)}\n"}, "meanwhile", "alice")

    story.on_line = move
    rows = story.land()
    assert rows[0].landing.outcome is Outcome.ERROR
    assert exit_code(rows) == 75
    story.on_line = lambda _: None
    assert story.land_one().outcome is Outcome.LANDED


@pytest.mark.slow
def test_a_refusal_that_comes_while_testing_stops_the_landing(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"new": "1\n"})

    def refuse(line: str) -> None:
        if line.endswith("checking again"):
            tip = story.repository.tip("topic")
            story.forge.review(proposal.id, VoteValue.NEEDS_FIXING, revision=tip, acting_for="carol")

    story.on_line = refuse
    row = story.land_one()
    assert row.outcome is Outcome.WAITING
    assert any("carol" in reason for reason in row.reasons)
    assert story.trunk_tip() == before


@pytest.mark.slow
def test_what_a_dead_lander_published_is_reported_by_the_next_one(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    gate = story.gate()
    with story.site.leases.hold(str(gate.project.trunk)) as lease:
        land.run_stages(gate, proposal, lease, land.STAGES[:-1])
    tip = story.trunk_tip()
    assert story.forge.proposal(proposal.id).status is Status.APPROVED
    story.reopen()
    row = story.land_one()
    assert (row.outcome, row.revision) == (Outcome.LANDED, tip)
    assert story.forge.proposal(proposal.id).merged_revision == tip
    assert len(story.forge.comments(proposal.id)) == 1
    assert story.trunk_tip() == tip


@pytest.mark.slow
def test_a_landing_that_a_person_took_off_trunk_is_not_told_and_lands_anew(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"new": "1\n"})
    gate = story.gate()
    with story.site.leases.hold(str(gate.project.trunk)) as lease:
        land.run_stages(gate, proposal, lease, land.STAGES[:-1])
    story.repository.rewind(before)
    story.repository.commit(None, {"other": "1\n"}, "instead", "alice")
    story.reopen()
    row = story.land_one()
    assert row.outcome is Outcome.LANDED
    assert row.revision == story.trunk_tip()
    assert {"new", "other"} <= set(story.trunk_files())
    assert len(story.forge.comments(proposal.id)) == 1


@pytest.mark.slow
def test_losing_the_cache_loses_nothing(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    story.land()
    tip = story.trunk_tip()
    story.site.store.close()
    for path in story.site.config.state.glob("lander.sqlite*"):
        path.unlink()
    story.reopen()
    assert story.land() == []
    assert story.trunk_tip() == tip
    assert len(story.forge.comments(proposal.id)) == 1


def test_two_landers_on_one_trunk_never_work_at_once(story: Story) -> None:
    story.propose("topic", {"new": "1\n"})
    with story.site.leases.hold(str(story.repository.trunk)), pytest.raises(LeaseHeldError):
        story.land()


@pytest.mark.slow
def test_shadow_tells_and_changes_nothing(story: Story) -> None:
    good = story.propose("good", {"new": "1\n"})
    bad = story.propose("bad", {"broken": "1\n"})
    tip = story.trunk_tip()
    rows = {row.landing.proposal: row.landing for row in story.shadow()}
    assert rows[good.id].reasons[0].startswith("would land as ")
    assert rows[bad.id].outcome is Outcome.TESTS_FAILED
    assert story.trunk_tip() == tip
    for proposal in (good, bad):
        assert story.forge.proposal(proposal.id).status is Status.APPROVED
        assert story.forge.comments(proposal.id) == []
    told = rows[good.id].reasons[0].removeprefix("would land as ")
    story.land()
    assert story.forge.proposal(good.id).merged_revision == told


@pytest.mark.slow
def test_shadow_regardless_tests_what_nobody_approved(story: Story) -> None:
    proposal = story.propose("topic", {"broken": "1\n"}, approve=False)
    rows = story.shadow(proposal.id, regardless=True)
    assert rows[0].landing.outcome is Outcome.TESTS_FAILED
    assert story.forge.proposal(proposal.id).status is Status.NEEDS_REVIEW


@pytest.mark.slow
def test_a_source_that_is_gone_is_an_error_of_that_proposal_alone(story: Story) -> None:
    gone = story.propose("gone", {"a": "1\n"})
    good = story.propose("good", {"b": "1\n"})
    story.repository.drop("gone")
    rows = {row.landing.proposal: row for row in story.land()}
    assert rows[gone.id].landing.outcome is Outcome.ERROR
    assert rows[gone.id].error is not None
    assert rows[good.id].landing.outcome is Outcome.LANDED


def test_a_trunk_that_is_gone_is_told(story: Story) -> None:
    story.propose("topic", {"a": "1\n"})
    (story.folder / "repository").rename(story.folder / "elsewhere")
    with pytest.raises(UnreachableError):
        story.land()


@pytest.mark.slow
def test_the_queue_judges_without_trying(story: Story) -> None:
    good = story.propose("good", {"b": "1\n"})
    waiting = story.propose("waiting", {"c": "1\n"}, approve=False)
    rows = {row.proposal: row for row in queue_rows(story.gate())}
    assert rows[good.id].landable
    assert not rows[good.id].reasons
    assert not rows[waiting.id].landable
    assert rows[waiting.id].reasons
    with pytest.raises(UsageError):
        story.land("77")
