"""Who is who on the local forge, and who may do what."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.errors import UsageError
from byoci.forge.local_input import name
from byoci.model import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from byoci.model import Proposal


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: in whose name, and who really."""

    person: str
    recorded_by: str


def user_name(uid: int) -> str:
    """The name of a unix user, from the user database: the environment can say anything."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def expanded(teams: Mapping[str, Collection[str]], names: Iterable[str]) -> frozenset[str]:
    """The people that these names of people and teams stand for, through nested teams."""
    people, seen, waiting = set(), set(), list(names)
    while waiting:
        current = waiting.pop()
        if current in teams and current not in seen:
            seen.add(current)
            waiting += teams[current]
        elif current not in teams:
            people.add(current)
    return frozenset(people)


class People:
    """Teams, administrators and each project's trusted reviewers, as the configuration has them.

    teams           team → its people and teams; cycles do no harm
    administrators  people and teams who may act for others, and do all that a reviewer may
    trusted         project → its trusted people and teams
    """

    def __init__(
        self,
        teams: Mapping[str, Collection[str]],
        administrators: Collection[str],
        trusted: Mapping[str, Collection[str]],
    ) -> None:
        self._teams = {team: tuple(names) for team, names in teams.items()}
        self.members = {team: expanded(self._teams, [team]) for team in self._teams}
        self.administrators = expanded(self._teams, administrators)
        self._trusted = {project: expanded(self._teams, names) for project, names in trusted.items()}

    def trusted(self, project: str) -> frozenset[str]:
        """Who may decide over the project's proposals."""
        return self.administrators | self._trusted.get(project, frozenset())

    def actor(self, user: str, acting_for: str | None) -> Actor:
        """The user, or the one for whom he acts. Raises `UsageError` where he may not."""
        if acting_for is None or acting_for == user:
            return Actor(user, user)
        if user not in self.administrators:
            raise UsageError(
                f"{user} may not act for {name(acting_for, 'person')}",
                details=f"Only administrators of the local forge may: {', '.join(sorted(self.administrators))}.",
                resolution="Ask one of them, or act for yourself.",
            )
        if acting_for in self._teams:
            raise UsageError(f"{acting_for} is a team; only people act", resolution="Name one of its people.")
        return Actor(name(acting_for, "person"), user)

    def check_may_set(self, actor: Actor, proposal: Proposal, status: Status) -> None:
        """Raises `UsageError` where the actor may not give the proposal that status."""
        decides = status in (Status.APPROVED, Status.REJECTED, Status.MERGED)
        self._check(actor, proposal, f"set proposal {proposal.id} to {status}", author_too=not decides)

    def check_may_edit(self, actor: Actor, proposal: Proposal, what: str) -> None:
        """Raises `UsageError` where the actor is neither the author nor trusted. `what` completes "may not …"."""
        self._check(actor, proposal, what, author_too=True)

    def _check(self, actor: Actor, proposal: Proposal, what: str, *, author_too: bool) -> None:
        may = self.trusted(proposal.project) | ({proposal.author} if author_too else set())
        if actor.person not in may:
            raise UsageError(
                f"{actor.person} may not {what}",
                details=f"These may: {', '.join(sorted(may))}.",
                resolution="Ask one of them. The project's approve.trusted and [forge.local] administrators name them.",
            )
