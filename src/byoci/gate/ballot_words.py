"""What the ballot says to people: every reason with its remedy, and the whole ballot in words.

Names, titles and types come from a forge and are untrusted text; they are made printable here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.log import printable
from byoci.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from byoci.gate.ballot import Judgement, Policy
    from byoci.model import Ballot, Proposal, ReviewRequest, Vote

_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST: Final = 200  # characters of any foreign text within a sentence
_NAMES: Final = 5  # people who are named before "and others"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a proposal may not land, and what would change that."""

    reason: str
    remedy: str


ABSTAINED: Final = "an abstention answers the voter's own request and nothing else"
OWN: Final = "it is the author's own approval"
REPLACED: Final = "the same person voted again later"
NOT_PINNED: Final = Obstacle("no revision is known to be the approved one", "approve it again")


def plain(text: str) -> str:
    """Foreign text for use within a line: printable, without line breaks of any kind, of bounded length."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def short(revision: str) -> str:
    """A revision as people write it: a git id by its first 12 digits, another one whole."""
    return revision[:12] if _HASH.fullmatch(revision) else plain(revision)


def untrusted(vote: Vote) -> str:
    """Why the vote of somebody whom the project does not trust does not count."""
    return f"{plain(vote.voter)} is not a trusted reviewer of this project"


def outdated(vote: Vote, revision: str | None) -> str:
    """Why an approval of another revision does not count."""
    return f"it was given on revision {short(vote.revision or '')}, not on {short(revision or '')}"


def closed(proposal: Proposal) -> Obstacle:
    """The proposal is over, or its author has not finished it."""
    if proposal.status is Status.WORK_IN_PROGRESS:
        return Obstacle("it is work in progress", "set its status to Needs review, and let it be approved")
    return Obstacle(f"it is {proposal.status} already", "open it again: set its status to Needs review")


def not_approved(proposal: Proposal) -> Obstacle:
    """Nobody has set the status to Approved."""
    return Obstacle(f"its status is {proposal.status}, not Approved", "set its status to Approved")


def moved_on(approved: str, tip: str) -> Obstacle:
    """The source has other revisions than the one that was approved."""
    return Obstacle(
        f"the source moved on after its approval: {short(approved)} was approved, {short(tip)} is there now",
        "look at the new revision and approve it again",
    )


def pinned_by_untrusted(person: str) -> Obstacle:
    """The one who set the status to Approved is not trusted, and no trusted vote names the revision."""
    return Obstacle(
        f"{plain(person)} set the status to Approved, but is not a trusted reviewer of this project, "
        "and no trusted approval is known to be for the approved revision",
        "a trusted reviewer sets the status to Approved, or approves this revision",
    )


def prerequisite_unknown(wanted: str) -> Obstacle:
    """The forge names a prerequisite but does not show it."""
    return Obstacle(
        f"its prerequisite, proposal {plain(wanted)}, cannot be read",
        f"make proposal {plain(wanted)} readable for the lander",
    )


def prerequisite_open(found: Proposal) -> Obstacle:
    """The prerequisite has not landed."""
    number = plain(found.id)
    remedy = f"land proposal {number} first"
    if found.status is Status.SUPERSEDED:
        remedy = f"supersede this one too: its successor waits for the one that took proposal {number}'s place"
    elif found.status.final:
        remedy = f"open proposal {number} again and land it, or propose anew without that prerequisite"
    return Obstacle(f"its prerequisite, proposal {number}, is {found.status}, not Merged", remedy)


def refused(vote: Vote, *, outdated: bool) -> Obstacle:
    """A trusted person said no."""
    where = f" (on revision {short(vote.revision or '')}; it stands until changed)" if outdated else ""
    return Obstacle(f"{plain(vote.voter)} voted {vote.value}{where}", f"{plain(vote.voter)} has to change that vote")


def team_pending(request: ReviewRequest, people: frozenset[str]) -> Obstacle:
    """A team was asked and nobody answered for it."""
    who = _asked(request)
    remedy = f"a vote by somebody of {who}: {_names(people)}"
    return Obstacle(
        f"{who} was asked for a review and has not answered",
        remedy if people else f"a member for {who}, who votes: there is none who could",
    )


def person_pending(request: ReviewRequest, vote: str) -> Obstacle:
    """A person was asked and did not answer, or with a vote that does not answer (told in `vote`)."""
    who = _asked(request)
    said = f"; {vote}" if vote else ""
    return Obstacle(
        f"{who} was asked for a review and has not answered{said}",
        f"a vote by {who}" if not vote else f"a new vote by {who}, or by an administrator for {who}",
    )


def too_few(found: int, minimum: int, could: frozenset[str]) -> Obstacle:
    """There are fewer approvals than the project wants; `could` are the people who can still approve."""
    lacking = minimum - found
    remedy = f"{lacking} more approval{'s' if lacking > 1 else ''} by: {_names(could)}"
    if len(could) < lacking:
        few = f"only {len(could)}" if could else "none"
        remedy = (
            f"more trusted reviewers: {lacking} more approval{'s are' if lacking > 1 else ' is'} needed, but {few}"
            " of the trusted people can still give one (the project's approve.trusted names them)"
        )
    return Obstacle(f"it has {found} of the {minimum} approvals by trusted reviewers that it needs", remedy)


def explanation(ballot: Ballot, policy: Policy, source_tip: str | None, judgement: Judgement) -> str:
    """The whole ballot for a person to read, ending without a line break."""
    return "\n".join(_lines(ballot, policy, source_tip, judgement))


def _lines(ballot: Ballot, policy: Policy, source_tip: str | None, judgement: Judgement) -> Iterator[str]:
    proposal = ballot.proposal
    verdict = "may land" if judgement.landable else "may not land"
    yield f"Proposal {plain(proposal.id)} “{plain(proposal.title)}” by {plain(proposal.author)} {verdict}."
    yield f"Status: {proposal.status}{_approval(proposal)}{'' if source_tip else '; its source was not looked at'}"
    yield from _section(
        f"Votes that count ({len(judgement.approvals)} of {policy.minimum} approvals):",
        (f"{_vote(vote)}{', which blocks' if vote.value.refuses else ''}" for vote in judgement.counted),
    )
    yield from _section("Votes that do not count:", (f"{_vote(vote)}: {why}" for vote, why in judgement.ignored))
    yield from _section(
        "Requests for a review:",
        [
            *(f"{_asked(a.request)}: answered by {plain(a.vote.voter)} ({a.vote.value})" for a in judgement.answered),
            *(f"{_asked(request)}: open" for request in judgement.pending),
        ],
    )
    yield from _section("Why not:", judgement.reasons)
    yield from _section("What is missing:", dict.fromkeys(judgement.missing))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = [f"  - {line}" for line in lines]
    if found:
        yield title
        yield from found


def _approval(proposal: Proposal) -> str:
    if proposal.approved_revision is None:
        return ""
    by = f" by {plain(proposal.approved_by)}" if proposal.approved_by else ""
    return f"; {short(proposal.approved_revision)} was approved{by}"


def _vote(vote: Vote) -> str:
    kind = f", type {plain(vote.review_type)}" if vote.review_type else ""
    by = f", recorded by {plain(vote.recorded_by)}" if vote.recorded_by not in (None, vote.voter) else ""
    on = f" on {short(vote.revision)}" if vote.revision else ""
    return f"{plain(vote.voter)}: {vote.value}{on}{kind}{by}"


def _asked(request: ReviewRequest) -> str:
    name = f"the team {plain(request.reviewer)}" if request.team else plain(request.reviewer)
    return f"{name} (type {plain(request.review_type)})" if request.review_type else name


def _names(people: Iterable[str]) -> str:
    ordered = sorted(people)
    shown = ", ".join(plain(name) for name in ordered[:_NAMES])
    return f"{shown} and {len(ordered) - _NAMES} more" if len(ordered) > _NAMES else shown
