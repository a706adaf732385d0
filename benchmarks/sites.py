"""A site to be measured: one gated project, onto whose trunk one approved topic after the other may land."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks import histories
from byoci.config.loading import load
from byoci.gate.rounds import land_round
from byoci.model import Outcome, Status, VoteValue
from byoci.wiring import Site
from byoci.worker import folders, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.histories.base import Repositories

_CONFIG: Final = """\
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[project.measured]
vcs = "{vcs}"
trunk = "{trunk}"
tests.command = "true"
approve.trusted = ["alice"]
"""


class Measured:
    """The site, opened in this process, with its gate. `repositories` are its trunk and topics."""

    def __init__(self, folder: Path, vcs: str, repositories: Repositories) -> None:
        config = folder / "byoci.toml"
        config.write_text(_CONFIG.format(vcs=vcs, trunk=repositories.trunk))
        self.environment = {"HOME": str(folder), "BYOCI_HOME": str(folder / "home"), "BYOCI_CONFIG": str(config)}
        self.repositories = repositories
        self._site = Site(load(environ=self.environment))
        self._gate = self._site.gate("measured", lambda _: None)
        self.state = self._site.config.state

    def approve(self, number: int) -> None:
        """Propose a topic, and let alice approve it."""
        forge, (source, tip) = self._site.local_forge, self.repositories.topics[number]
        title = f"Topic {number}"
        proposal = forge.create("measured", source, self.repositories.trunk, title, acting_for="bob")
        forge.review(proposal.id, VoteValue.APPROVE, revision=tip, acting_for="alice")
        forge.change_status(proposal.id, Status.APPROVED, revision=tip, acting_for="alice")

    def land(self) -> None:
        """A lander's round, in which the one proposal that was approved lands."""
        (row,) = land_round(self._gate, self._site.leases)
        assert row.landing.outcome is Outcome.LANDED, row.landing.reasons


@contextmanager
def measured(folder: Path, vcs: str, commits: int) -> Iterator[Measured]:
    """A site below `folder`, of a trunk with so many commits."""
    site = Measured(folder, vcs, histories.make(vcs, folder, commits))
    try:
        yield site
    finally:
        tree.remove(folders.base_of(site.state).path)
