"""Monitor, controller and the connection to the agent, killed in the midst of landings: each lands once, told once.

Landings into several trunks are under way at a time, so that every kill meets several of them, each at another point.
"""

from __future__ import annotations

import collections
import contextlib
import random
import time
from typing import TYPE_CHECKING

import pytest
from agent_sshd import Sshd
from controller_process import running, wait_for
from monitored_site import Monitored
from site_under_test import GitPlay
from test_controller_killed import add_agent

from byoci.model import Outcome, Status, VoteValue
from byoci.wiring import open_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from controller_process import ControllerProcess

    from byoci.model import Proposal

pytestmark = [pytest.mark.controller, pytest.mark.monitor, pytest.mark.git, pytest.mark.slow]

TRUNKS = 4
FIRST = 5  # proposals of a trunk to begin with
POINTS = 20  # of landings, at which each of the three is killed at least
CONFIG = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[worker.default]
memory = "512M"
[jobs]
label = "remote"
[monitor]
port = 0
poll = "1s"
"""
PROJECT = """
[project.{name}]
vcs = "git"
trunk = "{trunk}"
tests.command = "true"
"""


class Trunks:
    """The projects of the site, with proposals that may all land."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "byoci.toml"
        self.repositories = {f"p{number}": GitPlay(folder / f"r{number}") for number in range(TRUNKS)}
        for repository in self.repositories.values():
            repository.create({"greeting": "hello\n"}, "alice")
        projects = (PROJECT.format(name=name, trunk=it.trunk) for name, it in self.repositories.items())
        self.config.write_text(CONFIG + "".join(projects))
        self.forge = open_site(self.config, "testing").local_forge
        self.proposals: list[Proposal] = []
        self.each = 0
        for _ in range(FIRST):
            self.propose()

    def propose(self) -> None:
        """One more into each trunk."""
        self.proposals += [self._propose(name, self.each) for name in self.repositories]
        self.each += 1

    def _propose(self, project: str, number: int) -> Proposal:
        repository, branch = self.repositories[project], f"b{number}"
        repository.branch(branch)
        repository.commit(branch, {f"file{number}": "yes"}, f"work on {branch}", "bob")
        made = self.forge.create(
            project, repository.location(branch), repository.trunk, f"Do {branch}", acting_for="bob"
        )
        tip = repository.tip(branch)
        self.forge.review(made.id, VoteValue.APPROVE, revision=tip)
        self.forge.change_status(made.id, Status.APPROVED, revision=tip)
        return made

    def open(self) -> list[str]:
        """Which have not landed yet."""
        return [it.id for it in self.proposals if self.forge.proposal(it.id).status is not Status.MERGED]


class Killer:
    """Kills one of the three, and starts it again; counts how many landings were under way each time."""

    def __init__(self, site: Monitored, controller: ControllerProcess, sshd: Sshd) -> None:
        self.site = site
        self.controller = controller
        self.sshd = sshd
        self.met: collections.Counter[str] = collections.Counter()

    def kill(self, what: str) -> None:
        under_way = [item for item in self.site.landings() if item.ended is None]
        self.met[what] += len(under_way)
        if what == "monitor":
            self.site.kill()
            self.site.start()
        elif what == "controller":
            self.controller.kill()
            self.controller.start()  # at another port
        else:
            self.sshd.cut()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd")
    yield server
    server.cut()
    server.stop()


def test_whatever_is_killed_every_proposal_lands_once_and_is_told_once(
    tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("BYOCI_HOME", str(home))
    (home / "testing").mkdir(parents=True, mode=0o700)
    trunks = Trunks(tmp_path)
    with running(home / "testing/controller") as controller:
        site = Monitored(trunks, controller, home)
        assert site.byoci("host", "secrets").returncode == 0
        add_agent(controller, sshd, executors=TRUNKS, label="remote")
        assert site.byoci("job", "update").returncode == 0
        site.start()
        try:
            killer = Killer(site, controller, sshd)
            kill_until_all_have_landed(trunks, killer)
            landings = wait_for(lambda: settled(site))
        finally:
            site.stop()
        print("landings under way when it was killed:", dict(killer.met))  # noqa: T201 - a figure for who looks
        assert min(killer.met.values()) >= POINTS, killer.met
        landed = collections.Counter(item.proposal for item in landings if item.outcome is Outcome.LANDED)
        assert landed == {it.id: 1 for it in trunks.proposals}
    for proposal in trunks.proposals:
        assert len(trunks.forge.comments(proposal.id)) == 1
    for repository in trunks.repositories.values():
        assert repository.names() == {"greeting", *(f"file{number}" for number in range(trunks.each))}
        log = repository._git(repository._folder, "log", "--first-parent", "--format=%H", "main").split()
        assert len(log) == 1 + trunks.each
    assert "Traceback" not in site.log.read_text()


def kill_until_all_have_landed(trunks: Trunks, killer: Killer) -> None:
    """At moments that nobody chose; each of the three in turn, the one that has met the fewest landings first."""
    drawn = random.Random(6)
    deadline = time.monotonic() + 180
    killer.met.update({"monitor": 0, "controller": 0, "connection": 0})
    while (waiting := trunks.open()) or min(killer.met.values()) < POINTS:
        assert time.monotonic() < deadline, (waiting, killer.met)
        if len(waiting) < TRUNKS and min(killer.met.values()) < POINTS:
            trunks.propose()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: any(item.ended is None for item in killer.site.landings()), 1)
        time.sleep(drawn.uniform(0.1, 1.2))
        what = min(killer.met, key=killer.met.__getitem__)
        if killer.met[what] < POINTS:
            killer.kill(what)


def settled(site: Monitored) -> list[object]:
    found = site.landings()
    return found if all(item.ended for item in found) else []  # type: ignore[return-value]
