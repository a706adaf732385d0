"""The contract of every forge: stories of people on one side and the lander on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from forge_harness import MEMBERS, TRUSTED, ForgeHarness, LocalHarness
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from byoci.errors import UsageError
from byoci.gate.ballot import Policy, judge
from byoci.model import Location, Proposal, Status, Vote, VoteValue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.agent

HARNESSES = {"local": LocalHarness}
APPROVE, ABSTAIN, NEEDS_FIXING = VoteValue.APPROVE, VoteValue.ABSTAIN, VoteValue.NEEDS_FIXING


@pytest.fixture(params=list(HARNESSES))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ForgeHarness]:
    site = HARNESSES[request.param](tmp_path)
    yield site
    site.close()


def approved(site: ForgeHarness, title: str = "Greet", author: str = "ann") -> Proposal:
    """A proposal as it is read after rita approved it."""
    made = site.propose(author, title)
    site.vote(made, "rita", APPROVE)
    site.set_status(made, "rita", Status.APPROVED)
    return site.forge.proposal(made.id)


def lands(site: ForgeHarness, proposal: Proposal) -> bool:
    return judge(site.forge.ballot_of(proposal), Policy(), site.tip(proposal)).landable


def test_a_forge_has_a_name(site: ForgeHarness) -> None:
    assert site.forge.name in HARNESSES


def test_a_new_proposal_is_all_there(site: ForgeHarness) -> None:
    made = site.propose("ann", "Greet “politely” 😀")
    found = site.forge.proposal(made.id)
    assert found == made
    assert (found.title, found.author, found.status) == ("Greet “politely” 😀", "ann", Status.NEEDS_REVIEW)
    assert (found.target, found.forge) == (site.target, site.forge.name)
    assert (found.approved_revision, found.approved_at, found.merged_revision) == (None, None, None)
    assert found.created_at.utcoffset() is not None


def test_open_proposals_into_one_target_oldest_first(site: ForgeHarness) -> None:
    assert list(site.forge.proposals(site.target)) == []
    made = [site.propose("ann", f"Number {number}") for number in range(4)]
    site.propose("ann", "Elsewhere", target=site.other_target)
    site.set_status(made[1], "rita", Status.REJECTED)
    site.set_status(made[2], "ann", Status.WORK_IN_PROGRESS)
    found = site.forge.proposals(site.target)
    assert [proposal.title for proposal in found] == ["Number 0", "Number 2", "Number 3"]
    assert [proposal.title for proposal in site.forge.proposals(site.other_target)] == ["Elsewhere"]
    assert list(site.forge.proposals(Location("/nowhere"))) == []


def test_the_approved_revision_is_the_sources_tip_at_that_moment(site: ForgeHarness) -> None:
    proposal = approved(site)
    assert proposal.approved_revision == site.tip(proposal)
    assert proposal.approved_at is not None
    assert proposal.approved_at.microsecond == 0
    assert lands(site, proposal)
    site.push(proposal)
    again = site.forge.proposal(proposal.id)
    assert (again.status, again.approved_revision) == (Status.APPROVED, proposal.approved_revision)
    assert not lands(site, proposal)


def test_approving_the_same_revision_again_changes_nothing(site: ForgeHarness) -> None:
    proposal = approved(site)
    site.set_status(proposal, "tom", Status.APPROVED)
    assert site.forge.proposal(proposal.id) == proposal


@pytest.mark.parametrize("status", [Status.NEEDS_REVIEW, Status.WORK_IN_PROGRESS])
def test_going_back_takes_the_approval_away(site: ForgeHarness, status: Status) -> None:
    proposal = approved(site)
    site.set_status(proposal, "ann", status)
    found = site.forge.proposal(proposal.id)
    assert (found.status, found.approved_revision, found.approved_at) == (status, None, None)


def test_a_ballot_is_of_now(site: ForgeHarness) -> None:
    proposal = site.propose("ann", "Greet")
    site.ask(proposal, "rita", "Security")
    site.ask(proposal, "core")
    site.ask(proposal, "core")
    site.vote(proposal, "mallory", NEEDS_FIXING)
    site.vote(proposal, "rita", NEEDS_FIXING)
    tip = site.push(proposal)
    site.vote(proposal, "rita", APPROVE, "DB")
    site.set_status(proposal, "tom", Status.APPROVED)
    ballot = site.forge.ballot_of(proposal)
    assert (ballot.proposal.status, ballot.proposal.approved_revision) == (Status.APPROVED, tip)
    votes = {vote.voter: vote for vote in ballot.votes}
    assert {voter: vote.value for voter, vote in votes.items()} == {"mallory": NEEDS_FIXING, "rita": APPROVE}
    assert len(ballot.votes) == 2
    assert votes["rita"].review_type == "db"
    assert votes["rita"].revision in (None, tip)
    asked = sorted((request.reviewer, request.team, request.review_type) for request in ballot.requests)
    assert asked == [("core", True, ""), ("core", True, ""), ("rita", False, "security")]
    assert {"rita", "tom"} <= ballot.trusted
    assert not {"ann", "mallory", "eve"} & ballot.trusted
    assert {team: ballot.members[team] for team in MEMBERS} == MEMBERS


def test_the_prerequisite_is_told_as_it_is_now(site: ForgeHarness) -> None:
    first = approved(site, "First")
    second = site.propose("ann", "Second", after=first)
    site.vote(second, "rita", APPROVE)
    site.set_status(second, "rita", Status.APPROVED)
    assert site.forge.ballot_of(second).prerequisite == first
    assert not lands(site, second)
    site.forge.mark_merged(first, "t1")
    assert site.forge.ballot_of(second).prerequisite == site.forge.proposal(first.id)
    assert lands(site, second)


def test_a_comment_told_twice_is_seen_once(site: ForgeHarness) -> None:
    proposal = site.propose("ann", "Greet")
    for forge, new in ((site.forge, True), (site.another(), False)):
        for key in ("key 1", "key 2"):
            assert forge.comment(proposal, key, "Tests failed.\n\tSee the log.") is new
    assert site.comments(proposal) == ["Tests failed.\n\tSee the log."] * 2


def test_merged_told_twice_is_merged_once(site: ForgeHarness) -> None:
    proposal = approved(site)
    site.forge.mark_merged(proposal, "t1")
    site.another().mark_merged(proposal, "t2")
    found = site.forge.proposal(proposal.id)
    assert (found.status, found.merged_revision) == (Status.MERGED, "t1")
    assert found.id not in {open_.id for open_ in site.forge.proposals(site.target)}


@pytest.mark.parametrize("status", [Status.NEEDS_REVIEW, Status.WORK_IN_PROGRESS, Status.REJECTED, Status.SUPERSEDED])
def test_what_trunk_holds_is_merged_whatever_its_status_was(site: ForgeHarness, status: Status) -> None:
    proposal = site.propose("ann", "Greet")
    site.set_status(proposal, "rita", status)
    site.forge.mark_merged(site.forge.proposal(proposal.id), "t1")
    assert site.forge.proposal(proposal.id).merged_revision == "t1"


def test_an_approval_of_another_revision_outlasts_merged(site: ForgeHarness) -> None:
    before = approved(site)
    newer = site.push(before)
    site.set_status(before, "rita", Status.APPROVED)
    site.forge.mark_merged(before, "t1")
    found = site.forge.proposal(before.id)
    assert (found.status, found.approved_revision, found.merged_revision) == (Status.APPROVED, newer, None)
    site.forge.mark_merged(found, "t2")
    assert site.forge.proposal(before.id).merged_revision == "t2"


def test_the_lander_sends_a_proposal_back(site: ForgeHarness) -> None:
    proposal = approved(site)
    for forge in (site.forge, site.another()):
        forge.set_status(proposal, Status.NEEDS_REVIEW)
    found = site.forge.proposal(proposal.id)
    assert (found.status, found.approved_revision) == (Status.NEEDS_REVIEW, None)


def test_the_lander_does_not_undo_what_people_decided_meanwhile(site: ForgeHarness) -> None:
    read = approved(site)
    tip = site.push(read)
    site.set_status(read, "tom", Status.APPROVED)
    site.forge.set_status(read, Status.NEEDS_REVIEW)  # it tested what was approved before
    assert site.forge.proposal(read.id).approved_revision == tip
    site.set_status(read, "rita", Status.REJECTED)
    site.forge.set_status(read, Status.NEEDS_REVIEW)
    assert site.forge.proposal(read.id).status is Status.REJECTED


@pytest.mark.parametrize("status", [status for status in Status if status.final])
def test_a_final_proposal_can_be_opened_again(site: ForgeHarness, status: Status) -> None:
    proposal = approved(site)
    site.set_status(proposal, "rita", status)
    assert site.forge.proposals(site.target) == []
    site.set_status(proposal, "rita", Status.NEEDS_REVIEW)
    (found,) = site.forge.proposals(site.target)
    assert (found.status, found.approved_revision, found.merged_revision) == (Status.NEEDS_REVIEW, None, None)


@pytest.mark.parametrize("id_", ["4711", "", "x", "-1", "0", "01", "1 ", "1;", "٣", "9" * 30, "\udcff", "1\n"])
def test_a_proposal_that_is_not_there(site: ForgeHarness, id_: str) -> None:
    made = site.propose("ann", "Greet")
    nobody = Proposal(
        made.forge, made.project, id_, "t", "ann", made.source, made.target, Status.APPROVED, made.created_at
    )
    for ask in (
        lambda: site.forge.proposal(id_),
        lambda: site.forge.ballot_of(nobody),
        lambda: site.forge.comment(nobody, "key", "text"),
        lambda: site.forge.set_status(nobody, Status.NEEDS_REVIEW),
        lambda: site.forge.mark_merged(nobody, "t1"),
    ):
        with pytest.raises(UsageError, match="there is no proposal"):
            ask()


def test_somebody_asked_by_name_answers_for_his_teams(site: ForgeHarness) -> None:
    """The trap that the ballot exists for, on a real forge."""
    proposal = site.propose("ann", "Greet")
    for reviewer in ("core", "rita", "everybody"):
        site.ask(proposal, reviewer)
    site.set_status(proposal, "tom", Status.APPROVED)
    assert not lands(site, proposal)
    site.vote(proposal, "rita", APPROVE)
    assert lands(site, proposal)


class Story(RuleBasedStateMachine):
    """People and a lander do anything in any order; the forge shows what a plain table of it would."""

    harness: type[ForgeHarness]
    folder: Path
    made = Bundle("made")
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.site = self.harness(self.folder / str(self.runs))
        self.table: dict[str, dict[str, object]] = {}
        self.seen: tuple[str, list[object]] = ("", [])

    @rule(target=made, author=st.sampled_from(["ann", "rita"]))
    def propose(self, author: str) -> Proposal:
        proposal = self.site.propose(author, f"By {author}")
        nothing = {
            "status": Status.NEEDS_REVIEW,
            "approved": None,
            "merged": None,
            "votes": {},
            "asked": [],
            "said": [],
        }
        self.table[proposal.id] = nothing
        return proposal

    @rule(proposal=made)
    def push(self, proposal: Proposal) -> None:
        self.site.push(proposal)

    @rule(
        proposal=made, voter=st.sampled_from(["rita", "eve", "ann", "mallory"]), value=st.sampled_from(list(VoteValue))
    )
    def vote(self, proposal: Proposal, voter: str, value: VoteValue) -> None:
        row = self.table[proposal.id]
        if row["status"].final:  # type: ignore[attr-defined]
            with pytest.raises(UsageError):
                self.site.vote(proposal, voter, value)
        else:
            self.site.vote(proposal, voter, value)
            row["votes"][voter] = (value, self.site.tip(proposal))  # type: ignore[index]

    @precondition(lambda self: any(not row["status"].final for row in self.table.values()))
    @rule(proposal=made, reviewer=st.sampled_from(["rita", "eve", "core", "loop"]))
    def ask(self, proposal: Proposal, reviewer: str) -> None:
        row = self.table[proposal.id]
        if row["status"].final:  # type: ignore[attr-defined]
            return
        self.site.ask(proposal, reviewer)
        if reviewer in MEMBERS or reviewer not in row["asked"]:  # type: ignore[operator]
            row["asked"].append(reviewer)  # type: ignore[attr-defined]

    @rule(proposal=made, person=st.sampled_from(["rita", "ann", "mallory"]), status=st.sampled_from(list(Status)))
    def set_status(self, proposal: Proposal, person: str, status: Status) -> None:
        decides = status in (Status.APPROVED, Status.REJECTED, Status.MERGED)
        if person not in TRUSTED | (set() if decides else {proposal.author}):
            with pytest.raises(UsageError):
                self.site.set_status(proposal, person, status)
            return
        self.site.set_status(proposal, person, status)
        self._now(proposal, status, self.site.tip(proposal))

    @rule(proposal=made, fresh=st.booleans())
    def lander_sends_back(self, proposal: Proposal, fresh: bool) -> None:
        read = self.site.forge.proposal(proposal.id) if fresh else proposal  # else as it was when it was made
        self.site.forge.set_status(read, Status.NEEDS_REVIEW)
        if fresh:
            self._now(proposal, Status.NEEDS_REVIEW, None)

    @rule(proposal=made)
    def lander_reports(self, proposal: Proposal) -> None:
        self.site.forge.mark_merged(self.site.forge.proposal(proposal.id), f"t{proposal.id}")
        self._now(proposal, Status.MERGED, f"t{proposal.id}")

    @rule(proposal=made, key=st.sampled_from(["a", "b"]))
    def lander_says(self, proposal: Proposal, key: str) -> None:
        self.site.forge.comment(proposal, key, f"text {key}")
        if f"text {key}" not in self.table[proposal.id]["said"]:  # type: ignore[operator]
            self.table[proposal.id]["said"].append(f"text {key}")  # type: ignore[attr-defined]

    def _now(self, proposal: Proposal, status: Status, revision: str | None) -> None:
        row = self.table[proposal.id]
        if status is Status.MERGED:
            if row["status"] is not Status.MERGED:
                row["merged"] = revision
        else:
            row["approved"] = revision if status is Status.APPROVED else None
            row["merged"] = None
        row["status"] = status

    @invariant()
    def the_forge_shows_it(self) -> None:
        for id_, row in self.table.items():
            ballot = self.site.forge.ballot_of(self.site.forge.proposal(id_))
            found = ballot.proposal
            told = (found.status, found.approved_revision, found.merged_revision)
            assert told == (row["status"], row["approved"], row["merged"])
            assert {vote.voter: (vote.value, _seen(vote, row)) for vote in ballot.votes} == row["votes"]
            assert sorted(request.reviewer for request in ballot.requests) == sorted(row["asked"])  # type: ignore[call-overload]
            assert self.site.comments(found) == row["said"]
        open_ = [id_ for id_, row in self.table.items() if not row["status"].final]  # type: ignore[attr-defined]
        assert [proposal.id for proposal in self.site.forge.proposals(self.site.target)] == open_

    @invariant()
    def another_edition_tells_of_every_change(self) -> None:
        edition, forge = self.site.forge.edition(self.site.target), self.site.forge
        ballots = [forge.ballot_of(proposal) for proposal in forge.proposals(self.site.target)]
        told: list[object] = [(ballot.proposal, ballot.votes, ballot.requests) for ballot in ballots]
        assert edition != self.seen[0] or told == self.seen[1]
        assert forge.edition(self.site.target) == edition
        self.seen = edition, told

    def teardown(self) -> None:
        self.site.close()


def _seen(vote: Vote, row: dict[str, object]) -> str:
    """The revision of a vote; a forge that does not keep it is taken at its word."""
    return vote.revision if vote.revision is not None else row["votes"][vote.voter][1]  # type: ignore[index]


@pytest.mark.parametrize("name", list(HARNESSES))
@pytest.mark.slow
def test_any_story(name: str, tmp_path: Path) -> None:
    story = type("StoryOfOne", (Story,), {"harness": HARNESSES[name], "folder": tmp_path})
    run_state_machine_as_test(story, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
