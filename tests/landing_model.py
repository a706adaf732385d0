"""What must hold of a trunk and its proposals, whatever people and landers do: a small model, of values alone.

It knows nothing of byoci's code. Revisions are nodes of a graph, whose `files` are one line of text each; what a real
version control system calls a node is learned from it. `Model.round` is what a lander does, step by step as others see
it, so that the model can stop where a lander was killed, and people can act in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TRUSTED = ("alice", "carol")
MINIMUM = 1  # approvals
ATTEMPTS = 3  # times that a candidate is made in one round


class Unforeseen(Exception):  # noqa: N818 - no error: the model does not know what follows
    """Two histories criss-cross; how they merge is for a version control system to say."""


@dataclass(frozen=True, eq=False)
class Node:
    """A revision. `landing`: whose landing it is, if it is one."""

    parents: tuple[Node, ...]
    files: Mapping[str, str]
    landing: Landing | None = None

    def line(self) -> list[Node]:
        """The first-parent history, newest first."""
        found = [self]
        while found[-1].parents:
            found.append(found[-1].parents[0])
        return found

    def history(self) -> set[Node]:
        """The node and all that came before it."""
        found: set[Node] = set()
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += node.parents
        return found


@dataclass(frozen=True)
class Approval:
    """Somebody approved `node`; `at` tells this approval from others."""

    node: Node
    at: object
    by: str


@dataclass(frozen=True)
class Landing:
    """A landing of a proposal's approved revision."""

    proposal: str
    approval: Approval


@dataclass(frozen=True)
class Note:
    """What a proposal's people were told once. `about` is what the text names: a node, or paths."""

    what: str
    key: tuple[Any, ...]
    about: Any = None


@dataclass
class Proposal:
    """A request to merge the branch `source` into trunk. `votes`: person → (value, the tip that was seen)."""

    id: str
    author: str
    source: str
    after: str | None = None
    status: str = "Needs review"
    approval: Approval | None = None
    merged: Node | None = None
    votes: dict[str, tuple[str, Node]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def open(self) -> bool:
        return self.status not in ("Rejected", "Merged", "Superseded")

    def say(self, what: str, *key: Any, about: Any = None) -> bool:
        """Tell its people, unless they were told; whether they are told now."""
        if any((note.what, note.key) == (what, key) for note in self.notes):
            return False
        self.notes.append(Note(what, key, about))
        return True

    def decided(self) -> tuple[object, ...]:
        return self.status, self.approval


def bases(one: Node, other: Node) -> list[Node]:
    """The newest nodes that both histories hold."""
    common = one.history() & other.history()
    below = set(chain.from_iterable(parent.history() for node in common for parent in node.parents))
    return list(common - below)


def conflicts(base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The files that both sides changed, and not alike."""
    return [
        path
        for path in sorted({*base, *ours, *theirs})
        if base.get(path) not in (ours.get(path), theirs.get(path)) and ours.get(path) != theirs.get(path)
    ]


def merge(ours: Node, theirs: Node) -> dict[str, str] | list[str]:
    """The files of a merge, or the paths that conflict."""
    found = bases(ours, theirs)
    if len(found) != 1:
        raise Unforeseen
    base = found[0].files
    if paths := conflicts(base, ours.files, theirs.files):
        return paths
    merged = dict(ours.files)
    for path in {*base, *theirs.files}:
        if base.get(path) != theirs.files.get(path):
            merged.pop(path, None)
            if path in theirs.files:
                merged[path] = theirs.files[path]
    return merged


def passes(files: Mapping[str, str]) -> bool:
    """What the project's tests say: no file is bad, and `left` and `right` are not odd together."""
    odd = [path for path in ("left", "right") if files.get(path, "").startswith("odd")]
    return len(odd) < 2 and not any(text.startswith("bad") for text in files.values())


def brought_by(trunk: Node, node: Node) -> Node:
    """The one of trunk's first-parent history by which it came to hold `node`."""
    return next(found for found in reversed(trunk.line()) if node in found.history())


def taken_out(trunk: Node, by: Node) -> bool:
    """Whether nothing is left of what `by` had changed."""
    if not by.parents:
        return False
    before, after = by.parents[0].files, by.files
    changed = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    return bool(changed) and all(trunk.files.get(path) == before.get(path) for path in changed)


@dataclass(frozen=True)
class Point:
    """A moment within a round at which people may act: before `stage` of a proposal."""

    proposal: str
    stage: str


class Moved(Exception):  # noqa: N818 - no error
    """Trunk or the approval is another: the landing starts anew."""


@dataclass
class Model:
    """A trunk, branches by name, proposals by id in the order in which they were made."""

    trunk: Node
    branches: dict[str, Node] = field(default_factory=dict)
    proposals: dict[str, Proposal] = field(default_factory=dict)
    trying: str = ""  # whose landing `round` is at

    def landable(self, proposal: Proposal) -> bool:
        """Approved, nothing newer in its source, somebody trusted for it and nobody against, its prerequisite in."""
        if proposal.status != "Approved" or proposal.approval is None:
            return False
        tip = self.branches[proposal.source]
        counted = [(voter, *vote) for voter, vote in proposal.votes.items() if voter in TRUSTED]
        against = [voter for voter, value, _ in counted if value not in ("Approve", "Abstain")]
        for_it = [
            voter
            for voter, value, node in counted
            if value == "Approve" and node is proposal.approval.node and voter != proposal.author
        ]
        before = proposal.after is None or self.proposals[proposal.after].status == "Merged"
        return tip is proposal.approval.node and not against and len(for_it) >= MINIMUM and before

    def queue(self) -> list[Proposal]:
        """The open ones, oldest first, none before its prerequisite."""
        ordered: list[Proposal] = []

        def place(proposal: Proposal) -> None:
            before = self.proposals.get(proposal.after or "")
            if before is not None and before.open():
                place(before)
            if proposal not in ordered:
                ordered.append(proposal)

        for proposal in self.proposals.values():
            if proposal.open():
                place(proposal)
        return ordered

    def round(self, only: str | None = None, *, first: bool = False) -> Iterator[Point | None]:
        """What a lander does; None after each step that others see. `first`: only the first that may land is tried."""
        told = yield from self._recover()
        for proposal in self.queue():
            if first and not self.landable(proposal):
                continue
            if (only or proposal.id) == proposal.id and (first or proposal.id not in told):
                yield from self._attempts(proposal)
            if first:
                return

    def _recover(self) -> Iterator[Any]:
        """Landings that trunk holds, and that were not told or not to the end; whose they are."""
        told = set()
        for node in reversed(self.trunk.line()):
            if node.landing is None:
                continue
            proposal = self.proposals[node.landing.proposal]
            new = proposal.say("landed", node, about=node)
            same = (proposal.status, proposal.approval) == ("Approved", node.landing.approval)
            if new or same:
                told.add(proposal.id)
                yield None
                yield from self._merged(proposal, node, node.landing.approval.node)
        return told

    def _merged(self, proposal: Proposal, by: Node, approved: Node) -> Iterator[None]:
        """It is Merged, unless something else of it was approved since."""
        newer = proposal.status == "Approved" and proposal.approval and proposal.approval.node is not approved
        if proposal.status != "Merged" and not newer:
            proposal.status, proposal.merged = "Merged", by
        yield None

    def _attempts(self, proposal: Proposal) -> Iterator[Point | None]:
        self.trying = proposal.id
        for _ in range(ATTEMPTS):
            try:
                yield from self._land(proposal)
            except Moved:
                continue
            return

    def _land(self, proposal: Proposal) -> Iterator[Point | None]:
        approval = proposal.approval
        if not self.landable(proposal) or approval is None:
            return
        base, read = self.trunk, proposal.decided()
        files = self._merge(base, approval.node)
        about = (base, approval)
        if isinstance(files, list):
            yield from self._back(proposal, read, Note("conflict", about, files))
        elif approval.node in base.history():
            yield from self._landed_before(proposal, base, approval, read)
        elif files == base.files:
            yield from self._back(proposal, read, Note("no changes", about))
        else:
            yield Point(proposal.id, "testing")
            if not passes(files):
                yield from self._back(proposal, read, Note("failed", about))
                return
            yield from self._publish(proposal, base, Node((base, approval.node), files, Landing(proposal.id, approval)))

    @staticmethod
    def _merge(base: Node, node: Node) -> dict[str, str] | list[str]:
        return dict(base.files) if node in base.history() else merge(base, node)

    def _publish(self, proposal: Proposal, base: Node, candidate: Node) -> Iterator[Point | None]:
        assert candidate.landing is not None
        yield Point(proposal.id, "checking again")
        if not self.landable(proposal):
            return
        if proposal.approval != candidate.landing.approval or self.trunk is not base:
            raise Moved
        yield Point(proposal.id, "publishing")
        if self.trunk is not base:
            raise Moved
        self.trunk = candidate
        yield None
        yield Point(proposal.id, "reporting")
        proposal.say("landed", candidate, about=candidate)
        yield None
        yield from self._merged(proposal, candidate, candidate.parents[1])

    def _landed_before(
        self, proposal: Proposal, base: Node, approval: Approval, read: tuple[object, ...]
    ) -> Iterator[Point | None]:
        """Trunk holds it: by our own landing, by somebody's merge, or no more."""
        by = brought_by(base, approval.node)
        if taken_out(base, by):
            yield from self._back(proposal, read, Note("reverted", (base, approval)))
            return
        ours = by.landing is not None and (by.landing.proposal, by.parents[1]) == (proposal.id, approval.node)
        if ours:
            proposal.say("landed", by, about=by)
        else:
            proposal.say("merged", approval.node, about=by)
        yield None
        yield from self._merged(proposal, by, approval.node)

    @staticmethod
    def _back(proposal: Proposal, read: tuple[object, ...], note: Note) -> Iterator[Point | None]:
        """It goes back to its people, unless they have decided something since."""
        proposal.say(note.what, *note.key, about=note.about)
        yield None
        if proposal.decided() == read:
            proposal.status, proposal.approval = "Needs review", None
        yield None
