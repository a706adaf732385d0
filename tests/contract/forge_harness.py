"""What the Forge contract needs of a back-end: people who act on a real forge, while the lander looks on.

A new forge adds a class here and a line to `HARNESSES` in test_forge.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from byoci.forge.local import LocalForge
from byoci.model import Location, Status, VoteValue

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.forge.base import Forge
    from byoci.model import Proposal

# People and teams of every harness. Rita and tom are the project's reviewers; ann only proposes; mallory is nobody.
TEAMS = {"core": ("rita", "tom"), "everybody": ("core", "ann", "eve"), "loop": ("loop", "eve")}
TRUSTED = frozenset({"rita", "tom"})
MEMBERS = {
    "core": frozenset({"rita", "tom"}),
    "everybody": frozenset({"rita", "tom", "ann", "eve"}),
    "loop": frozenset({"eve"}),
}


class ForgeHarness(Protocol):
    """A real forge with people. Every person acts by name; `forge` is what the lander holds.

    target, other_target  two places that proposals go to
    """

    target: Location
    other_target: Location

    def __init__(self, folder: Path) -> None:
        """Start with no proposals."""

    @property
    def forge(self) -> Forge:
        """The lander's view; the same object each time."""

    def another(self) -> Forge:
        """The view of another lander, on another machine if the forge can be reached from there."""

    def propose(
        self, author: str, title: str, *, target: Location | None = None, after: Proposal | None = None
    ) -> Proposal:
        """A new proposal, from a source of its own, that waits for reviews."""

    def tip(self, proposal: Proposal) -> str:
        """The source's tip now."""

    def push(self, proposal: Proposal) -> str:
        """The author pushes something; the source's new tip."""

    def ask(self, proposal: Proposal, reviewer: str, review_type: str = "") -> None:
        """The author asks a person or a team."""

    def vote(self, proposal: Proposal, voter: str, value: VoteValue, review_type: str = "") -> None:
        """Somebody votes on what the source holds now."""

    def set_status(self, proposal: Proposal, person: str, status: Status) -> None:
        """Somebody sets the status; Approved approves what the source holds now."""

    def comments(self, proposal: Proposal) -> list[str]:
        """What was said."""

    def close(self) -> None:
        """Stop everything."""


class LocalHarness:
    """The local forge. The lander's user administers it, and so lends its hand to everybody."""

    target = Location("/srv/hello", "main")
    other_target = Location("/srv/hello", "stable")

    def __init__(self, folder: Path) -> None:
        self._path = folder / "forge" / "forge.sqlite"
        self._opened: list[LocalForge] = []
        self._tips: dict[str, int] = {}
        self.forge = self.another()

    def another(self) -> LocalForge:
        """A connection of its own."""
        forge = LocalForge(
            self._path, user="lander", teams=TEAMS, administrators=("lander",), trusted={"hello": tuple(TRUSTED)}
        )
        self._opened.append(forge)
        return forge

    def propose(
        self, author: str, title: str, *, target: Location | None = None, after: Proposal | None = None
    ) -> Proposal:
        """A new proposal, from a source of its own."""
        source = Location(f"/home/{author}/hello", f"branch-{len(self._tips)}")
        self._tips[str(source)] = 1
        return self.forge.create(
            "hello", source, target or self.target, title, prerequisite=after and after.id, acting_for=author
        )

    def tip(self, proposal: Proposal) -> str:
        """Sources are made up: the local forge takes tips from its caller."""
        return f"{proposal.source.branch}-{self._tips[str(proposal.source)]}"

    def push(self, proposal: Proposal) -> str:
        """One more revision."""
        self._tips[str(proposal.source)] += 1
        return self.tip(proposal)

    def ask(self, proposal: Proposal, reviewer: str, review_type: str = "") -> None:
        """The author asks."""
        self.forge.request_review(proposal.id, reviewer, review_type=review_type, acting_for=proposal.author)

    def vote(self, proposal: Proposal, voter: str, value: VoteValue, review_type: str = "") -> None:
        """Somebody votes."""
        self.forge.review(proposal.id, value, revision=self.tip(proposal), review_type=review_type, acting_for=voter)

    def set_status(self, proposal: Proposal, person: str, status: Status) -> None:
        """Somebody sets the status."""
        self.forge.change_status(proposal.id, status, revision=self.tip(proposal), acting_for=person)

    def comments(self, proposal: Proposal) -> list[str]:
        """What was said."""
        return [comment.text for comment in self.forge.comments(proposal.id)]

    def close(self) -> None:
        """Close all connections."""
        for forge in self._opened:
            forge.close()
