"""Which builds of a job, and which artifacts, are not kept any longer. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from byoci.controller.rows import BuildRow

_DAY = 86400.0


def expired(
    builds: Iterable[BuildRow], first: int | None, days: int | None, kept: Collection[int], now: float
) -> Iterator[BuildRow]:
    """Those of `builds`, the oldest first, to remove; never one that runs. Stops at the first that is young enough.

    first  the number of the first build that is not too many; None where all may stay
    days   how old they may become; None for any age
    kept   numbers of those that stay in any case
    """

    def goes(build: BuildRow) -> bool:
        many = first is not None and build.number < first
        return many or (days is not None and build.began < now - days * _DAY)

    for build in itertools.takewhile(goes, builds):
        if build.number not in kept and build.ended is not None:
            yield build
