"""Stories of what landed before: opened again, approved again, taken off trunk, merged past the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from site_under_test import TESTS, Story

from byoci.gate import land
from byoci.model import Outcome, Status

if TYPE_CHECKING:
    from byoci.model import Proposal

pytestmark = [pytest.mark.agent, pytest.mark.slow]


def lose_database(story: Story) -> None:
    story.site.store.close()
    for path in story.site.config.state.glob("lander.sqlite*"):
        path.unlink()
    story.reopen()


def said(story: Story, proposal: Proposal) -> list[str]:
    return [comment.text.splitlines()[0] for comment in story.forge.comments(proposal.id)]


def published(story: Story, proposal: Proposal) -> str:
    """What a lander leaves that died after it had published."""
    gate = story.gate()
    with story.site.leases.hold(str(gate.project.trunk)) as lease:
        land.run_stages(gate, proposal, lease, land.STAGES[:-1])
    return story.trunk_tip()


def test_one_that_was_opened_again_stays_open_when_the_cache_is_lost(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    story.land()
    story.forge.change_status(proposal.id, Status.NEEDS_REVIEW, acting_for="alice")
    lose_database(story)
    story.land()
    assert story.forge.proposal(proposal.id).status is Status.NEEDS_REVIEW
    assert len(said(story, proposal)) == 1


def test_one_that_is_asked_for_by_name_and_was_published_before_is_told_as_landed(story: Story) -> None:
    """Reporting it takes it out of the queue; that is no reason to say that it is not there."""
    proposal = story.propose("topic", {"new": "1\n"})
    tip = published(story, proposal)
    (row,) = story.land(proposal.id)
    assert (row.landing.proposal, row.landing.outcome) == (proposal.id, Outcome.LANDED)
    assert story.trunk_tip() == tip


def test_a_second_approval_is_not_lost_with_the_cache(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    story.land()
    story.repository.commit("topic", {"more": "2\n"}, "more of it", "bob")
    story.forge.change_status(proposal.id, Status.NEEDS_REVIEW, acting_for="alice")
    story.approve("topic", proposal.id)
    lose_database(story)
    assert story.land_one().outcome is Outcome.LANDED
    assert "more" in story.trunk_files()
    assert story.forge.proposal(proposal.id).merged_revision == story.trunk_tip()


def test_a_revision_that_is_approved_while_another_is_published_lands_next(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})

    def approve_more(line: str) -> None:
        if line.endswith("publishing"):
            story.on_line = lambda _: None
            story.repository.commit("topic", {"more": "2\n"}, "more of it", "bob")
            story.approve("topic", proposal.id)

    story.on_line = approve_more
    first = story.land_one().revision
    second = story.land_one()
    assert second.outcome is Outcome.LANDED
    assert "more" in story.trunk_files()
    assert said(story, proposal) == [f"Landed as {first}.", f"Landed as {second.revision}."]


def test_a_revision_that_is_approved_after_a_lander_died_lands_next(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    first = published(story, proposal)
    story.repository.commit("topic", {"more": "2\n"}, "more of it", "bob")
    story.approve("topic", proposal.id)
    story.reopen()
    story.land()
    story.land()
    assert said(story, proposal) == [f"Landed as {first}.", f"Landed as {story.trunk_tip()}."]
    assert story.forge.proposal(proposal.id).status is Status.MERGED


def test_what_lands_again_after_it_was_taken_off_trunk_is_told_again(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"new": "1\n"})
    first = story.land_one().revision
    story.repository.rewind(before)
    story.repository.commit(None, {"other": "1\n"}, "instead", "alice")
    story.forge.change_status(proposal.id, Status.NEEDS_REVIEW, acting_for="alice")
    story.approve("topic", proposal.id)
    second = story.land_one().revision
    assert second == story.trunk_tip() != first
    assert said(story, proposal) == [f"Landed as {first}.", f"Landed as {second}."]


def test_one_that_was_taken_off_trunk_and_merged_by_a_person_is_told_as_such(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"new": "1\n"})
    story.land()
    story.repository.rewind(before)
    story.repository.merge("topic", "alice")
    story.forge.change_status(proposal.id, Status.NEEDS_REVIEW, acting_for="alice")
    story.approve("topic", proposal.id)
    row = story.land_one()
    assert (row.outcome, row.revision) == (Outcome.LANDED, story.trunk_tip())
    assert said(story, proposal)[1:] == [f"merged by others as {story.trunk_tip()}"]
    assert story.forge.proposal(proposal.id).merged_revision == story.trunk_tip()


def test_one_that_a_person_merged_twice_is_told_twice(story: Story) -> None:
    before = story.trunk_tip()
    proposal = story.propose("topic", {"new": "1\n"})
    merged = []
    for number in range(2):
        story.repository.rewind(before)
        story.repository.commit(None, {"other": f"{number}\n"}, "before it", "alice")
        story.repository.merge("topic", "alice")
        story.forge.change_status(proposal.id, Status.NEEDS_REVIEW, acting_for="alice")
        story.approve("topic", proposal.id)
        story.land()
        merged.append(f"merged by others as {story.trunk_tip()}")
    assert said(story, proposal) == merged


def test_trunk_that_moves_while_publishing_costs_one_more_test_only(story: Story) -> None:
    proposal = story.propose("topic", {"new": "1\n"})
    moves = iter([{"moved": "once\n"}])

    def move(line: str) -> None:
        if line.endswith("publishing") and (files := next(moves, None)):
            story.repository.commit(None, files, "meanwhile", "alice")

    story.on_line = move
    assert story.land_one().outcome is Outcome.LANDED
    assert {"moved", "new"} <= set(story.trunk_files())
    assert story.lines.count(f"hello {proposal.id}: testing") == 2


def test_two_that_are_bad_together_never_land_both(story: Story) -> None:
    story.config.write_text(story.config.read_text().replace(TESTS, "test ! -e left || test ! -e right"))
    story.reopen()
    for side in ("left", "right"):
        story.propose(side, {side: "1\n"})
    assert [row.landing.outcome for row in story.land()] == [Outcome.LANDED, Outcome.TESTS_FAILED]
    assert "right" not in story.trunk_files()
