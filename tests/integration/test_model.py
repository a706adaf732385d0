"""Whatever people and landers do, in whatever order: what `docs/invariants.md` tells holds.

Random stories are played on a real site and in a model of it (`landing_model`), which are compared after every step.
`BYOCI_MODEL_EXAMPLES=500 ./test tests/integration/test_model.py` plays that many, others every time.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from both import VCS
from crash_client import Landers
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from model_world import TRUNK, Ticking, World

from byoci.errors import UsageError
from byoci.forge import local_ledger
from landing_model import Node, Proposal, Unforeseen, merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.agent]

EXAMPLES = int(os.environ.get("BYOCI_MODEL_EXAMPLES", "0"))  # read before tests get a world without it
STORIES = {"git": 12, "bzr": 8}  # what a minute is enough for
STEPS = int(os.environ.get("BYOCI_MODEL_STEPS", "8"))

Change = tuple[str, str]  # a file, and what becomes of it

few = st.integers(0, 5)
changes = st.tuples(
    st.sampled_from(("new", "new", "left", "right", "shared")),
    st.sampled_from(("plain", "plain", "odd", "bad", "gone")),
)
# What somebody does (several times: it is done more often), and with what; each takes of it what it needs.
ACTS = (
    *("propose",) * 6, *("approve",) * 6, *("commit",) * 3, "rebase", "pull", "vote", "vote", "status", "status",
    "push", "push", "merge", "forward", "revert", "undo", "undo", "rewind", "rewind", "again",
    "trespass",
)  # fmt: skip
acts = st.tuples(st.sampled_from(ACTS), few, few, changes)
# What matters most while a proposal is tested and published.
MEANWHILE = ("push", "push", "rewind", "revert", "merge", "commit", "approve", "status", "vote")
# What a dead lander may have been at; "*" stands for a version control system. One that a run does not come to kills
# nothing.
EFFECTS = (
    "lease.sign", "*.fetch-trunk", "*.fetch-source", "*.merge", "*.commit", "*.push", "*.move", "*.lock", "*.unlock",
    "worker.claim", "worker.start", "log.write", "certificate.sign", "certificate.write", "cache.index",
    "cache.attempt", "cache.reported", "cache.forget", "forge.comment", "forge.comment", "forge.status", "forge.merged",
)  # fmt: skip
# Where a landing is published and not told, or not to the end.
PUBLISHED = ("*.move after", "cache.index before", "forge.comment before", "forge.comment after", "forge.merged before")
plans = st.builds(
    lambda moment, at: {"name": moment.split()[0], "when": moment.split()[1], "nth": 1, "at": at},
    st.one_of(
        st.sampled_from(PUBLISHED),
        st.builds("{} {}".format, st.sampled_from(EFFECTS), st.sampled_from(("after", "before", "during"))),
    ),
    st.sampled_from((1, 0, 12)),
)
# What happens to a lander: a round, with somebody acting in the midst of it or not, or one that is killed, …
landers = st.one_of(
    st.tuples(st.just("round"), st.integers(1, 6), st.one_of(st.none(), acts)),
    st.tuples(st.just("round"), st.integers(1, 4), st.tuples(st.sampled_from(MEANWHILE), few, few, changes)),
    st.tuples(st.just("killed"), plans),
    st.tuples(st.just("killed"), plans),
    st.tuples(st.sampled_from(("one", "first", "shadow")), few),
    st.tuples(st.sampled_from(("database", "database", "repositories", "process")), st.none()),
)


class Play(RuleBasedStateMachine):
    """A random story."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        world.restore()

    @rule(acts=st.lists(acts, max_size=4), lander=landers)
    def step(self, acts: list[tuple[Any, ...]], lander: tuple[Any, ...]) -> None:
        """Some people do something, then a lander does."""
        for act in acts:
            self.act(act)
            self.world.check()
        if not self.world.over:
            getattr(self, f"_lander_{lander[0]}")(*lander[1:])

    def _have_work(self) -> None:
        """A lander that has nothing to land is neither killed nor interfered with."""
        model = self.world.model
        if not any(map(model.landable, model.proposals.values())):
            self.act(("propose", 0, 0, ("new", "plain")))

    def _lander_round(self, at: int, act: tuple[Any, ...] | None) -> None:
        self._have_work()
        self.world.land(meanwhile=None if act is None else (at, lambda: self.act(act)))

    def _lander_killed(self, plan: dict[str, Any]) -> None:
        self._have_work()
        name = plan["name"].replace("*", self.world.vcs)
        self.world.killed({**plan, "name": name.replace("git.move", "git.push")})

    def _lander_one(self, which: int) -> None:
        if proposal := self._pick(self.world.model.queue(), which):
            self.world.land(proposal.id)

    def _lander_first(self, _which: int) -> None:
        self.world.land(first=True)

    def _lander_shadow(self, _which: int) -> None:
        self.world.shadow()

    def _lander_database(self, _nothing: None) -> None:
        self.world.lose_database()
        self.world.land()

    def _lander_repositories(self, _nothing: None) -> None:
        self.world.lose_repositories()
        self.world.land()

    def _lander_process(self, _nothing: None) -> None:
        self.world.reopen()
        self.world.land()

    def teardown(self) -> None:
        """Once more, in peace."""
        if not self.world.over:
            self.world.last_round()

    # What people do, by name

    def act(self, act: tuple[Any, ...]) -> None:
        if not self.world.over:
            name, which, other, change = act
            getattr(self, f"_act_{name}")(which, other, change)

    def _act_propose(self, which: int, other: int, change: Change) -> None:
        world, model = self.world, self.world.model
        branches, author = sorted(model.branches), ("bob", "bob", "alice")[other % 3]
        start = model.branches[self._pick(branches, which)] if which > 3 and branches else model.trunk
        branch = f"topic-{len(branches) + 1}"
        world.commit(branch, (start,), self._changed(start, change), author)
        possible = [it.id for it in model.proposals.values() if it.status not in ("Rejected", "Superseded")]
        proposal = world.propose(branch, author, self._pick(possible, which) if other > 3 else None)
        if which != 1:
            self._approve(proposal)

    def _act_commit(self, which: int, _other: int, change: Change) -> None:
        if branch := self._pick(sorted(self.world.model.branches), which):
            tip = self.world.model.branches[branch]
            self.world.commit(branch, (tip,), self._changed(tip, change))

    def _act_rebase(self, which: int, _other: int, change: Change) -> None:
        if branch := self._pick(sorted(self.world.model.branches), which):
            trunk = self.world.model.trunk
            self.world.commit(branch, (trunk,), self._changed(trunk, change))

    def _act_pull(self, which: int, _other: int, _change: Change) -> None:
        if branch := self._pick(sorted(self.world.model.branches), which):
            self._merge_into(branch, self.world.model.branches[branch], self.world.model.trunk)

    def _act_vote(self, which: int, other: int, _change: Change) -> None:
        if proposal := self._pick([p for p in self.world.model.proposals.values() if p.open()], which):
            person = ("alice", "carol", "bob", "mallory")[other % 4]
            self.world.vote(proposal, person, ("Approve", "Needs Fixing", "Disapprove", "Abstain")[other * which % 4])

    def _act_status(self, which: int, other: int, _change: Change) -> None:
        proposal = self._pick(list(self.world.model.proposals.values()), which)
        status = ("Needs review", "Work in progress", "Rejected", "Merged")[other % 4]
        if proposal and (status in ("Rejected", "Merged") or self._may_open(proposal)):
            self.world.set_status(proposal, status)

    def _act_approve(self, which: int, other: int, _change: Change) -> None:
        proposal = self._pick(list(self.world.model.proposals.values()), which)
        if proposal and self._may_open(proposal):
            self._approve(proposal, ("", "", "", "nobody", "author", "older")[other])

    def _act_push(self, _which: int, _other: int, change: Change) -> None:
        trunk = self.world.model.trunk
        self.world.commit(TRUNK, (trunk,), self._changed(trunk, change), "carol")

    def _act_merge(self, which: int, _other: int, _change: Change) -> None:
        if proposal := self._pick(list(self.world.model.proposals.values()), which):
            self._merge_into(TRUNK, self.world.model.trunk, self.world.model.branches[proposal.source])

    def _act_forward(self, which: int, _other: int, _change: Change) -> None:
        trunk = self.world.model.trunk
        ahead = [node for node in self.world.model.branches.values() if trunk in node.history() and node is not trunk]
        if node := self._pick(ahead, which):
            self.world.point(TRUNK, node)

    def _act_revert(self, which: int, _other: int, _change: Change) -> None:
        trunk = self.world.model.trunk
        landed = [node for node in trunk.line() if node.landing]
        if node := self._pick(landed, which):
            before, files = node.parents[0].files, dict(trunk.files)
            for path in {*before, *node.files}:
                if before.get(path) != node.files.get(path) == files.get(path):
                    files.pop(path, None)
                    if path in before:
                        files[path] = before[path]
            if files != trunk.files:
                self.world.commit(TRUNK, (trunk,), files, "carol")

    def _act_undo(self, which: int, other: int, change: Change) -> None:
        """A landing is reverted, and approved again as it was."""
        landed = [node for node in self.world.model.trunk.line() if node.landing]
        if node := self._pick(landed, which):
            self._act_revert(which, other, change)
            proposal = self.world.model.proposals[node.landing.proposal]
            if self._may_open(proposal):
                self._approve(proposal)

    def _act_rewind(self, which: int, _other: int, _change: Change) -> None:
        tips = list(dict.fromkeys([*self.world.model.trunk.line(), *self.world.tips]))
        node = self._pick(tips, which + 1)
        if node and node is not self.world.model.trunk:
            self.world.point(TRUNK, node)

    def _act_again(self, which: int, _other: int, _change: Change) -> None:
        proposal = self._pick(list(self.world.model.proposals.values()), which)
        if proposal and not self._open_from(proposal.source):
            self._approve(self.world.propose(proposal.source, proposal.author, None))

    def _act_trespass(self, which: int, _other: int, _change: Change) -> None:
        """Somebody who may not decide tries to."""
        if proposal := self._pick(list(self.world.model.proposals.values()), which):
            tip = self.world.model.branches[proposal.source]
            with pytest.raises(UsageError):
                self.world.set_status(proposal, "Approved", tip, "mallory")

    # Means

    @staticmethod
    def _pick(found: Sequence[Any], which: int) -> Any:
        return found[which % len(found)] if found else None

    def _changed(self, node: Node, change: Change) -> dict[str, str]:
        """The files of a node with something new."""
        path, kind = change
        self.world.count += 1
        number, files = self.world.count, dict(node.files)
        if path == "new":
            files[f"new-{number}"] = f"bad {number}" if kind == "bad" else f"{number}"
        elif kind == "gone" and path in files:
            del files[path]
        else:
            files[path] = {"odd": f"odd {number}", "bad": f"bad {number}"}.get(kind, f"{number}")
        return files

    def _approve(self, proposal: Proposal, odd: str = "") -> None:
        """Vote and status. `odd`: nobody votes now, the author does, or what is approved is older than the tip."""
        reviewer = "carol" if proposal.author == "alice" else "alice"
        voter = {"nobody": "", "author": proposal.author}.get(odd, reviewer)
        tip = self.world.model.branches[proposal.source]
        self.world.set_status(proposal, "Approved", tip.parents[0] if odd == "older" else tip, reviewer)
        if voter:
            self.world.vote(proposal, voter, "Approve")

    def _merge_into(self, branch: str, ours: Node, theirs: Node) -> None:
        """A person merges, where that is simple and does something."""
        if theirs in ours.history():
            return
        try:
            files = merge(ours, theirs)
        except Unforeseen:
            return
        if isinstance(files, dict):
            self.world.commit(branch, (ours, theirs), files, "carol")

    def _open_from(self, source: str) -> list[Proposal]:
        return [other for other in self.world.model.proposals.values() if other.open() and other.source == source]

    def _may_open(self, proposal: Proposal) -> bool:
        """There is one open proposal of a source."""
        return proposal.open() or not self._open_from(proposal.source)


@contextmanager
def world(vcs: str, folder: Path, landers: Landers | None = None) -> Iterator[World]:
    """A site to play on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_ledger, "datetime", Ticking)
        patch.setenv("BYOCI_HOME", str(folder / "byoci"))
        made = World(vcs, folder, landers)
        yield made
        made.close()


def play(world: World, examples: int, steps: int) -> None:
    """Play random stories."""
    run_state_machine_as_test(
        lambda: Play(world),
        settings=settings(
            max_examples=EXAMPLES or examples,
            stateful_step_count=steps,
            derandomize=settings().derandomize and not EXAMPLES,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )


@pytest.mark.parametrize("vcs", VCS)
def test_one_story(vcs: str, tmp_path: Path) -> None:
    new, bad = ("new", "plain"), ("shared", "bad")
    with world(vcs, tmp_path / "site") as made:
        told = Play(made)
        told.step([("propose", 0, 0, new), ("propose", 0, 0, bad)], ("round", 3, ("push", 0, 0, new)))
        told.step([("rewind", 1, 0, new), ("approve", 0, 0, new)], ("database", None))
        told.teardown()


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_stories(vcs: str) -> None:
    with Landers(vcs) as landers, world(vcs, landers.site, landers) as made:
        play(made, STORIES[vcs], STEPS)
