"""How often one may try a password: some times at once, then ever more slowly; who gets it right starts anew."""

from __future__ import annotations

import time
from typing import Final

from byoci.errors import UsageError

_FREE: Final = 5  # wrong ones before one has to wait
_LONGEST: Final = 300.0  # seconds that one waits at most
_KEPT: Final = 10_000  # of whom one remembers that they were wrong; the oldest are forgotten


class TooManyTriesError(UsageError):
    """Somebody tried too many passwords; `seconds` tells when he may again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, round(seconds))
        super().__init__("too many wrong passwords", resolution=f"Try again in {self.seconds} seconds.")


class Throttle:
    """Keyed by who tries (his address and the name that he gives). Concurrency: for one thread."""

    def __init__(self) -> None:
        self._wrong: dict[tuple[str, str], tuple[int, float]] = {}  # how many, and when one may again

    def check(self, who: tuple[str, str]) -> None:
        """Raises `TooManyTriesError` for one who has to wait."""
        left = self._wrong.get(who, (0, 0.0))[1] - time.monotonic()
        if left > 0:
            raise TooManyTriesError(left)

    def was_wrong(self, who: tuple[str, str]) -> None:
        """It was not the password."""
        count = self._wrong.pop(who, (0, 0.0))[0] + 1
        wait = min(2.0 ** min(count - _FREE, 20), _LONGEST) if count >= _FREE else 0.0
        self._wrong[who] = (count, time.monotonic() + wait)
        if len(self._wrong) > _KEPT:
            del self._wrong[next(iter(self._wrong))]

    def was_right(self, who: tuple[str, str]) -> None:
        """It was."""
        self._wrong.pop(who, None)
