"""What the brain shows of its work: frozen, whole, and handed to whoever makes pages of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from byoci.monitor.values import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.jenkins.computers import Computer
    from byoci.model import Proposal
    from byoci.monitor.live import Tail
    from byoci.monitor.values import Freeze, Started

NO_RECORD: Final = Record()


@dataclass(frozen=True, slots=True)
class Seen:
    """An open proposal, as it was seen last, judged.

    reasons  why it may not land now, for people; empty where it may
    words    its ballot in words, several lines
    hotfix   whether it goes before all others, into a frozen trunk too
    """

    proposal: Proposal
    reasons: tuple[str, ...]
    words: str = ""
    hotfix: bool = False


@dataclass(frozen=True, slots=True)
class Tile:
    """A project, as the monitor sees it.

    trouble   why forge or controller could not be asked; "" where all is well
    seen      its open proposals: those that may land in the order of their turns, then the others
    landing   what is under way
    freeze    why only hotfixes land; None where all may
    log       the end of what the landing under way has printed
    record    how its latest landings went
    """

    project: str
    trunk: str
    forge: str
    trouble: str = ""
    seen: tuple[Seen, ...] = ()
    landing: Started | None = None
    freeze: Freeze | None = None
    log: Tail | None = None
    record: Record = NO_RECORD

    @property
    def ready(self) -> tuple[Seen, ...]:
        """Those that may land, in the order of their turns, without the one that is landing."""
        landing = self.landing.proposal if self.landing else None
        return tuple(item for item in self.seen if not item.reasons and item.proposal.id != landing)

    @property
    def waiting(self) -> tuple[Seen, ...]:
        """Those that may not."""
        return tuple(item for item in self.seen if item.reasons)

    @property
    def state(self) -> tuple[str, str]:
        """How it stands: the name of its look, and words."""
        if self.trouble:
            return "unstable", "in trouble"
        if self.landing:
            return "running", "landing"
        if self.freeze:
            return "aborted", "frozen"
        return ("waiting", "about to land") if self.ready else ("success", "nothing to land")


@dataclass(frozen=True, slots=True)
class Agents:
    """The controller's agents, as they were told last.

    at       when that was, in seconds since 1970; None where it was never
    trouble  why they cannot be told now; ""
    """

    computers: tuple[Computer, ...] = ()
    at: float | None = None
    trouble: str = ""


class Board:
    """The newest tiles. Any thread may look; only the brain's writes.

    version  another number after every change
    worked   when the brain has worked last, monotonic
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tiles: dict[str, Tile] = {}
        self._versions: dict[str, int] = {}
        self.agents = Agents()
        self.version = 0
        self.agents_version = 0
        self.worked = time.monotonic()

    def show(self, tile: Tile) -> None:
        """Put a project's tile in the place of its earlier one."""
        with self._lock:
            self.worked = time.monotonic()
            if self._tiles.get(tile.project) != tile:
                self._tiles[tile.project] = tile
                self.version += 1
                self._versions[tile.project] = self.version

    def show_agents(self, agents: Agents) -> None:
        """Put what is known of the agents in the place of what was; that only the time is another is no change."""
        with self._lock:
            if replace(agents, at=self.agents.at) != self.agents:
                self.version += 1
                self.agents_version = self.version
            self.agents = agents

    def tick(self) -> None:
        """Tell that the brain is at work, though it has nothing to do."""
        self.worked = time.monotonic()

    def versions(self) -> dict[str, int]:
        """Each project's own number, another and a higher one after every change of its tile."""
        with self._lock:
            return dict(self._versions)

    def tiles(self) -> Sequence[Tile]:
        """All projects, in the definition's order."""
        with self._lock:
            return tuple(self._tiles.values())

    def tile(self, project: str) -> Tile | None:
        """One project; None where there is none of that name."""
        with self._lock:
            return self._tiles.get(project)
