"""Publishing with bzr: under trunk's lock its tip moves from what was expected to the candidate, or nothing happens."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from breezy import errors as bzr_errors

from byoci import effects
from byoci.errors import PublishRefusedError, RejectedError, RevisionGoneError, TrunkMovedError
from byoci.log import printable
from byoci.vcs import bzr_locks, bzr_snapshot, bzr_worktree, urls
from byoci.vcs.bzr_durable import durably
from byoci.vcs.bzr_fetch import same
from byoci.vcs.bzr_store import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from byoci.model import Candidate, Lease, Location
    from byoci.vcs.bzr_store import Store

_log = logging.getLogger(__name__)

_PUSH = effects.declare(
    "bzr.push", "the candidate and what it merges, in trunk's repository", half="Revisions that no branch refers to."
)
_MOVE = effects.declare(
    "bzr.move",
    "trunk's tip moves to the candidate",
    half="It has moved or it has not. The landing is found on trunk and reported, or made again.",
    done="The landing is found on trunk and reported.",
)
_REMEMBER = effects.declare(
    "bzr.remember", "the candidate, in our copy of trunk", half="It is fetched from trunk.", done="It is there."
)

_REFUSALS = (
    bzr_errors.LockFailed,
    bzr_errors.ReadOnlyError,
    bzr_errors.UnlockableTransport,
    bzr_errors.TransportNotPossible,
    bzr_errors.PermissionDenied,
    bzr_errors.TipChangeRejected,
    bzr_errors.AppendRevisionsOnlyViolation,
    bzr_errors.IncompatibleRepositories,
    bzr_errors.NoRoundtrippingSupport,
)


def check(candidate: Candidate, location: Location, expected_tip: str, lease: Lease) -> None:
    """Refuse what needs no look at trunk: another trunk's lease, a candidate that was not made on the expected tip."""
    if lease.trunk != str(location):
        raise _refused(str(location), f"The landing lease is for another trunk: {lease.trunk}")
    if candidate.base != expected_tip:
        raise _moved(str(location), expected_tip)


def publish(store: Store, candidate: Candidate, branch: Any) -> bool:
    """Push the candidate to trunk's `branch`, if that is at the candidate's base; whether our copy of trunk has it too.

    Raises `TrunkMovedError`, `PublishRefusedError`, or `UnavailableError` for a lock that somebody else holds; nothing
    that anybody can see has changed then.
    """
    made = candidate.id.encode()
    tree = bzr_worktree.tree_of(branch)
    branch = branch if tree is None else tree.branch
    with _refusing(branch), durably(), bzr_locks.held(branch, tree, _note(store, branch)) as held:
        revno, tip = branch.last_revision_info()
        if tip != candidate.base.encode():
            raise _moved(branch.user_url, candidate.base)
        repository = store.candidate(candidate.id)
        if repository is None:
            raise RevisionGoneError(f"there is no candidate {candidate.id}", resolution="Merge again.")
        with repository.lock_read():
            # The value may have been changed on its way; what counts is the revision that it names.
            if repository.get_parent_map([made]).get(made, ())[:1] != (tip,):
                raise _moved(branch.user_url, candidate.base)
            if tree is not None:
                bzr_worktree.check_clean(tree, repository.revision_tree(made))
            _push(store, repository, made, branch.repository)
        with _MOVE:
            branch.set_last_revision_info(revno + 1, made)
        if tree is not None:
            held.behind = not bzr_worktree.bring_up_to_date(tree)
    return _remember(store, repository, made)


def recover(store: Store, branch: Any) -> None:
    """Finish what a killed run of ours left of a publish: trunk's lock, and the files of one that is checked out.

    Whether the tip had moved is trunk's own to tell.
    """
    note = _note(store, branch)
    ours = bzr_locks.recover(branch, note)
    if ours is not None:
        tree = bzr_worktree.tree_of(branch, ours)
        if tree is not None:
            bzr_worktree.catch_up(tree)
        bzr_locks.forget(note)


def _note(store: Store, branch: Any) -> Path:
    return store.private / "locks" / name_of(branch.user_url)


def _push(store: Store, source: Any, candidate: bytes, target: Any) -> None:
    """Bring the candidate and what it merges to trunk's repository, and see that this is what is there then.

    Where trunk shares its repository with other branches, a revision by one of these names may be there already.
    """
    search = store.trunk().search_missing_revision_ids(source, revision_ids=[candidate], find_ghosts=False)
    new = frozenset(search.get_keys())
    there = frozenset(target.get_parent_map(new))
    _check_same(source, target, there)
    with _PUSH:
        wanted = target.search_missing_revision_ids(source, revision_ids=[candidate], find_ghosts=False)
        target.fetch(source, fetch_spec=wanted)
    suspicious = new if target.user_transport.base.startswith("file:") else there
    _check_same(source, target, suspicious)
    _check_texts(store, source, target, candidate, suspicious)


def _check_same(source: Any, target: Any, revisions: frozenset[bytes]) -> None:
    for revision in revisions:
        if not same(source, target, revision):
            raise _foreign(target, revision)


def _check_texts(store: Store, source: Any, target: Any, candidate: bytes, revisions: frozenset[bytes]) -> None:
    """See that the files of these revisions are the same in both repositories."""
    if revisions:
        keys = [key for key in store.new_texts(candidate.decode()) if key[-1] in revisions]
        if _digests(source.texts, keys) != _digests(target.texts, keys):
            raise _foreign(target, b"a file's name")


def _digests(texts: Any, keys: list[Any]) -> dict[Any, bytes]:
    digests = {}
    for record in texts.get_record_stream(keys, "unordered", True):
        digest = hashlib.sha256()
        if record.storage_kind != "absent":
            for chunk in record.get_bytes_as("chunked"):
                digest.update(chunk)
        digests[tuple(record.key)] = digest.digest()
    return digests


def _remember(store: Store, repository: Any, candidate: bytes) -> bool:
    """Trunk has it, so our copy of trunk may too: the next fetch need not bring it. Only a help, so never an error."""
    try:
        trunk = store.make_trunk()
        with store.writing(), _REMEMBER, trunk.lock_write():
            search = trunk.search_missing_revision_ids(repository, revision_ids=[candidate], find_ghosts=False)
            trunk.fetch(repository, fetch_spec=search)
        bzr_snapshot.keep_fresh(store, candidate, len(search.get_keys()))
    except (bzr_errors.BzrError, OSError) as error:
        _log.warning("what was published is not in the private folder yet: %s", printable(str(error)))
        return False
    return True


@contextmanager
def _refusing(branch: Any) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as error:
        raise _refused(branch.user_url, str(error)) from error


def _foreign(target: Any, what: bytes) -> RejectedError:
    return RejectedError(
        f"{urls.shown(target.user_url)} already holds something else under a name that the proposal uses",
        details=printable(what.decode("utf-8", "replace")),
        resolution="Commit the change again on a fresh branch of trunk, and find out who pushed the other.",
    )


def _refused(url: str, details: str) -> PublishRefusedError:
    return PublishRefusedError(
        f"{urls.shown(url)} refused the push",
        details=urls.shown(details.strip()),
        resolution="Check that the landing user may write there (http:// cannot be written to; use bzr+ssh://).",
    )


def _moved(url: str, expected: str) -> TrunkMovedError:
    return TrunkMovedError(
        f"{urls.shown(url)} is no longer at {expected}",
        details="Somebody else published in between; his revisions are untouched.",
        resolution="Make a new candidate on the new tip.",
    )
