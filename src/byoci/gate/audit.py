"""Audit a trunk: recompute every landing, check every certificate, name every revision that no certificate covers.

It needs trunk, the certificates and the public key, and believes nothing else: no database, no forge, and not what
trunk says of itself. What it finds out is made from the certificates; a `Landing-Id` on trunk proves nothing here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from byoci.errors import ByociError, UsageError
from byoci.gate import certificate as certificates
from byoci.log import printable
from byoci.model import AlreadyMerged, Candidate, Conflict, MergeMeta, landing_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from byoci.gate.certificate import Certificate
    from byoci.model import Location, TrunkRevision
    from byoci.vcs.base import Vcs


class Kind(enum.StrEnum):
    """What is the matter with a revision of trunk, or with a certificate."""

    COVERED = "covered"  # nothing: a certificate covers it, and everything in that is true
    UNCOVERED = "uncovered"  # no certificate names it
    FORGED = "forged"  # its certificate is not signed by any of the keys, or is none
    WRONG = "wrong"  # its certificate is genuine, and says what is not so
    UNSURE = "unsure"  # it could not be recomputed


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit says of one revision of trunk. `details` is for people; nothing in it is to be trusted."""

    revision: str
    kind: Kind
    details: str = ""
    project: str = ""
    proposal: str = ""
    trunk: str = ""  # where it landed, as its certificate says
    elsewhere: bool = False  # whether that is another one than the one that is judged


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found, newest revision first.

    before    how many revisions of trunk are older than the first one that is judged
    elsewhere  candidates that have a certificate and are not on trunk: rewound since, or never published
    """

    findings: tuple[Finding, ...]
    before: int
    elsewhere: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every revision that is judged is covered."""
        return all(finding.kind is Kind.COVERED for finding in self.findings)

    @property
    def covered(self) -> int:
        """How many revisions are."""
        return sum(finding.kind is Kind.COVERED for finding in self.findings)


def audit(
    vcs: Vcs,
    trunk: Location,
    known: Mapping[str, bytes],
    verify: Callable[[bytes, bytes], bool],
    *,
    since: str | None = None,
    called: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Judge trunk's first-parent history.

    vcs     with a private repository that nothing was fetched to before: what it holds is not trunk's word
    known   candidate → certificate, as they are kept
    verify  whether one of the trusted keys signed a statement
    since   the last revision that is not judged, usually trunk's tip when it was first gated; without it, trunk is
            judged from the oldest revision on that has a certificate
    called  what trunk is called in certificates, besides what it is called here: a commit that landed on another trunk
            did so under another policy. Where no certificate knows any of these, what the newest calls it counts
    tell    is given a line on what is being done

    Raises `UsageError` where `since` is not in trunk's history.
    """
    tell(f"fetching {trunk}")
    vcs.fetch(trunk, trusted=True)
    history = list(vcs.history(trunk))
    judged = _judged(history, known, since)
    findings = []
    for number, revision in enumerate(judged, 1):
        if number % 100 == 0:
            tell(f"{number} of {len(judged)} revisions of trunk")
        findings.append(_judge(vcs, revision, known.get(revision.id), verify))
    findings, before = _of_one_trunk(findings, {str(trunk), *called}), len(history) - len(judged)
    if since is None:  # what another trunk landed before this one began is older than its first landing
        first = max((at for at, finding in enumerate(findings) if not finding.elsewhere), default=-1)
        findings, before = findings[: first + 1], before + len(findings) - first - 1
    there = {revision.id for revision in history}
    return Audit(tuple(findings), before, tuple(sorted(set(known) - there)))


def _of_one_trunk(findings: list[Finding], called: set[str]) -> list[Finding]:
    """The findings, where a certificate that was made for another trunk covers nothing."""
    names = [finding.trunk for finding in findings if finding.kind is Kind.COVERED]
    right = called if called.intersection(names) else set(names[:1])
    return [
        replace(
            finding, kind=Kind.WRONG, details=f"it landed on another trunk, {printable(finding.trunk)}", elsewhere=True
        )
        if finding.kind is Kind.COVERED and finding.trunk not in right
        else finding
        for finding in findings
    ]


def _judged(history: list[TrunkRevision], known: Mapping[str, bytes], since: str | None) -> list[TrunkRevision]:
    ids = [revision.id for revision in history]
    if since is not None:
        found = [index for index, id_ in enumerate(ids) if id_.startswith(since)]
        if len(found) != 1:
            raise UsageError(
                f"{since} is {'several revisions' if found else 'no revision'} of trunk's own history",
                resolution="Name one that trunk's tip once was.",
            )
        return history[: found[0]]
    certified = [index for index, id_ in enumerate(ids) if id_ in known]
    return history[: certified[-1] + 1] if certified else history


def _judge(vcs: Vcs, revision: TrunkRevision, raw: bytes | None, verify: Callable[[bytes, bytes], bool]) -> Finding:
    if raw is None:
        return Finding(revision.id, Kind.UNCOVERED, "no certificate names it")
    try:
        statement, signature = certificates.split(raw)
        if not verify(statement, signature):
            return Finding(revision.id, Kind.FORGED, "its certificate is signed by none of the keys")
        told = certificates.decode(statement)
    except UsageError as error:
        return Finding(revision.id, Kind.FORGED, printable(str(error)))
    try:
        wrong = next(_wrongs(vcs, revision, told), "")
    except ByociError as error:
        return _finding(revision, Kind.UNSURE, str(error), told)
    return _finding(revision, Kind.WRONG if wrong else Kind.COVERED, wrong, told)


def _finding(revision: TrunkRevision, kind: Kind, details: str, told: Certificate) -> Finding:
    return Finding(revision.id, kind, printable(details), told.project, told.proposal, told.trunk)


def _wrongs(vcs: Vcs, revision: TrunkRevision, told: Certificate) -> Iterator[str]:
    """What of a genuine certificate is not so, the cheapest first."""
    candidate = told.candidate
    if candidate.id != revision.id:
        yield f"its certificate is that of {candidate.id}"
    if candidate.parents != revision.parents:
        yield f"its certificate names other parents: {', '.join(candidate.parents)}"
    if candidate.landing_id != landing_id(told.project, told.proposal, candidate.revision):
        yield "its landing id does not follow from project, proposal and approved revision"
    if not told.verdict.passed:
        yield f"its tests had not passed: {told.verdict.reason}"
    if sum(not vote.value.refuses for vote in told.votes) < told.minimum:
        yield f"fewer than {told.minimum} had approved it"
    if any(vote.value.refuses for vote in told.votes):
        yield "somebody had refused it"
    made = vcs.merge(candidate.base, candidate.revision, told.message, told.meta)
    if made == candidate:
        return
    yield _difference(made, candidate)


def _difference(made: Candidate | Conflict | AlreadyMerged, candidate: Candidate) -> str:
    if isinstance(made, Conflict):
        return "merging its parents again conflicts"
    if isinstance(made, AlreadyMerged):
        return "there was nothing to merge"
    versions = "" if made.tool == candidate.tool else f" (now with {made.tool}, then with {candidate.tool})"
    what = "another tree" if made.tree != candidate.tree else "another revision"
    return f"merging its parents again gives {what}, {made.id}{versions}"


def brought_by(vcs: Vcs, trunk: Location, revision: str) -> str | None:
    """The revision of trunk's first-parent history by which it came to hold `revision`; None where it does not.

    Asked of what was fetched of trunk; the merge that tells it has nothing to add, so that none is made.
    """
    nobody = MergeMeta("byoci", "byoci@localhost", datetime.fromtimestamp(0, UTC), "", "", "")
    try:
        tip = vcs.fetch(trunk, trusted=True)
        found = vcs.merge(tip, revision, "", nobody)
    except (ByociError, UnicodeError):
        return None
    return found.by if isinstance(found, AlreadyMerged) else None
