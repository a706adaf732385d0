"""Certificates: what was approved, merged and tested, as an in-toto statement with SLSA provenance. Pure.

Formats: in-toto Statement v1 (github.com/in-toto/attestation, spec/v1) with the predicate SLSA Provenance v1
(slsa.dev/spec/v1.0/provenance). A statement is one line of ASCII JSON with sorted keys, so that equal certificates are
equal bytes; the signature that follows it is OpenSSH's (PROTOCOL.sshsig), armored.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from byoci import __version__
from byoci.errors import UsageError
from byoci.model import Candidate, MergeMeta, Verdict, Vote, VoteValue

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:byoci:landing:v1"
_SIGNATURE: Final = b"-----BEGIN SSH SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class TestRecord:
    """How a candidate was tested: enough to do the same again.

    limits        name → number, in bytes and seconds
    setup         the setup command; "" for none
    setup_inputs  path → SHA-256 of its content
    setup_origin  the revision that the inputs were taken from
    setup_credentials  names of the credentials that it saw
    worker        the name that the definition gives to the kind of worker
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    commands: tuple[str, ...]
    worker: str = "default"
    environment: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    setup: str = ""
    setup_inputs: Mapping[str, str] = field(default_factory=dict)
    setup_network: bool = False
    setup_origin: str = ""
    setup_credentials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """The record of one candidate.

    message      what the merge was made with, before the lander's own lines were added
    approved_by  who set the status; None where the forge does not tell
    votes        those that counted
    minimum      how many approvals the project asked for
    byoci        the version that made it
    """

    project: str
    trunk: str
    forge: str
    proposal: str
    title: str
    author: str
    source: str
    url: str
    candidate: Candidate
    meta: MergeMeta
    message: str
    approved_by: str | None
    votes: tuple[Vote, ...]
    minimum: int
    tests: TestRecord
    verdict: Verdict
    byoci: str = __version__


def encode(certificate: Certificate) -> bytes:
    """The statement's line, without its end."""
    statement = _statement(certificate)
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def split(raw: bytes) -> tuple[bytes, bytes]:
    """A certificate's statement and its armored signature. Raises `UsageError` for what is not both."""
    statement, newline, signature = raw.partition(b"\n")
    if not newline or not signature.startswith(_SIGNATURE):
        raise UsageError("this is no certificate", details="It is not a line of JSON with an SSH signature below.")
    return statement, signature


def decode(statement: bytes) -> Certificate:
    """The certificate that a statement's line tells. Raises `UsageError` for anything that `encode` did not make."""
    try:
        certificate = _certificate(json.loads(statement))
        same = encode(certificate) == statement
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        raise UsageError("this is no certificate", details=f"{type(error).__name__}: {error}") from error
    if not same:
        raise UsageError("this is no certificate", details="It says more, or in another way, than a certificate does.")
    return certificate


def _statement(it: Certificate) -> dict[str, Any]:
    candidate, verdict = it.candidate, it.verdict
    ended = verdict.started and verdict.started + timedelta(seconds=verdict.seconds)
    kind = "gitCommit" if candidate.vcs == "git" else "bzrRevision"
    return {
        "_type": STATEMENT,
        "subject": [{"name": it.trunk, "digest": {kind: candidate.id, _tree_kind(candidate): candidate.tree}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _parameters(it),
                "internalParameters": {"worker": dict(verdict.worker)},
                "resolvedDependencies": [
                    {"name": "base", "uri": it.trunk, "digest": {kind: candidate.base}},
                    {"name": "approved", "uri": it.source, "digest": {kind: candidate.revision}},
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:byoci", "version": {"byoci": it.byoci, "vcs": candidate.tool}},
                "metadata": {
                    "invocationId": candidate.landing_id,
                    "startedOn": verdict.started and verdict.started.isoformat(),
                    "finishedOn": ended and ended.isoformat(),
                },
                "byproducts": [
                    {"name": "log", "uri": verdict.log, "digest": {"sha256": verdict.log_digest}},
                    {"name": "verdict", "annotations": _verdict(verdict)},
                ],
            },
        },
    }


def _parameters(it: Certificate) -> dict[str, Any]:
    """What people and the definition chose."""
    return {
        "project": it.project,
        "trunk": it.trunk,
        "proposal": {
            "forge": it.forge,
            "id": it.proposal,
            "title": it.title,
            "author": it.author,
            "source": it.source,
            "url": it.url,
        },
        "approval": {
            "revision": it.candidate.revision,
            "at": it.meta.at.isoformat(),
            "by": it.approved_by,
            "minimum": it.minimum,
            "votes": [_vote(vote) for vote in it.votes],
        },
        "merge": {
            "vcs": it.candidate.vcs,
            "message": it.message,
            "committed": it.candidate.message,
            "committer": [it.meta.committer_name, it.meta.committer_email],
            "landingId": it.candidate.landing_id,
        },
        "tests": dataclasses.asdict(it.tests),
    }


def _certificate(raw: Mapping[str, Any]) -> Certificate:
    if raw["_type"] != STATEMENT or raw["predicateType"] != PREDICATE:
        raise ValueError(f"it is a {raw['predicateType']}")
    definition, run = raw["predicate"]["buildDefinition"], raw["predicate"]["runDetails"]
    if definition["buildType"] != BUILD_TYPE:
        raise ValueError(f"it tells of a {definition['buildType']}")
    given = definition["externalParameters"]
    proposal, approval, merge = given["proposal"], given["approval"], given["merge"]
    candidate = _candidate(raw["subject"][0]["digest"], definition, run)
    committer_name, committer_email = merge["committer"]
    at = datetime.fromisoformat(approval["at"])
    return Certificate(
        project=given["project"],
        trunk=given["trunk"],
        forge=proposal["forge"],
        proposal=proposal["id"],
        title=proposal["title"],
        author=proposal["author"],
        source=proposal["source"],
        url=proposal["url"],
        candidate=candidate,
        meta=MergeMeta(committer_name, committer_email, at, given["project"], proposal["id"], candidate.landing_id),
        message=merge["message"],
        approved_by=approval["by"],
        votes=tuple(_vote_of(vote) for vote in approval["votes"]),
        minimum=approval["minimum"],
        tests=_tests_of(given["tests"]),
        verdict=_verdict_of(definition, run),
        byoci=run["builder"]["version"]["byoci"],
    )


def _candidate(digest: Mapping[str, str], definition: Mapping[str, Any], run: Mapping[str, Any]) -> Candidate:
    merge, (base, approved) = definition["externalParameters"]["merge"], definition["resolvedDependencies"]
    commit, tree = ("gitCommit", "gitTree") if merge["vcs"] == "git" else ("bzrRevision", "sha256")
    return Candidate(
        vcs=merge["vcs"],
        id=digest[commit],
        tree=digest[tree],
        base=base["digest"][commit],
        revision=approved["digest"][commit],
        landing_id=merge["landingId"],
        message=merge["committed"],
        tool=run["builder"]["version"]["vcs"],
    )


def _verdict_of(definition: Mapping[str, Any], run: Mapping[str, Any]) -> Verdict:
    log, verdict = run["byproducts"]
    return Verdict.from_json(
        {
            **verdict["annotations"],
            "log": log["uri"],
            "log_digest": log["digest"]["sha256"],
            "started": run["metadata"]["startedOn"],
            "worker": definition["internalParameters"]["worker"],
        }
    )


def _tree_kind(candidate: Candidate) -> str:
    return "gitTree" if candidate.vcs == "git" else "sha256"


def _vote(vote: Vote) -> dict[str, Any]:
    return {**dataclasses.asdict(vote), "value": vote.value.value, "at": vote.at.isoformat()}


def _vote_of(raw: Mapping[str, Any]) -> Vote:
    return Vote(**{**raw, "value": VoteValue(raw["value"]), "at": datetime.fromisoformat(raw["at"])})


def _tests_of(raw: Mapping[str, Any]) -> TestRecord:
    lists = ("commands", "results", "setup_credentials")
    return TestRecord(**{**raw, **{name: tuple(raw[name]) for name in lists}})


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict stands nowhere else in the statement."""
    elsewhere = ("log", "log_digest", "started", "worker")
    return {name: value for name, value in verdict.as_json().items() if name not in elsewhere}
