"""A site to be measured: one gated project, onto whose trunk one approved topic after the other may land."""

from __future__ import annotations

import time
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
    """The site, opened in this process, with its gate.

    repositories  its trunk and topics
    environment   with which `byoci` works on it
    """

    def __init__(self, folder: Path, vcs: str, repositories: Repositories) -> None:
        config = folder / "byoci.toml"
        config.write_text(_CONFIG.format(vcs=vcs, trunk=repositories.trunk))
        self.environment = {"HOME": str(folder), "BYOCI_HOME": str(folder / "home"), "BYOCI_CONFIG": str(config)}
        self.repositories = repositories
        self._site = Site(load(environ=self.environment))
        self._gate = self._site.gate("measured", self._hear)
        self._moved = 0.0

    def approve(self, number: int) -> None:
        """Propose a topic, and let alice approve it."""
        forge, (source, tip) = self._site.local_forge, self.repositories.topics[number]
        proposal = forge.create("measured", source, self.repositories.trunk, f"Topic {number}", acting_for="bob")
        forge.review(proposal.id, VoteValue.APPROVE, revision=tip, acting_for="alice")
        forge.change_status(proposal.id, Status.APPROVED, revision=tip, acting_for="alice")

    def land(self) -> float:
        """A lander's round, in which the one approved topic lands; milliseconds until trunk has moved."""
        start = time.perf_counter()
        (row,) = land_round(self._gate, self._site.leases)
        assert row.landing.outcome is Outcome.LANDED, row.landing.reasons
        return (self._moved - start) * 1000

    def _hear(self, line: str) -> None:
        if line.endswith(": reporting"):
            self._moved = time.perf_counter()

    def close(self) -> None:
        """Remove what workers left outside of the site's folder."""
        base = folders.base_of(self._site.config.state)
        folders.session(base).close()
        tree.remove(base.path)


@contextmanager
def measured(folder: Path, vcs: str, commits: int) -> Iterator[Measured]:
    """A site below `folder`, of a trunk with so many commits."""
    site = Measured(folder, vcs, histories.make(vcs, folder, commits))
    try:
        yield site
    finally:
        site.close()
