"""The ballot: whether a proposal may land, decided from its votes, requests and status alone. Pure.

The rules follow Launchpad's (who may answer which request, what a status means) with one deliberate difference: on
Launchpad a person who was asked by name answers his own request only, and his team's stays open; here his vote answers
for every team of his.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.gate import ballot_words as words
from byoci.model import Ballot, ReviewRequest, Status, Vote, VoteValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """What a project asks of a ballot.

    minimum       how many trusted people have to approve
    trusted       teams and people whose votes count; None: whom the forge itself trusts (`Ballot.trusted`)
    allow_self    whether the author's own approval counts, if he is trusted
    needs_status  whether somebody has to set the status to Approved; False for a forge that has no such status
    """

    minimum: int = 1
    trusted: frozenset[str] | None = None
    allow_self: bool = False
    needs_status: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A request for a review, and the vote that answers it."""

    request: ReviewRequest
    vote: Vote


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a ballot comes to.

    Every vote is either in `counted` or in `ignored`, every request either in `pending` or in `answered`.

    reasons  why it may not land, for people; empty exactly when it is landable
    counted  approvals that count to the minimum, and refusals that block
    ignored  the other votes, each with the reason why it does not count (it may answer a request all the same)
    missing  what would make it landable, one entry for each of `reasons`
    """

    landable: bool
    reasons: tuple[str, ...]
    counted: tuple[Vote, ...]
    ignored: tuple[tuple[Vote, str], ...]
    pending: tuple[ReviewRequest, ...]
    answered: tuple[Answer, ...]
    missing: tuple[str, ...]

    @property
    def approvals(self) -> tuple[Vote, ...]:
        """The votes that count to the minimum."""
        return tuple(vote for vote in self.counted if not vote.value.refuses)

    @property
    def refusals(self) -> tuple[Vote, ...]:
        """The votes that block."""
        return tuple(vote for vote in self.counted if vote.value.refuses)


@dataclass(frozen=True, slots=True)
class _People:
    """Who is who on one ballot; `revision` is the one that votes are about."""

    author: str
    trusted: frozenset[str]
    allow_self: bool
    revision: str | None

    def outdated(self, vote: Vote) -> bool:
        """Whether the vote was given on another revision. A forge that does not tell is believed."""
        return None not in (vote.revision, self.revision) and vote.revision != self.revision

    def own(self, vote: Vote) -> bool:
        """Whether it is an author's approval of his own proposal, which the project does not allow."""
        return vote.voter == self.author and vote.value is VoteValue.APPROVE and not self.allow_self

    def why_ignored(self, vote: Vote) -> str:
        """Why the vote neither counts to the minimum nor blocks; "" when it does."""
        if vote.value is VoteValue.ABSTAIN:
            return words.ABSTAINED
        if vote.voter not in self.trusted:
            return words.untrusted(vote)
        if vote.value.refuses:
            return ""
        if self.own(vote):
            return words.OWN
        return words.outdated(vote, self.revision) if self.outdated(vote) else ""

    def answers_own_request(self, vote: Vote) -> bool:
        """Whether the vote answers a request to the voter himself."""
        if vote.value.refuses:
            return vote.voter in self.trusted
        return vote.value is VoteValue.ABSTAIN or not self.outdated(vote)

    def answers_for_teams(self, vote: Vote) -> bool:
        """Whether the vote can answer a request to a team of the voter's.

        Membership is enough: who asks a team that the project does not trust wants that team's word all the same.
        It does not count to the minimum for that.
        """
        return vote.value is not VoteValue.ABSTAIN and not self.own(vote) and self.answers_own_request(vote)


def judge(ballot: Ballot, policy: Policy, source_tip: str | None) -> Judgement:
    """Decide. The order of votes and requests has no influence.

    source_tip  the source's newest revision now; None when nobody looked
    """
    people = _people(ballot, policy, source_tip)
    votes, replaced = _newest(ballot.votes)
    verdicts = [(vote, people.why_ignored(vote)) for vote in votes]
    counted = tuple(vote for vote, why in verdicts if not why)
    ignored = [(vote, why) for vote, why in verdicts if why] + [(vote, words.REPLACED) for vote in replaced]
    requests = sorted(ballot.requests, key=_request_order)
    filled = _fill(requests, votes, ballot.members, people)
    pending = tuple(request for index, request in enumerate(requests) if index not in filled)
    obstacles = [
        *_status_obstacles(ballot, policy, source_tip),
        *_pin_obstacles(ballot, policy, people, counted),
        *_prerequisite_obstacles(ballot),
        *(words.refused(vote, outdated=people.outdated(vote)) for vote in counted if vote.value.refuses),
        *_request_obstacles(ballot, people, pending, votes),
        *_minimum_obstacles(policy, people, counted),
    ]
    return Judgement(
        landable=not obstacles,
        reasons=tuple(obstacle.reason for obstacle in obstacles),
        counted=counted,
        ignored=tuple(ignored),
        pending=pending,
        answered=tuple(Answer(requests[index], filled[index]) for index in sorted(filled)),
        missing=tuple(obstacle.remedy for obstacle in obstacles),
    )


def explain(ballot: Ballot, policy: Policy, source_tip: str | None) -> str:
    """The ballot in words, several lines: which votes count, which do not and why, and what is missing."""
    return words.explanation(ballot, policy, source_tip, judge(ballot, policy, source_tip))


def what_if(ballot: Ballot, votes: Mapping[str, VoteValue], now: datetime) -> Ballot:
    """The ballot as it would be if these people voted so now, on the approved revision. Nothing is written anywhere."""
    kept = tuple(vote for vote in ballot.votes if vote.voter not in votes)
    types = {vote.voter: vote.review_type for vote in _newest(ballot.votes)[0]}
    revision = ballot.proposal.approved_revision
    new = tuple(Vote(name, value, now, types.get(name, ""), revision) for name, value in votes.items())
    return dataclasses.replace(ballot, votes=kept + new)


def _people(ballot: Ballot, policy: Policy, source_tip: str | None) -> _People:
    trusted = ballot.trusted
    if policy.trusted is not None:
        # A name that is a team stands for its members only, never for a person who happens to be called the same.
        trusted = frozenset().union(*(ballot.members.get(name, frozenset({name})) for name in policy.trusted))
    revision = ballot.proposal.approved_revision or source_tip
    return _People(ballot.proposal.author, trusted, policy.allow_self, revision)


def _newest(votes: Iterable[Vote]) -> tuple[list[Vote], list[Vote]]:
    """Each person's newest vote, oldest first, and the votes that it replaced. Of two at one time a refusal wins."""
    ordered = sorted(votes, key=_vote_order)
    newest = {vote.voter: index for index, vote in enumerate(ordered)}
    current = [vote for index, vote in enumerate(ordered) if newest[vote.voter] == index]
    return current, [vote for index, vote in enumerate(ordered) if newest[vote.voter] != index]


def _vote_order(vote: Vote) -> tuple[object, ...]:
    details = (vote.value.value, vote.review_type, vote.revision or "", vote.recorded_by or "")
    return (vote.at, vote.value.refuses, vote.voter, *details)


def _request_order(request: ReviewRequest) -> tuple[object, ...]:
    return (request.at, request.reviewer, request.review_type, request.team, request.requested_by)


def _fill(
    requests: list[ReviewRequest], votes: list[Vote], members: Mapping[str, frozenset[str]], people: _People
) -> dict[int, Vote]:
    """Which request (by its place in `requests`, oldest first) is answered by which vote.

    First the people who were asked by name: each his own requests, and those of all his teams. Then the others in the
    order of their votes, each one request at most, as on Launchpad.
    """
    filled: dict[int, Vote] = {}
    asked = {request.reviewer for request in requests if not request.team}
    for vote in votes:
        if vote.voter in asked:
            for index in _by_name(requests, vote, members, people):
                filled.setdefault(index, vote)
    for vote in votes:
        if vote.voter not in asked and people.answers_for_teams(vote):
            found = _volunteered(requests, vote, members, filled)
            if found is not None:
                filled[found] = vote
    return filled


def _by_name(
    requests: list[ReviewRequest], vote: Vote, members: Mapping[str, frozenset[str]], people: _People
) -> Iterable[int]:
    """The requests that the vote of somebody who was asked by name answers.

    Of teams those of the vote's review type and those of none. A vote without a type has the types that its voter was
    asked for.
    """
    own = {index for index, request in enumerate(requests) if not request.team and request.reviewer == vote.voter}
    types = {"", _type(vote)} if _type(vote) else {"", *(_type(requests[index]) for index in own)}
    if people.answers_own_request(vote):
        yield from own
    if people.answers_for_teams(vote):
        for index, request in enumerate(requests):
            if request.team and _type(request) in types and vote.voter in members.get(request.reviewer, ()):
                yield index


def _volunteered(
    requests: list[ReviewRequest], vote: Vote, members: Mapping[str, frozenset[str]], filled: Mapping[int, Vote]
) -> int | None:
    """The one request that a volunteer's vote answers: the oldest open one of the same type, else of no type.

    A request that came after the vote is none of them: somebody wants another look.
    """
    for wanted in (_type(vote), ""):
        for index, request in enumerate(requests):
            fits = request.team and _type(request) == wanted and request.at <= vote.at
            if fits and index not in filled and vote.voter in members.get(request.reviewer, ()):
                return index
    return None


def _type(item: Vote | ReviewRequest) -> str:
    return item.review_type.strip().lower()


def _status_obstacles(ballot: Ballot, policy: Policy, source_tip: str | None) -> Iterable[words.Obstacle]:
    proposal = ballot.proposal
    if proposal.status.final or proposal.status is Status.WORK_IN_PROGRESS:
        yield words.closed(proposal)
    elif policy.needs_status and proposal.status is not Status.APPROVED:
        yield words.not_approved(proposal)
    elif proposal.approved_revision is None:
        yield words.NOT_PINNED
    if proposal.approved_revision is not None and source_tip not in (None, proposal.approved_revision):
        yield words.moved_on(proposal.approved_revision, source_tip or "")


def _pin_obstacles(
    ballot: Ballot, policy: Policy, people: _People, counted: tuple[Vote, ...]
) -> Iterable[words.Obstacle]:
    """Somebody vouches for the pinned revision: a trusted vote on exactly that, or a trusted person who pinned it.

    Without this, whoever may set the status but is not trusted by the project could approve, after the reviews, a
    revision that no reviewer has seen, on a forge that does not keep the revision of a vote.
    """
    proposal = ballot.proposal
    if not policy.needs_status or proposal.status is not Status.APPROVED or proposal.approved_revision is None:
        return
    by_vote = any(vote.revision == proposal.approved_revision and not vote.value.refuses for vote in counted)
    if proposal.approved_by is not None and proposal.approved_by not in people.trusted and not by_vote:
        yield words.pinned_by_untrusted(proposal.approved_by)


def _prerequisite_obstacles(ballot: Ballot) -> Iterable[words.Obstacle]:
    wanted, found = ballot.proposal.prerequisite, ballot.prerequisite
    if wanted is not None and (found is None or found.id != wanted):
        yield words.prerequisite_unknown(wanted)
    elif found is not None and found.status is not Status.MERGED:
        yield words.prerequisite_open(found)


def _request_obstacles(
    ballot: Ballot, people: _People, pending: tuple[ReviewRequest, ...], votes: list[Vote]
) -> Iterable[words.Obstacle]:
    given = {vote.voter: vote for vote in votes}
    for request in pending:
        if request.team:
            yield words.team_pending(request, ballot.members.get(request.reviewer, frozenset()) - {people.author})
            continue
        vote = given.get(request.reviewer)
        yield words.person_pending(request, f"{vote.value}: {people.why_ignored(vote)}" if vote else "")


def _minimum_obstacles(policy: Policy, people: _People, counted: tuple[Vote, ...]) -> Iterable[words.Obstacle]:
    approved = {vote.voter for vote in counted if not vote.value.refuses}
    if len(approved) < policy.minimum:
        could = people.trusted if people.allow_self else people.trusted - {people.author}
        yield words.too_few(len(approved), policy.minimum, could - approved)
