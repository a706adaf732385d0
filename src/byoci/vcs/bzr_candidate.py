"""Candidates: what a merge commits, and under which id, so that every agent makes the same one of the same approval."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import breezy
from breezy.config import MemoryStack

from byoci import effects, model
from byoci.errors import RejectedError
from byoci.model import AlreadyMerged, Candidate, Conflict, LandedRevision, MergedHow
from byoci.vcs.bzr_merge import CandidateBuilder, MergedTree, merged
from byoci.vcs.bzr_tree import Digests, entries_of, files_of, inventory_of, tree_digest
from byoci.vcs.trailers import neutralised

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from byoci.model import MergeMeta
    from byoci.vcs.bzr_tree import Entry

_COMMIT = effects.declare("bzr.commit", "the candidate's revision, in a repository of its own")
TOOL: Final = f"breezy {breezy.__version__}"
PREFIX: Final = b"byoci-"
_PLAIN: Final = "".join(chr(code) for code in range(32, 127) if chr(code) != "%")


@dataclass(frozen=True, slots=True)
class Looks:
    """What making a candidate has to look up.

    digests   gives the SHA-256 of the base's files, by path
    in_trunk  tells whether trunk has a revision
    """

    digests: Callable[[dict[str, Any]], dict[str, bytes]]
    in_trunk: Callable[[bytes], bool]


def make(
    repository: Any,
    parents: tuple[bytes, bytes],
    message: str,
    meta: MergeMeta,
    limbo: Path,
    looks: Looks,
) -> Candidate | Conflict | AlreadyMerged:
    """Merge and commit to `repository`, a new one over trunk's and the proposal's, which is locked for writing.

    A merge that changes no path, kind, mode or content is none, whatever it would do to bzr's file ids.
    """
    base, revision = parents
    with merged(repository, base, revision, limbo) as tree:
        if isinstance(tree, Conflict):
            return tree
        before, after = tree.entries(looks.digests)
        if before == after:
            return AlreadyMerged(base.decode(), revision.decode(), MergedHow.NO_CHANGES)
        fields = _Fields(base, revision, message, meta, tree_digest(after))
        if looks.in_trunk(fields.id):
            _check_landed(repository, fields, after)
            return fields.candidate()
        if repository.has_revision(fields.id):
            raise RejectedError(
                f"{revision.decode()} brings a revision by the name that its own merge must have",
                details=fields.id.decode(),
                resolution="Commit the change again on a fresh branch of trunk.",
            )
        _commit(repository, tree, fields)
        tree.check_recorded(inventory_of(repository.revision_tree(fields.id)), after, repository)
    return fields.candidate()


class _Fields:
    """Everything that a candidate's revision says. Its id is a digest of all of it, and of its tree."""

    def __init__(self, base: bytes, revision: bytes, message: str, meta: MergeMeta, tree: str) -> None:
        self.parents = [base, revision]
        self.message = neutralised(message) or f"Land {quote(meta.proposal, safe=_PLAIN)}"
        self.committer = f"{meta.committer_name} <{meta.committer_email}>"
        at = meta.at if meta.at.tzinfo else meta.at.replace(tzinfo=UTC)
        self.timestamp = int(at.timestamp())
        self.properties = {
            "branch-nick": quote(meta.project, safe=_PLAIN),
            "landing-project": quote(meta.project, safe=_PLAIN),
            "landing-proposal": quote(meta.proposal, safe=_PLAIN),
            "landing-id": meta.landing_id,
        }
        self.tree = tree
        self.id = PREFIX + at.astimezone(UTC).strftime("%Y%m%d%H%M%S-").encode() + self._digest().encode()

    def _digest(self) -> str:
        said = [TOOL.encode(), *self.parents, self.message.encode(), self.committer.encode()]
        said += [str(self.timestamp).encode(), self.tree.encode()]
        said += [text.encode() for item in sorted(self.properties.items()) for text in item]
        digest = hashlib.sha256()
        for part in said:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:40]

    def candidate(self) -> Candidate:
        """The value that stands for it."""
        base, revision = (parent.decode() for parent in self.parents)
        return Candidate(
            "bzr", self.id.decode(), self.tree, base, revision, self.properties["landing-id"], self.message, TOOL
        )


def _check_landed(repository: Any, fields: _Fields, tree: dict[str, Entry]) -> None:
    """See that what trunk holds by the name of this candidate says and contains what the candidate would."""
    (found,) = repository.get_revisions([fields.id])
    said = (found.parent_ids, found.message, found.committer, found.timestamp, found.timezone, found.properties)
    wanted = (fields.parents, fields.message, fields.committer, float(fields.timestamp), 0, fields.properties)
    inventory = inventory_of(repository.revision_tree(fields.id))
    there = entries_of(inventory, Digests().of(repository, files_of(inventory)))
    if (list(said[0]), *said[1:]) != wanted or there != tree:
        raise RejectedError(
            f"{fields.id.decode()} on trunk is not what its name stands for",
            details="Merging its parents again gives something else.",
            resolution="Find out who wrote to trunk's repository past bzr.",
        )


@_COMMIT
def _commit(repository: Any, tree: MergedTree, fields: _Fields) -> None:
    builder = CandidateBuilder(
        repository,
        fields.parents,
        MemoryStack(b""),
        timestamp=float(fields.timestamp),
        timezone=0,
        committer=fields.committer,
        revprops=fields.properties,
        revision_id=fields.id,
    )
    repository.start_write_group()
    try:
        for _ in builder.record_iter_changes(tree, fields.parents[0], tree.changes):
            pass
        builder.finish_inventory()
        builder.commit(fields.message)
    except BaseException:
        repository.abort_write_group(suppress_errors=True)
        raise


def landed(revision: Any, committer_email: str) -> LandedRevision | None:
    """The landing that a mainline revision of trunk tells, or None: its id must be the digest of what it names."""
    properties = revision.properties
    if len(revision.parent_ids) != 2 or not revision.committer.endswith(f"<{committer_email}>"):
        return None
    project, proposal = (unquote(properties.get(f"landing-{name}", "")) for name in ("project", "proposal"))
    approved = revision.parent_ids[1].decode()
    landing = model.landing_id(project, proposal, approved)
    if properties.get("landing-id") != landing:
        return None
    at = datetime.fromtimestamp(revision.timestamp, UTC)
    return LandedRevision(landing, revision.revision_id.decode(), project, proposal, approved, at)
