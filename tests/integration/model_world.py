"""A real site and the model of it, side by side: whatever is done to the one is done to the other, and compared."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import re
import shutil
import signal
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_people import TRUNK, BzrPeople, GitPeople
from site_under_test import CONFIG, Story

import landing_model as models
from byoci.gate import audit as audits
from byoci.gate import certificate as certificates
from byoci.gate.audit import Kind
from byoci.gate.rounds import land_first, land_round, shadow_round
from byoci.model import Location, Outcome, Status, VoteValue
from byoci.store.certificates import Verifier, in_folder, make_key
from byoci.wiring import vcs_of
from byoci.worker import folders
from landing_model import Approval, Model, Node, Point, Proposal, Unforeseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import tzinfo

    from crash_client import Landers
    from model_people import People

# The tests say what they were given, so that a log tells which tree was tested.
TESTS = (
    'for file in *; do echo "$file: $(cat "$file")"; done; ! grep -q ^bad * && '
    "! { grep -qs ^odd left && grep -qs ^odd right; }"
)
FILES = {"README": "keep", "left": "1", "right": "2", "shared": "3"}
STAGE = re.compile(r"hello (\d+): (testing|checking again|publishing|reporting)$")


class Ticking(datetime):
    """A clock of which no two readings are in one second: two approvals are never one."""

    ticks = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Ticking:
        cls.ticks += 1
        return super().now(tz) + timedelta(seconds=cls.ticks)


class World:
    """One site at one place, which is put back to its beginning for each example.

    landers  those that can be killed; without them none is
    """

    def __init__(self, vcs: str, folder: Path, landers: Landers | None = None) -> None:
        self.vcs = vcs
        self.landers = landers
        self.folder = folder
        self.people: People = (GitPeople if vcs == "git" else BzrPeople)(self.folder / "repository")
        self.folder.mkdir(mode=0o755)
        first = self.people.create(FILES)
        text = CONFIG.format(vcs=vcs, trunk=self.people.place(TRUNK), tests=TESTS, more="", worker="")
        (self.folder / "byoci.toml").write_text(text)
        self.story = Story(self.folder, vcs)
        assert self.story.land() == []
        (self.story.site.config.state / "certificates").mkdir()
        make_key(self.story.site.config.state / "secrets" / "landing_ed25519", "of a test")
        self.close()
        self._kept = self.folder.with_name("kept")
        shutil.copytree(self.folder, self._kept, symlinks=True)
        self._first = first
        self.restore()

    def restore(self) -> None:
        """Begin anew: a trunk with one revision, and no proposal."""
        with contextlib.suppress(AttributeError):
            self.close()
        shutil.rmtree(self.folder)
        subprocess.run(["cp", "-a", "--reflink=auto", self._kept, self.folder], check=True)
        self.story = Story(self.folder, self.vcs)
        self.root = Node((), FILES)
        self.names: dict[Node, str] = {self.root: self._first}
        self.model = Model(self.root)
        self.tips = [self.root]
        self.count = 0
        self.dead: list[int] = []
        self.over = False

    def close(self) -> None:
        self.story.site.store.close()
        self.story.forge.close()

    def reopen(self) -> None:
        """As a new process would."""
        self.close()
        self.story.reopen()

    # What is, compared with what must be.

    def differences(self) -> list[str]:
        """What is not as the model has it. Learns the names of landings that the model foresaw."""
        found = list(self._trunk())
        return found or [*self._told()]

    def check(self) -> None:
        """It is all as the model has it."""
        found = self.differences()
        assert not found, "\n".join(found)

    def _trunk(self) -> Iterator[str]:
        real, line = self.people.history()[::-1], self.model.trunk.line()[::-1]
        told = [[id_ for id_, *_ in real], [self.names.get(node, "(new)") for node in line]]
        if len(real) != len(line):
            yield f"trunk is {told[0]}, not {told[1]}"
            return
        for (id_, *parents), node in zip(real, line, strict=True):
            if node in self.names:
                if self.names[node] != id_:
                    yield f"trunk holds {id_} where {self.names[node]} ought to be: {told[0]}, not {told[1]}"
            elif parents != [self.names.get(parent) for parent in node.parents]:
                yield f"{id_} has the parents {parents}: {told[0]}, not {told[1]}"
            elif (files := self.people.files(id_)) != node.files:
                yield f"{id_} holds {files}, not {node.files}"
            else:
                self.names[node] = id_
                yield from self._proven(id_, node)

    def _proven(self, id_: str, node: Node) -> Iterator[str]:
        """A landing has a certificate, and a log that names exactly its files: they were tested."""
        raw = self.story.site.certificates.find("hello", id_)
        if raw is None:
            yield f"{id_} has no certificate"
            return
        told = certificates.decode(certificates.split(raw)[0])
        log = Path(told.verdict.log).read_bytes()
        if hashlib.sha256(log).hexdigest() != told.verdict.log_digest or not told.verdict.passed:
            yield f"{id_}: the certificate's log is another"
        tested = dict(line.split(": ", 1) for line in log.decode().splitlines())
        if tested != node.files:
            yield f"{id_}: tested was {tested}, not {node.files}"

    def _told(self) -> Iterator[str]:
        """What the forge says of each proposal."""
        for proposal in self.model.proposals.values():
            real = self.story.forge.proposal(proposal.id)
            approval = proposal.approval
            is_ = (real.status.value, real.approved_revision, real.merged_revision)
            must = (
                proposal.status,
                approval and self.names[approval.node],
                proposal.merged and self.names.get(proposal.merged, "(new)"),
            )
            if is_ != must:
                yield f"proposal {proposal.id} is {is_}, not {must}"
            said = [comment.text for comment in self.story.forge.comments(proposal.id)]
            expected = [self._text(note) for note in proposal.notes]
            if len(said) != len(expected) or not all(map(str.startswith, said, expected)):
                yield f"proposal {proposal.id} was told {said}, not {expected}"

    def _text(self, note: models.Note) -> str:
        """How the comment begins."""
        if note.what in ("landed", "merged"):
            id_ = self.names.get(note.about, "(new)")
            return f"Landed as {id_}." if note.what == "landed" else f"merged by others as {id_}"
        return {
            "failed": "Not landed: ",
            "conflict": "does not merge with trunk: conflict in ",
            "reverted": "it landed before and was reverted since",
            "no changes": "it changes nothing",
        }[note.what]

    # What the lander does.

    def land(
        self, only: str | None = None, *, first: bool = False, meanwhile: tuple[int, Callable[[], None]] | None = None
    ) -> None:
        """A round. `meanwhile`: at the which point (see `Point`) somebody acts, and how."""
        self._foresee(only, first=first)
        steps = self.model.round(only, first=first)
        points: list[Point] = []
        problems: list[str] = []

        def on_line(line: str) -> None:
            match = STAGE.search(line)
            if match is None or self.over or problems:
                return
            points.append(Point(*match.groups()))
            try:
                expected = next((step for step in steps if isinstance(step, Point)), None)
            except Unforeseen:
                self.over = True
                return
            if expected != points[-1]:
                problems.append(f"the lander is at {points[-1]}, and ought to be at {expected}")
            elif meanwhile is not None and len(points) == meanwhile[0]:
                problems.extend(self._trunk())
                if not problems:
                    meanwhile[1]()

        self.story.on_line = on_line
        gate, leases = self.story.gate(), self.story.site.leases
        rows = land_first(gate, leases) if first else land_round(gate, leases, only)
        self.story.on_line = lambda _: None
        assert not problems, problems
        errors = [row for row in rows if row.landing.outcome is Outcome.ERROR]
        assert not errors, errors
        if self._end(steps):
            self.check()
        live = folders.base_of(self.story.site.config.state).path / "live"
        there = [path for own in live.glob(f"{os.getpid()}-*") for path in own.iterdir() if path.name != "lock"]
        left = [path for path in there if not path.name.startswith("removed-")]  # that is seen to in the background
        assert not left, f"a round left {left}"

    def _end(self, steps: Iterator[Point | None]) -> bool:
        """Let the model come to the end of its round; whether it knows what came of it."""
        if not self.over:
            try:
                left = [step for step in steps if isinstance(step, Point)]
                assert not left, f"the lander never came to {left}"
            except Unforeseen:
                self.over = True
        return not self.over

    def shadow(self) -> None:
        """What would be done; nothing is."""
        shadow_round(self.story.gate(), self.story.site.leases)
        self.check()

    def killed(self, plan: Mapping[str, Any]) -> None:
        """A round whose process is killed at some moment, if it comes to that."""
        if self.landers is None:
            self.land()
            return
        self._foresee(None)
        answer = self.landers.child("run", plans=[dict(plan)])
        assert self.landers.order("settle") == []
        steps = self.model.round()
        if os.WIFSIGNALED(answer["status"]) and os.WTERMSIG(answer["status"]) == signal.SIGKILL:
            self.dead.append(answer["pid"])
            tried = found = self.differences()
            while found:
                assert next(steps, "end") != "end", "no lander leaves this behind: " + "\n".join(tried)
                tried += (found := self.differences())
            return
        assert answer["status"] == 0, answer
        assert "failed" not in answer["told"], answer
        (told,) = answer["told"]["rounds"]
        assert told["code"] in (0, 1, 3), told
        for _ in steps:
            pass
        self.check()

    def _foresee(self, only: str | None, *, first: bool = False) -> None:
        """Where the model cannot tell how something merges, people reject it before."""
        while True:
            trial = copy.deepcopy(self.model)
            try:
                for _ in trial.round(only, first=first):
                    pass
            except Unforeseen:
                self.set_status(self.model.proposals[trial.trying], "Rejected")
            else:
                return

    # What people do: each on both sides.

    def commit(self, branch: str, parents: tuple[Node, ...], files: Mapping[str, str], person: str = "bob") -> Node:
        """A revision on which the branch is then, whatever it was on before."""
        node = Node(parents, dict(files))
        self.names[node] = self.people.commit(branch, [self.names[parent] for parent in parents], files, person)
        self._at(branch, node)
        return node

    def point(self, branch: str, node: Node) -> None:
        """Let a branch be at a revision that exists."""
        self.people.point(branch, self.names[node])
        self._at(branch, node)

    def _at(self, branch: str, node: Node) -> None:
        if branch == TRUNK:
            self.model.trunk = node
            self.tips.append(node)
        else:
            self.model.branches[branch] = node

    def propose(self, branch: str, author: str, after: str | None) -> Proposal:
        """A new proposal from a branch."""
        source, target = (Location.parse(self.people.place(name)) for name in (branch, TRUNK))
        made = self.story.forge.create("hello", source, target, f"Do {branch}", prerequisite=after, acting_for=author)
        proposal = Proposal(made.id, author, branch, after)
        self.model.proposals[made.id] = proposal
        return proposal

    def vote(self, proposal: Proposal, person: str, value: str) -> None:
        """Somebody votes on what he sees."""
        seen = self.model.branches[proposal.source]
        self.story.forge.review(proposal.id, VoteValue(value), revision=self.names[seen], acting_for=person)
        proposal.votes[person] = (value, seen)

    def set_status(self, proposal: Proposal, status: str, node: Node | None = None, person: str = "alice") -> None:
        """Somebody who may sets the status; Approved needs the revision that is approved."""
        revision = self.names[node] if node is not None else None
        told = self.story.forge.change_status(proposal.id, Status(status), revision=revision, acting_for=person)
        before = proposal.approval.node if proposal.approval else None
        if status == proposal.status and (status != "Approved" or node is before):
            return
        proposal.status, proposal.merged = status, None
        if status == "Approved":
            assert node is not None
            proposal.approval = Approval(node, told.approved_at, person)
        elif status != "Merged":
            proposal.approval = None

    def lose_database(self) -> None:
        """The lander's cache is gone."""
        self.close()
        for path in self.story.site.config.state.glob("lander.sqlite*"):
            path.unlink()
        self.story.reopen()

    def lose_repositories(self) -> None:
        """The lander's private repositories are gone."""
        shutil.rmtree(self.story.site.config.state / "repositories", ignore_errors=True)

    # What is there in the end.

    def audit(self) -> None:
        """The certificates cover exactly the landings."""
        private = self.folder / "auditor"
        known = dict(in_folder(self.story.site.config.state / "certificates"))
        verifier = Verifier(self.story.site.certificates.public_key)
        trunk = Location.parse(self.people.place(TRUNK))
        vcs = vcs_of(self.vcs, private, None, local=True)
        found = audits.audit(vcs, trunk, known, verifier.verify, since=self._first)
        verifier.close()
        line = self.model.trunk.line()[:-1]
        expected = [(self.names[node], Kind.COVERED if node.landing else Kind.UNCOVERED) for node in line]
        assert [(finding.revision, finding.kind) for finding in found.findings] == expected, found

    def last_round(self) -> None:
        """Another process does what is left to do; then nothing is left of any lander but of this process."""
        if self.landers is None:
            self.land()
            self.audit()
            return
        self._foresee(None)
        answer = self.landers.child("run", look=True, dead=self.dead)
        assert answer["status"] == 0, answer
        assert "failed" not in answer["told"], answer
        assert self.landers.order("settle") == []
        left = [what for what in answer["told"]["found"]["wrong"] if f"/live/{os.getpid()}-" not in what]
        assert not left, "\n".join(left)
        for _ in self.model.round():
            pass
        self.check()
        self.audit()
