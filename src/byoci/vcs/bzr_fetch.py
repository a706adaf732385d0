"""Bringing revisions into the private folder: trunk's as they are, a proposal's apart from trunk's and checked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from breezy import revision as bzr_revision
from breezy.bzr.testament import StrictTestament3

from byoci import effects
from byoci.errors import RejectedError, RevisionGoneError, UnavailableError, UnreachableError
from byoci.vcs import bzr_check, bzr_open, bzr_snapshot
from byoci.vcs.bzr_history import mainline

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from byoci.vcs.bzr_store import Store

_FETCH_TRUNK = effects.declare(
    "bzr.fetch-trunk",
    "trunk's new revisions, in our copy of it",
    half="A pack is there whole or not at all; the rest is fetched.",
    done="They are there.",
)
_FETCH_SOURCE = effects.declare(
    "bzr.fetch-source", "a proposal's new revisions, in a scratch repository, where they are checked"
)
_STEP: Final = 1000  # revisions of the mainline that are fetched together


def tip_of(branch: Any) -> bytes:
    """A branch's newest revision; `UnreachableError` where nobody has committed to it."""
    tip: bytes = branch.last_revision()
    if bzr_revision.is_null(tip):
        raise UnreachableError(
            f"the branch {branch.user_url} is empty", resolution="Commit a first revision to it, then try again."
        )
    return tip


def fetch_trunk(store: Store, opened: Callable[[], AbstractContextManager[Any]], revision: bytes | None) -> bytes:
    """Bring a trusted branch's revision, and all of its history that is not there yet.

    opened   opens the branch. A long history comes in steps, each with the branch opened anew: breezy keeps all that it
             saw of a repository's indices in memory
    """
    with opened() as branch, branch.lock_read():
        wanted = revision or tip_of(branch)
        _check_offered(branch, wanted)
        if not branch.repository.supports_rich_root():
            raise UnavailableError(
                f"{branch.user_url} is in a format from before 2009, which cannot hold what byoci would push",
                resolution=f"Run: brz upgrade --format=2a {branch.user_url}",
            )
        steps = _steps(store.make_trunk(), branch.repository, wanted)
        new = _fetch_step(store, branch.repository, steps.pop(0)) if steps else 0
    for step in steps:
        bzr_open.give_back()
        with opened() as branch, branch.lock_read():
            new += _fetch_step(store, branch.repository, step)
    if new:
        bzr_snapshot.keep_fresh(store, wanted, new)
    return wanted


def _steps(trunk: Any, source: Any, wanted: bytes) -> list[bytes]:
    """Revisions to fetch one after the other, up to `wanted`, each with a part of the history; none if all is there."""
    steps = []
    with trunk.lock_read():
        for count, revision in enumerate(mainline(source, wanted)):
            if trunk.has_revision(revision):
                break
            if count % _STEP == 0:
                steps.append(revision)
    return steps[::-1]


def _fetch_step(store: Store, source: Any, wanted: bytes) -> int:
    """Fetch a revision with what is missing of its history; how many revisions that were."""
    trunk = store.make_trunk()
    with store.writing(), _FETCH_TRUNK, trunk.lock_write():
        search = trunk.search_missing_revision_ids(source, revision_ids=[wanted], find_ghosts=False)
        trunk.fetch(source, fetch_spec=search)
    with trunk.lock_read():
        _note_ghosts(store, trunk, search.get_keys())
    return len(search.get_keys())


def _note_ghosts(store: Store, trunk: Any, fresh: set[bytes]) -> None:
    """Parents of new revisions that are nowhere: a proposal must not be able to fill them in."""
    parents = {parent for known in trunk.get_parent_map(fresh).values() for parent in known}
    outside = parents - set(fresh) - {bzr_revision.NULL_REVISION}
    store.note_ghosts(frozenset(outside.difference(trunk.get_parent_map(outside))))


def fetch_proposal(store: Store, branch: Any, revision: bytes | None) -> bytes:
    """Bring a proposal's revision with what trunk does not have of its history; `RejectedError` where that is not
    allowed, and `RevisionGoneError` where the branch does not offer it.
    """
    with branch.lock_read():
        wanted = revision or tip_of(branch)
        _check_offered(branch, wanted)
        trunk = store.make_trunk()
        with trunk.lock_read():
            if trunk.has_revision(wanted):
                _check_same(branch.repository, trunk, wanted)
                return wanted
        name = store.proposal(wanted)
        if name is None or not same(branch.repository, store.proposal_repository(name), wanted):
            _fetch_apart(store, branch.repository, wanted)
    return wanted


def _fetch_apart(store: Store, source: Any, wanted: bytes) -> None:
    with store.work() as work:
        apart = store.create(work / "repository")
        with _FETCH_SOURCE, apart.lock_write():
            search = apart.search_missing_revision_ids(source, revision_ids=[wanted], find_ghosts=False)
            apart.fetch(source, fetch_spec=search)
            bzr_check.check_new(store, apart, wanted, frozenset(search.get_keys()))
            content = hashlib.sha256(_raw(apart, wanted)).hexdigest()
        store.keep_proposal(work / "repository", wanted, content)
        store.prune()


def _check_offered(branch: Any, wanted: bytes) -> None:
    if not branch.repository.has_revision(wanted):
        raise RevisionGoneError(
            f"the revision {wanted.decode()} is no longer in {branch.user_url}",
            resolution="Push it again, or have the proposal's present tip approved.",
        )


def _check_same(source: Any, ours: Any, revision: bytes) -> None:
    """Trunk has a revision of that name: it must be this one."""
    if not same(source, ours, revision):
        raise RejectedError(
            f"the revision {revision.decode()} is not the one that trunk knows by this name",
            details="In bzr whoever commits chooses the name; this one is used twice.",
            resolution="Commit the change again, so that it gets a name of its own.",
        )


def same(source: Any, ours: Any, revision: bytes) -> bool:
    """Whether two repositories hold the same under one name: compared by content, as names are free to choose."""
    with source.lock_read(), ours.lock_read():
        if source._serializer.format_num == ours._serializer.format_num:  # noqa: SLF001
            return _raw(source, revision) == _raw(ours, revision)
        return _testament(source, revision) == _testament(ours, revision)


def own(files: Any) -> Any:
    """A kind of records without those of fallback repositories."""
    return files.without_fallbacks()


def _raw(repository: Any, revision: bytes) -> bytes:
    """A revision as it is stored: it names its inventory by a digest, which names all content by digests."""
    stream = repository.revisions.get_record_stream([(revision,)], "unordered", True)
    return bytes(next(stream).get_bytes_as("fulltext"))


def _testament(repository: Any, revision: bytes) -> bytes:
    return bytes(StrictTestament3.from_revision(repository, revision).as_text())
