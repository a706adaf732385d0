"""A landing step by step, by a person's hand: merge, test, commit, push. The gate stays: what is pushed was tested.

What was merged is noted in the site's state. The candidate is deterministic, so noting what it was made from is enough:
every step makes it again and works on exactly that.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from byoci import durable, effects
from byoci.errors import NothingToDoError, TrunkMovedError, UsageError
from byoci.gate import land
from byoci.gate.stopped import Stopped
from byoci.model import Candidate, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from byoci.gate.land import Merged
    from byoci.gate.plan import Gate
    from byoci.model import Lease, Proposal

_NOTE = effects.declare(
    "byhand.note", "what is merged by hand", half="The note is as it was before.", done="It is gone on with."
)
_EMPTY = effects.declare(
    "byhand.empty", "what is in a tree that was merged by hand is removed", half="The rest is removed."
)
_FORGET = effects.declare("byhand.forget", "the note of a merge by hand that was pushed is removed")


@dataclass(frozen=True, slots=True)
class ByHand:
    """A merge by hand.

    committed  whether the person has looked at it and wants it
    verdict    what the tests said, in a worker, on exactly its tree, once they passed: see `Verdict.as_json`
    """

    proposal: str
    candidate: str
    base: str
    workdir: str
    committed: bool = False
    verdict: Mapping[str, Any] | None = None


def merge(gate: Gate, lease: Lease, state: Path, proposal: Proposal, workdir: Path) -> ByHand | Stopped:
    """Merge a proposal onto trunk's tip, whatever its ballot says; its tree goes to the empty folder `workdir`."""
    merged = land.merge(gate, land.unjudged(gate, land.Chosen(proposal), lease), lease)
    if isinstance(merged, Stopped):
        return merged
    gate.vcs.export(merged.candidate.id, workdir)
    note = ByHand(proposal.id, merged.candidate.id, merged.candidate.base, str(workdir))
    _write(gate, state, note)
    return note


def current(gate: Gate, state: Path) -> ByHand:
    """The merge that was made by hand last. Raises `NothingToDoError` where there is none."""
    try:
        return ByHand(**json.loads(_place(gate, state).read_text()))
    except FileNotFoundError:
        raise NothingToDoError(
            f"nothing of {gate.project.name} was merged by hand",
            resolution="Start with `byoci agent merge PROPOSAL`.",
        ) from None


def refresh(gate: Gate, state: Path, workdir: Path) -> ByHand | None:
    """Make `workdir` the candidate's exact tree again, before its tests; None where it is another merge's."""
    from byoci.worker import tree

    note = current(gate, state)
    if note.workdir != str(workdir.absolute()):
        return None
    with _EMPTY:
        tree.clear(workdir)
    gate.vcs.export(note.candidate, workdir)
    return note


def remember_passed(gate: Gate, state: Path, note: ByHand, verdict: Verdict) -> None:
    """Note that the candidate's tests passed."""
    latest = current(gate, state)
    if latest.candidate == note.candidate:
        _write(gate, state, dataclasses.replace(latest, verdict=verdict.as_json()))


def commit(gate: Gate, lease: Lease, state: Path) -> Candidate:
    """Make the candidate's commit in the private repository for good, and say that it is wanted."""
    note = current(gate, state)
    merged = _again(gate, lease, note)
    _write(gate, state, dataclasses.replace(note, committed=True))
    return merged.candidate


def push(gate: Gate, lease: Lease, state: Path) -> Stopped:
    """Recheck, publish and report a merge that was committed and whose tests passed."""
    note = current(gate, state)
    missing = [] if note.verdict else ["its tests have not passed: `byoci agent run-tests`"]
    missing += [] if note.committed else ["it is not committed: `byoci agent commit`"]
    if missing:
        raise UsageError(f"the merge of proposal {note.proposal} cannot be pushed", details="; ".join(missing))
    merged = _again(gate, lease, note)
    read = gate.forge.ballot_of(gate.forge.proposal(note.proposal))
    merged = dataclasses.replace(merged, approved=land.Approved(read, merged.candidate.revision))
    tested = land.Tested(merged, Verdict.from_json(note.verdict or {}), land.setup_for(gate, merged.candidate))
    rechecked = land.recheck(gate, tested, lease)
    if isinstance(rechecked, Stopped):
        return rechecked
    stopped = land.report(gate, land.publish(gate, rechecked, lease), lease)
    with _FORGET:
        _place(gate, state).unlink(missing_ok=True)
    return stopped


def _again(gate: Gate, lease: Lease, note: ByHand) -> Merged:
    proposal = gate.forge.proposal(note.proposal)
    merged = land.merge(gate, land.unjudged(gate, land.Chosen(proposal), lease), lease)
    if isinstance(merged, Stopped) or merged.candidate.id != note.candidate:
        raise TrunkMovedError(
            f"proposal {note.proposal} or trunk is another since it was merged by hand",
            resolution=f"Merge and test it again: `byoci agent merge {note.proposal}`.",
        )
    return merged


def _place(gate: Gate, state: Path) -> Path:
    return state / "byhand" / f"{gate.project.name}.json"


@_NOTE
def _write(gate: Gate, state: Path, note: ByHand) -> None:
    place = _place(gate, state)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    durable.write(place, json.dumps(dataclasses.asdict(note)).encode())
