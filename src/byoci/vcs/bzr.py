"""The Vcs protocol with bzr, in process through breezy, closed off from everybody's plugins and configuration."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from byoci.errors import RevisionGoneError, UnreachableError
from byoci.log import printable
from byoci.model import Candidate, Exported
from byoci.vcs import (
    boots,
    bzr_bounds,
    bzr_candidate,
    bzr_check,
    bzr_export,
    bzr_fetch,
    bzr_history,
    bzr_open,
    bzr_publish,
    bzr_tree,
    bzr_update,
)
from byoci.vcs.bzr_store import Store
from byoci.vcs.bzr_tree import Digests
from byoci.vcs.urls import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from byoci.model import AlreadyMerged, Conflict, LandedRevision, Lease, Location, MergeMeta, TrunkRevision
    from byoci.vcs.urls import UrlPolicy


class BzrVcs:
    """One project's private folder, seen as `byoci.vcs.base.Vcs` tells.

    private          its folder, made when it is needed. It holds nothing that cannot be fetched again
    policy           where branches may be
    rewrite          `[vcs.rewrite]`, applied to every URL
    committer_email  whose landings count
    ssh_config       for ssh instead of the user's own

    breezy keeps settings in the process' environment: two threads must not use it at the same time.
    """

    name = "bzr"

    def __init__(
        self,
        private: Path,
        policy: UrlPolicy,
        rewrite: Mapping[str, str],
        *,
        committer_email: str,
        ssh_config: Path | None = None,
    ) -> None:
        self._store = Store(private)
        self._policy = policy
        self._rewrite = rewrite
        self._committer_email = committer_email
        self._ssh_config = ssh_config
        self._digests = Digests()

    def tip(self, location: Location) -> str:
        """See `Vcs.tip`."""
        with bzr_bounds.asking(shown(location.url)), self._quiet(), self._opened(location, trusted=False) as branch:
            return bzr_fetch.tip_of(branch).decode()

    def fetch(self, location: Location, revision: str | None = None, *, trusted: bool = False) -> str:
        """See `Vcs.fetch`."""
        wanted = _id(revision) if revision is not None else None
        if trusted:
            with self._quiet():
                self._store.tidy()
                boots.look_through(self._store.private, self._store.discard_damaged)
                fetched = bzr_fetch.fetch_trunk(self._store, partial(self._recovered, location), wanted)
                self._store.note_tip(str(location), fetched)
                return fetched.decode()
        with bzr_bounds.fetching(shown(location.url)), self._quiet(), self._opened(location, trusted=False) as branch:
            return bzr_fetch.fetch_proposal(self._store, branch, wanted).decode()

    def merge(self, base: str, revision: str, message: str, meta: MergeMeta) -> Candidate | Conflict | AlreadyMerged:
        """See `Vcs.merge`."""
        this, other = _id(base), _id(revision)
        with bzr_bounds.merging(printable(revision)), self._quiet(), self._store.work() as work:
            proposals = self._proposals(this, other)
            repository = self._store.create(work / "repository", *proposals.values())
            with repository.lock_write():
                # What is not in trunk's repository is not in trunk's history: no need to walk that.
                digests = self._digests.of if this in proposals else self._digests.of_trunk
                known = other not in proposals or this in proposals
                made = (known and bzr_history.contained(repository, this, other, work)) or bzr_candidate.make(
                    repository,
                    (this, other),
                    message,
                    meta,
                    work / "limbo",
                    bzr_candidate.Looks(partial(digests, repository), self._in_trunk),
                )
            if isinstance(made, Candidate):
                self._store.keep_candidate(work / "repository", made.id, proposals.values())
        return made

    def export(self, revision: str, folder: Path, at: int | None = None) -> Exported:
        """See `Vcs.export`. A nested tree is an empty folder."""
        with bzr_bounds.merging(printable(revision)), self._quiet(), self._tree(revision) as (repository, tree):
            return bzr_export.export(repository, tree, folder, Exported(revision, 0, 0, at))

    def update(self, folder: Path, held: Exported, revision: str) -> Exported:
        """See `Vcs.update`."""
        with bzr_bounds.merging(printable(revision)), self._quiet(), self._tree(revision) as (repository, tree):
            with self._tree(held.revision) as (_, before):
                old = bzr_tree.inventory_of(before)
            return bzr_update.update(repository, old, tree, folder, replace(held, revision=revision))

    def read(self, revision: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """See `Vcs.read`."""
        with bzr_bounds.merging(printable(revision)), self._quiet(), self._tree(revision) as (repository, tree):
            return bzr_export.read_files(repository, tree, paths)

    def publish(self, candidate: Candidate, location: Location, expected_tip: str, lease: Lease) -> None:
        """See `Vcs.publish`. A checked-out trunk's files follow; where they hold changes, nothing is published."""
        bzr_publish.check(candidate, location, expected_tip, lease)
        with self._quiet():
            known = False
            try:
                with self._recovered(location) as branch:
                    known = bzr_publish.publish(self._store, candidate, branch)
            except UnreachableError:
                if not self._is_at(location, candidate.id):  # the connection ended before the server told what it did
                    raise
            if known:
                self._store.note_tip(str(location), candidate.id.encode())
            self._store.drop_candidate(candidate.id)

    def _is_at(self, location: Location, revision: str) -> bool:
        try:
            with self._opened(location, trusted=True) as branch:
                return bool(branch.last_revision() == revision.encode())
        except UnreachableError:
            return False

    def landings(self, location: Location, after: str | None = None) -> Iterator[LandedRevision]:
        """See `Vcs.landings`. A revision `after` that trunk does not have limits nothing."""
        stop = after.encode() if after is not None else None
        with self._trunk(location) as (trunk, tip):
            return iter(list(bzr_history.landings(trunk, tip, stop, self._committer_email)))

    def history(self, location: Location) -> Iterator[TrunkRevision]:
        """See `Vcs.history`."""
        with self._trunk(location) as (trunk, tip):
            return iter(list(bzr_history.history(trunk, tip)))

    @contextmanager
    def _trunk(self, location: Location) -> Iterator[tuple[Any, bytes]]:
        """What was fetched of trunk, locked for reading, and its tip."""
        tip = self._store.tip(str(location))
        if tip is None:
            raise UnreachableError(f"{location} was not fetched yet", resolution="Fetch trunk first.")
        with self._quiet():
            trunk = self._store.trunk()
            with trunk.lock_read():
                yield trunk, tip

    def _in_trunk(self, revision: bytes) -> bool:
        trunk = self._store.trunk()
        with trunk.lock_read():
            return bool(trunk.has_revision(revision))

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        with bzr_open.quiet(self._store.home, self._ssh_config), bzr_open.explained(self._store.private):
            yield

    def _opened(self, location: Location, *, trusted: bool) -> Any:
        return bzr_open.opened(location, self._policy, self._rewrite, self._store.private, trusted=trusted)

    @contextmanager
    def _recovered(self, location: Location) -> Iterator[Any]:
        """Trunk's branch, without what a killed run left of it."""
        with self._opened(location, trusted=True) as branch:
            bzr_publish.recover(self._store, branch)
            yield branch

    def _proposals(self, *revisions: bytes) -> dict[bytes, str]:
        """Where those that trunk does not have are found; `RevisionGoneError` for one that was never fetched."""
        trunk = self._store.trunk()
        with trunk.lock_read():
            missing = [revision for revision in revisions if not trunk.has_revision(revision)]
        found = {}
        for revision in missing:
            name = self._store.proposal(revision)
            if name is None:
                raise _gone(revision.decode())
            found[revision] = name
        return found

    @contextmanager
    def _tree(self, revision: str) -> Iterator[tuple[Any, Any]]:
        """The repository and the tree of a candidate or of a fetched revision."""
        wanted = _id(revision)
        repository = self._store.candidate(revision) or self._store.view(*self._proposals(wanted).values())
        with repository.lock_read():
            yield repository, repository.revision_tree(wanted)


def _id(revision: str) -> bytes:
    """A revision's id as bzr has it; `RevisionGoneError` for what cannot be one."""
    raw = revision.encode("utf-8", "surrogateescape")
    if not bzr_check.is_id(raw):
        raise _gone(revision)
    return raw


def _gone(revision: str) -> RevisionGoneError:
    return RevisionGoneError(
        f"{printable(revision)} is not in the private folder", resolution="Fetch or merge it first."
    )
