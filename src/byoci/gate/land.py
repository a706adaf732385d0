"""The stages of a landing, once and in order: candidates, ballot, merge, test, recheck, publish, report.

Each stage takes the frozen value that the one before it made, and gives the next value or a `Stopped`. A stage reads;
only `publish` writes to trunk and only `report` (and `report_stopped`) to the forge, so a run that leaves out these two
changes nothing for anybody: that is `shadow`. Errors are raised and mean that byoci could not decide.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from byoci.errors import TrunkMovedError
from byoci.gate import ballot as ballots
from byoci.gate import testing
from byoci.model import (
    AlreadyMerged,
    Candidate,
    Conflict,
    LandedRevision,
    Landing,
    MergedHow,
    MergeMeta,
    Outcome,
    Status,
    landing_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.gate.plan import Gate
    from byoci.model import Ballot, Lease, Proposal, Verdict


@dataclass(frozen=True, slots=True)
class Chosen:
    """A proposal whose turn it is."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Approved:
    """Its ballot allows to land exactly `revision`."""

    ballot: Ballot
    revision: str

    @property
    def proposal(self) -> Proposal:
        """The proposal as the ballot saw it."""
        return self.ballot.proposal


@dataclass(frozen=True, slots=True)
class Merged:
    """It is merged in memory; nobody but the private repository knows."""

    approved: Approved
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Tested:
    """The candidate's tests passed."""

    merged: Merged
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Rechecked:
    """After the tests: ballot, approved revision and trunk's tip are still what the candidate was made from."""

    tested: Tested


@dataclass(frozen=True, slots=True)
class Published:
    """Trunk's tip is the candidate."""

    tested: Tested


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


# A step of a landing: it takes the last stage's value and gives the next one's, or a `Stopped`.
Stage: TypeAlias = "Callable[[Gate, Any, Lease], Any]"


def candidates(_gate: Gate, proposal: Proposal, _lease: Lease) -> Chosen:
    """One of the proposals that `queue` put in order."""
    return Chosen(proposal)


def queue(gate: Gate) -> list[Proposal]:
    """The project's proposals, oldest first, but none before its prerequisite."""
    waiting = {proposal.id: proposal for proposal in gate.forge.proposals(gate.project.trunk)}
    ordered: dict[str, Proposal] = {}

    def place(proposal: Proposal, below: frozenset[str]) -> None:
        first = waiting.get(proposal.prerequisite or "")
        if first is not None and first.id not in below:
            place(first, below | {proposal.id})
        ordered.setdefault(proposal.id, proposal)

    for proposal in waiting.values():
        place(proposal, frozenset())
    return list(ordered.values())


def ballot_now(gate: Gate, proposal: Proposal) -> tuple[Ballot, str | None]:
    """The ballot, and the source's tip where it matters.

    A proposal that nobody approved cannot land, whatever its source says: that is not asked, it may be far away.
    """
    read = gate.forge.ballot_of(proposal)
    wanted = read.proposal.status is Status.APPROVED and read.proposal.approved_revision is not None
    return read, gate.vcs.tip(read.proposal.source) if wanted else None


def ballot(gate: Gate, chosen: Chosen, _lease: Lease) -> Approved | Stopped:
    """Read the ballot and the source's tip, and judge."""
    read, tip = ballot_now(gate, chosen.proposal)
    judgement = ballots.judge(read, gate.project.policy, tip)
    if not judgement.landable or read.proposal.approved_revision is None:
        landing = _landing(gate, read.proposal, Outcome.WAITING, reasons=judgement.reasons)
        return Stopped(landing, read.proposal)
    return Approved(read, read.proposal.approved_revision)


def unjudged(gate: Gate, chosen: Chosen, _lease: Lease) -> Approved:
    """In the ballot's place, for a run that publishes nothing: take the approved revision, or else the source's tip."""
    read = gate.forge.ballot_of(chosen.proposal)
    return Approved(read, read.proposal.approved_revision or gate.vcs.tip(read.proposal.source))


def merge(gate: Gate, approved: Approved, _lease: Lease) -> Merged | Stopped:
    """Fetch trunk and the approved revision, by id, and merge them in memory."""
    proposal, project = approved.proposal, gate.project
    base = gate.vcs.fetch(project.trunk, trusted=True)
    gate.vcs.fetch(proposal.source, approved.revision)
    meta = MergeMeta(
        committer_name=project.committer_name,
        committer_email=project.committer_email,
        at=proposal.approved_at or proposal.created_at,
        project=project.name,
        proposal=proposal.id,
        landing_id=landing_id(project.name, proposal.id, approved.revision),
    )
    result = gate.vcs.merge(base, approved.revision, message_of(proposal), meta)
    if isinstance(result, Candidate):
        return Merged(approved, result)
    if isinstance(result, Conflict):
        return _conflict(gate, proposal, result)
    return _already_merged(gate, proposal, result)


def message_of(proposal: Proposal) -> str:
    """The merge commit's message: title, description, who proposed and who approved."""
    people = f"Proposed by {proposal.author}"
    if proposal.approved_by:
        people += f", approved by {proposal.approved_by}"
    return "\n\n".join(part for part in (proposal.title, proposal.description.strip(), people + ".") if part)


def test(gate: Gate, merged: Merged, _lease: Lease) -> Tested | Stopped:
    """Run the project's tests on exactly the candidate's tree, unless this very candidate has failed before."""
    proposal, candidate = merged.approved.proposal, merged.candidate
    earlier = gate.store.last_attempt(gate.project.name, proposal.id)
    if earlier is not None and earlier.candidate == candidate.id and earlier.outcome is Outcome.TESTS_FAILED:
        landing = _landing(gate, proposal, Outcome.TESTS_FAILED, reasons=earlier.reasons)
        return Stopped(landing, proposal, status=Status.NEEDS_REVIEW)
    plan = gate.project.tests
    # What credentials can reach must not be chosen by a proposal: its setup is made from trunk's files.
    origin = candidate.base if plan.setup and plan.setup.credentials else candidate.id
    setup = testing.setup_of(plan, lambda paths: gate.vcs.read(origin, paths))
    at = datetime.now(UTC)
    log = gate.logs / proposal.id / f"{at:%Y%m%dT%H%M%S.%fZ}-{landing_id(candidate.id, '', '')[:12]}.log"
    verdict = testing.verdict(
        gate.new_worker, plan, setup, lambda folder: gate.vcs.export(candidate.id, folder), log, gate.workdir
    )
    if not verdict.passed:
        return _tests_failed(gate, merged, verdict)
    return Tested(merged, verdict)


def recheck(gate: Gate, tested: Tested, lease: Lease) -> Rechecked | Stopped:
    """See that ballot, approved revision and trunk's tip are still those of the candidate.

    Raises `TrunkMovedError` when trunk, or the approval, is another: the landing starts anew from the ballot.
    """
    before = tested.merged.approved
    again = ballot(gate, Chosen(before.proposal), lease)
    if isinstance(again, Stopped):
        return again
    if again.revision != before.revision or again.proposal.approved_at != before.proposal.approved_at:
        raise TrunkMovedError("the proposal was approved anew while its tests ran")
    if gate.vcs.tip(gate.project.trunk) != tested.merged.candidate.base:
        raise TrunkMovedError("trunk moved while the tests ran")
    return Rechecked(tested)


def publish(gate: Gate, rechecked: Rechecked, lease: Lease) -> Published:
    """Make the candidate trunk's tip, by compare-and-swap."""
    candidate = rechecked.tested.merged.candidate
    gate.vcs.publish(candidate, gate.project.trunk, candidate.base, lease)
    landed = LandedRevision(
        landing_id=candidate.landing_id,
        revision=candidate.id,
        project=gate.project.name,
        proposal=rechecked.tested.merged.approved.proposal.id,
        approved_revision=candidate.revision,
    )
    gate.store.add(str(gate.project.trunk), [landed], candidate.id)
    return Published(rechecked.tested)


def report(gate: Gate, published: Published, _lease: Lease) -> Stopped:
    """Tell the forge; its status is written last, so that a final status means that all is told."""
    candidate, verdict = published.tested.merged.candidate, published.tested.verdict
    proposal = published.tested.merged.approved.proposal
    stopped = Stopped(
        _landing(gate, proposal, Outcome.LANDED, candidate.id, (verdict.reason,)),
        proposal,
        note=(candidate.landing_id, landed_text(candidate.id, verdict)),
        merged=candidate.id,
        told=True,
    )
    report_stopped(gate, stopped)
    gate.store.mark_reported(str(gate.project.trunk), candidate.landing_id)
    gate.store.record_attempt(stopped.landing, candidate, verdict)
    return stopped


STAGES: Final[tuple[Stage, ...]] = (candidates, ballot, merge, test, recheck, publish, report)
SHADOW_STAGES: Final = STAGES[: STAGES.index(publish)]
TRY_STAGES: Final[tuple[Stage, ...]] = (candidates, unjudged, merge, test)
_NEXT: Final[Mapping[str, str]] = {
    "ballot": "reading the ballot",
    "merge": "merging",
    "test": "testing",
    "recheck": "checking again",
    "publish": "publishing",
    "report": "reporting",
}


def run_stages(gate: Gate, proposal: Proposal, lease: Lease, stages: tuple[Stage, ...] = STAGES) -> Stopped:
    """Send one proposal through `stages`; where they end without stopping it, it would have landed."""
    value: Any = proposal
    for stage in stages:
        if stage.__name__ in _NEXT:
            gate.tell(f"{gate.project.name} {proposal.id}: {_NEXT[stage.__name__]}")
        value = stage(gate, value, lease)
        if isinstance(value, Stopped):
            return value
    tested: Tested = value if isinstance(value, Tested) else value.tested
    reasons = (f"would land as {tested.merged.candidate.id}", tested.verdict.reason, f"log: {tested.verdict.log}")
    return Stopped(_landing(gate, proposal, Outcome.WAITING, None, reasons), proposal)


def report_stopped(gate: Gate, stopped: Stopped) -> None:
    """Tell the forge how a proposal's way ended: the comment first, the status last; told twice, seen once."""
    if stopped.note is not None:
        gate.forge.comment(stopped.proposal, *stopped.note)
    if stopped.merged is not None:
        gate.forge.mark_merged(stopped.proposal, stopped.merged)
    elif stopped.status is not None:
        gate.forge.set_status(stopped.proposal, stopped.status)


def landed_text(revision: str, verdict: Verdict | None) -> str:
    """The comment on a proposal that landed."""
    lines = [f"Landed as {revision}."]
    if verdict is not None:
        lines.append(f"Tested in {verdict.seconds:.1f} s: {verdict.reason}.")
        lines.append(f"Log: {verdict.log}")
    return "\n".join(lines)


def _landing(
    gate: Gate, proposal: Proposal, outcome: Outcome, revision: str | None = None, reasons: tuple[str, ...] = ()
) -> Landing:
    return Landing(gate.project.name, proposal.id, proposal.title, outcome, revision, reasons)


def _repeat(proposal: Proposal) -> str:
    return f"To repeat it without publishing: byoci shadow {proposal.project} --proposal {proposal.id} --regardless"


def _conflict(gate: Gate, proposal: Proposal, conflict: Conflict) -> Stopped:
    shown = ", ".join(conflict.paths[:10]) + (" …" if len(conflict.paths) > 10 else "")
    reason = f"does not merge with trunk: conflict in {shown}"
    text = f"{reason}\n\nMerge trunk ({conflict.base}) into the source, resolve, and have it approved again."
    key = f"conflict {conflict.base} {conflict.revision} {proposal.approved_at}"
    landing = _landing(gate, proposal, Outcome.CONFLICT, reasons=(reason,))
    gate.store.record_attempt(landing, conflict)
    return Stopped(landing, proposal, note=(key, text), status=Status.NEEDS_REVIEW)


def refresh_index(gate: Gate, tip: str) -> None:
    """Bring the index of trunk's landings up to `tip`, which was fetched; trunk knows best."""
    trunk = gate.project.trunk
    indexed = gate.store.indexed_tip(str(trunk))
    if indexed != tip:
        gate.store.add(str(trunk), list(gate.vcs.landings(trunk, indexed)), tip)


def landed_before(gate: Gate, proposal: Proposal, landed: LandedRevision) -> Stopped:
    """What to tell of a landing that trunk holds, and that a run before this one, or another lander, published."""
    return Stopped(
        _landing(gate, proposal, Outcome.LANDED, landed.revision, ("published by an earlier run, reported now",)),
        proposal,
        note=(landed.landing_id, landed_text(landed.revision, None)),
        merged=landed.revision,
    )


def _already_merged(gate: Gate, proposal: Proposal, found: AlreadyMerged) -> Stopped:
    if found.how is MergedHow.BY_OTHERS:
        refresh_index(gate, found.base)
        ours = gate.store.find(str(gate.project.trunk), landing_id(gate.project.name, proposal.id, found.revision))
        if ours is not None:
            return landed_before(gate, proposal, ours)
        reason = f"merged by others as {found.by}" if found.by else "trunk contains it already"
        landing = _landing(gate, proposal, Outcome.LANDED, found.by or found.base, (reason,))
        return Stopped(landing, proposal, note=(f"merged {found.revision}", reason), merged=found.by or found.base)
    if found.how is MergedHow.REVERTED:
        reason = "it landed before and was reverted since; to bring it back, propose a revert of that revert"
    else:
        reason = "it changes nothing: trunk already has all of its content"
    landing = _landing(gate, proposal, Outcome.WAITING, reasons=(reason,))
    gate.store.record_attempt(landing, found)
    key = f"{found.how} {found.base} {found.revision} {proposal.approved_at}"
    return Stopped(landing, proposal, note=(key, reason), status=Status.NEEDS_REVIEW)


def _tests_failed(gate: Gate, merged: Merged, verdict: Verdict) -> Stopped:
    proposal, candidate = merged.approved.proposal, merged.candidate
    landing = _landing(gate, proposal, Outcome.TESTS_FAILED, reasons=(verdict.reason,))
    gate.store.record_attempt(landing, candidate, verdict)
    text = "\n".join(
        (
            f"Not landed: {verdict.reason}.",
            f"Tested: {candidate.revision} merged with trunk {candidate.base}, in {verdict.seconds:.1f} s.",
            f"Log: {verdict.log}",
            _repeat(proposal),
        )
    )
    return Stopped(landing, proposal, note=(f"verdict {candidate.id}", text), status=Status.NEEDS_REVIEW)


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
