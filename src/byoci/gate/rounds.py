"""A lander's round over one project: hold the lease, finish what an earlier run left, then land what may land."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.errors import (
    ByociError,
    ConfigError,
    ProgramMissingError,
    RejectedError,
    TrunkMovedError,
    UnavailableError,
    UnsealableError,
    UsageError,
    of_bug,
    of_system,
)
from byoci.gate import ballot as ballots
from byoci.gate import certifying, land
from byoci.gate import stopped as stopping
from byoci.gate.stopped import Stopped
from byoci.model import Landing, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.gate.plan import Gate
    from byoci.model import LandedRevision, Lease, Proposal
    from byoci.store.leases import Leases

_log = logging.getLogger(__name__)

# No other proposal would fare better: the round ends with these.
_FATAL = (ConfigError, ProgramMissingError, UnsealableError)


@dataclass(frozen=True, slots=True)
class Told:
    """One proposal's row. `new` is false where the row only repeats what an earlier run found."""

    landing: Landing
    new: bool = True
    error: ByociError | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """One open proposal in the queue, judged but not tried."""

    project: str
    proposal: str
    title: str
    status: str
    landable: bool
    reasons: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The documented JSON object of `byoci queue --json`."""
        return {**dataclasses.asdict(self), "reasons": list(self.reasons)}


def queue_rows(gate: Gate) -> list[Queued]:
    """The project's open proposals in the order in which a round tries them."""
    return [_queued(gate, proposal) for proposal in land.queue(gate)]


def _queued(gate: Gate, proposal: Proposal) -> Queued:
    about = (gate.project.name, proposal.id, proposal.title, proposal.status.value)
    try:
        read, tip = land.ballot_now(gate, proposal)
    except (UnavailableError, RejectedError) as error:
        return Queued(*about, landable=False, reasons=(error.brief,))
    judgement = ballots.judge(read, gate.project.policy, tip)
    return Queued(*about, judgement.landable, judgement.reasons)


def exit_code(rows: Sequence[Told]) -> int:
    """75 where byoci failed, else 1 where a proposal did, else 0 where something landed, else 3: nothing to do."""
    news = [row for row in rows if row.new]
    codes = {row.error.exit_code for row in news if row.error is not None}
    if codes - {1}:
        return max(codes)
    outcomes = {row.landing.outcome for row in news}
    if codes or outcomes & {Outcome.TESTS_FAILED, Outcome.CONFLICT}:
        return 1
    return 0 if Outcome.LANDED in outcomes else 3


def land_round(gate: Gate, leases: Leases, only: str | None = None) -> list[Told]:
    """Land what may land of one project, or of its proposal `only`.

    Raises `LeaseHeldError` when another lander is at it, and what makes any landing impossible here (`UnsealableError`,
    `UnreachableError` of trunk, …). An error of one proposal is its row, and the others go on.
    """
    with leases.hold(str(gate.project.trunk)) as lease:
        rows = recover(gate)
        told = {row.landing.proposal for row in rows}
        for proposal in () if only in told else _chosen(gate, only):  # to be reported took it out of the queue
            if proposal.id not in told:
                rows.append(_row(gate, lease, proposal, land.STAGES))
    return rows


def not_worked_on(gate: Gate, error: ByociError) -> list[Told]:
    """A row for every open proposal of a project whose round `error` ended; the forge is told nothing."""
    return [_failed(gate, proposal, error, tell_forge=False) for proposal in land.queue(gate)]


def shadow_round(gate: Gate, leases: Leases, only: str | None = None, *, regardless: bool = False) -> list[Told]:
    """What `land_round` would do, up to publishing; neither trunk nor the forge learn of it.

    regardless  merge and test also what its ballot does not let land
    """
    stages = land.TRY_STAGES if regardless else land.SHADOW_STAGES
    with leases.hold(str(gate.project.trunk)) as lease:
        return [_row(gate, lease, proposal, stages) for proposal in _chosen(gate, only)]


def landable(gate: Gate) -> list[Proposal]:
    """The project's proposals that may land, in the order in which a round tries them."""
    return [proposal for proposal in land.queue(gate) if _queued(gate, proposal).landable]


def land_first(gate: Gate, leases: Leases, only: str | None = None) -> list[Told]:
    """Land the first proposal that may, or the proposal `only`; nothing is done about the others. See `land_round`.

    A proposal `only` that is in the queue has a row, whatever becomes of it; one that is over by now has none.
    """
    with leases.hold(str(gate.project.trunk)) as lease:
        rows = recover(gate)
        told = {row.landing.proposal for row in rows}
        if only is None:
            fitting = landable(gate)
        else:
            fitting = [proposal for proposal in land.queue(gate) if proposal.id == only and only not in told]
        rows += [_row(gate, lease, proposal, land.STAGES) for proposal in fitting[:1]]
    return rows


def recover(gate: Gate) -> list[Told]:
    """Start from trunk: report each landing on it that has no report yet, and do nothing else."""
    tip = gate.vcs.fetch(gate.project.trunk, trusted=True)
    land.refresh_index(gate, tip)
    trunk = str(gate.project.trunk)
    rows = []
    for landed in _unreported(gate):
        try:
            proposal = gate.forge.proposal(landed.proposal)
        except UsageError:
            _log.warning(
                "%s is on trunk for proposal %s, which the forge does not know", landed.revision, landed.proposal
            )
            gate.store.mark_reported(trunk, landed.landing_id)
            continue
        if proposal.status is Status.MERGED and proposal.merged_revision == landed.revision:
            # The comment comes before the status: this landing was told in full, only the cache was lost.
            certifying.shelve(gate, landed.revision)
            gate.store.mark_reported(trunk, landed.landing_id)
            continue
        row = _report(gate, proposal, landed)
        certifying.shelve(gate, landed.revision)
        gate.store.mark_reported(trunk, landed.landing_id)
        rows += [row] if row else []
    return rows


def _report(gate: Gate, proposal: Proposal, landed: LandedRevision) -> Told | None:
    """Tell the forge of a landing; None where it knew: people have gone on since, and what they decided stays.

    The comment comes first. Where it stands and the approval is still the one that landed, the status is missing.
    """
    new = gate.forge.comment(proposal, *stopping.landed_note(landed.revision, None))
    if not new and not _lacks_status(proposal, landed):
        return None
    gate.forge.mark_merged(dataclasses.replace(proposal, approved_revision=landed.approved_revision), landed.revision)
    return Told(stopping.landed_before(gate.project.name, proposal, landed).landing)


def _lacks_status(proposal: Proposal, landed: LandedRevision) -> bool:
    at = landed.approved_at and int(landed.approved_at.timestamp())
    approval = (proposal.status, proposal.approved_revision, int(land.dated(proposal).timestamp()))
    return approval == (Status.APPROVED, landed.approved_revision, at)


def _unreported(gate: Gate) -> list[LandedRevision]:
    """Landings that trunk holds now and that have no report yet, as trunk tells them."""
    trunk = gate.project.trunk
    found = gate.store.unreported(str(trunk))
    if not found:
        return []
    # The index only grows. Somebody may have rewound trunk since: what is to be told now must be there now.
    there = {landed.revision: landed for landed in gate.vcs.landings(trunk)}
    for landed in found:
        if landed.revision not in there:
            gate.store.forget(str(trunk), landed.landing_id)
    return [there[landed.revision] for landed in found if landed.revision in there]


def _chosen(gate: Gate, only: str | None) -> list[Proposal]:
    queue = land.queue(gate)
    if only is None:
        return queue
    found = [proposal for proposal in queue if proposal.id == only]
    if not found:
        proposal = gate.forge.proposal(only)
        raise UsageError(
            f"proposal {only} is not in the queue of {gate.project.name}",
            details=f"It is {proposal.status}, and its target is {proposal.target}.",
            resolution="`byoci queue` shows what is.",
        )
    return found


def _row(gate: Gate, lease: Lease, proposal: Proposal, stages: tuple[land.Stage, ...]) -> Told:
    for_real = stages is land.STAGES
    try:
        stopped = _attempts(gate, lease, proposal, stages)
        if for_real and not stopped.told:
            stopping.report_stopped(gate, stopped)
        shown = stopping.remembered(gate, stopped)
    except _FATAL:
        raise
    except ByociError as error:
        return _failed(gate, proposal, error, tell_forge=for_real)
    except OSError as error:
        return _failed(gate, proposal, of_system(error), tell_forge=False)
    except Exception as error:  # noqa: BLE001 - no proposal keeps the others from landing, whatever it is like
        _log.info("proposal %s", proposal.id, exc_info=error)
        return _failed(gate, proposal, of_bug(error), tell_forge=False)
    return Told(shown, new=shown is stopped.landing)


def _attempts(gate: Gate, lease: Lease, proposal: Proposal, stages: tuple[land.Stage, ...]) -> Stopped:
    for attempt in range(1, gate.project.attempts + 1):
        try:
            return land.run_stages(gate, proposal, lease, stages)
        except TrunkMovedError as error:
            gate.tell(f"{gate.project.name} {proposal.id}: {error.brief}; attempt {attempt} starts anew")
    raise UnavailableError(
        f"trunk moved {gate.project.attempts} times while this proposal was tested",
        resolution="Nothing is lost: the next run tries again. `site.landing.attempts` allows more tries in a run.",
    )


def _failed(gate: Gate, proposal: Proposal, error: ByociError, *, tell_forge: bool) -> Told:
    reasons = tuple(part for part in (error.brief, error.details, error.resolution) if part)
    landing = Landing(gate.project.name, proposal.id, proposal.title, Outcome.ERROR, None, reasons)
    if isinstance(error, RejectedError) and tell_forge:
        key = f"rejected {proposal.approved_revision} {proposal.approved_at} {error.brief}"
        stopped = Stopped(landing, proposal, note=(key, str(error)), status=Status.NEEDS_REVIEW)
        stopping.report_stopped(gate, stopped)
    return Told(landing, error=error)
