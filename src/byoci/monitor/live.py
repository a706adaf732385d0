"""The log of the landing that is under way, read as it grows; only its end is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.errors import UnavailableError
from byoci.jenkins.logs import printed
from byoci.web.logtext import Line, Lines

if TYPE_CHECKING:
    from byoci.jenkins.client import Jenkins
    from byoci.monitor.values import Started

KEPT: Final = 32 << 10  # bytes
LINES: Final = 400
_MOST: Final = 4 << 20  # bytes that are read at once; of more, only what comes after it is shown
_PAUSE: Final = 1.0  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log, as it was read last.

    cut   whether there is something before it
    away  whether the controller could not be asked for more
    """

    data: bytes
    cut: bool
    away: bool = False

    def lines(self) -> list[Line]:
        """What it says, harmless: without what a terminal obeys. A line that was cut is left out."""
        data = self.data
        if self.cut and b"\n" in data:
            data = data.partition(b"\n")[2]
        lines = Lines(1, 0)
        return [*lines.feed(data), *lines.unfinished()]

    def text(self) -> str:
        """The same, as text without colours."""
        return "".join(
            f"{'' if line.kind == 'more' or not number else chr(10)}{line.text}"
            for number, line in enumerate(self.lines())
        )


class LiveLog:
    """See the module. It belongs to one thread.

    tail  None where there is nothing to show
    """

    def __init__(self) -> None:
        self.tail: Tail | None = None
        self._landing = 0
        self._next = 0
        self._look_at = 0.0

    def read(self, jenkins: Jenkins, job: str, landing: Started) -> None:
        """Go on with the log of a landing whose build runs, if it is time to. Never raises a `ByociError`."""
        if landing.id != self._landing:
            self.tail, self._landing, self._next, self._look_at = None, landing.id, 0, 0.0
        if landing.number is None or time.monotonic() < self._look_at:
            return
        try:
            told = printed(jenkins, job, landing.number, self._next, KEPT, _MOST)
        except UnavailableError:
            self.lose()
            return
        self._look_at = time.monotonic() + _PAUSE
        if told is None:
            return
        before = b"" if told.skipped or self.tail is None else self.tail.data
        cut = told.skipped or (self.tail is not None and self.tail.cut)
        data = before + told.data
        kept = b"\n".join(data[-KEPT:].split(b"\n")[-LINES:])
        self.tail, self._next = Tail(kept, cut or len(kept) < len(data)), told.next

    def lose(self) -> None:
        """The controller cannot be asked."""
        self._look_at = 0.0
        if self.tail is not None and not self.tail.away:
            self.tail = Tail(self.tail.data, self.tail.cut, away=True)

    def end(self) -> None:
        """Nothing is under way."""
        self.tail = None
