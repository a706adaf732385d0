"""What the brain shows of its work: frozen, whole, and handed to whoever makes pages of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.model import Proposal
    from byoci.monitor.state import Freeze, Started


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
    """

    project: str
    trunk: str
    forge: str
    trouble: str = ""
    seen: tuple[Seen, ...] = ()
    landing: Started | None = None
    freeze: Freeze | None = None

    @property
    def ready(self) -> tuple[Seen, ...]:
        """Those that may land, in the order of their turns, without the one that is landing."""
        landing = self.landing.proposal if self.landing else None
        return tuple(item for item in self.seen if not item.reasons and item.proposal.id != landing)

    @property
    def waiting(self) -> tuple[Seen, ...]:
        """Those that may not."""
        return tuple(item for item in self.seen if item.reasons)


class Board:
    """The newest tiles. Any thread may look; only the brain's writes.

    version  another number after every change
    worked   when the brain has worked last, monotonic
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tiles: dict[str, Tile] = {}
        self._versions: dict[str, int] = {}
        self.version = 0
        self.worked = time.monotonic()

    def show(self, tile: Tile) -> None:
        """Put a project's tile in the place of its earlier one."""
        with self._lock:
            self.worked = time.monotonic()
            if self._tiles.get(tile.project) != tile:
                self._tiles[tile.project] = tile
                self.version += 1
                self._versions[tile.project] = self.version

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
