"""What somebody may see of the monitor's projects. What answers at the dashboard is made of a `Sight` only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from byoci.monitor.board import Agents, Board, Tile
    from byoci.monitor.state import State
    from byoci.monitor.values import Started


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may read what.

    anonymous       whether who has not signed in may see the projects that have no readers of their own
    of              project → the people who alone may see it; one that is not there has no readers of its own
    administrators  people who may see all projects
    """

    anonymous: bool = True
    of: Mapping[str, Collection[str]] = field(default_factory=dict)
    administrators: Collection[str] = ()

    def may(self, person: str | None, project: str) -> bool:
        """Whether somebody may see a project; None has not signed in."""
        if person is None:
            return self.anonymous and project not in self.of
        return project not in self.of or person in self.of[project] or person in self.administrators


class Sight:
    """The board and the landings, as somebody may see them: of what he may not see there is no trace.

    Nor is there of projects that the definition has no more: nobody knows who may see them.

    person  None for somebody who has not signed in
    """

    def __init__(self, board: Board, state: State, permissions: Permissions, person: str | None) -> None:
        self._board = board
        self._state = state
        self._permissions = permissions
        self._person = person

    @property
    def version(self) -> int:
        """Another number after every change of what he sees, and after no other."""
        versions = self._board.versions()
        return max((self._board.agents_version, *(number for name, number in versions.items() if self._may(name))))

    @property
    def agents(self) -> Agents:
        """The controller's agents, which whoever may look at all may see."""
        return self._board.agents

    def tiles(self) -> Sequence[Tile]:
        """The projects, in the definition's order."""
        return tuple(tile for tile in self._board.tiles() if self._may(tile.project))

    def tile(self, project: str) -> Tile | None:
        """One project; None where there is none of that name, or none for him."""
        return self._board.tile(project) if self._may(project) else None

    def landings(self, project: str, limit: int = 100) -> list[Started]:
        """A project's newest landings; none of one that he may not see."""
        return self._state.newest(project, limit) if self.tile(project) else []

    def latest(self, limit: int) -> list[Started]:
        """The newest landings of all projects."""
        return self._state.newest_of([tile.project for tile in self.tiles()], limit)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many landings have ended so: (project, outcome) → number."""
        names = {tile.project for tile in self.tiles()}
        return {key: count for key, count in self._state.counts().items() if key[0] in names}

    def _may(self, project: str) -> bool:
        return self._permissions.may(self._person, project)
