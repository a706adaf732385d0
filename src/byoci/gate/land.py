"""The stages of a landing, once and in order: candidates, ballot, merge, test, recheck, publish, report.

Each stage takes the frozen value that the one before it made, and gives the next value or a `Stopped`. A stage reads;
only `publish` writes to trunk and only `report` to the forge, so a run that leaves out these two changes nothing for
anybody: that is `shadow`. Errors are raised and mean that byoci could not decide.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from byoci.errors import PublishRefusedError, TrunkMovedError
from byoci.gate import ballot as ballots
from byoci.gate import certifying, testing
from byoci.gate import stopped as stopping
from byoci.gate.certifying import MergeHow, SetupMade
from byoci.gate.stopped import Stopped
from byoci.model import (
    AlreadyMerged,
    Candidate,
    Conflict,
    LandedRevision,
    MergedHow,
    MergeMeta,
    Outcome,
    Status,
    Verdict,
    landing_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.gate.plan import Gate
    from byoci.model import Ballot, Lease, Proposal


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
    """It is merged in memory, by `how`; nobody but the private repository knows."""

    approved: Approved
    candidate: Candidate
    how: MergeHow


@dataclass(frozen=True, slots=True)
class Tested:
    """The candidate's tests passed, in a worker that was set up by `setup`."""

    merged: Merged
    verdict: Verdict
    setup: SetupMade | None = None


@dataclass(frozen=True, slots=True)
class Rechecked:
    """After the tests: ballot, approved revision and trunk's tip are still what the candidate was made from.

    ballot   as it was read after the tests
    """

    tested: Tested
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Published:
    """Trunk's tip is the candidate."""

    tested: Tested


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
        return stopping.waiting(gate.project.name, read.proposal, judgement.reasons)
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
        at=dated(proposal),
        project=project.name,
        proposal=proposal.id,
        landing_id=landing_id(project.name, proposal.id, approved.revision),
    )
    how = MergeHow(message_of(proposal), meta)
    result = gate.vcs.merge(base, approved.revision, how.message, meta)
    if isinstance(result, Candidate):
        return Merged(approved, result, how)
    if isinstance(result, Conflict):
        stopped = stopping.conflicting(project.name, proposal, result)
        gate.store.record_attempt(stopped.landing, result)
        return stopped
    return _already_merged(gate, proposal, result)


def dated(proposal: Proposal) -> datetime:
    """When its approval was, which dates its candidate."""
    return proposal.approved_at or proposal.created_at


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
        verdict = Verdict(False, earlier.reasons[0], earlier.seconds, earlier.tests, earlier.log)
        record = gate.certificates.place(gate.project.name, candidate.id, passed=False)
        return stopping.tests_failed(gate.project.name, proposal, candidate, verdict, record)
    made = setup_for(gate, candidate)
    at = datetime.now(UTC)
    log = gate.logs / proposal.id / f"{at:%Y%m%dT%H%M%S.%fZ}-{landing_id(candidate.id, '', '')[:12]}.log"
    tree = testing.Tree(candidate.tree, testing.files_of(gate, candidate.id))
    verdict = testing.verdict(gate, tree, made.setup if made else None, log)
    if not verdict.passed:
        record = certifying.keep(gate, merged.approved.ballot, candidate, merged.how, made, verdict)
        stopped = stopping.tests_failed(gate.project.name, proposal, candidate, verdict, record)
        gate.store.record_attempt(stopped.landing, candidate, verdict)
        return stopped
    return Tested(merged, verdict, made)


def setup_for(gate: Gate, candidate: Candidate) -> SetupMade | None:
    """What the tests of a candidate are set up with; None where the project has no setup."""
    plan = gate.project.tests
    # What credentials can reach must not be chosen by a proposal: its setup is made from trunk's files.
    origin = candidate.base if plan.setup and plan.setup.credentials else candidate.id
    setup = testing.setup_of(plan, lambda paths: gate.vcs.read(origin, paths))
    return SetupMade(setup, origin) if setup else None


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
    return Rechecked(tested, again.ballot)


def publish(gate: Gate, rechecked: Rechecked, lease: Lease) -> Published:
    """Make the certificate durable, then the candidate trunk's tip, by compare-and-swap."""
    tested = rechecked.tested
    candidate = tested.merged.candidate
    certifying.keep(gate, rechecked.ballot, candidate, tested.merged.how, tested.setup, tested.verdict)
    try:
        gate.vcs.publish(candidate, gate.project.trunk, candidate.base, lease)
    except (TrunkMovedError, PublishRefusedError):
        gate.certificates.drop(gate.project.name, candidate.id)
        raise
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
    stopped = stopping.landed(gate.project.name, proposal, candidate, verdict)
    stopping.report_stopped(gate, stopped)
    certifying.shelve(gate, candidate.id)
    gate.store.mark_reported(str(gate.project.trunk), candidate.landing_id)
    gate.store.record_attempt(stopped.landing, candidate, verdict)
    return dataclasses.replace(stopped, told=True)


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
    return stopping.waiting(gate.project.name, proposal, reasons)


def refresh_index(gate: Gate, tip: str) -> None:
    """Bring the index of trunk's landings up to `tip`, which was fetched; trunk knows best."""
    trunk = gate.project.trunk
    indexed = gate.store.indexed_tip(str(trunk))
    if indexed != tip:
        gate.store.add(str(trunk), list(gate.vcs.landings(trunk, indexed)), tip)


def _already_merged(gate: Gate, proposal: Proposal, found: AlreadyMerged) -> Stopped:
    name = gate.project.name
    if found.how is not MergedHow.BY_OTHERS:
        stopped = stopping.nothing_to_merge(name, proposal, found)
        gate.store.record_attempt(stopped.landing, found)
        return stopped
    refresh_index(gate, found.base)
    ours = gate.store.find(str(gate.project.trunk), landing_id(name, proposal.id, found.revision))
    if ours is not None and ours.revision == found.by:  # the index may hold a landing that trunk no longer does
        return stopping.landed_before(name, proposal, ours)
    return stopping.merged_by_others(name, proposal, found)
