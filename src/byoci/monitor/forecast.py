"""How long landings take, how many succeed, and when those that wait will have landed, from those that ended. Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from byoci.model import Outcome
from byoci.monitor.values import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.monitor.board import Tile
    from byoci.monitor.values import Started

_RECENT: Final = 20  # landings that say how long one takes
_COUNTED: Final = (Outcome.LANDED, Outcome.TESTS_FAILED, Outcome.CONFLICT, Outcome.ERROR)


def record(newest: Sequence[Started]) -> Record:
    """The record of these landings, the newest first."""
    counted = [item for item in newest if item.ended and item.outcome in _COUNTED]
    tested = [item for item in counted if item.outcome in (Outcome.LANDED, Outcome.TESTS_FAILED)][:_RECENT]
    landed = sum(item.outcome is Outcome.LANDED for item in counted)
    return Record(len(counted), landed, statistics.median(map(seconds, tested)) if tested else None)


def seconds(item: Started) -> float:
    """How long it took, from its build's start; 0 where it has not ended."""
    return max(0.0, item.ended - (item.started or item.asked)) if item.ended else 0.0


def expected(tile: Tile, now: float) -> list[float | None]:
    """When each of those in the queue will have been landed, in seconds since 1970; None where nobody can say."""
    usual = tile.record.usual
    if usual is None or tile.trouble:
        return [None for _ in tile.ready]
    at = now
    if tile.landing is not None:
        at = max(now, (tile.landing.started or now) + usual)
    told: list[float | None] = []
    for item in tile.ready:
        stuck = tile.freeze is not None and not item.hotfix
        at = at if stuck else at + usual
        told.append(None if stuck else at)
    return told
