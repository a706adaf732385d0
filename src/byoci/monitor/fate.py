"""What became of a landing, from its build's end, from what the agent told, and from the forge. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from byoci.model import Outcome, Status

if TYPE_CHECKING:
    from byoci.jenkins.client import Build
    from byoci.model import Proposal

LOST: Final = "The controller does not know its build, or does not any more."
_LONGEST: Final = 4000  # characters of a reason that are kept
_MOST: Final = 20  # reasons


@dataclass(frozen=True, slots=True)
class Fate:
    """How a landing ended."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    revision: str | None = None


def fate(build: Build | None, told: bytes | None, proposal: Proposal) -> Fate:
    """The forge's word counts before the agent's: a proposal that is Merged has landed, whatever its build came to.

    build     None where the controller does not know it, or does not any more
    told      the artifact `landing.json`, None where the build has none
    proposal  as the forge has it after the build
    """
    if build is None:
        merged = proposal.status is Status.MERGED
        return Fate(Outcome.LANDED, (), proposal.merged_revision) if merged else Fate(Outcome.ERROR, (LOST,))
    row = _row(told, proposal.id)
    reasons = _texts(row.get("reasons"))
    if proposal.status is Status.MERGED:
        return Fate(Outcome.LANDED, reasons, proposal.merged_revision)
    if "outcome" in row:
        revision = row.get("revision")
        return Fate(_outcome(row["outcome"]), reasons, revision if isinstance(revision, str) else None)
    if told is not None and build.result == "SUCCESS":
        return Fate(Outcome.WAITING, ("When the agent looked, there was nothing to land.",))
    return Fate(Outcome.ERROR, _error(told) or (f"Build {build.number} ended as {build.result}; see its log.",))


def _row(told: bytes | None, proposal: str) -> dict[str, Any]:
    rows = _parsed(told)
    mine = (row for row in rows if isinstance(row, dict) and row.get("proposal") == proposal)
    return next(mine, {}) if isinstance(rows, list) else {}


def _error(told: bytes | None) -> tuple[str, ...]:
    """What byoci says on the agent where it failed as a whole."""
    parts = _parsed(told)
    if not isinstance(parts, dict):
        return ()
    return _texts([parts.get(name) for name in ("error", "details", "resolution") if parts.get(name)])


def _parsed(told: bytes | None) -> Any:
    try:
        return json.loads(told or b"[]")
    except (ValueError, RecursionError):
        return []


def _outcome(word: object) -> Outcome:
    try:
        return Outcome(str(word))
    except ValueError:
        return Outcome.ERROR


def _texts(told: object) -> tuple[str, ...]:
    items = told if isinstance(told, list) else []
    return tuple(item[:_LONGEST] for item in items[:_MOST] if isinstance(item, str))
