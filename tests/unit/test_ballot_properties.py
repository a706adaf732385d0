"""What must hold for every ballot, however odd."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from byoci.gate.ballot import Policy, explain, judge, what_if
from byoci.model import Ballot, Location, Proposal, ReviewRequest, Status, Vote, VoteValue

pytestmark = pytest.mark.agent

START = datetime(2026, 11, 1, tzinfo=UTC)
PEOPLE = ("author", "ann", "ben", "cid", "dot", "eve")
TEAMS = ("core", "inner", "outer")
TYPES = ("", "db", "ui")
REFUSALS = [value for value in VoteValue if value.refuses]

people = st.sampled_from(PEOPLE)
teams = st.sampled_from(TEAMS)
moments = st.integers(0, 8).map(lambda hours: START + timedelta(hours=hours))
revisions = st.sampled_from([None, "r1", "r2"])
votes = st.builds(
    Vote,
    people,
    st.sampled_from(list(VoteValue)),
    moments,
    st.sampled_from(TYPES),
    revisions,
    st.sampled_from([None, "root"]),
)
team_requests = st.builds(ReviewRequest, teams, moments, st.sampled_from(TYPES), st.just(True))
requests = st.one_of(st.builds(ReviewRequest, people, moments, st.sampled_from(TYPES), st.just(False)), team_requests)
policies = st.builds(
    Policy,
    st.integers(0, 3),
    st.none() | st.frozensets(st.sampled_from(PEOPLE + TEAMS)),
    st.booleans(),
    st.booleans(),
)
tips = st.sampled_from([None, "r1", "r1", "r1", "r2"])


def proposal(status: Status, approved: str | None, approver: str | None, prerequisite: str | None) -> Proposal:
    here, there = Location("/a"), Location("/b")
    return Proposal(
        "local", "p", "2", "t", "author", here, there, status, START, "", approved, START, approver, prerequisite
    )


proposals = st.builds(
    proposal,
    st.sampled_from([Status.APPROVED] * 6 + list(Status)),
    st.sampled_from(["r1", "r1", "r1", None]),
    st.sampled_from([None, *PEOPLE]),
    st.sampled_from([None, None, None, "1"]),
)
ballots = st.builds(
    Ballot,
    proposals,
    st.lists(votes, max_size=8).map(tuple),
    st.lists(requests, max_size=6).map(tuple),
    st.fixed_dictionaries(dict.fromkeys(TEAMS, st.frozensets(people))),
    st.frozensets(people),
    st.sampled_from([None, proposal(Status.MERGED, "r1", None, None)]).map(
        lambda found: found and dataclasses.replace(found, id="1")
    ),
)

# Ballots that often may land, for what is said of those that do.
promising = st.builds(
    Ballot,
    st.builds(proposal, st.just(Status.APPROVED), st.just("r1"), people, st.sampled_from([None, "1"])),
    st.lists(
        st.builds(
            Vote, people, st.sampled_from([VoteValue.APPROVE] * 8 + list(VoteValue)), moments, st.just(""), revisions
        ),
        min_size=2,
        max_size=6,
    ).map(tuple),
    st.lists(requests, max_size=3).map(tuple),
    st.fixed_dictionaries(dict.fromkeys(TEAMS, st.frozensets(people, min_size=3))),
    st.frozensets(people, min_size=4),
    st.just(dataclasses.replace(proposal(Status.MERGED, "r1", None, None), id="1")),
)


def trusted(ballot: Ballot, policy: Policy) -> set[str]:
    if policy.trusted is None:
        return set(ballot.trusted)
    return {p for name in policy.trusted for p in ballot.members.get(name, frozenset({name}))}


def with_vote(ballot: Ballot, vote: Vote) -> Ballot:
    return dataclasses.replace(ballot, votes=(*ballot.votes, vote))


@given(ballots, policies, tips, st.randoms(use_true_random=False))
def test_order_does_not_matter(ballot: Ballot, policy: Policy, tip: str | None, random: object) -> None:
    shuffled = list(ballot.votes), list(ballot.requests)
    for items in shuffled:
        random.shuffle(items)  # type: ignore[attr-defined]
    again = dataclasses.replace(ballot, votes=tuple(shuffled[0]), requests=tuple(shuffled[1]))
    assert judge(again, policy, tip) == judge(ballot, policy, tip)


@given(ballots, policies, tips)
def test_reasons_are_told_exactly_when_it_may_not_land(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    judgement = judge(ballot, policy, tip)
    assert judgement.landable is (not judgement.reasons)
    assert len(judgement.missing) == len(judgement.reasons)
    assert all(text.strip() for text in judgement.reasons + judgement.missing)


@given(ballots, policies, tips)
def test_every_vote_and_every_request_is_accounted_for(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    judgement = judge(ballot, policy, tip)
    told = [*judgement.counted, *(vote for vote, _ in judgement.ignored)]
    assert sorted(map(repr, told)) == sorted(map(repr, ballot.votes))
    answered = [answer.request for answer in judgement.answered]
    assert sorted(map(repr, [*judgement.pending, *answered])) == sorted(map(repr, ballot.requests))
    assert all(why for _, why in judgement.ignored)


@given(ballots, policies, tips)
def test_only_trusted_people_and_no_abstentions_count(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    for vote in judge(ballot, policy, tip).counted:
        assert vote.voter in trusted(ballot, policy)
        assert vote.value is not VoteValue.ABSTAIN
        if vote.value is VoteValue.APPROVE:
            subject = ballot.proposal.approved_revision or tip
            assert None in (vote.revision, subject) or vote.revision == subject
            assert policy.allow_self or vote.voter != "author"


@given(promising | ballots, policies, tips)
def test_what_lands_meets_every_demand(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    """The rules once more, put differently: necessary conditions, whatever the order of the decisions."""
    judgement = judge(ballot, policy, tip)
    event(f"landable: {judgement.landable}")
    if not judgement.landable:
        return
    subject = ballot.proposal
    assert subject.status is Status.APPROVED or (not policy.needs_status and subject.status is Status.NEEDS_REVIEW)
    assert subject.approved_revision is not None
    assert tip in (None, subject.approved_revision)
    assert len({vote.voter for vote in judgement.approvals}) >= policy.minimum
    newest = {vote.voter: vote for vote in sorted(ballot.votes, key=lambda vote: (vote.at, vote.value.refuses))}
    assert not [v for v in newest.values() if v.value.refuses and v.voter in trusted(ballot, policy)]
    assert {r.reviewer for r in ballot.requests if not r.team} <= set(newest)
    for request in ballot.requests:
        if request.team:
            assert ballot.members[request.reviewer] & {v.voter for v in newest.values() if v.value == "Approve"}
    assert subject.prerequisite is None or ballot.prerequisite is not None


@given(promising | ballots, policies, tips, votes)
def test_a_strangers_vote_changes_nothing(ballot: Ballot, policy: Policy, tip: str | None, vote: Vote) -> None:
    stranger = dataclasses.replace(vote, voter="stranger")
    before, after = judge(ballot, policy, tip), judge(with_vote(ballot, stranger), policy, tip)
    assert after.landable is before.landable
    assert after.reasons == before.reasons
    assert stranger not in after.counted
    assert stranger not in [answer.vote for answer in after.answered]


@given(promising, policies, tips, votes, st.sampled_from(REFUSALS))
def test_a_trusted_refusal_blocks(
    ballot: Ballot, policy: Policy, tip: str | None, vote: Vote, value: VoteValue
) -> None:
    assume(vote.voter in trusted(ballot, policy))
    latest = dataclasses.replace(vote, value=value, at=START + timedelta(days=9))
    assert not judge(with_vote(ballot, latest), policy, tip).landable


@given(ballots, policies, tips, votes, st.sampled_from(REFUSALS))
def test_no_refusal_helps(ballot: Ballot, policy: Policy, tip: str | None, vote: Vote, value: VoteValue) -> None:
    """Neither of a person who has not voted yet, trusted or not."""
    assume(vote.voter not in {known.voter for known in ballot.votes})
    refusal = dataclasses.replace(vote, value=value)
    if not judge(ballot, policy, tip).landable:
        assert not judge(with_vote(ballot, refusal), policy, tip).landable or vote.voter not in trusted(ballot, policy)
    if vote.voter not in trusted(ballot, policy):
        assert judge(with_vote(ballot, refusal), policy, tip).pending == judge(ballot, policy, tip).pending


@given(ballots, policies, tips)
def test_taking_back_an_open_request_never_hurts(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    before = judge(ballot, policy, tip)
    for request in before.pending:
        rest = list(ballot.requests)
        rest.remove(request)
        after = judge(dataclasses.replace(ballot, requests=tuple(rest)), policy, tip)
        assert len(after.pending) == len(before.pending) - 1
        assert set(after.reasons) <= set(before.reasons)


@given(promising | ballots, policies, tips, votes)
def test_one_more_approval_never_hurts(ballot: Ballot, policy: Policy, tip: str | None, vote: Vote) -> None:
    assume(vote.voter not in {known.voter for known in ballot.votes})
    approval = dataclasses.replace(vote, value=VoteValue.APPROVE)
    before, after = judge(ballot, policy, tip), judge(with_vote(ballot, approval), policy, tip)
    assert len(after.approvals) >= len(before.approvals)
    assert set(map(repr, after.pending)) <= set(map(repr, before.pending))
    assert after.landable or not before.landable


@given(ballots, policies, tips, people)
def test_being_asked_by_name_never_answers_less(ballot: Ballot, policy: Policy, tip: str | None, person: str) -> None:
    """Also not for those who had volunteered: then they answer for all their teams."""
    request = ReviewRequest(person, START, "")
    before = judge(ballot, policy, tip)
    after = judge(dataclasses.replace(ballot, requests=(*ballot.requests, request)), policy, tip)
    assert {r for r in after.pending if r != request} <= set(before.pending)


@given(ballots, policies, st.sampled_from(TYPES), st.sampled_from(TYPES), st.sampled_from(list(VoteValue)))
def test_a_vote_asked_for_by_name_answers_for_every_team(
    ballot: Ballot, policy: Policy, asked_type: str, vote_type: str, value: VoteValue
) -> None:
    ann = Vote("ann", value, START + timedelta(days=9), vote_type, "r1")
    named = ReviewRequest("ann", START, asked_type)
    full = dataclasses.replace(ballot, requests=(*ballot.requests, named))
    judgement = judge(with_vote(full, ann), policy, "r1")
    assume(ballot.proposal.approved_revision in (None, "r1"))
    assume(not value.refuses or "ann" in trusted(ballot, policy))
    assert named not in judgement.pending
    if value is VoteValue.ABSTAIN:
        assert {a.request.reviewer for a in judgement.answered if a.vote == ann} == {"ann"}
        return
    meant = {"", vote_type or asked_type}
    mine = [r for r in ballot.requests if r.team and "ann" in ballot.members[r.reviewer] and r.review_type in meant]
    assert not [request for request in mine if request in judgement.pending]


@given(ballots, policies, tips)
def test_volunteers_answer_at_most_one_request(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    asked = {request.reviewer for request in ballot.requests if not request.team}
    answers = [a for a in judge(ballot, policy, tip).answered if a.vote.voter not in asked]
    assert not [pair for pair in combinations(answers, 2) if pair[0].vote.voter == pair[1].vote.voter]
    for answer in answers:
        assert answer.request.team
        assert answer.vote.voter in ballot.members[answer.request.reviewer]
        assert answer.request.at <= answer.vote.at
        assert answer.request.review_type in (answer.vote.review_type, "")


@given(ballots, policies, tips, st.sampled_from(["r2", "r3"]))
def test_a_moved_source_never_lands(ballot: Ballot, policy: Policy, tip: str | None, moved: str) -> None:
    assert not judge(ballot, policy, moved).landable


@given(ballots, policies, tips)
def test_the_words_agree_with_the_judgement(ballot: Ballot, policy: Policy, tip: str | None) -> None:
    judgement, lines = judge(ballot, policy, tip), explain(ballot, policy, tip).splitlines()
    assert lines[0].endswith(" may land." if judgement.landable else " may not land.")
    for text in (*judgement.reasons, *judgement.missing):
        assert f"  - {text}" in lines
    assert len([line for line in lines if line.endswith(": open")]) == len(judgement.pending)


@given(ballots, policies, tips, st.dictionaries(people, st.sampled_from(list(VoteValue)), max_size=3))
def test_what_if_is_the_ballot_after_these_votes(
    ballot: Ballot, policy: Policy, tip: str | None, supposed: dict[str, VoteValue]
) -> None:
    later = START + timedelta(days=9)
    after = what_if(ballot, supposed, later)
    assert {vote.voter: vote.value for vote in after.votes if vote.at == later} == supposed
    assert [v for v in after.votes if v.voter not in supposed] == [v for v in ballot.votes if v.voter not in supposed]
    if any(value.refuses and name in trusted(ballot, policy) for name, value in supposed.items()):
        assert not judge(after, policy, tip).landable
