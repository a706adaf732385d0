"""The Vcs protocol with git, from version 2.38 on: all in a private bare repository, closed off from everybody else."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import PublishRefusedError, RevisionGoneError, UnreachableError
from byoci.model import Candidate
from byoci.vcs import (
    boots,
    git_checkout,
    git_export,
    git_history,
    git_merge,
    git_objects,
    git_publish,
    git_remote,
    git_update,
)
from byoci.vcs.git_objects import Objects
from byoci.vcs.git_remote import Branch, Tip, is_id, require_id
from byoci.vcs.git_run import Git
from byoci.vcs.urls import admit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from byoci.model import AlreadyMerged, Conflict, Exported, LandedRevision, Lease, Location, MergeMeta, TrunkRevision
    from byoci.vcs.urls import UrlPolicy

FRESH: Final = 5.0  # seconds for which `fetch` believes what `tip` was told
PACKS: Final = 50  # packs in the private repository, one a fetch, before they are joined

_JOIN = effects.declare(
    "git.join-packs",
    "small packs of the private repository become one",
    half="Git removes a pack when the new one is there.",
)


class GitVcs:
    """One project's private repository, seen as `byoci.vcs.base.Vcs` tells.

    private          its folder, made when it is needed. It holds nothing that cannot be fetched again
    policy           where branches may be
    rewrite          `[vcs.rewrite]`, applied to every URL
    committer_email  whose landings count
    ssh_config       for ssh instead of the user's own
    """

    name = "git"

    def __init__(
        self,
        private: Path,
        policy: UrlPolicy,
        rewrite: Mapping[str, str],
        *,
        committer_email: str,
        ssh_config: Path | None = None,
    ) -> None:
        self._git = Git(private, ssh_config)
        self._objects = Objects(self._git)
        self._policy = policy
        self._rewrite = rewrite
        self._committer_email = committer_email
        self._tips: dict[tuple[str, str], tuple[float, Tip]] = {}
        self._heads: dict[str, str] = {}
        self._made: dict[str, str] = {}
        self._tidied = False

    def tip(self, location: Location) -> str:
        """See `Vcs.tip`. The next `fetch` of the same branch relies on the answer, where nothing is left to bring."""
        branch = self._branch(location)
        told = git_remote.ask(self._git, branch)
        self._tips[_key(branch)] = time.monotonic(), told
        if branch.ref == "HEAD":
            self._heads[branch.place.text] = told.ref
        return told.revision

    def fetch(self, location: Location, revision: str | None = None, *, trusted: bool = False) -> str:
        """See `Vcs.fetch`."""
        branch = self._branch(location, trusted=trusted)
        if revision is not None:
            require_id(revision)
        told = self._just_told(branch) or git_remote.look(branch)
        if trusted and not self._tidied:
            self._git.tidy()
            boots.look_through(self._git.private, self._git.discard_damaged)
            git_checkout.recover(self._git)
            self._tidied = True
        if not self._git.exists():
            told = told or git_remote.ask(self._git, branch)
            self._git.create(len(told.revision))
        elif trusted:
            self._join_packs()
        held = git_remote.read_ref(self._git, branch.private_ref)
        if told and revision in (None, told.revision) and told.revision == held:
            return told.revision
        tip = git_remote.fetch(self._git, branch, trusted=trusted)
        if revision in (None, tip) or git_history.contains(self._git, tip, revision or ""):
            return revision or tip
        return self._fetch_offered(branch, revision or "", trusted=trusted)

    def merge(self, base: str, revision: str, message: str, meta: MergeMeta) -> Candidate | Conflict | AlreadyMerged:
        """See `Vcs.merge`."""
        require_id(base)
        require_id(revision)
        merged = git_merge.merge(self._git, self._objects, base, revision, message, meta)
        if isinstance(merged, Candidate):
            self._made[merged.id] = base
        return merged

    def export(self, revision: str, folder: Path, at: int | None = None) -> Exported:
        """See `Vcs.export`. A submodule is an empty folder."""
        require_id(revision)
        return git_export.export(self._objects, revision, folder, at)

    def update(self, folder: Path, held: Exported, revision: str) -> Exported:
        """See `Vcs.update`."""
        require_id(held.revision)
        require_id(revision)
        return git_update.update(self._objects, folder, held, revision)

    def read(self, revision: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """See `Vcs.read`."""
        require_id(revision)
        return git_objects.read_files(self._objects, revision, paths)

    def publish(self, candidate: Candidate, location: Location, expected_tip: str, lease: Lease) -> None:
        """See `Vcs.publish`. A checked-out trunk's files follow; where they hold changes, nothing is published."""
        branch = self._writable(location)
        require_id(candidate.id)
        if lease.trunk != str(location):
            raise git_publish.refused(branch.place, f"The landing lease is for another trunk: {lease.trunk}")
        # A push with a lease also moves a branch back. That the candidate stands on the tip is checked by its commit.
        first_parent = self._made.get(candidate.id) or self._objects.identify([f"{candidate.id}^1"])[0]
        if expected_tip != first_parent:
            raise git_publish.moved(branch.place, expected_tip)
        self._tips.pop(_key(branch), None)  # it moves now, or has moved
        if folder := git_checkout.checkout_of(branch):
            git_checkout.publish_checked_out(self._git, candidate, branch, expected_tip, folder)
        else:
            git_publish.push(self._git, candidate, branch, expected_tip)
        self._made.pop(candidate.id, None)
        private_ref = self._branch(location, trusted=True).private_ref
        with contextlib.suppress(OSError):  # trunk has moved, and the next fetch writes it too
            git_remote.write_ref(self._git, private_ref, candidate.id)

    def landings(self, location: Location, after: str | None = None) -> Iterator[LandedRevision]:
        """See `Vcs.landings`. A revision `after` that trunk does not have limits nothing."""
        tip = self._fetched(location)
        known = (
            after is not None and is_id(after) and any(self._objects.identify([f"{after}^{{commit}}"], missing_ok=True))
        )
        return git_history.landings(self._git, tip, after if known else None, self._committer_email)

    def history(self, location: Location) -> Iterator[TrunkRevision]:
        """See `Vcs.history`."""
        return git_history.history(self._git, self._fetched(location))

    def _fetched(self, location: Location) -> str:
        branch = self._branch(location, trusted=True)
        tip = git_remote.read_ref(self._git, branch.private_ref)
        if tip is None:
            raise UnreachableError(f"{branch.place} was not fetched yet", resolution="Fetch trunk first.")
        return tip

    def _branch(self, location: Location, *, trusted: bool = False) -> Branch:
        return Branch.of(admit(location.url, self._policy, self._rewrite), location.branch, trusted=trusted)

    def _just_told(self, branch: Branch) -> Tip | None:
        """What `tip` learned a moment ago; each answer serves once."""
        at, told = self._tips.pop(_key(branch), (0.0, None))
        return told if time.monotonic() - at < FRESH else None

    def _writable(self, location: Location) -> Branch:
        """The branch under its own name: HEAD cannot be pushed to."""
        branch = self._branch(location)
        if branch.ref != "HEAD":
            return branch
        told = self._heads.get(branch.place.text) or git_remote.ask(self._git, branch).ref
        if not told:
            raise PublishRefusedError(
                f"{branch.place} does not tell its default branch",
                details="Its HEAD is detached.",
                resolution="Name the branch: URL;BRANCH.",
            )
        return replace(branch, ref=told)

    def _fetch_offered(self, branch: Branch, revision: str, *, trusted: bool) -> str:
        """Fetch a revision that the branch no longer has, if its server still offers it by another name."""
        ref = git_remote.offers(self._git, branch.place, revision)
        if ref is None or git_remote.fetch(self._git, replace(branch, ref=ref), trusted=trusted) != revision:
            raise RevisionGoneError(
                f"{revision} is no longer in {branch.place}",
                details="The branch was rewritten, or never held it.",
                resolution="Approve the revision that is there now.",
            )
        return revision

    def _join_packs(self) -> None:
        """Now and then join small packs and single objects, so that looking for one stays fast; nothing is dropped."""
        packs = self._git.repository / "objects" / "pack"
        if sum(entry.name.endswith(".pack") for entry in os.scandir(packs)) > PACKS:
            self._objects.close()  # it may have packs open that go now
            with _JOIN:
                self._git.run(["repack", "--geometric=2", "-d", "--quiet"])


def _key(branch: Branch) -> tuple[str, str]:
    return branch.place.text, branch.ref
