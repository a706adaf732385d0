"""How a proposal's way through the stages ends: what to show, and what to tell the forge about it."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.model import Landing, MergedHow, Outcome, Status

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.gate.plan import Gate
    from byoci.model import AlreadyMerged, Candidate, Conflict, LandedRevision, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end of a way through the stages, and what to tell the forge about it.

    note    a comment's key (told once) and text; None for nothing to say
    status  what to set the proposal to, so that a person looks at it again
    merged  the trunk revision to mark it merged with
    told    whether the forge knows already
    """

    landing: Landing
    proposal: Proposal
    note: tuple[str, str] | None = None
    status: Status | None = None
    merged: str | None = None
    told: bool = False


def report_stopped(gate: Gate, stopped: Stopped) -> None:
    """Tell the forge how a proposal's way ended: the comment first, the status last; told twice, seen once."""
    if stopped.note is not None:
        gate.forge.comment(stopped.proposal, *stopped.note)
    if stopped.merged is not None:
        gate.forge.mark_merged(stopped.proposal, stopped.merged)
    elif stopped.status is not None:
        gate.forge.set_status(stopped.proposal, stopped.status)


def landed_note(revision: str, verdict: Verdict | None) -> tuple[str, str]:
    """The comment on a proposal that landed. One that lands again, as when a person rewound trunk, gets another."""
    lines = [f"Landed as {revision}."]
    if verdict is not None:
        lines.append(f"Tested in {verdict.seconds:.1f} s: {verdict.reason}.")
        lines.append(f"Log: {verdict.log}")
    return f"landed {revision}", "\n".join(lines)


def waiting(project: str, proposal: Proposal, reasons: tuple[str, ...]) -> Stopped:
    """It may not land yet; the forge knows why."""
    return Stopped(Landing(project, proposal.id, proposal.title, Outcome.WAITING, None, reasons), proposal)


def landed(project: str, proposal: Proposal, candidate: Candidate, verdict: Verdict) -> Stopped:
    """It was tested and published."""
    landing = Landing(project, proposal.id, proposal.title, Outcome.LANDED, candidate.id, (verdict.reason,))
    return Stopped(landing, proposal, landed_note(candidate.id, verdict), merged=candidate.id)


def landed_before(project: str, proposal: Proposal, found: LandedRevision) -> Stopped:
    """Trunk holds its landing, which a run before this one, or another lander, published."""
    reasons = ("published by an earlier run, reported now",)
    landing = Landing(project, proposal.id, proposal.title, Outcome.LANDED, found.revision, reasons)
    return Stopped(landing, proposal, landed_note(found.revision, None), merged=found.revision)


def merged_by_others(project: str, proposal: Proposal, found: AlreadyMerged) -> Stopped:
    """A person merged it, past the gate."""
    revision = found.by or found.base
    reason = f"merged by others as {found.by}" if found.by else "trunk contains it already"
    landing = Landing(project, proposal.id, proposal.title, Outcome.LANDED, revision, (reason,))
    return Stopped(landing, proposal, (f"merged {found.revision} {revision}", reason), merged=revision)


def nothing_to_merge(project: str, proposal: Proposal, found: AlreadyMerged) -> Stopped:
    """Its merge would be empty."""
    if found.how is MergedHow.REVERTED:
        reason = "it landed before and was reverted since; to bring it back, propose a revert of that revert"
    else:
        reason = "it changes nothing: trunk already has all of its content"
    key = f"{found.how} {found.base} {found.revision} {proposal.approved_at}"
    landing = Landing(project, proposal.id, proposal.title, Outcome.WAITING, None, (reason,))
    return Stopped(landing, proposal, (key, reason), Status.NEEDS_REVIEW)


def conflicting(project: str, proposal: Proposal, conflict: Conflict) -> Stopped:
    """It does not merge with trunk."""
    shown = ", ".join(conflict.paths[:10]) + (" …" if len(conflict.paths) > 10 else "")
    reason = f"does not merge with trunk: conflict in {shown}"
    text = f"{reason}\n\nMerge trunk ({conflict.base}) into the source, resolve, and have it approved again."
    key = f"conflict {conflict.base} {conflict.revision} {proposal.approved_at}"
    landing = Landing(project, proposal.id, proposal.title, Outcome.CONFLICT, None, (reason,))
    return Stopped(landing, proposal, (key, text), Status.NEEDS_REVIEW)


def tests_failed(project: str, proposal: Proposal, candidate: Candidate, verdict: Verdict, record: Path) -> Stopped:
    """Its tests, or their setup, failed; `record` is where it is written down how they were run."""
    text = "\n".join(
        (
            f"Not landed: {verdict.reason}.",
            f"Tested: {candidate.revision} merged with trunk {candidate.base}, in {verdict.seconds:.1f} s.",
            f"Log: {verdict.log}",
            f"To repeat it: byoci replay {shlex.quote(str(record))}",
        )
    )
    landing = Landing(project, proposal.id, proposal.title, Outcome.TESTS_FAILED, None, (verdict.reason,))
    return Stopped(landing, proposal, (f"verdict {candidate.id}", text), Status.NEEDS_REVIEW)


def remembered(gate: Gate, stopped: Stopped) -> Landing:
    """The landing to show for a proposal that waits: what its tests said, if nothing has changed since they ran.

    A proposal whose tests failed was sent back to its people. Until it, or trunk, is another, that it failed is more
    worth telling than that it is not approved.
    """
    proposal = stopped.proposal
    earlier = gate.store.last_attempt(gate.project.name, proposal.id)
    if stopped.landing.outcome is not Outcome.WAITING or earlier is None or proposal.status is not Status.NEEDS_REVIEW:
        return stopped.landing
    if earlier.outcome is Outcome.LANDED or gate.vcs.tip(proposal.source) != earlier.approved_revision:
        return stopped.landing
    return dataclasses.replace(
        stopped.landing, outcome=earlier.outcome, reasons=(*earlier.reasons, "as before: nothing changed since")
    )
