"""The values that the parts of byoci hand to one another: frozen, complete, free of behaviour that needs the world."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(enum.StrEnum):
    """A proposal's status, in Launchpad's words (`BranchMergeProposalStatus`)."""

    WORK_IN_PROGRESS = "Work in progress"
    NEEDS_REVIEW = "Needs review"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    MERGED = "Merged"
    SUPERSEDED = "Superseded"

    @property
    def final(self) -> bool:
        """Whether a proposal with this status is over, unless a person opens it again."""
        return self in (Status.REJECTED, Status.MERGED, Status.SUPERSEDED)


class VoteValue(enum.StrEnum):
    """What a reviewer can say, in Launchpad's words (`CodeReviewVote`)."""

    APPROVE = "Approve"
    DISAPPROVE = "Disapprove"
    NEEDS_FIXING = "Needs Fixing"
    NEEDS_INFORMATION = "Needs Information"
    RESUBMIT = "Resubmit"
    ABSTAIN = "Abstain"

    @property
    def refuses(self) -> bool:
        """Whether this vote stands in the way of landing."""
        return self not in (VoteValue.APPROVE, VoteValue.ABSTAIN)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a branch is: a URL or path, and a branch name where the URL holds several (git)."""

    url: str
    branch: str | None = None

    @classmethod
    def parse(cls, text: str) -> Location:
        """`URL[;BRANCH]`, the form of the command line and the configuration."""
        url, _, branch = text.strip().partition(";")
        return cls(url, branch or None)

    def __str__(self) -> str:
        return f"{self.url};{self.branch}" if self.branch else self.url


@dataclass(frozen=True, slots=True)
class Proposal:
    """A request to merge `source` into `target`, as its forge told it at one moment.

    id                 unique within its forge
    approved_revision  the source's revision that was tip when the status became Approved; None until then
    approved_at        when that was (UTC); it dates the candidate, so that the same approval gives the same commit
    prerequisite       id of the proposal that has to land first
    merged_revision    the trunk revision that holds it, once it is Merged
    """

    forge: str
    project: str
    id: str
    title: str
    author: str
    source: Location
    target: Location
    status: Status
    created_at: datetime
    description: str = ""
    approved_revision: str | None = None
    approved_at: datetime | None = None
    approved_by: str | None = None
    prerequisite: str | None = None
    merged_revision: str | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's current vote on a proposal; a person has one, and voting again replaces it.

    review_type  lower case; "" for none
    revision     the source's tip when the vote was given; None where the forge does not tell
    recorded_by  who wrote it down, where an administrator acted for the voter; otherwise the voter
    """

    voter: str
    value: VoteValue
    at: datetime
    review_type: str = ""
    revision: str | None = None
    recorded_by: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """Somebody, or a team, was asked for a review. It stays after the answer: who was asked by name matters."""

    reviewer: str
    at: datetime
    review_type: str = ""
    team: bool = False
    requested_by: str = ""


@dataclass(frozen=True, slots=True)
class Ballot:
    """All that a decision about a proposal rests on, read from the forge in one go.

    members  team → the persons in it, through nested teams; every team that was asked or may be trusted is a key
    trusted  persons whom the forge itself lets decide, used where the project's policy names nobody
    prerequisite  the proposal that has to land first, as it is now
    """

    proposal: Proposal
    votes: tuple[Vote, ...] = ()
    requests: tuple[ReviewRequest, ...] = ()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    trusted: frozenset[str] = frozenset()
    prerequisite: Proposal | None = None


@dataclass(frozen=True, slots=True)
class MergeMeta:
    """What a candidate's commit says beside its message; the same values always give the same commit.

    at           UTC, whole seconds; the approval's time, never the clock's
    landing_id   see `landing_id`
    """

    committer_name: str
    committer_email: str
    at: datetime
    project: str
    proposal: str
    landing_id: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A merge made in memory. `id` and `tree` name it exactly; nothing about it depends on where it was made.

    tree   git: the tree's object id; bzr: a digest of every path, kind, mode and content
    tool   the version of the VCS that merged, for example "git 2.39.5"
    """

    vcs: str
    id: str
    tree: str
    base: str
    revision: str
    landing_id: str
    message: str
    tool: str

    @property
    def parents(self) -> tuple[str, str]:
        """The trunk's tip, then the approved revision."""
        return self.base, self.revision


@dataclass(frozen=True, slots=True)
class Exported:
    """What a folder holds: exactly the files of a revision.

    entries  files, links and folders, itself included
    size     bytes of all files and links
    at       when every one of them was changed last, nanoseconds since 1970; None: when each was written
    """

    revision: str
    entries: int
    size: int
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The approved revision does not merge with the trunk's tip. `paths` are shown to people: text, never opened."""

    base: str
    revision: str
    paths: tuple[str, ...]
    details: str = ""


class MergedHow(enum.StrEnum):
    """Why a merge has nothing to add to trunk."""

    BY_OTHERS = "merged"  # trunk contains the revision, and what it brought is still there
    REVERTED = "reverted"  # trunk contains the revision, but what it brought was taken out again
    NO_CHANGES = "no changes"  # the revision is new, but trunk already has all of its content


@dataclass(frozen=True, slots=True)
class AlreadyMerged:
    """There is nothing to land. `by` is the first-parent trunk revision that brought the approved one in, if any."""

    base: str
    revision: str
    how: MergedHow
    by: str | None = None


@dataclass(frozen=True, slots=True)
class TrunkRevision:
    """A revision of trunk's first-parent history. `parents` are in order; the first one is the tip before it."""

    id: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LandedRevision:
    """A landing as trunk itself records it; trunk is the write-ahead log.

    approved_at  what dates it (`MergeMeta.at`), read from trunk; None for one that comes from elsewhere
    """

    landing_id: str
    revision: str
    project: str
    proposal: str
    approved_revision: str
    approved_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TestSummary:
    """What a test result stream said, in numbers and names. Names are untrusted text.

    failed    the first of the failed tests' names
    unnamed   how many more failed, beyond those that are named
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    total: int
    failed: tuple[str, ...] = ()
    skipped: int = 0
    unnamed: int = 0

    @property
    def failures(self) -> int:
        """Tests that failed, named or not."""
        return len(self.failed) + self.unnamed

    @property
    def passed(self) -> int:
        """Tests that ran and succeeded."""
        return self.total - self.failures - self.skipped


class Outcome(enum.StrEnum):
    """How a proposal fared in one run of the lander."""

    LANDED = "landed"
    WAITING = "waiting"
    TESTS_FAILED = "tests-failed"
    CONFLICT = "conflict"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said of a candidate. That byoci itself failed is an exception, never a verdict.

    log         path of the whole output, "" where none was kept
    log_digest  its SHA-256, in hexadecimal digits
    seconds     wall time of setup and tests together
    started     when that began, UTC; None where it is not known
    worker      what the worker was made of, name → text: see `Worker.describe`
    """

    passed: bool
    reason: str
    seconds: float = 0.0
    tests: TestSummary | None = None
    log: str = ""
    log_digest: str = ""
    started: datetime | None = None
    worker: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The same as an object of JSON."""
        raw = dataclasses.asdict(self)
        return {**raw, "started": self.started and self.started.isoformat(), "worker": dict(self.worker)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Verdict:
        """What `as_json` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        tests, started = raw["tests"], raw["started"]
        return cls(
            **{
                **raw,
                "tests": TestSummary(**{**tests, "failed": tuple(tests["failed"])}) if tests else None,
                "started": datetime.fromisoformat(started) if started else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Landing:
    """What one run did about one proposal, for people and for `--json`."""

    project: str
    proposal: str
    title: str
    outcome: Outcome
    revision: str | None = None
    reasons: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The documented JSON object of `byoci land --json`."""
        return {**dataclasses.asdict(self), "outcome": self.outcome.value, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Lease:
    """Proof that its holder is the one lander of `trunk`; only `store.leases` makes one, and publishing asks for it."""

    trunk: str
    holder: str


def landing_id(project: str, proposal: str, approved_revision: str) -> str:
    """The id that a landing carries on trunk: a digest of what was approved, so nobody can choose it.

    32 hexadecimal digits of a SHA-256 over the three fields, each prefixed with its length.
    """
    digest = hashlib.sha256()
    for part in (project, proposal, approved_revision):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()[:32]
