"""A configured site in a temporary folder, with one project in git or bzr: what the stories of landing happen on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from byoci.gate.rounds import land_round, shadow_round
from byoci.host.repositories import BzrRepository, GitRepository, _breezy, _silent
from byoci.model import Status, VoteValue
from byoci.wiring import open_site

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.gate.plan import Gate
    from byoci.gate.rounds import Told
    from byoci.model import Landing, Proposal

TESTS = 'test ! -e broken && test "$(cat greeting)" = hello'

CONFIG = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[worker.default]
time = "60s"
memory = "512M"
{worker}
[team.reviewers]
members = ["alice", "carol"]
[project.hello]
vcs = "{vcs}"
trunk = "{trunk}"
tests.command = '''{tests}'''
approve.trusted = ["reviewers"]
{more}
"""


class GitPlay(GitRepository):
    """With what only tests do."""

    def remove(self, branch: str | None, name: str, message: str, person: str) -> None:
        with self._checkout(branch or "main") as tree:
            self._git(tree, "rm", "--quiet", name)
            self._git(tree, "commit", "--quiet", "--message", message, person=person)
            self._git(tree, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch or 'main'}")

    def names(self) -> set[str]:
        """What trunk has at its top."""
        return set(self._git(self._folder, "ls-tree", "--name-only", "main").split())

    def drop(self, branch: str) -> None:
        self._git(self._folder, "branch", "--quiet", "-D", branch)

    def overwrite(self, origin: str, branch: str = "main") -> None:
        """Make a branch, or trunk, what another is."""
        self._git(self._folder, "update-ref", f"refs/heads/{branch}", self.tip(origin))

    def rewind(self, revision: str) -> None:
        self._git(self._folder, "update-ref", "refs/heads/main", revision)


class BzrPlay(BzrRepository):
    """With what only tests do."""

    def remove(self, branch: str | None, name: str, message: str, person: str) -> None:
        with self._checkout(branch) as tree:
            Path(tree.basedir, name).unlink()
            tree.commit(message, committer=f"{person} <{person}@example.com>", reporter=_silent())

    def names(self) -> set[str]:
        """What trunk has at its top."""
        with _breezy():
            tree = self._open(None).basis_tree()
            with tree.lock_read():
                return {entry.name for _, entry in tree.iter_entries_by_dir()}

    def drop(self, branch: str) -> None:
        shutil.rmtree(self._folder / branch)

    def overwrite(self, origin: str, branch: str | None = None) -> None:
        """Make a branch, or trunk, what another is."""
        with _breezy():
            self._open(branch).pull(self._open(origin), overwrite=True)

    def rewind(self, revision: str) -> None:
        trunk = self._open(None)
        with trunk.lock_write():
            trunk.generate_revision_history(revision.encode())


class Story:
    """A site with the project `hello`, bob who proposes and alice who reviews; made where it is not there yet."""

    def __init__(self, folder: Path, vcs: str, *, tests: str = TESTS, more: str = "", worker: str = "") -> None:
        self.folder = folder
        self.vcs = vcs
        place = folder / "repository"
        self.repository = GitPlay(place) if vcs == "git" else BzrPlay(place)
        self.config = folder / "byoci.toml"
        if not self.config.exists():
            self.repository.create({"greeting": "hello\n", "README": "one\ntwo\nthree\n"}, "alice")
            text = CONFIG.format(vcs=vcs, trunk=self.repository.trunk, tests=tests, more=more, worker=worker)
            self.config.write_text(text)
        self.lines: list[str] = []
        self.on_line: Callable[[str], None] = lambda _: None
        self.reopen()

    def reopen(self) -> None:
        """As a new process would."""
        self.site = open_site(self.config, "testing")

    @property
    def forge(self):  # type: ignore[no-untyped-def]
        return self.site.local_forge

    def gate(self) -> Gate:
        def tell(line: str) -> None:
            self.lines.append(line)
            self.on_line(line)

        return self.site.gate("hello", tell)

    def propose(
        self,
        branch: str,
        files: dict[str, str],
        *,
        origin: str | None = None,
        after: str | None = None,
        approve: bool = True,
    ) -> Proposal:
        self.repository.branch(branch, origin)
        self.repository.commit(branch, files, f"work on {branch}", "bob")
        proposal = self.forge.create(
            "hello",
            self.repository.location(branch),
            self.repository.trunk,
            f"Do {branch}",
            prerequisite=after,
            acting_for="bob",
        )
        if approve:
            self.approve(branch, proposal.id)
        return self.forge.proposal(proposal.id)

    def approve(self, branch: str, id_: str) -> None:
        tip = self.repository.tip(branch)
        self.forge.review(id_, VoteValue.APPROVE, revision=tip, acting_for="alice")
        self.forge.change_status(id_, Status.APPROVED, revision=tip, acting_for="alice")

    def land(self, only: str | None = None) -> list[Told]:
        return land_round(self.gate(), self.site.leases, only)

    def shadow(self, only: str | None = None, *, regardless: bool = False) -> list[Told]:
        return shadow_round(self.gate(), self.site.leases, only, regardless=regardless)

    def land_one(self) -> Landing:
        (row,) = self.land()
        return row.landing

    def trunk_tip(self) -> str:
        return self.gate().vcs.tip(self.repository.trunk)

    def trunk_files(self) -> dict[str, str]:
        vcs = self.gate().vcs
        tip = vcs.fetch(self.repository.trunk, trusted=True)
        folder = self.folder / f"export-{len(list(self.folder.iterdir()))}"
        vcs.export(tip, folder)
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
