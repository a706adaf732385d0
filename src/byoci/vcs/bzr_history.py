"""What trunk's own history tells: its landings, which revision brought another one in, and whether it was taken out."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from breezy.revision import NULL_REVISION

from byoci.model import AlreadyMerged, Conflict, MergedHow, TrunkRevision
from byoci.vcs.bzr_candidate import PREFIX, landed
from byoci.vcs.bzr_merge import merged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from byoci.model import LandedRevision

_AT_ONCE: Final = 100  # revisions that are read from the repository together


def landings(repository: Any, tip: bytes, after: bytes | None, committer_email: str) -> Iterator[LandedRevision]:
    """The landings on the left-hand history of `tip`, newest first, down to but without `after`.

    Only revisions that are named as ours are looked into, so that a long history of others costs little.
    """
    ours = (revision for revision in mainline(repository, tip, after) if revision.startswith(PREFIX))
    while batch := list(islice(ours, _AT_ONCE)):
        for revision in repository.get_revisions(batch):
            if found := landed(revision, committer_email):
                yield found


def history(repository: Any, tip: bytes) -> Iterator[TrunkRevision]:
    """The left-hand history of `tip`, newest first."""
    revisions = mainline(repository, tip)
    while batch := list(islice(revisions, _AT_ONCE)):
        parents = repository.get_parent_map(batch)
        for revision in batch:
            known = [parent.decode() for parent in parents[revision] if parent != NULL_REVISION]
            yield TrunkRevision(revision.decode(), tuple(known))


def mainline(repository: Any, tip: bytes, after: bytes | None = None) -> Iterator[bytes]:
    """The left-hand history of `tip`, newest first, down to but without `after`, or to where it is not known."""
    revision = tip
    while revision not in (after, NULL_REVISION):
        parents = repository.get_parent_map([revision]).get(revision)
        if parents is None:
            return  # a ghost: its history is not known
        yield revision
        revision = parents[0]


def contained(repository: Any, base: bytes, revision: bytes, limbo: Path) -> AlreadyMerged | None:
    """How trunk at `base` came to hold `revision`, and whether its changes are still there; None where it does not."""
    graph = repository.get_graph()
    if not graph.is_ancestor(revision, base):
        return None
    by = graph.find_lefthand_merger(revision, base)
    how = MergedHow.REVERTED if _taken_out(repository, base, by, limbo) else MergedHow.BY_OTHERS
    return AlreadyMerged(base.decode(), revision.decode(), how, by.decode())


def _taken_out(repository: Any, base: bytes, by: bytes, limbo: Path) -> bool:
    """Whether what the mainline revision `by` changed is gone from `base`: taking it out again changes nothing."""
    before = repository.get_parent_map([by])[by][0]
    if by == base or before == NULL_REVISION or not repository.has_revision(before):
        return False
    with merged(repository, before, by, limbo / "brought", base=before) as brought:
        if isinstance(brought, Conflict) or not brought.changes:
            return False
    with merged(repository, base, before, limbo / "without", base=by) as without:
        return not isinstance(without, Conflict) and not without.changes
