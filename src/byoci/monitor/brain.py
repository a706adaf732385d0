"""The monitor's brain: every trunk's desk in turn, each when it is time for it."""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.jenkins.client import Jenkins
    from byoci.monitor.board import Board
    from byoci.monitor.state import State
    from byoci.monitor.watched import Watched

from byoci.monitor.desk import Desk
from byoci.monitor.line import Line

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
            self._board.show(self._desks[index].tile())
            heapq.heappush(self._due, (time.monotonic() + pause, index))
        self._board.tick()
        return min(max(self._due[0][0] - time.monotonic(), 0.0), _LONGEST) if self._due else _LONGEST

    def wake(self, forge: str) -> None:
        """Something has happened on a forge: look at it again now."""
        now = time.monotonic()
        woken = {index for index, desk in enumerate(self._desks) if desk.watched.forge.name == forge}
        for index in woken:
            self._desks[index].wake()
        self._due = [(now if index in woken else at, index) for at, index in self._due]
        heapq.heapify(self._due)
