"""`byoci explain`: why a proposal may land, or may not, and what came of the last try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, json_option
from byoci.errors import UsageError
from byoci.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.model import Proposal, VoteValue
    from byoci.store.landings import Attempt


@click.command(short_help="Say why a proposal may land, or may not.")
@click.argument("proposal", shell_complete=complete.proposals, help="Its ID.")
@click.option(
    "--if", "supposed", multiple=True, metavar="NAME=VOTE", help="Suppose that NAME had voted so; may be repeated."
)
@json_option
@click.pass_obj
def explain(context: Context, proposal: str, supposed: tuple[str, ...]) -> int:
    """Say in words which votes on PROPOSAL count, which do not and why, what is missing, and how the last try ended.

    \b
      byoci explain 3
      byoci explain 3 --if alice=Approve
    """
    from datetime import UTC, datetime

    from byoci.gate import ballot as ballots
    from byoci.gate.land import ballot_now

    votes = dict(_supposed(text) for text in supposed)
    found = context.site.local_forge.proposal(proposal)
    gate = context.site.gate(found.project, lambda _: None)
    attempt = context.site.store.last_attempt(found.project, found.id)
    ballot, tip = ballot_now(gate, found)
    ballot = ballots.what_if(ballot, votes, datetime.now(UTC))
    judgement = ballots.judge(ballot, gate.project.policy, tip)
    if context.json:
        output.as_json(
            {
                "project": found.project,
                "proposal": found.id,
                "landable": judgement.landable,
                "reasons": list(judgement.reasons),
                "counted": [{"voter": vote.voter, "vote": vote.value.value} for vote in judgement.counted],
                "ignored": [
                    {"voter": vote.voter, "vote": vote.value.value, "why": why} for vote, why in judgement.ignored
                ],
                "missing": list(judgement.missing),
                "attempt": _attempt_json(attempt),
            }
        )
    elif found.status is Status.MERGED and not votes:
        output.say("\n".join(_landed(found, attempt)))
    else:
        lines = (*_approving(found, tip), *_tried(found, attempt))
        output.say("\n".join((ballots.explain(ballot, gate.project.policy, tip), *lines)))
    return 0


def _landed(found: Proposal, attempt: Attempt | None) -> Iterator[str]:
    yield f"Proposal {found.id} “{found.title}” by {found.author} is on its trunk, as {found.merged_revision}."
    if found.approved_revision is not None:
        yield f"  - {found.approved_revision} was approved by {found.approved_by or 'nobody whom the forge names'}"
    if attempt is not None and attempt.outcome is Outcome.LANDED:
        yield from _items(attempt)


def _approving(found: Proposal, tip: str | None) -> Iterator[str]:
    """What to type where the status is what is missing, or one of the things."""
    moved = found.status is Status.APPROVED and tip not in (None, found.approved_revision)
    if found.status is Status.NEEDS_REVIEW or moved:
        yield f"To approve its source as it is now: byoci proposal set-status {found.id} approved"


def _tried(found: Proposal, attempt: Attempt | None) -> Iterator[str]:
    if attempt is None or attempt.outcome is Outcome.LANDED:
        return
    yield f"The last try, {attempt.at:%Y-%m-%d %H:%M} UTC, on {attempt.approved_revision}, ended as {attempt.outcome}:"
    yield from _items(attempt)
    if attempt.outcome is Outcome.TESTS_FAILED:
        yield f"  - to repeat it without publishing: byoci shadow --proposal {found.id} --regardless"


def _items(attempt: Attempt) -> Iterator[str]:
    yield from (f"  - {reason}" for reason in attempt.reasons)
    if attempt.log:
        yield f"  - log: {attempt.log}"


def _attempt_json(attempt: Attempt | None) -> dict[str, Any] | None:
    if attempt is None:
        return None
    return {
        "outcome": attempt.outcome.value,
        "revision": attempt.approved_revision,
        "reasons": list(attempt.reasons),
        "at": attempt.at.isoformat(),
        "log": attempt.log or None,
    }


def _supposed(text: str) -> tuple[str, VoteValue]:
    from byoci.forge.local_input import parse_vote

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"“{text}” is not NAME=VOTE", resolution="For example --if alice=Approve.")
    return name, parse_vote(value)
