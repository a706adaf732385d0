"""The monitor's brain: every trunk's desk in turn, each when it is time for it."""

from __future__ import annotations

import heapq
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from byoci.errors import ByociError
from byoci.jenkins.computers import computers
from byoci.monitor.board import Agents
from byoci.monitor.desk import Desk
from byoci.monitor.health import Health
from byoci.monitor.line import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.jenkins.client import Jenkins
    from byoci.monitor.board import Board
    from byoci.monitor.state import State
    from byoci.monitor.watched import Watched

_AGENTS: Final = 10.0  # seconds between two looks at the agents
_LONGEST: Final = 1.0  # seconds that nothing is done, at most


class Brain:
    """See the module. It belongs to one thread.

    find     looks where the controller is; see `Line`
    longest  seconds between two looks at a forge where nothing happens
    """

    def __init__(
        self,
        projects: Sequence[Watched],
        state: State,
        find: Callable[[], Jenkins],
        longest: float,
        board: Board,
        tell: Callable[[str], None],
    ) -> None:
        line = Line(find)
        self._desks = [Desk(watched, state, line, longest, tell) for watched in projects]
        self._healths = [Health(watched.project, state.outbox) for watched in projects]
        self._line = line
        self._agents_at = 0.0
        self._board = board
        for desk in self._desks:
            board.show(desk.tile())
        self._due = [(0.0, index) for index in range(len(self._desks))]

    def work(self) -> float:
        """Have every desk work whose time has come; how many seconds there are until the next one's."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, index = heapq.heappop(self._due)
            pause = self._desks[index].work()
            self._healths[index].note(self._desks[index].ill)
            self._board.show(self._desks[index].tile())
            heapq.heappush(self._due, (time.monotonic() + pause, index))
        if now >= self._agents_at:
            self._look_at_agents()
            self._agents_at = time.monotonic() + _AGENTS
        self._board.tick()
        return min(max(self._due[0][0] - time.monotonic(), 0.0), _LONGEST) if self._due else _LONGEST

    def _look_at_agents(self) -> None:
        try:
            self._board.show_agents(Agents(computers(self._line.controller()), time.time()))
        except ByociError as error:
            self._line.lost()
            self._board.show_agents(replace(self._board.agents, trouble=error.brief))

    def wake(self, forge: str) -> None:
        """Something has happened on a forge: look at it again now."""
        now = time.monotonic()
        woken = {index for index, desk in enumerate(self._desks) if desk.watched.forge.name == forge}
        for index in woken:
            self._desks[index].wake()
        self._due = [(now if index in woken else at, index) for at, index in self._due]
        heapq.heapify(self._due)
