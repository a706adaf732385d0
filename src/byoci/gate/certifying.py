"""From a tested candidate to its certificate, kept and signed before anybody sees the candidate."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.gate import ballot as ballots
from byoci.gate import certificate as certificates
from byoci.gate.certificate import Certificate, TestRecord
from byoci.vcs.urls import shown

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.gate.plan import Gate
    from byoci.model import Ballot, Candidate, MergeMeta, Verdict
    from byoci.worker.base import Setup


@dataclass(frozen=True, slots=True)
class MergeHow:
    """What a merge is made with beside its two revisions: whoever has both makes it again."""

    message: str
    meta: MergeMeta


@dataclass(frozen=True, slots=True)
class SetupMade:
    """What the worker was set up with, and the revision that the inputs came from."""

    setup: Setup
    origin: str


def keep(
    gate: Gate, ballot: Ballot, candidate: Candidate, how: MergeHow, setup: SetupMade | None, verdict: Verdict
) -> Path:
    """Write down what was approved, merged and tested, signed; it is durable when this returns.

    ballot  as it was read last
    """
    proposal, project = ballot.proposal, gate.project
    judgement = ballots.judge(ballot, project.policy, None)
    made = Certificate(
        project=project.name,
        trunk=shown(str(project.trunk)),
        forge=proposal.forge,
        proposal=proposal.id,
        title=proposal.title,
        author=proposal.author,
        source=shown(str(proposal.source)),
        url=proposal.url,
        candidate=candidate,
        message=how.message,
        meta=how.meta,
        approved_by=proposal.approved_by,
        votes=judgement.counted,
        minimum=project.policy.minimum,
        tests=_tests(gate, setup),
        verdict=verdict,
    )
    return gate.certificates.keep(project.name, candidate.id, certificates.encode(made), passed=verdict.passed)


def shelve(gate: Gate, candidate: str) -> None:
    """Push the certificate of a candidate that trunk holds to where trunk is, if the project asks for it."""
    if gate.shelf is None:
        return
    raw = gate.certificates.find(gate.project.name, candidate)
    if raw is not None:
        gate.shelf.put(gate.project.trunk, candidate, raw)


def _tests(gate: Gate, made: SetupMade | None) -> TestRecord:
    plan = gate.project.tests
    record = TestRecord(
        commands=plan.commands,
        worker=plan.worker,
        environment=dict(plan.environment),
        network=plan.network,
        limits=dataclasses.asdict(plan.limits),
        results=plan.results,
    )
    if made is None:
        return record
    setup = made.setup
    return dataclasses.replace(
        record,
        setup=setup.command,
        setup_inputs={path: hashlib.sha256(content).hexdigest() for path, content in setup.inputs.items()},
        setup_network=setup.network,
        setup_origin=made.origin,
        setup_credentials=tuple(sorted(setup.credentials)),
    )
